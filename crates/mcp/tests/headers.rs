//! What is forwarded, and arguments mirrored into headers.
#![cfg(test)]

mod common;

use common::post;
use http::HeaderMap;
use portunus_mcp::header;
use portunus_mcp::message::{Era, code};
use portunus_mcp::param::{ParamHeaders, SchemaError};

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn nothing_that_identifies_the_client_or_claims_an_origin_goes_upstream() {
    let secret = [
        ("authorization", "Bearer ptn_at_x"),
        ("proxy-authorization", "Basic x"),
        ("cookie", "session=x"),
        ("forwarded", "for=1.2.3.4"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-host", "evil"),
        ("x-real-ip", "1.2.3.4"),
        ("portunus-assertion", "forged"),
        ("portunus-anything", "forged"),
        ("x-api-key", "k"),
        ("host", "evil"),
        ("origin", "https://evil"),
        ("referer", "https://evil"),
        ("content-length", "3"),
        ("transfer-encoding", "chunked"),
        ("te", "trailers"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
        ("accept-encoding", "gzip"),
        ("connection", "close, mcp-param-hop"),
        ("mcp-param-hop", "named by Connection"),
    ];
    let kept = [
        ("mcp-session-id", "s"),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-param-region", "eu"),
        ("last-event-id", "4"),
        ("traceparent", "00-x"),
        ("tracestate", "a=b"),
        ("user-agent", "x"),
    ];
    let headers = post(&[&secret[..], &kept[..]].concat());
    let mut expected: Vec<_> = kept.iter().map(|(name, _)| *name).chain(["accept", "content-type"]).collect();
    expected.sort_unstable();
    assert_eq!(names(&header::forward_request(&headers, Era::Legacy)), expected);
    expected.retain(|name| !["mcp-session-id", "last-event-id"].contains(name));
    assert_eq!(names(&header::forward_request(&headers, Era::Modern)), expected);
}

#[test]
fn an_upstream_cannot_set_cookies_or_challenge_the_client() {
    let headers = post(&[
        ("set-cookie", "a=b"),
        ("www-authenticate", "Bearer resource_metadata=\"https://evil\""),
        ("location", "https://evil"),
        ("content-length", "7"),
        ("content-encoding", "gzip"),
        ("access-control-allow-origin", "*"),
        ("server", "x"),
        ("mcp-session-id", "s"),
        ("cache-control", "no-store"),
        ("retry-after", "3"),
    ]);
    let expected = ["cache-control", "content-type", "mcp-session-id", "retry-after"];
    assert_eq!(names(&header::forward_response(&headers)), expected);
    assert!(header::is_encoded(&headers) && !header::is_encoded(&post(&[("content-encoding", "Identity")])));
    assert_eq!(header::media_type(&post(&[])).as_deref(), Some("application/json"));
}

#[test]
fn hop_by_hop_headers_are_stripped_with_those_that_connection_names() {
    let mut headers = post(&[
        ("connection", "Close, X-Own"),
        ("x-own", "1"),
        ("keep-alive", "5"),
        ("trailer", "x"),
        ("x", "1"),
    ]);
    header::strip_hop_by_hop(&mut headers);
    assert_eq!(names(&headers), ["accept", "content-type", "x"]);
}

#[test]
fn only_well_formed_trace_contexts_are_taken() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert!(header::is_traceparent(good));
    assert!(header::is_traceparent(&format!("01{}-more", &good[2..])));
    for bad in [
        "",
        &good[..54],
        &format!("{good}-more"),
        &format!("ff{}", &good[2..]),
        &good.to_uppercase(),
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    ] {
        assert!(!header::is_traceparent(bad), "{bad}");
    }
}

const SCHEMA: &str = r#"{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "limit":{"type":"integer","x-mcp-header":"Limit"},
    "dry":{"type":"boolean","x-mcp-header":"Dry"},
    "where":{"type":"object","properties":{"zone":{"type":"string","x-mcp-header":"Zone"},"x-mcp-header":{"type":"string"}}},
    "free":{"type":"string","default":{"x-mcp-header":7}}}}"#;

