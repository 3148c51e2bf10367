//! AWS Signature Version 4, as far as requests go that Portunus makes: POST to `/`, no query, everything in headers and body.
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>)

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use http::{HeaderValue, Request};
use portunus_core::digest::sha256;
use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;

/// Who signs.
#[derive(Debug, Clone)]
pub struct AccessKeys {
    /// `AKIA…` or `ASIA…`.
    pub id: String,
    /// The key's secret.
    pub secret: Secret<String>,
    /// Of temporary keys.
    pub session_token: Option<Secret<String>>,
}

/// What the signature is good for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Such as `eu-central-1`.
    pub region: &'a str,
    /// Such as `kms`.
    pub service: &'a str,
}

/// Signs the request: all its headers, and its body, as of `now`. It must be a POST to `/` with a `host` header.
///
/// # Errors
/// When a header is no plain text.
pub fn sign(
    request: &mut Request<Vec<u8>>,
    keys: &AccessKeys,
    scope: Scope<'_>,
    now: Timestamp,
) -> Result<(), &'static str> {
    let moment: String = now.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let (date, time) = (moment.get(..8).unwrap_or_default(), moment.get(..15).unwrap_or_default());
    let time = format!("{time}Z");
    let header = |text: &str| HeaderValue::from_str(text).map_err(|_| "an access key is no plain text");
    request.headers_mut().insert("x-amz-date", header(&time)?);
    if let Some(token) = &keys.session_token {
        let mut token = header(token.expose())?;
        token.set_sensitive(true);
        request.headers_mut().insert("x-amz-security-token", token);
    }
    let (names, canonical) = canonical(request)?;
    let Scope { region, service } = scope;
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let digest = HEXLOWER.encode(&sha256(&[canonical.as_bytes()]).0);
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}");
    let first = Secret::new(format!("AWS4{}", keys.secret.expose()).into_bytes());
    let mut key = mac(first.expose(), date);
    for step in [region, service, "aws4_request"] {
        key = mac(key.as_ref(), step);
    }
    let signature = HEXLOWER.encode(mac(key.as_ref(), &to_sign).as_ref());
    let id = &keys.id;
    let text =
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
    let mut value = header(&text)?;
    value.set_sensitive(true);
    request.headers_mut().insert("authorization", value);
    Ok(())
}

/// The names of the signed headers, and the request as it is signed.
fn canonical(request: &Request<Vec<u8>>) -> Result<(String, String), &'static str> {
    let mut headers = Vec::new();
    for name in request.headers().keys() {
        let mut values = Vec::new();
        for value in request.headers().get_all(name) {
            let text = value.to_str().map_err(|_| "a header is no plain text")?;
            values.push(text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        headers.push((name.as_str(), values.join(",")));
    }
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let body = HEXLOWER.encode(&sha256(&[request.body()]).0);
    let text = format!("{}\n/\n\n{lines}\n{names}\n{body}", request.method());
    Ok((names, text))
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}
