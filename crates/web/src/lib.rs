//! The control plane: discovery, OAuth endpoints, sign-in, consent, the console, and the administrators' API. All
//! decisions are made in `portunus-oauth`; this crate reads HTTP, shows pages and keeps browsers safe.
//!
//! | module | holds |
//! |---|---|
//! | [`state`] | what the handlers share |
//! | `input` | reading requests: bounded bodies, forms, who is asking |
//! | `answer` | answers: pages, redirects, JSON, errors |
//! | `headers` | the protective headers of every answer |
//! | `cookies` | the cookies |
//! | `discovery` | `/.well-known/…`, `/oauth/jwks` |
//! | `endpoints` | `/oauth/token`, `/oauth/register`, `/oauth/revoke`, `/oauth/introspect` |
//! | `consent` | `/oauth/authorize` |
//! | `device` | `/device` |
//! | `sign_in` | `/login`, `/logout`, `/account/password`, and the gate before every page |
//! | `console` | `/console/` |
//! | `clients` | `/console/clients`, and the same over the admin socket |
//! | `passkeys` | `/account/passkeys`, `/login/passkey` and the one script |
//! | [`approvals`] | `/approvals`: listing and deciding what waits for a human yes, on pages and by webhook |
//! | `reviews` | `/reviews`: saying which identities are still wanted |
//! | [`connections`] | `/connections`, `/oauth/callback/…`, `/oauth/clients/…`: Portunus as the client of upstream servers |
//! | `admin` | the administrators' API |
//! | [`federation`] | signing in at identity providers |
//! | [`fetch`] | fetching client metadata documents without reaching into private networks |

#![forbid(unsafe_code)]

mod admin;
mod answer;
pub mod approvals;
mod clients;
pub mod connections;
mod consent;
mod console;
mod cookies;
mod device;
mod discovery;
pub mod emergencies;
mod endpoints;
pub mod federation;
pub mod fetch;
mod headers;
mod input;
mod passkeys;
mod reviews;
mod sign_in;
pub mod state;

pub use discovery::jwks;
pub use federation::Login;
pub use state::{Parts, Sealer, State};

use axum::Router;
use axum::middleware::{from_fn, map_response};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use portunus_core::dialer::Body;
use std::net::SocketAddr;
use tower::ServiceExt;

/// Everything that the public side serves besides MCP.
pub fn router(state: State) -> Router {
    let open = Router::new()
        .route("/.well-known/oauth-protected-resource/{server}/mcp", get(discovery::protected_resource))
        .route("/.well-known/oauth-authorization-server", get(discovery::authorization_server))
        .route("/.well-known/oauth-authorization-server/{server}/mcp", get(discovery::issuer_of_server))
        .route("/.well-known/openid-configuration", get(discovery::authorization_server))
        .route("/.well-known/openid-configuration/{server}/mcp", get(discovery::issuer_of_server))
        .route("/oauth/jwks", get(discovery::published_keys))
        .route("/oauth/token", post(endpoints::token))
        .route("/oauth/register", post(endpoints::register))
        .route("/oauth/device_authorization", post(endpoints::device_authorization))
        .route("/oauth/revoke", post(endpoints::revoke))
        .layer(from_fn(headers::open_to_all_origins));
    Router::new()
        .route("/oauth/authorize", get(consent::ask).post(consent::decide))
        .route("/oauth/introspect", post(endpoints::introspect))
        .route("/device", get(device::ask).post(device::decide))
        .route("/login", get(sign_in::page).post(sign_in::sign_in))
        .route("/login/passkey", post(passkeys::sign_in))
        .route("/account/passkeys", get(passkeys::page).post(passkeys::add))
        .route("/account/passkeys/remove", post(passkeys::remove))
        .route("/assets/passkey.js", get(passkeys::script))
        .route("/login/oidc/start", post(federation::start::start))
        .route("/login/oidc/callback", get(federation::callback::callback))
        .route("/login/oidc/callback/{provider}", get(federation::callback::callback))
        .route("/login/oidc/backchannel-logout", post(federation::logout::back_channel))
        .route("/logout", post(sign_in::sign_out))
        .route("/account/password", get(sign_in::password_page).post(sign_in::change_password))
        .route("/", get(console::elsewhere))
        .route("/console", get(console::elsewhere))
        .route("/console/", get(console::page))
        .route("/console/grants", post(console::revoke_grant))
        .route("/console/clients", get(clients::page).post(clients::decide_on_page))
        .route("/console/sessions", post(console::end_other_sessions))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{id}", get(approvals::show).post(approvals::decide_on_page))
        .route("/reviews", get(reviews::page).post(reviews::answer))
        .route("/emergencies", get(emergencies::show).post(emergencies::act))
        .route("/approvals/{id}/decision", post(approvals::webhook::hear))
        .route("/connections", get(connections::list))
        .route("/connections/{server}", get(connections::show).post(connections::act))
        .route("/oauth/callback/{server}", get(connections::come_back))
        .route("/oauth/clients/{server}", get(connections::client_document))
        .route("/assets/portunus.css", get(answer::style_sheet))
        .route("/assets/portunus.svg", get(answer::logo))
        .route("/favicon.ico", get(answer::logo))
        .merge(open)
        .fallback(answer::not_found)
        .layer(map_response(headers::protect))
        .with_state(state)
}

/// The administrators' API, for the Unix socket that only the owner can open: whoever reaches it is the administrator.
pub fn admin_router(state: State) -> Router {
    admin::router(state)
}

/// Answers one request whose source address is `peer`, with the bodies the rest of Portunus uses.
pub async fn serve(router: &Router, request: http::Request<Body>, peer: SocketAddr) -> http::Response<Body> {
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(input::Peer(peer.ip()));
    match router.clone().oneshot(request).await {
        Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
        Err(never) => match never {},
    }
}
