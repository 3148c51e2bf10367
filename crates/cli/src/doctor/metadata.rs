//! Judges the two discovery documents. Pure: bytes in, findings out.

use super::fetch::Answer;
use super::profile::Profile;
use super::report::Findings;
use http::StatusCode;
use serde_json::Value;
use url::Url;

/// What the protected resource metadata says (RFC 9728 section 2).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The authorization server that the client goes to.
    pub issuer: String,
    pub scopes: Vec<String>,
}

/// What the authorization server's metadata says (RFC 8414 section 2).
#[derive(Debug)]
pub(crate) struct Issuer {
    pub issuer: String,
    pub authorization: Url,
    pub token: Url,
    pub registration: Option<Url>,
    /// Understands client ids that are addresses of metadata documents.
    pub documents: bool,
    /// Names itself in its answers (RFC 9207).
    pub iss: bool,
    /// How clients prove themselves at the token endpoint.
    pub auth: Vec<String>,
    pub scopes: Vec<String>,
}

/// Where the protected resource metadata may be, most exact first (RFC 9728 section 3.1).
pub(crate) fn resource_addresses(url: &Url) -> Vec<Url> {
    let path = url.path().trim_end_matches('/');
    well_known(
        url,
        &[
            format!("/.well-known/oauth-protected-resource{path}"),
            String::from("/.well-known/oauth-protected-resource"),
        ],
    )
}

/// Where the metadata of an issuer may be, in the order of the MCP specification.
pub(crate) fn issuer_addresses(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    well_known(
        issuer,
        &[
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("/.well-known/openid-configuration{path}"),
            format!("{path}/.well-known/openid-configuration"),
        ],
    )
}

fn well_known(base: &Url, paths: &[String]) -> Vec<Url> {
    let mut found: Vec<Url> = Vec::new();
    for path in paths {
        let mut url = base.clone();
        url.set_path(path);
        url.set_query(None);
        url.set_fragment(None);
        if !found.contains(&url) {
            found.push(url);
        }
    }
    found
}

/// A JSON object at an address, or what is wrong with it.
pub(crate) fn document(answer: &Answer, what: &str, findings: &mut Findings) -> Option<Value> {
    if answer.status != StatusCode::OK {
        findings.fail(
            format!("{what} answers {}", answer.status),
            "A client reads this document before anything else.",
            "Serve it at this address, without a sign-in.",
        );
        return None;
    }
    if !answer.says_json() {
        findings.warn(
            format!("{what} does not say that it is JSON"),
            "Some clients refuse another content type.",
            "Send `Content-Type: application/json`.",
        );
    }
    let json = answer.json().filter(Value::is_object);
    if json.is_none() {
        findings.fail(
            format!("{what} is not a JSON object: {}", answer.excerpt()),
            "A client cannot read it.",
            "Serve the metadata as a JSON object; a page of a web application often answers here instead.",
        );
    }
    json
}

/// The protected resource metadata of the server at `typed`.
pub(crate) fn resource(
    json: &Value,
    typed: &str,
    profile: &Profile,
    findings: &mut Findings,
) -> Option<Resource> {
    same_resource(json["resource"].as_str(), typed, findings);
    let servers = texts(&json["authorization_servers"]);
    let Some(issuer) = servers.first() else {
        findings.fail(
            "no authorization server is named",
            "A client does not know where to sign in.",
            "List the issuer in `authorization_servers` (RFC 9728 section 2).",
        );
        return None;
    };
    findings.ok(format!("the authorization server is {issuer}"));
    if servers.len() > 1 {
        let others = servers.len() - 1;
        let why = if profile.first_issuer_only {
            "This client uses the first only."
        } else {
            "Clients choose as they like."
        };
        findings.warn(
            format!("{others} more authorization servers are listed"),
            why,
            "List the one that everybody shall use first.",
        );
    }
    let bearer = &json["bearer_methods_supported"];
    if bearer.is_array() && !texts(bearer).iter().any(|method| method == "header") {
        findings.fail(
            "tokens are not taken in the Authorization header",
            "MCP clients send them nowhere else.",
            "Add `header` to `bearer_methods_supported`.",
        );
    }
    let scopes = texts(&json["scopes_supported"]);
    if scopes.iter().any(|scope| scope == "offline_access") {
        findings.warn(
            "`offline_access` is listed as a scope of the server",
            "It is the authorization server's business; clients ask for it where that one lists it.",
            "Take it out of the resource's `scopes_supported`.",
        );
    }
    if findings.failed() { None } else { Some(Resource { issuer: issuer.clone(), scopes }) }
}

fn same_resource(named: Option<&str>, typed: &str, findings: &mut Findings) {
    let why = "RFC 9728 section 3.3: a client must refuse a document that is about another resource, and tokens would be for \
               that one.";
    let mend = format!("Make `resource` exactly {typed}, as users type it.");
    let Some(named) = named else {
        findings.fail("`resource` is missing", why, mend);
        return;
    };
    if named == typed {
        findings.ok(format!("`resource` is exactly {named}"));
    } else if parent(named, typed) {
        let why = "Clients built on the SDKs accept a parent of the address; strict ones (RFC 9728 section 3.3) do not.";
        findings.warn(format!("`resource` is {named}"), why, mend);
    } else {
        findings.fail(format!("`resource` is {named}"), why, mend);
    }
}

