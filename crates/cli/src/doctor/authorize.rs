//! The authorization endpoint, asked as the client would send a person there.

use super::fetch::Answer;
use super::metadata::{Issuer, Resource};
use super::register::Known;
use super::report::Findings;
use super::walk::Patient;
use http::header;
use portunus_core::digest::sha256;
use portunus_core::secret::Secret;
use portunus_core::time::Rng;
use url::Url;

/// Where nobody is: a code must never be sent there.
const ELSEWHERE: &str = "https://portunus-doctor.invalid/callback";

/// One authorization request.
pub(crate) struct Flow {
    pub verifier: Secret<String>,
    pub state: String,
    /// Where the person is sent.
    pub address: Url,
    /// A code that was given without asking anybody.
    pub code: Option<Secret<String>>,
}

/// Where an authorization request leads without a session.
#[derive(Debug, PartialEq, Eq)]
enum Led {
    /// A page for people, or another one of the same site or an identity provider.
    On,
    /// Back to the client, with an error.
    Refused(String),
    /// Back to the client, with a code.
    Code(String),
    /// A page that says what is wrong.
    Wrong,
}

/// Asks with the client's own redirect URI, PKCE and resource; then with a redirect URI that is not the client's.
pub(crate) async fn authorize(
    walk: &Patient<'_>,
    issuer: &Issuer,
    resource: &Resource,
    known: &Known,
    scope: Option<&str>,
    findings: &mut Findings,
) -> Option<Flow> {
    let verifier = random(walk.rng);
    let state = random(walk.rng);
    let scope = wanted(scope, issuer, resource);
    let challenge = data_encoding::BASE64URL_NOPAD.encode(&sha256(&[verifier.as_bytes()]).0);
    let address = |redirect: &str| {
        let mut url = issuer.authorization.clone();
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", known.client_id.as_str()),
            ("redirect_uri", redirect),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("resource", walk.typed.as_str()),
            ("state", state.as_str()),
        ]);
        if let Some(scope) = &scope {
            url.query_pairs_mut().append_pair("scope", scope);
        }
        url
    };
    let good = address(&known.redirect);
    let answer = match walk.fetcher.get(&good).await {
        Ok(answer) => answer,
        Err(error) => {
            findings.fail(error.to_string(), "Nobody can sign in.", error.mend());
            return None;
        }
    };
    walk.timely(&answer, findings);
    let led = led(&answer, &good, &known.redirect);
    let code = sound(&led, &answer, issuer, &good, known, &state, findings)?;
    framed(&answer, findings);
    elsewhere(walk, &address(ELSEWHERE), &answer, findings).await;
    Some(Flow { verifier: Secret::new(verifier), state, address: good, code })
}

/// The scopes that a client asks for: those of the challenge, else all that the resource lists; and the one that brings
/// refresh tokens, where it is known.
fn wanted(challenge: Option<&str>, issuer: &Issuer, resource: &Resource) -> Option<String> {
    let mut scopes: Vec<&str> = match challenge {
        Some(scope) => scope.split_whitespace().collect(),
        None => resource.scopes.iter().map(String::as_str).collect(),
    };
    if issuer.scopes.iter().any(|scope| scope == "offline_access") && !scopes.contains(&"offline_access") {
        scopes.push("offline_access");
    }
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

/// Judges where the request led; `None` when the client stops here.
fn sound(
    led: &Led,
    answer: &Answer,
    issuer: &Issuer,
    asked: &Url,
    known: &Known,
    state: &str,
    findings: &mut Findings,
) -> Option<Option<Secret<String>>> {
    match led {
        Led::On => {
            let on = answer
                .location(asked)
                .map(|to| format!(" (leads on to {})", to.origin().ascii_serialization()));
            findings.ok(format!("a person can sign in: {}{}", answer.status, on.unwrap_or_default()));
            Some(None)
        }
        Led::Code(code) => {
            findings.warn(
                "a code is given without asking anybody",
                "Without a sign-in and consent, any client gets a token in the name of whoever clicks a link.",
                "Let people sign in, and agree for each client.",
            );
            let back = answer.location(asked)?;
            returned(&back, issuer, state, findings).then(|| Some(Secret::new(code.clone())))
        }
        Led::Refused(error) => {
            findings.fail(
                format!("sent back with {error}"),
                "The authorization server does not accept this client's request.",
                format!("Accept its parameters: redirect URI {}, S256, `resource`, scopes.", known.redirect),
            );
            None
        }
        Led::Wrong => {
            let mend = if known.client_id.starts_with("https://") {
                "Let the authorization server reach the client's metadata document, and accept the redirect URI in it."
            } else {
                "Accept the client's parameters: redirect URI, S256, `resource`, scopes."
            };
            findings.fail(
                format!("{}: {}", answer.status, answer.excerpt()),
                "People see an error instead of a page to sign in.",
                mend,
            );
            None
        }
    }
}

/// Whether an answer at the redirect URI is ours: state, and issuer (RFC 9207 section 2.4).
pub(crate) fn returned(back: &Url, issuer: &Issuer, state: &str, findings: &mut Findings) -> bool {
    let parameter =
        |name: &str| back.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned());
    if parameter("state").as_deref() != Some(state) {
        findings.fail(
            "`state` does not come back as it was sent",
            "A client must take it for an answer that somebody planted.",
            "Return `state` exactly.",
        );
        return false;
    }
    match parameter("iss") {
        Some(named) if named != issuer.issuer => {
            findings.fail(
                format!("the answer is from another issuer: {named}"),
                "RFC 9207 section 2.4: a client must refuse it (mix-up).",
                "Send the issuer of the metadata as `iss`.",
            );
            false
        }
        None if issuer.iss => {
            findings.fail(
                "`iss` is missing in the answer",
                "The metadata promises it: a client must refuse an answer without it.",
                "Send it, or do not promise it.",
            );
            false
        }
        _ => true,
    }
}

