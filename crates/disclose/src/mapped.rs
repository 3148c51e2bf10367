//! Text that was made from another text, and where each of its bytes came from.

use std::ops::Range;

/// A text with the places of its bytes in the text that it was made from.
#[derive(Debug, Default)]
pub(crate) struct Mapped {
    pub(crate) text: String,
    /// (offset here, offset there), ascending; between two marks both run alike.
    marks: Vec<(usize, usize)>,
}

impl Mapped {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), marks: Vec::new() }
    }

    /// Adds text that stands alike in the original.
    pub(crate) fn push_same(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds what `from..to` of the original means; `None` for nothing.
    pub(crate) fn push_other(&mut self, character: Option<char>, from: usize, to: usize) {
        let here = self.text.len();
        self.marks.push((here, from));
        self.text.extend(character);
        self.marks.push((self.text.len(), to));
    }

    /// Where `range` of this text stands in the original: as little as possible.
    pub(crate) fn original(&self, range: &Range<usize>) -> Range<usize> {
        let after = self.marks.partition_point(|(here, _)| *here <= range.start);
        let start = self.from(after, range.start);
        let first = self.marks.partition_point(|(here, _)| *here < range.end);
        let end = match self.marks.get(first) {
            Some((here, there)) if *here == range.end => *there,
            _ => self.from(first, range.end),
        };
        start..end.max(start)
    }

    /// The place of `here` by the mark before the one numbered `next`.
    fn from(&self, next: usize, here: usize) -> usize {
        match next.checked_sub(1).and_then(|mark| self.marks.get(mark)) {
            Some((mark, there)) => there + (here - mark),
            None => here,
        }
    }
}