/// Whether `named` is the same address but for a slash, or one above it at the same origin.
fn parent(named: &str, typed: &str) -> bool {
    let (Ok(named), Ok(typed)) = (Url::parse(named), Url::parse(typed)) else { return false };
    let (above, below) = (named.path().trim_end_matches('/'), typed.path().trim_end_matches('/'));
    named.origin() == typed.origin()
        && named.query().is_none()
        && below.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The metadata of the authorization server that calls itself `expected`.
pub(crate) fn issuer(
    json: &Value,
    expected: &str,
    profile: &Profile,
    findings: &mut Findings,
) -> Option<Issuer> {
    same_issuer(json["issuer"].as_str(), expected, profile, findings);
    let authorization = endpoint(json, "authorization_endpoint", findings);
    let token = endpoint(json, "token_endpoint", findings);
    pkce(json, findings);
    let types = texts(&json["response_types_supported"]);
    if !types.iter().any(|kind| kind == "code") {
        findings.fail_if(
            json["response_types_supported"].is_array(),
            "`response_types_supported` has no `code`",
            "MCP clients use the authorization code flow only.",
            "List `code`.",
        );
    }
    grants(json, findings);
    let iss = json["authorization_response_iss_parameter_supported"] == true;
    if iss {
        findings.ok("answers name their issuer (RFC 9207)");
    } else {
        findings.warn(
            "answers do not name their issuer",
            "Without RFC 9207 a client cannot notice that an answer comes from another authorization server (mix-up).",
            "Send `iss` with each authorization answer and set `authorization_response_iss_parameter_supported`.",
        );
    }
    let registration =
        json.get("registration_endpoint").and_then(|_| endpoint(json, "registration_endpoint", findings));
    let auth = match &json["token_endpoint_auth_methods_supported"] {
        Value::Null => vec![String::from("client_secret_basic")],
        methods => texts(methods),
    };
    Some(Issuer {
        issuer: json["issuer"].as_str()?.to_owned(),
        authorization: authorization?,
        token: token?,
        registration,
        documents: json["client_id_metadata_document_supported"] == true,
        iss,
        auth,
        scopes: texts(&json["scopes_supported"]),
    })
    .filter(|_| !findings.failed())
}

/// RFC 8414 section 3.3: the two must be identical, or the document must not be used.
fn same_issuer(named: Option<&str>, expected: &str, profile: &Profile, findings: &mut Findings) {
    let why =
        "RFC 8414 section 3.3: an issuer that does not name itself, byte for byte, could be an impostor.";
    let mend =
        format!("Use one spelling everywhere: here `{expected}` is what `authorization_servers` says.");
    match named {
        Some(named) if named == expected => findings.ok(format!("the issuer names itself: {named}")),
        Some(named) if named.trim_end_matches('/') == expected.trim_end_matches('/') => {
            let what = format!("the issuer calls itself {named}, which differs by a slash at the end");
            findings.fail_if(profile.exact_issuer, what, why, mend);
        }
        Some(named) => findings.fail(format!("the issuer calls itself {named}"), why, mend),
        None => findings.fail("`issuer` is missing", why, mend),
    }
}

fn endpoint(json: &Value, name: &str, findings: &mut Findings) -> Option<Url> {
    let mend = format!("Give `{name}` as an absolute https:// URL.");
    let Some(text) = json[name].as_str() else {
        findings.fail(format!("`{name}` is missing"), "A client cannot go on without it.", mend);
        return None;
    };
    let secure = |url: &Url| {
        let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        url.scheme() == "https" || (url.scheme() == "http" && local)
    };
    match Url::parse(text) {
        Ok(url) if secure(&url) && url.fragment().is_none() => Some(url),
        _ => {
            findings.fail(
                format!("`{name}` is {text}"),
                "Clients send codes and tokens over https only.",
                mend,
            );
            None
        }
    }
}

fn pkce(json: &Value, findings: &mut Findings) {
    let methods = texts(&json["code_challenge_methods_supported"]);
    if methods.iter().any(|method| method == "S256") {
        findings.ok("PKCE with S256");
    } else {
        findings.fail(
            "PKCE with S256 is not offered",
            "MCP clients must refuse an authorization server that does not list it: a stolen code would be good for anybody.",
            "Support PKCE and list S256 in `code_challenge_methods_supported`.",
        );
    }
    if methods.iter().any(|method| method == "plain") {
        findings.warn(
            "PKCE with `plain` is offered too",
            "`plain` protects nothing when the request is seen.",
            "Offer S256 alone.",
        );
    }
}

fn grants(json: &Value, findings: &mut Findings) {
    // RFC 8414 section 2: without the member, these.
    let types = match &json["grant_types_supported"] {
        Value::Null => vec![String::from("authorization_code"), String::from("implicit")],
        types => texts(types),
    };
    if !types.iter().any(|kind| kind == "authorization_code") {
        findings.fail(
            "`grant_types_supported` has no authorization_code",
            "MCP clients sign people in with it.",
            "Support and list authorization_code.",
        );
    }
    if !types.iter().any(|kind| kind == "refresh_token") {
        findings.warn(
            "refresh tokens are not offered",
            "People have to sign in again whenever a token ends.",
            "Support and list refresh_token in `grant_types_supported`.",
        );
    }
}

/// The texts of an array.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().take(256).filter_map(Value::as_str).map(str::to_owned).collect()
}
