//! The discovery documents and the public keys.

use crate::answer::{json, not_found};
use crate::state::State;
use axum::extract::{Path, Request, State as Shared};
use axum::response::Response;
use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use portunus_core::digest::sha256;
use portunus_core::id::ServerName;
use portunus_oauth::config::Issuer;
use portunus_oauth::metadata;
use serde::Serialize;

/// The JSON Web Key Set (RFC 7517) with one Ed25519 public key (RFC 8037), named by its thumbprint (RFC 7638).
#[must_use]
pub fn jwks(ed25519_public_key: &[u8]) -> String {
    let x = BASE64URL_NOPAD.encode(ed25519_public_key);
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    let kid = BASE64URL_NOPAD.encode(&sha256(&[canonical.as_bytes()]).0);
    let key = serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": "EdDSA" });
    serde_json::json!({ "keys": [key] }).to_string()
}

pub(crate) async fn protected_resource(
    Shared(state): Shared<State>,
    Path(server): Path<String>,
    request: Request,
) -> Response {
    let issuer = state.issuer();
    match published(&issuer, &server) {
        Some(server) => document(&metadata::protected_resource(&issuer, server)),
        None => not_found(Shared(state), request).await,
    }
}

pub(crate) async fn authorization_server(Shared(state): Shared<State>) -> Response {
    document(&metadata::authorization_server(&state.issuer()))
}

/// Clients from before RFC 9728 take the server's own URL for the issuer and put its path behind the well-known prefix.
pub(crate) async fn issuer_of_server(
    Shared(state): Shared<State>,
    Path(server): Path<String>,
    request: Request,
) -> Response {
    let issuer = state.issuer();
    match published(&issuer, &server) {
        Some(_) => document(&metadata::authorization_server(&issuer)),
        None => not_found(Shared(state), request).await,
    }
}

pub(crate) async fn published_keys(Shared(state): Shared<State>) -> Response {
    json(StatusCode::OK, state.jwks().to_owned())
}

fn published<'a>(issuer: &'a Issuer, name: &str) -> Option<&'a portunus_core::server::Server> {
    ServerName::parse(name).ok().and_then(|name| issuer.server(&name))
}

fn document(document: &impl Serialize) -> Response {
    match serde_json::to_string(document) {
        Ok(text) => json(StatusCode::OK, text),
        Err(_) => json(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned()),
    }
}
