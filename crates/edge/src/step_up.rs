//! A refusal that the caller can lift by itself: one challenge with everything that is needed, in the form that the client
//! understands.

use crate::decide::Case;
use crate::respond::Place;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use portunus_core::dialer::Body;
use portunus_core::id::Id;
use portunus_mcp::answer;
use portunus_mcp::message::Era;
use portunus_oauth::config::OFFLINE_SCOPE;
use portunus_policy::StepUp;
use serde_json::{Value, json};

/// Client ids of ChatGPT begin with this; those of Codex, which is another client, do not.
const CHATGPT: &str = "https://chatgpt.com/oauth/";
const CODEX: &str = "https://chatgpt.com/oauth/codex/";

/// What a call needs.
#[derive(Debug)]
pub struct Needs {
    /// The call's id.
    pub id: Bytes,
    /// The decision.
    pub decision: Id,
    /// The policies' own words.
    pub reasons: Vec<String>,
    step_up: StepUp,
    /// All scopes that a new token must have: those that are held, and those that are lacking.
    scopes: Vec<String>,
    /// The era of a client that wants to be told by a tool's result.
    as_result: Option<Era>,
}

impl Needs {
    pub(crate) fn new(case: &Case<'_>, decision: Id, reasons: Vec<String>, step_up: StepUp) -> Self {
        let caller = &case.known.caller;
        let held = caller.scopes.iter().filter(|scope| *scope != OFFLINE_SCOPE);
        let scopes = held.chain(&step_up.scopes).cloned().collect();
        let client = caller.client.as_str();
        let told_by_result =
            case.asked.tool().is_some() && client.starts_with(CHATGPT) && !client.starts_with(CODEX);
        let as_result = told_by_result.then(|| case.asked.era());
        Self { id: case.asked.id(), decision, reasons, step_up, scopes, as_result }
    }

    /// The challenge (RFC 6750 section 3.1, RFC 9470 section 3). A name is checked where policies are read: none of them
    /// can end the quoted text.
    fn challenge(&self, place: &Place<'_>) -> String {
        let error = if self.step_up.scopes.is_empty() {
            "insufficient_user_authentication"
        } else {
            "insufficient_scope"
        };
        let mut parts = vec![format!("error=\"{error}\""), format!("scope=\"{}\"", self.scopes.join(" "))];
        parts.extend(self.step_up.max_age.map(|seconds| format!("max_age=\"{seconds}\"")));
        parts.extend(self.step_up.acr.as_ref().map(|class| format!("acr_values=\"{class}\"")));
        parts.extend(place.resource_metadata());
        format!("Bearer {}", parts.join(", "))
    }

    fn data(&self) -> Value {
        let mut data = json!({ "decision": self.decision, "reasons": self.reasons, "scopes": self.scopes });
        if let Some(members) = data.as_object_mut() {
            members.extend(self.step_up.max_age.map(|seconds| ("max_age".to_owned(), json!(seconds))));
            members.extend(self.step_up.acr.as_ref().map(|class| ("acr_values".to_owned(), json!([class]))));
        }
        data
    }
}

/// 403 with the challenge; for a client that looks into results only, a tool's error with the same challenge.
pub(crate) fn refuse(needs: &Needs, place: &Place<'_>, code: i32) -> Response<Body> {
    let text = format!(
        "Needs more than you have agreed to: {} Ask for it, then repeat the call (decision {})",
        needs.reasons.join(" "),
        needs.decision
    );
    let challenge = needs.challenge(place);
    if let Some(era) = needs.as_result {
        let meta = json!({ "mcp/www_authenticate": [challenge] });
        return crate::respond::rpc(StatusCode::OK, answer::tool_error(&needs.id, era, &text, Some(&meta)));
    }
    let body = answer::error(Some(&needs.id), code, &text, Some(&needs.data()));
    let mut response = crate::respond::rpc(StatusCode::FORBIDDEN, body);
    if let Ok(value) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use portunus_core::id::ServerName;

    fn needs(step_up: StepUp, as_result: Option<Era>) -> Needs {
        Needs {
            id: Bytes::from_static(b"7"),
            decision: Id::parse("dec_00000000000000000000000001").unwrap(),
            reasons: vec!["Writing needs more.".to_owned()],
            scopes: ["mcp".to_owned()].into_iter().chain(step_up.scopes.iter().cloned()).collect(),
            step_up,
            as_result,
        }
    }

    fn write(max_age: Option<u64>) -> StepUp {
        StepUp { scopes: ["w".to_owned()].into(), max_age, acr: max_age.map(|_| "phr".to_owned()) }
    }

    async fn told(needs: &Needs) -> (u16, Option<String>, Value) {
        let server = ServerName::parse("sales").unwrap();
        let place = Place { public_url: "https://edge.test", server: Some(&server) };
        let response = refuse(needs, &place, -32010);
        let challenge = response.headers().get(header::WWW_AUTHENTICATE);
        let challenge = challenge.map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let Ok(body) = response.into_body().collect().await else { panic!("no body") };
        (status, challenge, serde_json::from_slice(&body.to_bytes()).unwrap())
    }

    const METADATA: &str =
        "resource_metadata=\"https://edge.test/.well-known/oauth-protected-resource/sales/mcp\"";

    #[tokio::test]
    async fn one_challenge_names_everything_that_is_needed() {
        let (status, challenge, body) = told(&needs(write(Some(300)), None)).await;
        assert_eq!(status, 403);
        let all = format!(
            "Bearer error=\"insufficient_scope\", scope=\"mcp w\", max_age=\"300\", acr_values=\"phr\", {METADATA}"
        );
        assert_eq!(challenge, Some(all));
        assert_eq!(body["error"]["data"]["scopes"], json!(["mcp", "w"]));
        assert_eq!(body["error"]["data"]["max_age"], 300);
        assert_eq!(body["id"], 7);
        let sign_in = StepUp { max_age: Some(60), ..StepUp::default() };
        let (_, challenge, _) = told(&needs(sign_in, None)).await;
        let fresh = format!(
            "Bearer error=\"insufficient_user_authentication\", scope=\"mcp\", max_age=\"60\", {METADATA}"
        );
        assert_eq!(challenge, Some(fresh));
    }

    #[tokio::test]
    async fn a_client_that_looks_into_results_only_finds_the_same_challenge_there() {
        let (status, challenge, body) = told(&needs(write(None), Some(Era::Legacy))).await;
        assert_eq!((status, challenge), (200, None));
        assert_eq!(body["result"]["isError"], true);
        let inside = body["result"]["_meta"]["mcp/www_authenticate"][0].as_str().unwrap();
        assert_eq!(inside, format!("Bearer error=\"insufficient_scope\", scope=\"mcp w\", {METADATA}"));
    }
}
