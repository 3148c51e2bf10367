//! Tokens that are bound to a key, in the right hands and in others.

use crate::support::{Answer, World};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http_body_util::Full;
use portunus_core::caller::{Confirmation, Holding};
use portunus_core::digest::sha256;
use portunus_core::document::AccessToken;
use portunus_core::limits;
use portunus_core::peer::ClientCertificate;
use portunus_core::store::{self, Batch, Store};
use portunus_core::time::Clock;
use portunus_core::token::{self, TokenKind};
use portunus_oauth::dpop::{self, Expected};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const URL: &str = "https://edge.test/sales/mcp";

struct Key(Ed25519KeyPair);

impl Key {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }
    fn x(&self) -> String {
        BASE64URL_NOPAD.encode(self.0.public_key().as_ref())
    }
    fn confirmation(&self) -> Confirmation {
        let text = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x());
        Confirmation::Dpop(sha256(&[text.as_bytes()]))
    }
    fn proof(&self, world: &World, jti: &str, changes: &[(&str, Value)]) -> String {
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": self.x() });
        let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk });
        let ath = BASE64URL_NOPAD.encode(&sha256(&[world.token.as_bytes()]).0);
        let mut claims =
            json!({ "jti": jti, "htm": "POST", "htu": URL, "iat": world.clock.now().as_secs(), "ath": ath });
        for (name, value) in changes {
            claims[*name] = value.clone();
        }
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = BASE64URL_NOPAD.encode(self.0.sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }
}

async fn bind(world: &World, bound: Confirmation) {
    let id = token::digest(TokenKind::Access, &world.token).unwrap().hex();
    let token = store::load::<AccessToken>(&*world.store, &id).await.unwrap().unwrap();
    let holding = Holding { bound: Some(bound), ..Holding::default() };
    let batch = Batch::new().update(&AccessToken { holding, ..token.value }, token.version);
    world.store.commit(batch).await.unwrap();
}

struct Sent<'a> {
    method: &'a str,
    scheme: &'a str,
    proofs: &'a [String],
    certificate: Option<&'a Arc<ClientCertificate>>,
}

const BEARER: Sent<'static> = Sent { method: "POST", scheme: "Bearer", proofs: &[], certificate: None };

async fn send(world: &World, sent: Sent<'_>) -> Answer {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "look", "arguments": {} } });
    let body = if sent.method == "POST" { body.to_string() } else { String::new() };
    let request = world.request(sent.method, "/sales/mcp").body(Full::new(Bytes::from(body)));
    let mut request = request.unwrap();
    let value = format!("{} {}", sent.scheme, world.token);
    request.headers_mut().insert("authorization", value.parse().unwrap());
    for proof in sent.proofs {
        request.headers_mut().append("dpop", proof.parse().unwrap());
    }
    if let Some(certificate) = sent.certificate {
        certificate.attach(request.extensions_mut());
    }
    Answer::read(world.handle(request).await).await
}

