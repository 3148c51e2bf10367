use super::*;
use crate::federation::testing::{discovery, provider};
use portunus_core::testing::CountingRng;
use serde_json::json;

const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const ISSUER: &str = "https://login.example";

fn attempt() -> Attempt {
    Attempt::begin(&provider("one", ISSUER), "/console/", NOW, &CountingRng::default()).unwrap()
}

fn metadata(names_issuer: bool) -> Metadata {
    let mut document = discovery(ISSUER);
    document["authorization_response_iss_parameter_supported"] = json!(names_issuer);
    Metadata::parse(document.to_string().as_bytes(), &provider("one", ISSUER)).unwrap()
}

fn code(
    attempt: &Attempt,
    answer: &[(&str, &str)],
    names_issuer: bool,
    now: Timestamp,
) -> Result<String, AnswerError> {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(answer).finish();
    let form = Form::parse(query.as_bytes()).unwrap();
    attempt.code(&form, &provider("one", ISSUER), &metadata(names_issuer), now).map(str::to_owned)
}

#[test]
fn an_answer_counts_only_for_the_attempt_provider_and_time_it_belongs_to() {
    let attempt = attempt();
    let state = attempt.state.as_str();
    let good = [("state", state), ("code", "c"), ("iss", ISSUER)];
    assert_eq!(code(&attempt, &good, true, NOW).as_deref(), Ok("c"));
    let late = NOW.plus(limits::ATTEMPT_TTL).plus(Duration::from_secs(1));
    assert_eq!(code(&attempt, &good, true, late), Err(AnswerError::TooLate));
    for (foreign, names_issuer) in [
        (vec![("state", "other"), ("code", "c"), ("iss", ISSUER)], true),
        (vec![("code", "c"), ("iss", ISSUER)], true),
        (vec![("state", state), ("code", "c")], true),
        (vec![("state", state), ("code", "c"), ("iss", "https://evil.example")], true),
        (vec![("state", state), ("code", "c"), ("iss", "https://evil.example")], false),
        (vec![("state", state), ("code", "c"), ("iss", "https://login.example/")], true),
        (vec![("state", state), ("error", "access_denied"), ("iss", "https://evil.example")], true),
    ] {
        assert_eq!(code(&attempt, &foreign, names_issuer, NOW), Err(AnswerError::Foreign), "{foreign:?}");
    }
    assert!(
        code(&attempt, &[("state", state), ("code", "c")], false, NOW).is_ok(),
        "not promised, not demanded"
    );
    let other = Attempt { provider: "two".to_owned(), ..attempt.clone() };
    assert_eq!(code(&other, &good, true, NOW), Err(AnswerError::Foreign));
    let denied = [
        ("state", state),
        ("error", "access_denied"),
        ("error_description", "<b>no\u{202e}"),
        ("iss", ISSUER),
    ];
    assert_eq!(code(&attempt, &denied, true, NOW), Err(AnswerError::Refused("<b>no".to_owned())));
    assert_eq!(code(&attempt, &[("state", state), ("iss", ISSUER)], true, NOW), Err(AnswerError::NoCode));
}

#[test]
fn an_attempt_survives_its_cookie_and_nothing_else_is_one() {
    let rng = CountingRng::default();
    for next in
        ["/console/", "/oauth/authorize?client_id=a|b;c,\"d\"&state=%2F", "/oauth/authorize?max_age=5"]
    {
        let attempt = Attempt::begin(&provider("one", ISSUER), next, NOW, &rng).unwrap();
        let cookie = attempt.to_cookie();
        assert!(cookie.bytes().all(|b| b.is_ascii_graphic() && !b"\",;\\".contains(&b)), "{cookie}");
        assert_eq!(Attempt::from_cookie(&cookie), Some(attempt));
    }
    for bad in ["", "one|a|b|c|1|/", "one", "|||||", "one|x|y"] {
        assert_eq!(Attempt::from_cookie(bad), None, "{bad}");
    }
    assert!(
        Attempt::begin(
            &provider("one", ISSUER),
            &format!("/oauth/authorize?{}", "x".repeat(4000)),
            NOW,
            &rng
        )
        .is_none()
    );
    assert_eq!(label("../../evil; Path=/"), "none");
}

#[test]
fn no_two_attempts_share_a_secret_and_none_is_printed() {
    let rng = CountingRng::default();
    let one = Attempt::begin(&provider("one", ISSUER), "/console/", NOW, &rng).unwrap();
    let two = Attempt::begin(&provider("one", ISSUER), "/console/", NOW, &rng).unwrap();
    let all = [&one.state, &one.nonce, &one.verifier, &two.state, &two.nonce, &two.verifier];
    assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), 6);
    assert!(all.iter().all(|secret| !format!("{one:?}{two:?}").contains(secret.as_str())));
}

#[test]
fn what_our_own_page_demands_of_the_sign_in_is_passed_on() {
    let provider = provider("one", ISSUER);
    let next = "/oauth/authorize?client_id=x&max_age=300&acr_values=gold+silver&prompt=login+consent";
    let attempt = Attempt::begin(&provider, next, NOW, &CountingRng::default()).unwrap();
    let location =
        attempt.location(&provider, &metadata(true), "https://tools.example.com/login/oidc/callback", None);
    for part in ["max_age=300", "acr_values=gold+silver", "prompt=login", "code_challenge_method=S256"] {
        assert!(location.contains(part), "{part}: {location}");
    }
    assert!(!location.contains(&attempt.verifier));
    let plain = Attempt::begin(&provider, "/console/", NOW, &CountingRng::default()).unwrap();
    assert_eq!(plain.wishes, Wishes::default());
    // Whoever is asked for an age must say when the sign-in was.
    let location = plain.location(&provider, &metadata(true), "https://tools.example.com/login", None);
    assert!(location.contains(&format!("max_age={}", limits::ANY_SIGN_IN_AGE.as_secs())), "{location}");
    let later = NOW.plus(Duration::from_secs(20));
    assert_eq!((attempt.oldest(later), plain.oldest(later)), (Some(Duration::from_secs(20)), None));
    let huge = Wishes::of_page(&format!("/oauth/authorize?acr_values={}&max_age=-1", "a+".repeat(500)));
    assert_eq!((huge.acr_values.len(), huge.max_age), (limits::AMR_VALUES, None));
}
