//! Finding the two metadata documents, as a client looks for them.

use super::challenge::Challenge;
use super::fetch::Answer;
use super::metadata::{self, Issuer, Resource};
use super::report::Findings;
use super::walk::Patient;
use http::StatusCode;
use serde_json::Value;
use url::Url;

/// Redirects of a metadata document that are followed.
const REDIRECTS: usize = 3;

/// The protected resource metadata: where the challenge says, else at the well-known addresses (RFC 9728 section 5).
pub(crate) async fn resource(
    walk: &Patient<'_>,
    challenge: &Challenge,
    findings: &mut Findings,
) -> Option<Resource> {
    let json = match challenge.get("resource_metadata") {
        Some(named) => {
            let url = Url::parse(named).ok().filter(|url| url.has_host());
            let Some(url) = url else {
                findings.fail(
                    format!("`resource_metadata` is {named}"),
                    "A client cannot ask there.",
                    "Give an absolute https:// URL.",
                );
                return None;
            };
            if url.origin() != walk.url.origin() {
                findings.warn(
                    format!("the metadata is at another origin, {}", url.origin().ascii_serialization()),
                    "Careful clients do not let a server send them to other hosts.",
                    "Serve it from the server's own origin.",
                );
            }
            let answer = fetch(walk, &url, findings).await?;
            metadata::document(&answer, "the protected resource metadata", findings)?
        }
        None => {
            first(walk, &metadata::resource_addresses(&walk.url), "the protected resource metadata", findings)
                .await?
        }
    };
    metadata::resource(&json, &walk.typed, walk.profile, findings)
}

/// The authorization server's metadata: RFC 8414 first, then OpenID Connect Discovery.
pub(crate) async fn issuer(
    walk: &Patient<'_>,
    resource: &Resource,
    findings: &mut Findings,
) -> Option<Issuer> {
    let Ok(url) = Url::parse(&resource.issuer) else {
        findings.fail(
            format!("the authorization server {} is not a URL", resource.issuer),
            "A client cannot ask there.",
            "Give the issuer's https:// URL in `authorization_servers`.",
        );
        return None;
    };
    let addresses = metadata::issuer_addresses(&url);
    let json = first(walk, &addresses, "the authorization server's metadata", findings).await?;
    let issuer = metadata::issuer(&json, &resource.issuer, walk.profile, findings);
    twin(walk, &addresses, &json, findings).await;
    issuer
}

/// Where both documents exist, they must be about one issuer.
async fn twin(walk: &Patient<'_>, addresses: &[Url], json: &Value, findings: &mut Findings) {
    let Some(openid) = addresses.get(1) else { return };
    let Ok(answer) = walk.fetcher.get(openid).await else { return };
    let Some(other) = answer.json().filter(|_| answer.status == StatusCode::OK) else { return };
    if other["issuer"] != json["issuer"] {
        findings.warn(
            format!("{openid} is about another issuer: {}", other["issuer"]),
            "Clients that read this one first see another authorization server.",
            "Serve the same `issuer` in both documents.",
        );
    }
}

/// The first of these addresses where there is a document.
async fn first(walk: &Patient<'_>, addresses: &[Url], what: &str, findings: &mut Findings) -> Option<Value> {
    let mut missed: Vec<String> = Vec::new();
    for url in addresses {
        let answer = fetch(walk, url, findings).await?;
        if answer.status == StatusCode::OK {
            findings.ok(format!("{what} is at {url}"));
            return metadata::document(&answer, what, findings);
        }
        missed.push(format!("{} at {}", answer.status.as_u16(), url.path()));
    }
    findings.fail(
        format!("{what} is nowhere: {}", missed.join(", ")),
        "A client does not know where to go on.",
        format!("Serve it at {}.", addresses.first().map(Url::as_str).unwrap_or_default()),
    );
    None
}

/// A document, through a few redirects.
async fn fetch(walk: &Patient<'_>, url: &Url, findings: &mut Findings) -> Option<Answer> {
    let mut url = url.clone();
    for _ in 0..=REDIRECTS {
        let answer = match walk.fetcher.get(&url).await {
            Ok(answer) => answer,
            Err(error) => {
                findings.fail(
                    format!("{url}: {error}"),
                    "A client reads this document before anything else.",
                    error.mend(),
                );
                return None;
            }
        };
        walk.timely(&answer, findings);
        let Some(next) = answer.location(&url) else { return Some(answer) };
        findings.warn(
            format!("{url} sends the client on to {next}"),
            "Not every client follows a redirect here.",
            "Serve the document at the first address.",
        );
        url = next;
    }
    findings.fail(
        format!("more than {REDIRECTS} redirects"),
        "No client follows them without end.",
        "Serve the document at its address.",
    );
    None
}
