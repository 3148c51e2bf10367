//! Base64 as servers and lenient readers take it: with white space, in either alphabet, with padding or without.

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding};
use std::sync::LazyLock;

/// Of a text's bytes at most one in so many is a control character.
const CONTROLS: usize = 64;

/// Takes any bits behind the last byte, as most readers do.
static LENIENT: LazyLock<Option<Encoding>> = LazyLock::new(|| {
    let mut specification = BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().ok()
});

/// What base64 means, and how it was written.
pub(crate) struct Base64 {
    pub(crate) bytes: Vec<u8>,
    url: bool,
    padded: bool,
}

impl Base64 {
    /// `None` when it is not base64. Linear.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut url = false;
        let mut signs = Vec::with_capacity(text.len());
        for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
            url |= matches!(byte, b'-' | b'_');
            signs.push(match byte {
                b'-' => b'+',
                b'_' => b'/',
                byte => byte,
            });
        }
        let padding = signs.iter().rev().take_while(|byte| **byte == b'=').count();
        signs.truncate(signs.len() - padding);
        // A last sign alone is less than a byte.
        let whole = signs.len() - usize::from(signs.len() % 4 == 1);
        let bytes = LENIENT.as_ref()?.decode(signs.get(..whole)?).ok()?;
        Some(Self { bytes, url, padded: padding > 0 || signs.len().is_multiple_of(4) })
    }

    /// Whether the bytes can be text, in UTF-8 or in an eight-bit character set: pictures and packed data have more control
    /// characters.
    pub(crate) fn is_text(&self) -> bool {
        let control = |byte: &&u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
        let ascii = self.bytes.iter().filter(|byte| byte.is_ascii()).count();
        self.bytes.iter().filter(control).count() <= self.bytes.len() / CONTROLS
            && ascii * 2 >= self.bytes.len()
    }

    /// Other bytes, written likewise.
    pub(crate) fn written(&self, bytes: &[u8]) -> String {
        let encoding = match (self.url, self.padded) {
            (false, true) => BASE64,
            (false, false) => BASE64_NOPAD,
            (true, true) => BASE64URL,
            (true, false) => BASE64URL_NOPAD,
        };
        encoding.encode(bytes)
    }
}