#[test]
fn arguments_and_their_headers_must_agree() {
    let mirrors = ParamHeaders::read(SCHEMA.as_bytes()).unwrap();
    let check = |headers: &[(&str, &str)], arguments: &str| {
        let result = mirrors.check(&post(headers), Some(arguments.as_bytes()));
        result.map_err(|reject| (reject.status.as_u16(), reject.code))
    };
    let good: [(&[(&str, &str)], &str); 8] = [
        (&[], r#"{"free":"x"}"#),
        (&[], r#"{"region":null}"#),
        (&[("mcp-param-region", "eu"), ("mcp-param-other", "ignored")], r#"{"region":"eu"}"#),
        (&[("mcp-param-region", "=?base64?SGVsbG8sIOS4lueVjA==?=")], r#"{"region":"Hello, 世界"}"#),
        (
            &[("mcp-param-region", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=")],
            r#"{"region":"=?base64?literal?="}"#,
        ),
        (&[("mcp-param-limit", "42.0")], r#"{"limit":42}"#),
        (&[("mcp-param-dry", "true")], r#"{"dry":true}"#),
        (&[("mcp-param-zone", "a")], r#"{"where":{"zone":"a"}}"#),
    ];
    for (headers, arguments) in good {
        assert_eq!(check(headers, arguments), Ok(()), "{headers:?} {arguments}");
    }
    let bad: [(&[(&str, &str)], &str); 11] = [
        (&[], r#"{"region":"eu"}"#),
        (&[], r#"{"where":{"zone":"a"}}"#),
        (&[("mcp-param-region", "us")], r#"{"region":"eu"}"#),
        (&[("mcp-param-region", "EU")], r#"{"region":"eu"}"#),
        (&[("mcp-param-region", "eu")], "{}"),
        (&[("mcp-param-region", "eu")], r#"{"region":null}"#),
        (&[("mcp-param-region", "=?base64?SGVsbG8?=")], r#"{"region":"Hello"}"#),
        (&[("mcp-param-limit", "43")], r#"{"limit":42}"#),
        (&[("mcp-param-limit", "0x2A")], r#"{"limit":42}"#),
        (&[("mcp-param-dry", "True")], r#"{"dry":true}"#),
        (&[("mcp-param-region", "{}")], r#"{"region":{}}"#),
    ];
    for (headers, arguments) in bad {
        assert_eq!(check(headers, arguments), Err((400, code::HEADER_MISMATCH)), "{headers:?} {arguments}");
    }
    let twice = post(&[("mcp-param-region", "eu"), ("mcp-param-region", "eu")]);
    assert!(mirrors.check(&twice, Some(br#"{"region":"eu"}"#)).is_err());
    assert!(mirrors.check(&post(&[]), None).is_ok());
}

#[test]
fn annotations_that_the_protocol_forbids_make_a_schema_invalid() {
    for schema in [
        r#"{"x-mcp-header":"Root","type":"string"}"#,
        r#"{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#,
        r#"{"properties":{"a":{"x-mcp-header":"A"}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":""}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"A B"}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"A\r\nB"}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":7}}}"#,
        r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#,
        r#"{"properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}}"#,
        r#"{"oneOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}"#,
        r#"{"$defs":{"a":{"type":"string","x-mcp-header":"A"}}}"#,
        r#"{"if":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}"#,
    ] {
        let error = ParamHeaders::read(schema.as_bytes()).expect_err(schema);
        assert!(matches!(error, SchemaError::Annotation { .. }), "{schema}: {error}");
    }
    let many = |count: usize| {
        let property = |n| format!(r#""p{n}":{{"type":"string","x-mcp-header":"H{n}"}}"#);
        format!(r#"{{"properties":{{{}}}}}"#, (0..count).map(property).collect::<Vec<_>>().join(","))
    };
    assert!(ParamHeaders::read(many(64).as_bytes()).is_ok());
    assert!(ParamHeaders::read(many(65).as_bytes()).is_err());
    assert!(ParamHeaders::read(b"{\"a\":1,\"a\":2}").is_err());
    assert!(ParamHeaders::read(b"{}").unwrap().is_empty());
    assert!(!ParamHeaders::read(SCHEMA.as_bytes()).unwrap().is_empty());
}