fn led(answer: &Answer, asked: &Url, redirect: &str) -> Led {
    let Some(to) = answer.location(asked) else {
        return if answer.status.is_success() { Led::On } else { Led::Wrong };
    };
    let back = Url::parse(redirect).is_ok_and(|own| {
        own.origin() == to.origin() && own.path() == to.path() && own.scheme() == to.scheme()
    });
    let parameter =
        |name: &str| to.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned());
    match (back, parameter("error"), parameter("code")) {
        (true, Some(error), _) => Led::Refused(
            format!("{error} {}", parameter("error_description").unwrap_or_default()).trim_end().to_owned(),
        ),
        (true, None, Some(code)) => Led::Code(code),
        // Some send an error to a page of their own.
        (false, Some(error), _) => Led::Refused(error),
        _ => Led::On,
    }
}

/// A page where people agree must not be shown inside somebody else's.
fn framed(answer: &Answer, findings: &mut Findings) {
    if !answer.status.is_success() {
        return;
    }
    let policy = answer.header(header::CONTENT_SECURITY_POLICY).unwrap_or_default();
    let old = answer.header(header::X_FRAME_OPTIONS).unwrap_or_default().to_ascii_lowercase();
    if !policy.contains("frame-ancestors") && !matches!(old.as_str(), "deny" | "sameorigin") {
        findings.warn(
            "the page can be framed",
            "Another site can show it under its own and have people click on Allow (clickjacking).",
            "Send `Content-Security-Policy: frame-ancestors 'none'`.",
        );
    }
}

/// The same request with a redirect URI that nobody registered.
async fn elsewhere(walk: &Patient<'_>, wrong: &Url, good: &Answer, findings: &mut Findings) {
    let Ok(answer) = walk.fetcher.get(wrong).await else { return };
    let mend = "Compare redirect URIs as whole strings with those of the client, before anything else.";
    let to = answer.location(wrong);
    if to.as_ref().is_some_and(|to| to.host_str() == Some("portunus-doctor.invalid")) {
        findings.fail(
            "it redirects to an address that is not the client's",
            "Anybody can have codes, or people, sent to a site of theirs (open redirect).",
            mend,
        );
    } else if answer.status == good.status && (answer.status.is_success() || same_page(&answer, good, wrong))
    {
        findings.warn(
            "a wrong redirect URI is not refused at once",
            "People sign in for a request that cannot be honoured; if it is, codes are stolen.",
            mend,
        );
    } else {
        findings.ok("a wrong redirect URI is refused");
    }
}

fn same_page(one: &Answer, other: &Answer, base: &Url) -> bool {
    let page = |answer: &Answer| answer.location(base).map(|to| (to.origin(), to.path().to_owned()));
    page(one) == page(other)
}

pub(crate) fn random(rng: &dyn Rng) -> String {
    let mut bytes = [0_u8; 32];
    rng.fill(&mut bytes);
    data_encoding::BASE64URL_NOPAD.encode(&bytes)
}
