//! Lines from a pipe, bounded.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes asked of the pipe at once.
const PIECE: usize = 64 * 1024;

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Whole(Bytes),
    /// The beginning of a line over the bound; the rest of it was dropped.
    Cut(Bytes),
}

/// Cuts what comes from a pipe into lines of at most `longest` bytes.
pub(crate) struct Lines<R> {
    pipe: R,
    buffer: BytesMut,
    /// Up to here no line ends in `buffer`.
    searched: usize,
    longest: usize,
    /// The beginning of the present line was given out already.
    cutting: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(pipe: R, longest: usize) -> Self {
        Self { pipe, buffer: BytesMut::new(), searched: 0, longest, cutting: false }
    }

    /// The next line; `None` at the end. What stands behind the last line break is a line as well.
    pub(crate) async fn next(&mut self) -> Option<Line> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(found) = memchr::memchr(b'\n', rest) {
                let mut line = self.buffer.split_to(self.searched + found + 1);
                self.searched = 0;
                line.truncate(line.len().saturating_sub(1));
                if std::mem::take(&mut self.cutting) {
                    continue;
                }
                return Some(self.bounded(line));
            }
            self.searched = self.buffer.len();
            if self.cutting {
                self.buffer.clear();
                self.searched = 0;
            } else if self.buffer.len() > self.longest {
                self.cutting = true;
                self.searched = 0;
                let line = std::mem::take(&mut self.buffer);
                return Some(self.bounded(line));
            }
            self.buffer.reserve(PIECE);
            match self.pipe.read_buf(&mut self.buffer).await {
                Ok(read) if read > 0 => {}
                // A broken pipe is an end.
                _ if self.buffer.is_empty() || self.cutting => return None,
                _ => {
                    let line = std::mem::take(&mut self.buffer);
                    self.searched = 0;
                    return Some(self.bounded(line));
                }
            }
        }
    }

    fn bounded(&self, mut line: BytesMut) -> Line {
        if line.len() > self.longest {
            line.truncate(self.longest);
            return Line::Cut(line.freeze());
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Line::Whole(line.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(text: &[u8], longest: usize) -> Vec<Line> {
        let mut lines = Lines::new(text, longest);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            all.push(line);
        }
        all
    }

    fn whole(text: &'static str) -> Line {
        Line::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_end_where_they_end() {
        assert_eq!(lines(b"a\nbc\r\n\nd", 10).await, [whole("a"), whole("bc"), whole(""), whole("d")]);
        assert_eq!(lines(b"", 10).await, []);
    }

    #[tokio::test]
    async fn a_line_over_the_bound_is_cut_once_and_the_next_one_is_whole() {
        let cut = Line::Cut(Bytes::from_static(b"0123"));
        assert_eq!(lines(b"0123456789\nabcd\n", 4).await, [cut, whole("abcd")]);
        let long = [vec![b'x'; 300_000], b"\nend".to_vec()].concat();
        let found = lines(&long, 1000).await;
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], whole("end"));
    }
}
