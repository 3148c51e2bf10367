//! Vectors for redirect URIs, from what was broken elsewhere.

use super::*;
use proptest::prelude::*;

#[test]
fn the_redirects_of_the_clients_we_know_can_be_registered() {
    for good in [
        "https://chatgpt.com/connector_platform_oauth_redirect",
        "https://chatgpt.com/connector/oauth/abc123",
        "https://claude.ai/api/mcp/auth_callback",
        "https://vscode.dev/redirect",
        "http://127.0.0.1:33418/",
        "http://127.0.0.1:33418",
        "http://127.0.0.1/callback",
        "http://localhost:8787/callback",
        "http://localhost/callback",
        "http://[::1]:3000/callback?x=1",
        "https://example.com",
        "https://example.com/cb?tenant=1",
        "https://xn--mnchen-3ya.example/cb",
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "vscode://vscode.mcp/callback",
        "com.example.app:/oauth",
        "com.example.app://oauth/callback",
    ] {
        assert_eq!(validate(good), Ok(()), "{good}");
        assert!(matches(good, good), "{good}");
    }
}

#[test]
fn a_redirect_that_could_be_read_two_ways_cannot_be_registered() {
    for bad in [
        "",
        "/callback",
        "callback",
        "//example.com/cb",
        "https:",
        "https://",
        "https:///cb",
        "https:example.com/cb",
        "https:/example.com/cb",
        "https://user@example.com/cb",
        "https://user:pass@example.com/cb",
        "https://@example.com/cb",
        "https://good.example@evil.test/cb",
        "https://a@b@evil.test/cb",
        "cursor://user@host/cb",
        "https://example.com/cb#",
        "https://example.com/cb#fragment",
        "https://example.com\\@evil.test/cb",
        "https://example.com/cb\\..\\x",
        "https://example.com/a/../cb",
        "https://example.com/a/./cb",
        "https://example.com/a/%2e%2e/cb",
        "https://example.com/a/%2E%2e/cb",
        "https://example.com/cb\r\nSet-Cookie: a=b",
        "https://example.com/cb\0",
        "https://example.com/c b",
        " https://example.com/cb",
        "https://example.com/cb ",
        "https://exam\tple.com/cb",
        "https://münchen.example/cb",
        "https://EXAMPLE.com/cb",
        "HTTPS://example.com/cb",
        "https://example.com:443/cb",
        "https://ex%61mple.com/cb",
        "https://0x7f000001/cb",
        "https://2130706433/cb",
        "https://127.1/cb",
        "http://example.com/cb",
        "http://localhost.evil.test/cb",
        "http://127.0.0.1.evil.test/cb",
        "http://localhost:0/cb",
        "http://localhost:99999/cb",
        "http://localhost:080/cb",
        "http://localhost:80/cb",
        "http://LOCALHOST:3000/cb",
        "http://localhost.:3000/cb",
        "http://127.0.0.2:3000/cb",
        "http://0.0.0.0:3000/cb",
        "http://0177.0.0.1:3000/cb",
        "http://[::ffff:127.0.0.1]:3000/cb",
        "http://[0:0:0:0:0:0:0:1]:3000/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:https://example.com/1",
        "about:blank",
        "ws://example.com/cb",
        "ftp://example.com/cb",
        "urn:ietf:wg:oauth:2.0:oob",
        "myapp://callback",
        "https://example.com/<script>",
        "https://example.com/\"onload",
    ] {
        assert!(validate(bad).is_err(), "{bad:?} must not be registrable");
    }
    assert!(validate(&format!("https://example.com/{}", "a".repeat(limits::REDIRECT_URI_BYTES))).is_err());
}

#[test]
fn only_the_exact_redirect_matches() {
    let registered = "https://app.example.com/oauth/cb";
    for other in [
        "",
        "https://app.example.com/oauth/cb/",
        "https://app.example.com/oauth/cb?",
        "https://app.example.com/oauth/cb?x=1",
        "https://app.example.com/oauth/cb#",
        "https://app.example.com/oauth/cb/../x",
        "https://app.example.com/oauth/cb/..;/x",
        "https://app.example.com/oauth/%63b",
        "https://app.example.com/oauth%2fcb",
        "https://app.example.com/OAUTH/cb",
        "https://app.example.com//oauth/cb",
        "https://app.example.com/oauth/cb%00",
        "https://app.example.com/oauth/cb%0d%0a",
        "https://app.example.com/oauth/cb ",
        "https://app.example.com./oauth/cb",
        "https://app.example.com:443/oauth/cb",
        "https://app.example.com:8443/oauth/cb",
        "https://APP.example.com/oauth/cb",
        "http://app.example.com/oauth/cb",
        "https://evil.test/oauth/cb",
        "https://app.example.com.evil.test/oauth/cb",
        "https://evil-app.example.com/oauth/cb",
        "https://x.app.example.com/oauth/cb",
        "https://app.example.com@evil.test/oauth/cb",
        "https://user@app.example.com/oauth/cb",
        "https://evil.test\\@app.example.com/oauth/cb",
        "https://app.example.com\\.evil.test/oauth/cb",
        "https://app.example.com%2eevil.test/oauth/cb",
        "https://аpp.example.com/oauth/cb", // Cyrillic а
        "//app.example.com/oauth/cb",
        "https:app.example.com/oauth/cb",
        "javascript:https://app.example.com/oauth/cb",
    ] {
        assert!(!matches(registered, other), "{other:?}");
    }
}

