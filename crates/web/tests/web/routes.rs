//! Every address of the public side, and what somebody gets there who has not signed in and brings no credential. A route
//! that is missing in the list fails the test, so that none is added without a word about who may reach it.

use crate::app::{App, form};
use axum::body::Body;
use http::{Method, Request};
use std::collections::BTreeSet;

/// What a stranger gets.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stranger {
    /// It is meant for everybody: protocol documents, style.
    Served,
    /// The sign-in page, there or by a redirect.
    SignIn,
    /// A refusal: the request needs a credential, a token or a form of its own.
    Refused,
}
use Stranger::{Refused, Served, SignIn};

const ROUTES: &[(&str, Option<Stranger>, Option<Stranger>)] = &[
    // Path, GET, POST.
    ("/.well-known/oauth-protected-resource/{server}/mcp", Some(Served), None),
    ("/.well-known/oauth-authorization-server", Some(Served), None),
    ("/.well-known/oauth-authorization-server/{server}/mcp", Some(Served), None),
    ("/.well-known/openid-configuration", Some(Served), None),
    ("/.well-known/openid-configuration/{server}/mcp", Some(Served), None),
    ("/oauth/jwks", Some(Served), None),
    ("/oauth/token", None, Some(Refused)),
    ("/oauth/register", None, Some(Refused)),
    ("/oauth/device_authorization", None, Some(Refused)),
    ("/oauth/revoke", None, Some(Refused)),
    ("/oauth/authorize", Some(Refused), Some(Refused)),
    ("/oauth/introspect", None, Some(Refused)),
    ("/device", Some(SignIn), Some(SignIn)),
    ("/login", Some(SignIn), Some(Refused)),
    ("/login/passkey", None, Some(Refused)),
    ("/account/passkeys", Some(SignIn), Some(SignIn)),
    ("/account/passkeys/remove", None, Some(SignIn)),
    ("/assets/passkey.js", Some(Served), None),
    ("/login/oidc/start", None, Some(Refused)),
    ("/login/oidc/callback", Some(Refused), None),
    ("/login/oidc/callback/{provider}", Some(Refused), None),
    ("/login/oidc/backchannel-logout", None, Some(Refused)),
    ("/logout", None, Some(SignIn)),
    ("/account/password", Some(SignIn), Some(SignIn)),
    ("/", Some(SignIn), None),
    ("/console", Some(SignIn), None),
    ("/console/", Some(SignIn), None),
    ("/console/grants", None, Some(SignIn)),
    ("/console/clients", Some(SignIn), Some(SignIn)),
    ("/console/sessions", None, Some(SignIn)),
    ("/approvals", Some(SignIn), None),
    ("/reviews", Some(SignIn), Some(SignIn)),
    ("/emergencies", Some(SignIn), Some(SignIn)),
    ("/approvals/{id}", Some(SignIn), Some(SignIn)),
    ("/approvals/{id}/decision", None, Some(Refused)),
    ("/connections", Some(SignIn), None),
    ("/connections/{server}", Some(SignIn), Some(SignIn)),
    ("/oauth/callback/{server}", Some(Refused), None),
    ("/oauth/clients/{server}", Some(Refused), None),
    ("/assets/portunus.css", Some(Served), None),
    ("/assets/portunus.svg", Some(Served), None),
    ("/favicon.ico", Some(Served), None),
];

#[tokio::test]
async fn a_stranger_reaches_what_is_meant_for_strangers_and_nothing_else() {
    let app = App::new().await;
    let mut wrong = Vec::new();
    for (path, get, post) in ROUTES {
        let target = path
            .replace("{server}", "sales")
            .replace("{provider}", "corp")
            .replace("{id}", "apr_00000000000000000000000000");
        for (method, expected) in [(Method::GET, get), (Method::POST, post)] {
            let request = match method {
                Method::POST => form(&target, &[]),
                _ => Request::get(&target).body(Body::empty()).unwrap(),
            };
            let seen = got(&app, request).await;
            if seen != *expected {
                wrong.push(format!("{method} {path}: {seen:?} instead of {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// `None` when there is nothing for this method.
async fn got(app: &App, request: Request<Body>) -> Option<Stranger> {
    let reply = app.send(request).await;
    match reply.status.as_u16() {
        405 => None,
        200..=299 if reply.body.contains("action=\"/login\"") => Some(SignIn),
        200..=299 => Some(Served),
        300..=399 if ["/login", "/console/"].contains(&reply.location()) => Some(SignIn),
        400..=499 => Some(Refused),
        other => panic!("{other} {:?}", reply.header("location")),
    }
}

#[test]
fn the_list_names_every_route() {
    let source = include_str!("../../src/lib.rs");
    let routes: BTreeSet<&str> =
        source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let listed: BTreeSet<&str> = ROUTES.iter().map(|(path, ..)| *path).collect();
    assert_eq!(routes, listed);
}
