//! Requests to key services: signatures by the published test suite, and answers of all kinds.

use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;
use portunus_vault::service::sigv4::{AccessKeys, Scope, sign};

/// Requests, headers to sign, body and signature of `aws-signing-test-suite/v4` (aws-c-auth).
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);
const SUITE: [Case; 5] = [
    ("post-vanilla", &[], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "post-header-key-sort",
        &[("my-header1", "value1")],
        "",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    ("post-sts-header-before", &[], "", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
    (
        "post-x-www-form-urlencoded",
        &[
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-length", "13"),
            ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
        ],
        "Param1=value1",
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
    ),
    (
        "post-x-www-form-urlencoded-parameters",
        &[
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("content-length", "13"),
            ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
        ],
        "Param1=value1",
        "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
    ),
];
const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

#[test]
fn requests_are_signed_as_the_published_test_suite_has_it() {
    for (name, headers, body, signature) in SUITE {
        let sts = name.contains("sts");
        let keys = AccessKeys {
            id: String::from("AKIDEXAMPLE"),
            secret: Secret::new(String::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")),
            session_token: sts.then(|| Secret::new(String::from(TOKEN))),
        };
        let mut request =
            http::Request::post("https://example.amazonaws.com/").header("host", "example.amazonaws.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.as_bytes().to_vec()).unwrap();
        let now = Timestamp::parse("2015-08-30T12:36:00Z").unwrap();
        sign(&mut request, &keys, Scope { region: "us-east-1", service: "service" }, now).unwrap();
        let value = request.headers()["authorization"].to_str().unwrap();
        assert!(value.ends_with(&format!("Signature={signature}")), "{name}: {value}");
        assert!(request.headers()["authorization"].is_sensitive());
        let shown = format!("{request:?} {keys:?}");
        assert!(
            !shown.contains("wJalr") && !shown.contains("AQoDYX") && !shown.contains(signature),
            "{shown}"
        );
    }
}
