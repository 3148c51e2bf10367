//! The cookies: the session, the one that ties the sign-in form to its browser, and one for each sign-in under way at an
//! identity provider. All have the `__Host-` prefix,
//! so that no other host and no plain-text connection can set them (RFC 6265bis section 4.1.3.2).

use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, HeaderValue, header};
use portunus_core::limits;
use portunus_core::time::Rng;

pub(crate) const SESSION: &str = "__Host-portunus";
pub(crate) const FORM: &str = "__Host-portunus-form";
/// The beginning of the names of the cookies of sign-ins under way.
pub(crate) const ATTEMPT: &str = "__Host-portunus-oidc-";
const FORM_TTL_SECS: u64 = 3600;

/// The value of a cookie. One that is there twice is not trusted.
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// The browser's form cookie, or a fresh one that must be set.
pub(crate) fn form_cookie(headers: &HeaderMap, rng: &dyn Rng) -> (String, Option<HeaderValue>) {
    let is_ours =
        |value: &&str| BASE64URL_NOPAD.decode(value.as_bytes()).is_ok_and(|bytes| bytes.len() == 32);
    if let Some(value) = find(headers, FORM).filter(is_ours) {
        return (value.to_owned(), None);
    }
    let mut random = [0_u8; 32];
    rng.fill(&mut random);
    let value = BASE64URL_NOPAD.encode(&random);
    let cookie = set(FORM, &value, FORM_TTL_SECS);
    (value, cookie)
}

/// Sets the session cookie.
pub(crate) fn session(value: &str) -> Option<HeaderValue> {
    set(SESSION, value, limits::SESSION_TTL.as_secs())
}

/// Sets the cookie of a sign-in under way.
pub(crate) fn attempt(label: &str, value: &str) -> Option<HeaderValue> {
    set(&format!("{ATTEMPT}{label}"), value, limits::ATTEMPT_TTL.as_secs())
}

/// The names of the browser's cookies that begin like this.
pub(crate) fn names_with_prefix(headers: &HeaderMap, prefix: &str) -> Vec<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let names =
        lines.flat_map(|line| line.split(';')).filter_map(|pair| Some(pair.trim().split_once('=')?.0));
    names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
}

/// Makes the browser forget a cookie.
pub(crate) fn forget(name: &str) -> Option<HeaderValue> {
    set(name, "", 0)
}

fn set(name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
    // `Lax`, not `Strict`: clients send people here from elsewhere, and they must arrive signed in.
    let line = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    let mut header = HeaderValue::try_from(line).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_that_is_there_twice_is_no_cookie() {
        let headers = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            headers
        };
        assert_eq!(find(&headers(&["a=1; __Host-portunus=x; b=2"]), SESSION), Some("x"));
        assert_eq!(find(&headers(&["a=1", "__Host-portunus=x=y"]), SESSION), Some("x=y"));
        assert_eq!(find(&headers(&["__Host-portunus=x; __Host-portunus=y"]), SESSION), None);
        assert_eq!(find(&headers(&["__Host-portunus=x", "__Host-portunus=y"]), SESSION), None);
        assert_eq!(find(&headers(&["portunus=x; __host-portunus=y; x__Host-portunus=z"]), SESSION), None);
    }
}
