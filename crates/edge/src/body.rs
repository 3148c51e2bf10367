//! Reads a request body once, within its bounds of bytes and time.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use portunus_core::limits;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    /// Longer than the server accepts.
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
    /// It came too slowly.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The client broke off.
    #[error("the body broke off")]
    Broken,
}

/// Reads the whole body, at most `longest` bytes. A body that announces more is refused before any of it is read.
///
/// # Errors
/// See [`BadBody`].
pub async fn read<B>(mut body: B, longest: usize) -> Result<Bytes, BadBody>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = body.size_hint().lower();
    if announced > longest as u64 {
        return Err(BadBody::TooLong(longest));
    }
    let end = Instant::now() + limits::BODY_TIMEOUT;
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = next(&mut body, end, limits::BODY_IDLE_TIMEOUT).await? {
        let Ok(data) = frame.into_data() else { continue };
        let so_far = first.as_ref().map_or(0, Bytes::len).max(rest.len());
        if so_far.saturating_add(data.len()) > longest {
            return Err(BadBody::TooLong(longest));
        }
        // Nearly every message comes in one piece, which then need not be copied.
        match first.take() {
            None if rest.is_empty() => first = Some(data),
            Some(head) => {
                rest.reserve(head.len().saturating_add(data.len()));
                rest.extend_from_slice(&head);
                rest.extend_from_slice(&data);
            }
            None => rest.extend_from_slice(&data),
        }
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}

/// Takes in what a refused request still sends, when that is little and comes soon. hyper closes a connection whose body
/// was left unread, and a client that is about to use it again would see it break off.
pub async fn discard<B>(body: &mut B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut left = limits::DISCARDED_BYTES;
    if body.size_hint().lower() > left {
        return;
    }
    let end = Instant::now() + limits::DISCARD_TIMEOUT;
    while let Ok(Some(frame)) = next(body, end, limits::DISCARD_TIMEOUT).await {
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

async fn next<B>(
    body: &mut B,
    end: Instant,
    idle: Duration,
) -> Result<Option<http_body::Frame<Bytes>>, BadBody>
where
    B: Body<Data = Bytes> + Unpin,
{
    let until = end.min(Instant::now() + idle);
    match timeout_at(until, body.frame()).await {
        Err(_) => Err(BadBody::TooSlow),
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame)),
        Ok(Some(Err(_))) => Err(BadBody::Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};
    use std::convert::Infallible;

    fn pieces(texts: &'static [&'static str]) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        let frames = texts.iter().map(|t| Ok(http_body::Frame::data(Bytes::from_static(t.as_bytes()))));
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn pieces_are_joined_in_order() {
        assert_eq!(read(pieces(&["ab", "c", "def"]), 6).await.unwrap(), "abcdef");
        assert_eq!(read(pieces(&[]), 6).await.unwrap(), "");
    }

    #[tokio::test]
    async fn one_byte_too_many_is_refused_whether_announced_or_not() {
        assert_eq!(read(pieces(&["abc", "def", "g"]), 6).await, Err(BadBody::TooLong(6)));
        assert_eq!(read(Full::new(Bytes::from_static(b"abcdefg")), 6).await, Err(BadBody::TooLong(6)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_is_cut() {
        let first = Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(b"a")));
        let never = futures_util::StreamExt::chain(
            futures_util::stream::iter([first]),
            futures_util::stream::pending(),
        );
        assert_eq!(read(StreamBody::new(never), 6).await, Err(BadBody::TooSlow));
    }

    #[tokio::test]
    async fn what_a_refused_request_still_sends_is_taken_in_when_it_is_little() {
        let mut little = pieces(&["ab", "cd"]);
        discard(&mut little).await;
        assert!(little.frame().await.is_none());
        let mut much = Full::new(Bytes::from(vec![0; 32 << 20]));
        discard(&mut much).await;
        assert!(much.frame().await.is_some(), "a long one is left, and with it the connection");
    }
}
