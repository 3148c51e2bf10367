//! What holds for every address: proofs in forms, protective headers, nothing internal in errors.

use crate::app::{App, Browser, ISSUER, PASSWORD, Reply, form};
use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use serde_json::json;

/// Every address of the public side: method, path, and what a stranger without any cookie gets there.
const ADDRESSES: [(&str, &str, u16); 32] = [
    ("GET", "/.well-known/oauth-protected-resource/sales/mcp", 200),
    ("GET", "/.well-known/oauth-protected-resource/unknown/mcp", 404),
    ("GET", "/.well-known/oauth-protected-resource", 404),
    ("GET", "/.well-known/oauth-authorization-server", 200),
    ("GET", "/.well-known/oauth-authorization-server/sales/mcp", 200),
    ("GET", "/.well-known/oauth-authorization-server/unknown/mcp", 404),
    ("GET", "/.well-known/openid-configuration", 200),
    ("GET", "/.well-known/openid-configuration/sales/mcp", 200),
    ("GET", "/oauth/jwks", 200),
    ("GET", "/oauth/authorize", 400),
    ("POST", "/oauth/authorize", 400),
    ("POST", "/oauth/token", 400),
    ("POST", "/oauth/register", 400),
    ("POST", "/oauth/revoke", 400),
    ("POST", "/oauth/device_authorization", 400),
    ("GET", "/device", 200),
    ("POST", "/device", 200),
    ("POST", "/oauth/introspect", 400),
    ("GET", "/login", 200),
    ("POST", "/login", 403),
    ("POST", "/logout", 303),
    ("GET", "/account/password", 200),
    ("POST", "/account/password", 303),
    ("GET", "/console/", 200),
    ("POST", "/console/grants", 200),
    ("GET", "/approvals", 200),
    ("GET", "/approvals/apr_00000000000000000000000000", 200),
    ("POST", "/approvals/apr_00000000000000000000000000", 200),
    ("POST", "/approvals/apr_00000000000000000000000000/decision", 404),
    ("GET", "/console/clients", 200),
    ("POST", "/console/clients", 200),
    ("GET", "/no/such/page", 404),
];

#[tokio::test]
async fn a_stranger_gets_nothing_but_public_documents_and_the_sign_in_page() {
    let app = App::new().await;
    for (method, path, status) in ADDRESSES {
        let reply = stranger(&app, method, path).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path}: {}", reply.body);
        let is_console = path.starts_with("/console/")
            || path.starts_with("/approvals") && status == 200
            || path == "/device"
            || path == "/account/password" && method == "GET";
        assert_eq!(
            is_console || (method, path) == ("GET", "/login"),
            reply.body.contains("id=\"password\""),
            "{path}"
        );
        if status == 303 {
            assert_eq!(reply.location(), "/login");
        }
    }
    assert_eq!(app.ledger.events().len(), 1, "only the client of these tests was ever registered");
}

#[tokio::test]
async fn every_answer_carries_the_protective_headers() {
    let app = App::new().await;
    for (method, path, _) in ADDRESSES {
        let reply = stranger(&app, method, path).await;
        let policy = reply.header("content-security-policy").unwrap_or_else(|| panic!("{path}"));
        for directive in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(directive), "{path}: {policy}");
        }
        // One script of our own, where the sign-in form is shown; never anything inline.
        let scripts = reply.body.matches("<script").count();
        assert_eq!(
            scripts,
            reply.body.matches("<script src=\"/assets/passkey.js\"></script>").count(),
            "{path}"
        );
        let allowed = policy.split("; ").find(|directive| directive.starts_with("script-src"));
        assert_eq!(allowed, (scripts > 0).then_some("script-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "same-origin"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{method} {path} {name}");
        }
        assert!(!reply.body.contains("style="), "{path}");
        for line in reply.headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            for attribute in ["__Host-", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
                assert!(line.contains(attribute), "{path}: {line}");
            }
        }
    }
}

#[tokio::test]
async fn only_endpoints_that_look_at_no_cookie_are_open_to_pages_of_other_sites() {
    let app = App::new().await;
    for (method, path, _) in ADDRESSES {
        let open = path.starts_with("/.well-known/oauth-authorization-server")
            || path.starts_with("/.well-known/openid-configuration")
            || path.starts_with("/.well-known/oauth-protected-resource/")
            || [
                "/oauth/jwks",
                "/oauth/token",
                "/oauth/register",
                "/oauth/revoke",
                "/oauth/device_authorization",
            ]
            .contains(&path);
        let expected = open.then_some("*");
        assert_eq!(
            stranger(&app, method, path).await.header("access-control-allow-origin"),
            expected,
            "{path}"
        );
        let preflight = Request::builder().method(Method::OPTIONS).uri(path).body(Body::empty()).unwrap();
        let reply = app.send(preflight).await;
        assert_eq!(reply.header("access-control-allow-origin"), expected, "OPTIONS {path}");
        assert!(reply.header("access-control-allow-credentials").is_none());
        if open {
            assert_eq!(reply.status, StatusCode::NO_CONTENT, "{path}");
        }
    }
}

