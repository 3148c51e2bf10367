//! How the client becomes known: by its metadata document, or by registering (RFC 7591).

use super::fetch::{Answer, Ask};
use super::metadata::Issuer;
use super::profile::Registration;
use super::report::Findings;
use super::walk::Patient;
use http::Method;
use portunus_core::secret::Secret;
use serde_json::{Value, json};
use url::Url;

/// The client as the authorization server knows it.
pub(crate) struct Known {
    pub client_id: String,
    pub redirect: String,
    /// How it proves itself at the token endpoint.
    pub auth: String,
    pub secret: Option<Secret<String>>,
    /// Where a registration made for this examination can be taken back (RFC 7592).
    pub undo: Option<(Url, Secret<String>)>,
}

/// In the client's own order.
pub(crate) async fn register(
    walk: &Patient<'_>,
    issuer: &Issuer,
    port: u16,
    findings: &mut Findings,
) -> Option<Known> {
    let redirect = walk.profile.redirect.uri(port);
    for way in walk.profile.registrations {
        match way {
            Registration::Document if issuer.documents => {
                if let Some(known) = by_document(walk, issuer, &redirect, findings) {
                    return Some(known);
                }
            }
            Registration::Dynamic if issuer.registration.is_some() => {
                let endpoint = issuer.registration.as_ref()?;
                return dynamically(walk, issuer, endpoint, redirect, findings).await;
            }
            Registration::Document => findings.warn(
                "client ids that are addresses of metadata documents are not understood",
                "This client would rather not register with every server anew.",
                "Support them, and set `client_id_metadata_document_supported`.",
            ),
            Registration::Dynamic => {}
        }
    }
    let documents = walk.profile.registrations.contains(&Registration::Document);
    let mend = if documents {
        "Support client id metadata documents, or RFC 7591 with a `registration_endpoint`; or register the client by hand."
    } else {
        "Offer a `registration_endpoint` (RFC 7591), or register the client by hand and give people its client id."
    };
    let why = "The authorization server does not know this client, and there is no way in which it could get to know it.";
    findings.fail("the client cannot become known", why, mend);
    None
}

fn by_document(
    walk: &Patient<'_>,
    issuer: &Issuer,
    redirect: &str,
    findings: &mut Findings,
) -> Option<Known> {
    let profile = walk.profile;
    let document = profile.document?;
    if profile.document_needs_iss && !issuer.iss {
        findings.warn(
            "without RFC 9207 this client uses a client id of its own for each connector, which cannot be replayed",
            "It keeps apart authorization servers that do not name themselves in their answers.",
            "Support RFC 9207.",
        );
        return None;
    }
    let Some(auth) =
        profile.document_auth.iter().rev().find(|method| issuer.auth.iter().any(|known| known == *method))
    else {
        findings.warn(
            format!("the token endpoint takes none of {}", profile.document_auth.join(", ")),
            "A client known by its document has no secret: this one then registers instead, or gives up.",
            "List `none` in `token_endpoint_auth_methods_supported`.",
        );
        return None;
    };
    findings.ok(format!("known by its document, {document} ({auth})"));
    Some(Known {
        client_id: document.to_owned(),
        redirect: redirect.to_owned(),
        auth: (*auth).to_owned(),
        secret: None,
        undo: None,
    })
}

async fn dynamically(
    walk: &Patient<'_>,
    issuer: &Issuer,
    endpoint: &Url,
    redirect: String,
    findings: &mut Findings,
) -> Option<Known> {
    let auth = ["none", "client_secret_post", "client_secret_basic"]
        .into_iter()
        .find(|method| issuer.auth.iter().any(|known| known == method))
        .unwrap_or("none");
    let order = json!({
        "client_name": format!("Portunus doctor, as {}", walk.profile.title),
        "redirect_uris": [&redirect],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": auth,
    });
    let headers = vec![
        ("content-type", String::from("application/json")),
        ("accept", String::from("application/json")),
    ];
    let ask = Ask { method: Method::POST, headers, body: order.to_string().into(), ..Ask::default() };
    let answer = match walk.fetcher.send(endpoint, ask).await {
        Ok(answer) => answer,
        Err(error) => {
            findings.fail(error.to_string(), "The client cannot register.", error.mend());
            return None;
        }
    };
    walk.timely(&answer, findings);
    registered(&answer, redirect, auth, findings)
}

/// Judges the answer to a registration (RFC 7591 section 3.2).
fn registered(answer: &Answer, redirect: String, auth: &str, findings: &mut Findings) -> Option<Known> {
    let json = answer.json().unwrap_or_default();
    if !answer.status.is_success() {
        let said = oauth_error(&json).unwrap_or_else(|| answer.excerpt());
        findings.fail(
            format!("registration answers {}: {said}", answer.status),
            "The client cannot register with its own redirect URI and way of authentication.",
            format!("Accept `{redirect}` and `{auth}`, without a token."),
        );
        return None;
    }
    let Some(client_id) = json["client_id"].as_str().filter(|id| !id.is_empty()) else {
        findings.fail(
            "no `client_id` in the answer",
            "RFC 7591 section 3.2.1.",
            "Answer with the client's registration.",
        );
        return None;
    };
    if answer.status.as_u16() != 201 {
        findings.warn(
            format!("registration answers {} instead of 201", answer.status),
            "RFC 7591 section 3.2.1; some clients insist.",
            "Answer 201.",
        );
    }
    let kept = super::metadata::texts(&json["redirect_uris"]);
    if !kept.is_empty() && !kept.contains(&redirect) {
        let why = "The authorization server will not send people back to this client.";
        findings.fail(
            format!("`{redirect}` was not kept among the redirect URIs"),
            why,
            "Keep it, or refuse.",
        );
        return None;
    }
    findings.ok(format!("registered as {client_id}"));
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let undo = text("registration_client_uri").and_then(|uri| Url::parse(&uri).ok());
    let undo = undo.zip(text("registration_access_token").map(Secret::new));
    Some(Known {
        client_id: client_id.to_owned(),
        redirect,
        auth: text("token_endpoint_auth_method").unwrap_or_else(|| auth.to_owned()),
        secret: text("client_secret").map(Secret::new),
        undo,
    })
}

/// Takes a registration back, where the server lets it (RFC 7592 section 2.3).
pub(crate) async fn undo(walk: &Patient<'_>, known: &Known) {
    let Some((url, token)) = &known.undo else { return };
    let headers = vec![("authorization", format!("Bearer {}", token.expose()))];
    // If it does not work, a client without a grant is left behind, which can do nothing.
    let _ = walk.fetcher.send(url, Ask { method: Method::DELETE, headers, ..Ask::default() }).await;
}

/// The OAuth error of an answer, for people (RFC 6749 section 5.2).
pub(crate) fn oauth_error(json: &Value) -> Option<String> {
    let code = json["error"].as_str()?;
    Some(format!("{code} {}", json["error_description"].as_str().unwrap_or_default()).trim_end().to_owned())
}
