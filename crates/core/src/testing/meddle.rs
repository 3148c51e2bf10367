//! Inputs that were meddled with: what a fuzzer does, repeatable and without one.

/// Makes inputs from seeds; the same ones in every run.
#[derive(Debug)]
pub struct Meddler(u64);

impl Default for Meddler {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Meddler {
    /// A number below `bound`, or 0 for 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let spread = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(spread).unwrap_or_default().checked_rem(bound).unwrap_or_default()
    }

    /// One of the seeds with one to eight changes: bytes changed, inserted, removed, repeated, words and pieces of other
    /// seeds put in, the end cut off.
    pub fn meddle(&mut self, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
        let mut input = self.pick(seeds).cloned().unwrap_or_default();
        for _ in 0..=self.below(8) {
            let at = self.below(input.len() + 1);
            let some = 1 + self.below(16);
            match self.below(7) {
                0 => {
                    let byte = self.byte();
                    input.iter_mut().skip(at).take(1).for_each(|old| *old = byte);
                }
                1 => input.insert(at, self.byte()),
                2 => drop(input.drain(at..(at + some).min(input.len()))),
                3 => input.truncate(at.max(1)),
                4 => {
                    let piece: Vec<u8> = input.iter().skip(at).take(some).copied().collect();
                    input.splice(at..at, piece);
                }
                5 => {
                    let other = self.pick(seeds).cloned().unwrap_or_default();
                    let from = self.below(other.len() + 1);
                    input.splice(at..at, other.into_iter().skip(from).take(some * 4));
                }
                _ => {
                    let word = self.pick(words).copied().unwrap_or_default();
                    input.splice(at..at, word.bytes());
                }
            }
        }
        input
    }

    fn pick<'s, T>(&mut self, from: &'s [T]) -> Option<&'s T> {
        from.get(self.below(from.len()))
    }

    /// Mostly printable.
    fn byte(&mut self) -> u8 {
        let (from, range) = if self.below(4) == 0 { (0, 256) } else { (0x20, 0x5F) };
        u8::try_from(from + self.below(range)).unwrap_or_default()
    }
}
