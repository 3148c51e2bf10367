//! Ends HTTP/2 connections that send frames for nothing. h2 bounds resets and header blocks; it answers any number of
//! PING, SETTINGS, WINDOW_UPDATE, PRIORITY, empty DATA and unknown frames, each of which costs a peer 9 bytes and us a
//! wake-up. So the frame headers (RFC 9113 section 4.1) are counted on their way to hyper.

use portunus_core::limits;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes before the first frame (RFC 9113 section 3.4).
const PREFACE: u64 = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
/// DATA's flag that it is the last.
const END_STREAM: u8 = 1;

/// A stream whose inbound frames are counted.
pub(crate) struct Counted<S> {
    inner: S,
    frames: Frames,
}

impl<S> Counted<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, frames: Frames::new(Instant::now()) }
    }
}

/// What a peer may still send for nothing: an allowance that grows with time, with what it brings and with what it is sent,
/// up to its size.
struct Frames {
    allowance: u64,
    refilled: Instant,
    /// Bytes to pass over: the preface, or the rest of a frame.
    skip: u64,
    header: Vec<u8>,
    /// Bytes sent that have not been turned into allowance.
    sent: u64,
}

impl Frames {
    fn new(now: Instant) -> Self {
        Self { allowance: limits::FREE_FRAMES, refilled: now, skip: PREFACE, header: Vec::new(), sent: 0 }
    }

    /// Takes in bytes from the peer; false when it has sent too much for nothing.
    fn take(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                self.skip -= skipped as u64;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let wanted = 9_usize.saturating_sub(self.header.len()).min(bytes.len());
            let (head, rest) = bytes.split_at(wanted);
            self.header.extend_from_slice(head);
            bytes = rest;
            if let [a, b, c, kind, flags, ..] = *self.header.as_slice()
                && self.header.len() == 9
            {
                let length = u64::from(u32::from_be_bytes([0, a, b, c]));
                self.header.clear();
                self.skip = length;
                if !self.frame(kind, flags, length, now) {
                    return false;
                }
            }
        }
        true
    }

    fn frame(&mut self, kind: u8, flags: u8, length: u64, now: Instant) -> bool {
        let cost = match kind {
            DATA if length > 0 => {
                self.earn(1);
                return true;
            }
            DATA if flags & END_STREAM != 0 => return true,
            // Asks for something; that it is answered is what earns.
            HEADERS => return true,
            // Takes back what another frame asked for.
            RST_STREAM => 2,
            _ => 1,
        };
        let seconds = now.duration_since(self.refilled).as_secs();
        if seconds > 0 {
            self.refilled = now;
            self.earn(seconds.saturating_mul(limits::FREE_FRAMES_PER_SECOND));
        }
        match self.allowance.checked_sub(cost) {
            Some(left) => self.allowance = left,
            None => return false,
        }
        true
    }

    /// Whoever is sent much has to say that he has read it.
    fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
        self.earn(self.sent / 1024);
        self.sent %= 1024;
    }

    fn earn(&mut self, frames: u64) {
        self.allowance = self.allowance.saturating_add(frames).min(limits::FREE_FRAMES);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        let new = buffer.filled().get(before..).unwrap_or_default();
        if this.frames.take(new, Instant::now()) {
            return Poll::Ready(Ok(()));
        }
        buffer.set_filled(before);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "too many HTTP/2 frames for nothing")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(bytes)) = written {
            this.frames.sent(bytes);
        }
        written
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(bytes)) = written {
            this.frames.sent(bytes);
        }
        written
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(9 + payload, 0);
        bytes
    }

    fn started(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        assert!(frames.take(&[0; 24], now));
        frames
    }

    #[test]
    fn frames_for_nothing_end_a_connection_however_they_are_cut_into_pieces() {
        let now = Instant::now();
        for (kind, payload) in [(PING, 8), (4, 0), (8, 4), (2, 5), (DATA, 0), (9, 100), (200, 3)] {
            let mut frames = started(now);
            let flood = frame(kind, 0, payload).repeat(limits::FREE_FRAMES as usize);
            assert!(flood.chunks(7).all(|piece| frames.take(piece, now)), "{kind}: the allowance itself");
            assert!(!frames.take(&frame(kind, 0, payload), now), "{kind}: one more");
        }
    }

    #[test]
    fn whoever_sends_and_reads_something_may_go_on_for_ever() {
        let now = Instant::now();
        let mut frames = started(now);
        for _ in 0..10_000 {
            assert!(frames.take(&frame(DATA, 0, 10), now) && frames.take(&frame(PING, 0, 8), now));
        }
        for _ in 0..10_000 {
            frames.sent(16 * 1024);
            assert!(frames.take(&[frame(8, 0, 4), frame(8, 0, 4)].concat(), now), "two windows a piece");
            let cancelled = [frame(HEADERS, 4, 30), frame(RST_STREAM, 0, 4)].concat();
            assert!(frames.take(&cancelled, now), "a call that is cancelled after it was answered");
        }
        let mut later = now;
        for _ in 0..10_000 {
            later += Duration::from_secs(1);
            assert!(frames.take(&frame(PING, 0, 8), later), "a ping a second");
        }
    }

    #[test]
    fn calls_that_are_all_taken_back_end_a_connection() {
        let now = Instant::now();
        let mut frames = started(now);
        let taken_back = [frame(HEADERS, 4, 30), frame(RST_STREAM, 0, 4)].concat();
        let sent = (0..1000).take_while(|_| frames.take(&taken_back, now)).count();
        assert_eq!(sent, limits::FREE_FRAMES as usize / 2);
    }

    #[test]
    fn an_empty_last_piece_of_a_body_is_no_flood() {
        let now = Instant::now();
        let mut frames = started(now);
        assert!((0..1000).all(|_| frames.take(&frame(DATA, END_STREAM, 0), now)));
    }
}