#[tokio::test]
async fn a_form_without_its_proof_does_nothing() {
    let app = App::new().await;
    let (access, _) = app.tokens("olga").await;
    let mut browser = Browser::of(&app);
    browser.sign_in("olga").await;
    let grant = browser.get("/console/").await.field("grant");
    let query = app.query(&[]);
    let consent = browser.consent_page().await.field("csrf");
    let mut other = Browser::of(&app);
    let foreign = other.get("/login").await.field("csrf");
    other.sign_in("olga").await;
    let foreign_console = other.get("/console/").await.field("csrf");
    let before = app.ledger.events().len();
    let forms: [(&str, Vec<(&str, &str)>); 6] = [
        ("/logout", vec![]),
        (
            "/account/password",
            vec![("current_password", PASSWORD), ("new_password", "x"), ("repeat_password", "x")],
        ),
        ("/console/grants", vec![("grant", &grant)]),
        ("/approvals/apr_00000000000000000000000000", vec![("decision", "allow")]),
        ("/console/clients", vec![("client", app.client.as_str()), ("decision", "block")]),
        ("/oauth/authorize", vec![("request", &query), ("decision", "allow")]),
    ];
    for (path, fields) in forms {
        // None, of another browser, of another session of the same user, of another form of this session.
        for csrf in ["", foreign.as_str(), foreign_console.as_str(), consent.as_str()] {
            if csrf == consent && path == "/oauth/authorize" {
                continue;
            }
            let fields: Vec<_> = fields.iter().copied().chain([("csrf", csrf)]).collect();
            let reply = browser.post(path, &fields).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}: {}", reply.body);
        }
    }
    assert_eq!(app.ledger.events().len(), before);
    assert!(app.is_good(&access).await);
}

#[tokio::test]
async fn nobody_can_be_signed_in_by_a_foreign_form() {
    let app = App::new().await;
    let attacker = Browser::of(&app).get("/login").await.field("csrf");
    for (csrf, cookie) in [("", None), (attacker.as_str(), None), (attacker.as_str(), Some("x"))] {
        let mut victim = Browser::of(&app);
        if let Some(cookie) = cookie {
            victim.cookies.insert("__Host-portunus-form".to_owned(), cookie.to_owned());
        }
        let fields = [("csrf", csrf), ("username", "ana"), ("password", PASSWORD)];
        assert_eq!(victim.post("/login", &fields).await.status, StatusCode::FORBIDDEN);
        assert!(!victim.cookies.contains_key("__Host-portunus"));
    }
}

#[tokio::test]
async fn a_form_that_says_it_comes_from_elsewhere_is_refused_even_with_its_proof() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let page = browser.consent_page().await;
    let (csrf, request) = (page.field("csrf"), page.field("request"));
    let fields = [("csrf", csrf.as_str()), ("request", &request), ("decision", "allow")];
    for (name, value) in [
        ("origin", "https://evil.test"),
        ("origin", "null"),
        ("origin", "https://tools.example.com.evil.test"),
        ("origin", "http://tools.example.com"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let mut post = form("/oauth/authorize", &fields);
        post.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(browser.send(post).await.status, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    let mut plain = form("/oauth/authorize", &fields);
    plain.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(browser.send(plain).await.status, StatusCode::BAD_REQUEST);
    let mut own = form("/oauth/authorize", &fields);
    own.headers_mut().insert("origin", ISSUER.parse().unwrap());
    assert_eq!(browser.send(own).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn when_something_fails_on_our_side_nothing_is_granted_and_nothing_internal_is_said() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let page = browser.consent_page().await;
    let (_, refresh) = app.tokens("ana").await;
    let silent = |reply: &Reply| {
        assert!(reply.status.is_server_error(), "{} {}", reply.status, reply.body);
        assert!(!reply.body.contains("told to fail") && reply.header("location").is_none(), "{}", reply.body);
    };
    app.ledger.set_failing(true);
    silent(&browser.decide(&page, "allow").await);
    silent(&browser.decide(&page, "deny").await);
    silent(&app.register(json!({})).await);
    silent(&Browser::of(&app).try_sign_in("/login", "ana", PASSWORD).await);
    silent(&app.refresh(&refresh).await);
    app.ledger.set_failing(false);
    app.store.set_failing(true);
    silent(&browser.get("/console/").await);
    silent(&browser.decide(&page, "allow").await);
    silent(&app.register(json!({})).await);
    silent(&app.refresh(&refresh).await);
}

#[tokio::test]
async fn both_discovery_documents_are_the_same_bytes_and_the_keys_are_named_by_their_thumbprint() {
    let app = App::new().await;
    let document = app.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(document.header("content-type"), Some("application/json"));
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/hr/mcp"] {
        assert_eq!(app.get(path).await.body, document.body);
    }
    // RFC 8037 appendix A.3.
    let key = data_encoding::BASE64URL_NOPAD.decode(b"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
    let keys: serde_json::Value = serde_json::from_str(&portunus_web::jwks(&key)).unwrap();
    assert_eq!(keys["keys"][0]["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(keys["keys"][0]["d"], serde_json::Value::Null);
    assert_eq!(app.get("/oauth/jwks").await.body, portunus_web::jwks(&[7; 32]));
}

#[tokio::test]
async fn people_and_programs_are_each_told_in_their_own_way_that_nothing_is_here() {
    let app = App::new().await;
    let page = Browser::of(&app).get("/no-such-page").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.body.contains("<h1>") && page.body.contains("https://tools.example.com/NAME/mcp"));
    let program = app.get("/no-such-page").await;
    assert_eq!((program.status, &program.json()["error"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    for (path, kind) in
        [("/assets/portunus.css", "text/css; charset=utf-8"), ("/favicon.ico", "image/svg+xml")]
    {
        assert_eq!(app.get(path).await.header("content-type"), Some(kind));
    }
    assert_eq!(app.get("/").await.location(), "/console/");
}

async fn stranger(app: &App, method: &str, path: &str) -> Reply {
    match method {
        "GET" => app.get(path).await,
        _ => app.post(path, &[]).await,
    }
}