#[test]
fn a_loopback_redirect_may_change_its_port_and_nothing_else() {
    let registered = "http://127.0.0.1:33418/callback";
    for same in
        ["http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback"]
    {
        assert!(matches(registered, same), "{same}");
        assert!(matches(same, registered), "{same}");
    }
    assert!(matches("http://[::1]/cb", "http://[::1]:5000/cb"));
    assert!(matches("http://localhost/cb?x=1", "http://localhost:5000/cb?x=1"));
    for other in [
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:080/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:80a/callback",
        "http://127.0.0.1:+80/callback",
        "http://127.0.0.1:80:81/callback",
        "http://127.0.0.1:80@evil.test/callback",
        "http://127.0.0.1:80\\@evil.test/callback",
        "http://127.0.0.1.evil.test/callback",
        "http://127.0.0.1:80.evil.test/callback",
        "http://127.0.0.1@evil.test/callback",
        "http://127.0.0.1:3000/callback/",
        "http://127.0.0.1:3000/callback?x",
        "http://127.0.0.1:3000/Callback",
        "http://127.0.0.1:3000/x/../callback",
        "http://127.0.0.2:3000/callback",
        "http://localhost:3000/callback",
        "http://[::1]:3000/callback",
        "https://127.0.0.1:3000/callback",
        "HTTP://127.0.0.1:3000/callback",
        "http://evil.test:33418/callback",
    ] {
        assert!(!matches(registered, other), "{other}");
    }
    assert!(!matches("https://localhost:3000/cb", "https://localhost:3001/cb"));
    assert!(!matches("https://app.example.com:3000/cb", "https://app.example.com:3001/cb"));
    assert!(!matches("cursor://127.0.0.1:1/cb", "cursor://127.0.0.1:2/cb"));
}

#[test]
fn people_are_shown_where_a_redirect_leads() {
    assert_eq!(destination("https://chatgpt.com/connector/oauth/1"), "chatgpt.com");
    assert_eq!(destination("http://127.0.0.1:3000/cb"), "127.0.0.1");
    assert_eq!(destination("http://[::1]:3000/cb"), "::1");
    assert_eq!(destination("cursor://anysphere.cursor-mcp/cb"), "cursor:");
    assert_eq!(destination("com.example.app:/cb"), "com.example.app:");
    assert!(
        is_local("http://localhost:1/cb") && is_local("cursor://x/y") && !is_local("https://localhost/cb")
    );
    assert_eq!(form_action_source("https://a.example:8443/x").as_deref(), Some("https://a.example:8443"));
    assert_eq!(form_action_source("cursor://x/y").as_deref(), Some("cursor:"));
}

#[test]
fn response_parameters_are_appended_and_encoded() {
    assert_eq!(
        with_parameters("https://a.example/cb", &[("code", "x y&z")]),
        "https://a.example/cb?code=x+y%26z"
    );
    assert_eq!(with_parameters("https://a.example/cb?t=1", &[("a", "b")]), "https://a.example/cb?t=1&a=b");
    assert_eq!(with_parameters("https://a.example/cb?", &[("a", "b")]), "https://a.example/cb?a=b");
    assert_eq!(with_parameters("cursor://x/y", &[("a", "\r\n")]), "cursor://x/y?a=%0D%0A");
}

proptest! {
    /// Whatever is registrable and matches leads to the same scheme and host as what was registered.
    #[test]
    fn a_match_never_leaves_the_registered_host(
        registered in "(https|http)://(localhost|127\\.0\\.0\\.1|app\\.example)(:[1-9][0-9]{0,4})?(/[a-z]{0,3})?",
        requested in "(https|http)://[a-z0-9.@:\\\\]{0,20}(localhost|127\\.0\\.0\\.1|app\\.example)[a-z0-9.@:/?#\\\\%]{0,12}",
    ) {
        if validate(&registered).is_ok() && matches(&registered, &requested) {
            let (from, to) = (Url::parse(&registered).unwrap(), Url::parse(&requested).unwrap());
            prop_assert_eq!(from.scheme(), to.scheme());
            prop_assert_eq!(from.host(), to.host());
            prop_assert_eq!(from.path(), to.path());
            prop_assert_eq!(validate(&requested), Ok(()));
        }
    }

    #[test]
    fn no_text_makes_the_checks_panic(a in ".{0,60}", b in "http://(localhost|127.0.0.1).{0,20}") {
        let _ = (validate(&a), validate(&b), matches(&a, &b), matches(&b, &a));
        let _ = (destination(&b), form_action_source(&b));
    }
}
