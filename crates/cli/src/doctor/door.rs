//! The first two steps: reaching the server, and knocking without a token.

use super::challenge::{self, Challenge};
use super::fetch::{Answer, FetchError, Reached};
use super::message;
use super::report::Findings;
use super::walk::Patient;
use http::{StatusCode, header};
use portunus_core::time::Clock;
use portunus_mcp::message::Era;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use url::Url;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Days before its end at which a certificate is worth a word.
const CERTIFICATE_DAYS: i64 = 14;

/// What stands at the address.
#[derive(Debug)]
pub(crate) enum Door {
    /// Answers everybody.
    Open,
    /// Wants a token.
    Locked(Challenge),
}

/// Whether the address is one that clients take.
pub(crate) fn address(typed: &str, url: &Url, findings: &mut Findings) -> Option<()> {
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        findings.fail(
            "the URL has a fragment, user name or password",
            "RFC 8707 section 2: a resource has no fragment; and secrets in a URL end up in logs.",
            "Leave them out.",
        );
    }
    if url.query().is_some() {
        findings.warn(
            "the URL has a query",
            "It becomes part of the resource's name, and some clients lose it.",
            "Publish the server at a path of its own.",
        );
    }
    if typed != url.as_str() && typed.trim_end_matches('/') != url.as_str().trim_end_matches('/') {
        findings.warn(
            format!("the URL is not in its usual form, which is {url}"),
            "Clients write it in their own way, and it must match `resource` byte for byte.",
            format!("Give people {url}."),
        );
    }
    (!findings.failed()).then_some(())
}

/// Name, connection, TLS and certificate.
pub(crate) async fn reach(walk: &mut Patient<'_>, clock: &dyn Clock, findings: &mut Findings) -> Option<()> {
    let url = walk.url.clone();
    match walk.fetcher.reach(&url).await {
        Err(error) => {
            findings.fail(
                error.to_string(),
                "Nothing can be asked of a server that is not reached.",
                error.mend(),
            );
            return None;
        }
        Ok(Reached { address, tls }) => {
            let at = address.map(|address| address.to_string()).unwrap_or_default();
            match tls {
                Some((version, certificate)) => {
                    findings.ok(format!("{at}, {version}"));
                    expiry(&certificate, clock, findings);
                }
                None => findings.ok(format!("{at}, without TLS, which is for loopback only")),
            }
        }
    }
    if walk.profile.cloud && walk.fetcher.is_private() {
        findings.warn(
            "the address is a private one",
            "This client connects from the internet: from there, nobody is at this address.",
            "Publish it under a public name, through a tunnel for example (`portunus connect`).",
        );
    }
    Some(())
}

fn expiry(certificate: &CertificateDer<'_>, clock: &dyn Clock, findings: &mut Findings) {
    let Ok((_, leaf)) = X509Certificate::from_der(certificate) else { return };
    let now = i64::try_from(clock.now().as_secs()).unwrap_or(i64::MAX);
    let (begins, ends) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let (left, life) = ((ends - now) / 86_400, (ends - begins) / 86_400);
    // One that is made for a few days only is renewed late.
    if left < CERTIFICATE_DAYS && left * 3 < life {
        findings.warn(
            format!("the certificate ends in {left} days"),
            "Everything stops when it does.",
            "Renew it now, and let it be renewed by itself (ACME).",
        );
    } else {
        findings.ok(format!("the certificate is good for {left} more days"));
    }
}

/// The client's first message without a token: a server that wants people to sign in answers 401 (RFC 9728 section 5.1).
pub(crate) async fn knock(walk: &Patient<'_>, findings: &mut Findings) -> Option<Door> {
    let era = *walk.profile.eras.first()?;
    let answer = match walk.fetcher.send(&walk.url, message::opening(era, None)).await {
        Ok(answer) => answer,
        Err(error) => {
            findings.fail(error.to_string(), "The first request of a client has no answer.", error.mend());
            return None;
        }
    };
    walk.timely(&answer, findings);
    if answer.status != StatusCode::UNAUTHORIZED {
        return unlocked(walk, &answer, era, findings).await;
    }
    findings.ok("401 without a token");
    let challenge = challenge_of(&answer, findings)?;
    bad_token(walk, era, findings).await;
    Some(Door::Locked(challenge))
}

