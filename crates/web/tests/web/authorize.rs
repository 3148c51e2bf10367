//! The authorization endpoint and its consent page.

use crate::app::{App, Browser, REDIRECT};
use http::StatusCode;

#[tokio::test]
async fn no_browser_is_sent_to_a_redirect_that_was_not_registered() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    for redirect in [
        "",
        "https://evil.test/callback",
        "http://evil.test/callback",
        "//evil.test/callback",
        "/callback",
        "callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://127.0.0.1:5000/callback/",
        "http://127.0.0.1:5000/callback?",
        "http://127.0.0.1:5000/callback?x=1",
        "http://127.0.0.1:5000/callback#",
        "http://127.0.0.1:5000/callback#x",
        "http://127.0.0.1:5000/callback/../other",
        "http://127.0.0.1:5000/callback/..;/other",
        "http://127.0.0.1:5000/callback%2f..",
        "http://127.0.0.1:5000/%63allback",
        "http://127.0.0.1:5000//callback",
        "http://127.0.0.1:5000/Callback",
        "http://127.0.0.1:5000/callback ",
        " http://127.0.0.1:5000/callback",
        "http://127.0.0.1:5000/callback\r\nX: y",
        "http://127.0.0.1:5000\\@evil.test/callback",
        "http://127.0.0.1:5000@evil.test/callback",
        "http://127.0.0.1@evil.test:5000/callback",
        "http://user@127.0.0.1:5000/callback",
        "http://127.0.0.1.evil.test:5000/callback",
        "http://127.0.0.1.:5000/callback",
        "http://localhost:5000/callback",
        "http://localhost.evil.test:5000/callback",
        "http://[::1]:5000/callback",
        "http://[::ffff:127.0.0.1]:5000/callback",
        "http://127.1:5000/callback",
        "http://0x7f000001:5000/callback",
        "http://2130706433:5000/callback",
        "http://127.0.0.2:5000/callback",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:99999/callback",
        "http://127.0.0.1:05000/callback",
        "https://127.0.0.1:5000/callback",
        "HTTP://127.0.0.1:5000/callback",
    ] {
        let reply = browser
            .get(&format!("/oauth/authorize?{}", app.query(&[("redirect_uri", Some(redirect))])))
            .await;
        assert_eq!((reply.status, reply.header("location")), (StatusCode::BAD_REQUEST, None), "{redirect:?}");
    }
    let doubled = format!("{}&redirect_uri=https%3A%2F%2Fevil.test%2F", app.query(&[]));
    let reply = browser.get(&format!("/oauth/authorize?{doubled}")).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::BAD_REQUEST, None));
    let other_port = app.query(&[("redirect_uri", Some("http://127.0.0.1:61000/callback"))]);
    assert_eq!(browser.get(&format!("/oauth/authorize?{other_port}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn requests_that_are_not_in_order_go_back_to_the_client_before_anyone_signs_in() {
    let app = App::new().await;
    for (name, value, error) in [
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("code_challenge", None, "invalid_request"),
        ("resource", None, "invalid_target"),
        ("resource", Some("https://tools.example.com/unknown/mcp"), "invalid_target"),
        ("response_type", Some("token"), "unsupported_response_type"),
        ("scope", Some("everything"), "invalid_scope"),
    ] {
        let reply = app.get(&format!("/oauth/authorize?{}", app.query(&[(name, value)]))).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{name}");
        assert!(reply.location().starts_with(&format!("{REDIRECT}?error={error}")), "{}", reply.location());
        assert_eq!(reply.parameter("iss").as_deref(), Some(crate::app::ISSUER));
        assert_eq!(reply.parameter("state").as_deref(), Some("xyz"));
    }
}

#[tokio::test]
async fn a_consent_form_is_good_for_what_it_shows_and_nothing_else() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let page = browser.consent_page().await;
    let csrf = page.field("csrf");
    for (name, value) in [
        ("resource", "https://tools.example.com/hr/mcp"),
        ("redirect_uri", "http://127.0.0.1:6000/callback"),
        ("state", "other"),
        ("scope", "mcp offline_access"),
        ("code_challenge", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        let request = app.query(&[(name, Some(value))]);
        let fields = [("csrf", csrf.as_str()), ("request", &request), ("decision", "allow")];
        let reply = browser.post("/oauth/authorize", &fields).await;
        assert_eq!((reply.status, reply.header("location")), (StatusCode::FORBIDDEN, None), "{name}");
    }
    // The client changed its name after the page was shown: the form is stale.
    app.set_client_name("Somebody else").await;
    assert_eq!(browser.decide(&page, "allow").await.status, StatusCode::FORBIDDEN);
    assert_eq!(app.ledger.count("grant.created"), 0);
    // Neither button: the question is asked again.
    let page = browser.consent_page().await;
    let again = browser.decide(&page, "maybe").await;
    assert_eq!((again.status, again.header("location")), (StatusCode::OK, None));
    let denied = browser.decide(&page, "deny").await;
    assert_eq!(denied.parameter("error").as_deref(), Some("access_denied"));
}

#[tokio::test]
async fn consent_is_asked_for_again_even_when_it_was_given_before() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    browser.agree().await;
    for prompt in ["", "consent", "login"] {
        let reply =
            browser.get(&format!("/oauth/authorize?{}", app.query(&[("prompt", Some(prompt))]))).await;
        assert!(reply.body.contains("Allow “Inspector” to use Sales database?"), "{}", reply.body);
    }
    let silent = browser.get(&format!("/oauth/authorize?{}", app.query(&[("prompt", Some("none"))]))).await;
    assert_eq!(silent.parameter("error").as_deref(), Some("consent_required"));
}

#[tokio::test]
async fn a_sign_in_that_is_too_old_for_a_request_is_done_again_and_once() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    app.clock.advance(std::time::Duration::from_secs(301));
    for asked in [("max_age", "300"), ("prompt", "login"), ("acr_values", "phr")] {
        let path = format!("/oauth/authorize?{}", app.query(&[(asked.0, Some(asked.1))]));
        let page = browser.get(&path).await;
        assert!(page.body.contains("name=\"password\""), "{asked:?}: {}", page.body);
        let fields = [
            ("csrf", page.field("csrf")),
            ("next", page.field("next")),
            ("username", "ana".to_owned()),
            ("password", crate::app::PASSWORD.to_owned()),
        ];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let back = browser.post("/login", &fields).await;
        assert_eq!(back.location(), path, "{asked:?}");
        let page = browser.get(&path).await;
        assert!(page.body.contains("Allow “Inspector” to use Sales database?"), "{asked:?}: {}", page.body);
        app.clock.advance(std::time::Duration::from_secs(301));
    }
    // A client that leaves it out gets a grant that says how old the sign-in is: policy judges that.
    assert!(browser.consent_page().await.body.contains("Allow “Inspector”"));
}