fn challenge(answer: &Answer) -> String {
    answer.headers.get("www-authenticate").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_bound_token_works_with_its_proof_and_the_proof_goes_no_further() {
    let world = World::new().await;
    let key = Key::new();
    bind(&world, key.confirmation()).await;
    world.upstream_does(|request| {
        assert!(!request.headers().contains_key("dpop") && !request.headers().contains_key("authorization"));
        Ok(crate::support::result("done"))
    });
    for (jti, scheme) in [("1", "DPoP"), ("2", "dpop")] {
        let proofs = [key.proof(&world, jti, &[])];
        assert_eq!(send(&world, Sent { scheme, proofs: &proofs, ..BEARER }).await.status, 200);
    }
    assert_eq!(world.sent(), 2);
    // The legacy era's requests without a body are no way around.
    for method in ["GET", "DELETE"] {
        let wrong = [key.proof(&world, method, &[])];
        assert_eq!(send(&world, Sent { method, scheme: "DPoP", proofs: &wrong, ..BEARER }).await.status, 401);
        let right = [key.proof(&world, method, &[("htm", json!(method))])];
        let answer = send(&world, Sent { method, scheme: "DPoP", proofs: &right, ..BEARER }).await;
        assert_ne!(answer.status, 401, "{method}");
    }
}

#[tokio::test]
async fn a_bound_token_is_refused_as_bearer_without_proof_with_two_and_with_anothers() {
    let world = World::new().await;
    let (key, thief) = (Key::new(), Key::new());
    bind(&world, key.confirmation()).await;
    let good = key.proof(&world, "1", &[]);
    for (scheme, proofs) in [
        ("Bearer", vec![]),
        ("Bearer", vec![good.clone()]),
        ("DPoP", vec![]),
        ("DPoP", vec![good.clone(), good.clone()]),
        ("DPoP", vec!["x".to_owned()]),
        ("DPoP", vec![thief.proof(&world, "2", &[])]),
        ("DPoP", vec![key.proof(&world, "3", &[("htm", json!("GET"))])]),
        ("DPoP", vec![key.proof(&world, "4", &[("htu", json!("https://edge.test/hr/mcp"))])]),
        ("DPoP", vec![key.proof(&world, "5", &[("htu", json!("https://edge.test/oauth/token"))])]),
        ("DPoP", vec![key.proof(&world, "6", &[("ath", json!("x"))])]),
        ("DPoP", vec![key.proof(&world, "7", &[("iat", json!(1))])]),
    ] {
        let answer = send(&world, Sent { scheme, proofs: &proofs, ..BEARER }).await;
        let said = challenge(&answer);
        assert_eq!(answer.status, 401, "{scheme} {proofs:?}");
        assert!(
            said.starts_with("DPoP error=") && said.contains("algs=\"") && said.contains("resource_metadata")
        );
    }
    assert_eq!(world.sent(), 0);
    // Nothing of this used the good one up.
    let proofs = [good];
    assert_eq!(send(&world, Sent { scheme: "DPoP", proofs: &proofs, ..BEARER }).await.status, 200);
    // It is good once, also a while later.
    world.clock.advance(Duration::from_secs(60));
    let replayed = send(&world, Sent { scheme: "DPoP", proofs: &proofs, ..BEARER }).await;
    assert_eq!((replayed.status.as_u16(), world.sent()), (401, 1));
    assert!(challenge(&replayed).contains("invalid_dpop_proof"));
}

#[tokio::test]
async fn a_user_with_too_many_proofs_is_told_to_wait_and_not_that_the_token_is_bad() {
    let world = World::new().await;
    let (key, other) = (Key::new(), Key::new());
    bind(&world, key.confirmation()).await;
    let now = world.clock.now();
    let expected = Expected { method: "POST", url: URL, access_token: None, key: None, now };
    // The user's share, whichever key is used.
    let ana = sha256(&[b"ana"]);
    for n in 0..limits::DPOP_PROOFS_EACH {
        let proven = dpop::verify(&other.proof(&world, &n.to_string(), &[]), &expected).unwrap();
        world.edge.proofs.take(&proven, ana, now).unwrap();
    }
    let proofs = [key.proof(&world, "1", &[])];
    let busy = send(&world, Sent { scheme: "DPoP", proofs: &proofs, ..BEARER }).await;
    assert_eq!((busy.status.as_u16(), challenge(&busy), world.sent()), (503, String::new(), 0));
    assert!(busy.headers.contains_key("retry-after"));
    world.clock.advance(limits::DPOP_AGE + limits::SIGNED_ASSERTION_SKEW);
    let proofs = [key.proof(&world, "2", &[])];
    assert_eq!(send(&world, Sent { scheme: "DPoP", proofs: &proofs, ..BEARER }).await.status, 200);
}

#[tokio::test]
async fn a_token_of_no_key_is_for_bearer_alone() {
    let world = World::new().await;
    let proofs = [Key::new().proof(&world, "1", &[])];
    assert_eq!(send(&world, Sent { scheme: "DPoP", proofs: &proofs, ..BEARER }).await.status, 401);
    for scheme in ["Basic", "Token", "DPoP2", "Bearer,DPoP"] {
        assert_eq!(send(&world, Sent { scheme, ..BEARER }).await.status, 401, "{scheme}");
    }
    assert_eq!(send(&world, BEARER).await.status, 200);
}

#[tokio::test]
async fn a_certificate_bound_token_works_through_its_own_connection_only() {
    let world = World::new().await;
    let (mine, other) = (
        Arc::new(ClientCertificate::new(vec![1], None, Vec::new())),
        Arc::new(ClientCertificate::new(vec![2], Some("openai".into()), Vec::new())),
    );
    bind(&world, Confirmation::Certificate(mine.thumbprint)).await;
    for certificate in [None, Some(&other)] {
        assert_eq!(send(&world, Sent { certificate, ..BEARER }).await.status, 401);
    }
    assert_eq!(send(&world, Sent { scheme: "DPoP", certificate: Some(&mine), ..BEARER }).await.status, 401);
    assert_eq!(world.sent(), 0);
    assert_eq!(send(&world, Sent { certificate: Some(&mine), ..BEARER }).await.status, 200);
}

#[tokio::test]
async fn a_policy_can_demand_a_verified_client_certificate() {
    let demanding = r#"
        forbid (principal, action == Action::"sales/look", resource)
        unless { context has client_certificate && context.client_certificate.dns_names.contains("mtls.prod.connectors.openai.com") };
    "#;
    let world = World::with_policy(demanding).await;
    let shown = |verified_by: Option<&str>, name: &str| {
        let verified_by = verified_by.map(str::to_owned);
        Arc::new(ClientCertificate::new(vec![7], verified_by, vec![name.to_owned()]))
    };
    let openai = "mtls.prod.connectors.openai.com";
    for refused in [None, Some(shown(None, openai)), Some(shown(Some("openai"), "evil.test"))] {
        let answer = send(&world, Sent { certificate: refused.as_ref(), ..BEARER }).await;
        assert_eq!(answer.code(), -32010, "{refused:?}");
    }
    let good = shown(Some("openai"), "MTLS.prod.connectors.openai.com");
    assert_eq!(
        send(&world, Sent { certificate: Some(&good), ..BEARER }).await.body["result"]["content"][0]["text"],
        "done"
    );
}
