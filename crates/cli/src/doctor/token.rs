//! The token endpoint: what it says to a wrong code, and a real code where there is one.

use super::authorize::Flow;
use super::fetch::{Answer, FetchError};
use super::metadata::Issuer;
use super::register::{Known, oauth_error};
use super::report::Findings;
use super::walk::Patient;
use http::{StatusCode, header};
use portunus_core::secret::Secret;

/// A wrong code must be refused in the form that clients understand (RFC 6749 section 5.2).
pub(crate) async fn wrong_code(
    walk: &Patient<'_>,
    issuer: &Issuer,
    known: &Known,
    flow: &Flow,
    findings: &mut Findings,
) -> Option<()> {
    if known.auth == "private_key_jwt" {
        findings.skip("the token endpoint", "Only the client itself has the key that it wants to see.");
        return Some(());
    }
    let answer = exchange(walk, issuer, known, flow, "portunus-doctor-not-a-code").await;
    let answer = answered(walk, answer, findings)?;
    if answer.status.is_success() {
        findings.fail(
            "a code that was made up is answered with success",
            "Whoever guesses gets in.",
            "Give tokens for codes that were issued to this client only.",
        );
        return Some(());
    }
    let json = answer.json().unwrap_or_default();
    match json["error"].as_str() {
        Some("invalid_grant") => {
            findings.ok(format!("a wrong code is refused: {} invalid_grant", answer.status.as_u16()))
        }
        Some("invalid_client" | "unauthorized_client") => {
            findings.fail(
                format!("the client is refused: {}", oauth_error(&json).unwrap_or_default()),
                "It cannot redeem any code.",
                format!("Accept `{}` for this client at the token endpoint.", known.auth),
            );
            return None;
        }
        Some(other) => findings.warn(
            format!("a wrong code is answered {other}"),
            "RFC 6749 section 5.2: it is an `invalid_grant`, after which a client starts anew.",
            "Answer 400 with `invalid_grant`.",
        ),
        None => findings.warn(
            format!(
                "a wrong code is answered {} without an OAuth error: {}",
                answer.status,
                answer.excerpt()
            ),
            "A client cannot tell what to do next.",
            "Answer 400 with JSON: `{\"error\":\"invalid_grant\"}`.",
        ),
    }
    if !matches!(answer.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) {
        findings.warn(
            format!("its status is {}", answer.status),
            "RFC 6749 section 5.2 says 400.",
            "Answer 400.",
        );
    }
    Some(())
}

/// Redeems a real code.
pub(crate) async fn redeem(
    walk: &Patient<'_>,
    issuer: &Issuer,
    known: &Known,
    flow: &Flow,
    code: &Secret<String>,
    findings: &mut Findings,
) -> Option<Secret<String>> {
    let answer = exchange(walk, issuer, known, flow, code.expose()).await;
    let answer = answered(walk, answer, findings)?;
    let json = answer.json().unwrap_or_default();
    let token = json["access_token"].as_str().filter(|token| !token.is_empty()).map(str::to_owned);
    let Some(token) = token.filter(|_| answer.status.is_success()).map(Secret::new) else {
        // What is in there may be half a secret: only the error is shown.
        let said = oauth_error(&json).unwrap_or_else(|| String::from("no access_token"));
        findings.fail(
            format!("the code is not redeemed: {} {said}", answer.status),
            "The client has no token.",
            "Look into the authorization server's log; PKCE, redirect URI and `resource` are as in the request.",
        );
        return None;
    };
    findings.ok("the code is redeemed for a token");
    if !json["token_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        findings.warn(
            format!("`token_type` is {}", json["token_type"]),
            "MCP clients send Bearer tokens only.",
            "Answer `\"token_type\":\"Bearer\"`.",
        );
    }
    if json.get("refresh_token").is_none() {
        findings.warn(
            "no refresh token",
            "People have to sign in again when this token ends.",
            "Give one to clients that asked for `refresh_token` or `offline_access`.",
        );
    }
    if !json["expires_in"].is_u64() {
        findings.warn(
            "no `expires_in`",
            "The client cannot refresh in time.",
            "Say how many seconds the token lives.",
        );
    }
    if !answer.header(header::CACHE_CONTROL).is_some_and(|value| value.contains("no-store")) {
        findings.warn(
            "the answer may be kept by caches",
            "RFC 6749 section 5.1: tokens do not belong there.",
            "Send `Cache-Control: no-store`.",
        );
    }
    Some(token)
}

async fn exchange(
    walk: &Patient<'_>,
    issuer: &Issuer,
    known: &Known,
    flow: &Flow,
    code: &str,
) -> Result<Answer, FetchError> {
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", known.redirect.as_str()),
        ("code_verifier", flow.verifier.expose().as_str()),
        ("resource", walk.typed.as_str()),
    ];
    let secret = known.secret.as_ref().map(|secret| secret.expose().as_str());
    let mut authorization = None;
    match (known.auth.as_str(), secret) {
        ("client_secret_basic", Some(secret)) => {
            let form = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", form(&known.client_id), form(secret));
            authorization = Some(format!("Basic {}", data_encoding::BASE64.encode(pair.as_bytes())));
        }
        ("client_secret_post", Some(secret)) => {
            fields.extend([("client_id", known.client_id.as_str()), ("client_secret", secret)]);
        }
        _ => fields.push(("client_id", known.client_id.as_str())),
    }
    walk.fetcher.post_form(&issuer.token, &fields, authorization).await
}

fn answered(
    walk: &Patient<'_>,
    answer: Result<Answer, FetchError>,
    findings: &mut Findings,
) -> Option<Answer> {
    match answer {
        Ok(answer) => {
            walk.timely(&answer, findings);
            Some(answer)
        }
        Err(error) => {
            findings.fail(error.to_string(), "The client gets no token.", error.mend());
            None
        }
    }
}