#[tokio::test]
async fn the_consent_page_says_what_more_a_scope_allows() {
    let app = App::new().await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let page =
        browser.get(&format!("/oauth/authorize?{}", app.query(&[("scope", Some("mcp rows:write"))]))).await;
    assert!(page.body.contains("Change rows;"), "{}", page.body);
    assert!(!browser.consent_page().await.body.contains("Change rows"));
}

#[tokio::test]
async fn a_hostile_client_cannot_write_on_the_consent_page() {
    let app = App::new().await;
    let name = "</h1><script>alert(1)</script>\u{202e}\"'&";
    let registered = app.register(serde_json::json!({ "client_name": name })).await.json();
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let changes = [
        ("client_id", registered["client_id"].as_str()),
        ("state", Some("\"><script>alert(2)</script>")),
        ("resource", Some("https://tools.example.com/hr/mcp")),
    ];
    let page = browser.get(&format!("/oauth/authorize?{}", app.query(&changes))).await;
    assert_eq!(page.status, StatusCode::OK);
    for forbidden in ["<script", "<b>", "\u{202e}"] {
        assert!(!page.body.contains(forbidden), "{forbidden}: {}", page.body);
    }
    let back = browser.decide(&page, "deny").await;
    assert_eq!(back.parameter("state").as_deref(), Some("\"><script>alert(2)</script>"));
}

#[tokio::test]
async fn a_browser_may_follow_the_form_to_where_the_client_waits() {
    let app = App::new().await;
    let redirects = [
        ("https://chatgpt.com/connector_platform_oauth_redirect", "https://chatgpt.com"),
        ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor:"),
        (REDIRECT, "http://127.0.0.1:5000"),
    ];
    let uris: Vec<_> = redirects.iter().map(|(uri, _)| *uri).collect();
    let registered = app.register(serde_json::json!({ "redirect_uris": uris })).await.json();
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    for (uri, source) in redirects {
        let changes = [("client_id", registered["client_id"].as_str()), ("redirect_uri", Some(uri))];
        let page = browser.get(&format!("/oauth/authorize?{}", app.query(&changes))).await;
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains(&format!("form-action 'self' https: {source};")), "{policy}");
        assert!(browser.decide(&page, "allow").await.location().starts_with(uri));
    }
}

#[tokio::test]
async fn a_metadata_document_that_cannot_be_fetched_is_said_so() {
    let app = App::new().await;
    let query = app.query(&[("client_id", Some("https://client.example/oauth/client.json"))]);
    let reply = app.get(&format!("/oauth/authorize?{query}")).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::BAD_REQUEST, None));
    assert!(reply.body.contains("metadata document: its host could not be reached"), "{}", reply.body);
}