async fn unlocked(walk: &Patient<'_>, answer: &Answer, era: Era, findings: &mut Findings) -> Option<Door> {
    let status = answer.status;
    if let Some(to) = answer.location(&walk.url) {
        let why = "Clients do not take a POST, and their token, to another address.";
        findings.fail(format!("{status} sends the client to {to}"), why, format!("Give people {to} itself."));
        return None;
    }
    // A server that knows the older era only may say so before it asks for a token.
    let mut served = is_result(answer);
    if !served && era == Era::Modern && walk.profile.eras.contains(&Era::Legacy) {
        match walk.fetcher.send(&walk.url, message::opening(Era::Legacy, None)).await {
            Ok(second) if second.status == StatusCode::UNAUTHORIZED => {
                findings.ok("401 without a token, in the older era");
                return Some(Door::Locked(challenge_of(&second, findings)?));
            }
            Ok(second) => served = is_result(&second),
            Err(_) => {}
        }
    }
    if served {
        findings.warn(
            "it answers without a token",
            "Clients do not sign anybody in then: whoever knows the address may use the server.",
            "Answer 401 with a WWW-Authenticate header, unless the server is meant for everybody.",
        );
        return Some(Door::Open);
    }
    let (why, mend) = match status.as_u16() {
        403 => (
            "Clients begin to sign in at a 401 only; at a 403 they give up.",
            "Answer 401 while there is no token.",
        ),
        404 | 405 => ("There is no MCP server at this path.", "Check the path: often it is /mcp."),
        429 | 500..=599 => {
            ("The server, or a proxy before it, is in trouble.", "Look into its log, and try again.")
        }
        _ => (
            "Clients begin to sign in at a 401 only.",
            "Check the token first, and answer 401 before you look at anything else.",
        ),
    };
    findings.fail(format!("{status} without a token: {}", answer.excerpt()), why, mend);
    None
}

fn is_result(answer: &Answer) -> bool {
    answer.status == StatusCode::OK && answer.json().is_some_and(|json| json["result"].is_object())
}

/// The Bearer challenge of a 401; an empty one where the well-known addresses must do.
fn challenge_of(answer: &Answer, findings: &mut Findings) -> Option<Challenge> {
    let none =
        || Some(Challenge { scheme: String::from("bearer"), parameters: std::collections::BTreeMap::new() });
    let mend = "Send `WWW-Authenticate: Bearer resource_metadata=\"https://…/.well-known/oauth-protected-resource/…\"`.";
    let well_known = "Clients then try the well-known addresses; some do not.";
    let values: Vec<&str> = answer
        .headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    if values.is_empty() {
        findings.warn("the 401 has no WWW-Authenticate header", well_known, mend);
        return none();
    }
    let parsed: Option<Vec<Vec<Challenge>>> = values.iter().map(|value| challenge::parse(value)).collect();
    let Some(parsed) = parsed else {
        let why = "Clients read it in different ways, or not at all.";
        findings.warn(format!("WWW-Authenticate is not well formed: {}", values.join(", ")), why, mend);
        return none();
    };
    let Some(bearer) = parsed.into_iter().flatten().find(|challenge| challenge.scheme == "bearer") else {
        let why = "MCP clients can do nothing but OAuth.";
        findings.fail(format!("no Bearer challenge: {}", values.join(", ")), why, mend);
        return None;
    };
    match bearer.get("resource_metadata") {
        Some(at) => findings.ok(format!("the challenge leads to {at}")),
        None => findings.warn("the challenge has no `resource_metadata`", well_known, mend),
    }
    if bearer.get("scope").is_none() {
        findings.warn(
            "the challenge names no scope",
            "Clients then ask for all scopes that are listed, which is more than they need.",
            "Add `scope=\"…\"` with what is needed to begin.",
        );
    }
    Some(bearer)
}

/// A client refreshes its token when it is told that the old one is no good, and only then.
async fn bad_token(walk: &Patient<'_>, era: Era, findings: &mut Findings) {
    let answer =
        walk.fetcher.send(&walk.url, message::opening(era, Some("portunus-doctor-not-a-token"))).await;
    match answer {
        Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => {
            let said = answer.header(header::WWW_AUTHENTICATE).and_then(challenge::parse).unwrap_or_default();
            if said.iter().any(|challenge| challenge.get("error") == Some("invalid_token")) {
                findings.ok("401 with invalid_token for a bad token");
            } else {
                findings.warn(
                    "a bad token is not called `invalid_token`",
                    "RFC 6750 section 3.1: it tells a client that refreshing helps.",
                    "Add `error=\"invalid_token\"` to the challenge.",
                );
            }
        }
        Ok(answer) if answer.status.is_success() => findings.fail(
            format!("a token that was made up is answered {}", answer.status),
            "Whoever sends any token at all may use the server.",
            "Check tokens: signature or introspection, issuer, audience, expiry.",
        ),
        Ok(answer) => findings.warn(
            format!("a bad token is answered {}", answer.status),
            "A client refreshes at a 401 only: when its token ends it will give up instead.",
            "Answer 401 with `error=\"invalid_token\"`.",
        ),
        Err(FetchError::TimedOut(_)) => findings.warn(
            "a bad token is not answered in time",
            "A client cannot know that its token has ended.",
            "Answer 401 at once.",
        ),
        Err(error) => findings.warn(error.to_string(), "A bad token has no answer.", error.mend()),
    }
}

/// The JSON-RPC error of an answer, for people.
pub(crate) fn rpc_error(json: &Value) -> Option<String> {
    let error = json.get("error")?;
    Some(format!("{} {}", error["code"], error["message"].as_str().unwrap_or_default()))
}
