//! Proofs that a form came from a page of ours, in this browser. The proof is an HMAC whose key is the browser's own
//! unguessable cookie: nothing is stored, it survives restarts, and it works on every node. Another site can make a
//! browser send the cookie, but not read it, so it cannot make the proof.

use data_encoding::BASE64URL_NOPAD;

/// The proof that goes into a form, for one purpose, such as `login` or `consent` with a digest of what is agreed to.
#[must_use]
pub fn proof(cookie: &str, purpose: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, cookie.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, format!("portunus form: {purpose}").as_bytes());
    BASE64URL_NOPAD.encode(tag.as_ref())
}

/// Whether a proof was made for this cookie and purpose.
#[must_use]
pub fn is_proven(cookie: &str, purpose: &str, presented: &str) -> bool {
    portunus_core::digest::equal(proof(cookie, purpose).as_bytes(), presented.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_its_cookie_and_purpose_only() {
        let made = proof("cookie-a", "login");
        assert!(is_proven("cookie-a", "login", &made));
        for (cookie, purpose) in
            [("cookie-b", "login"), ("cookie-a", "logout"), ("", "login"), ("cookie-a", "")]
        {
            assert!(!is_proven(cookie, purpose, &made));
        }
        assert!(!is_proven("cookie-a", "login", ""));
        assert!(!is_proven("cookie-a", "login", &made[1..]));
    }
}
