//! Consent: who may bring an answer back, and which answer counts.

use crate::world::{ISSUER, UPSTREAM, World, ana, bea, form, notes, parameter, session, visitor};
use portunus_connections::consent::Visitor;
use portunus_connections::{Configured, ConnectError, Whose};
use portunus_core::digest::sha256;
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::store::{Kind, Store};

#[tokio::test]
async fn a_user_is_sent_out_with_pkce_resource_and_a_state_and_comes_back_connected() {
    let world = World::new();
    let url = world.connections.begin(&notes(), &visitor(&ana(), &session())).await.unwrap();
    assert!(url.as_str().starts_with(&format!("{ISSUER}/authorize?")));
    let sent = |name| parameter(&url, name).unwrap_or_else(|| panic!("no {name} in {url}"));
    assert_eq!(sent("response_type"), "code");
    assert_eq!(sent("client_id"), "registered");
    assert_eq!(sent("redirect_uri"), "https://tools.example.com/oauth/callback/notes");
    assert_eq!(sent("code_challenge_method"), "S256");
    assert_eq!(sent("resource"), UPSTREAM);
    assert_eq!(sent("scope"), "read");
    let connection =
        world.finish(&[("state", &sent("state")), ("iss", ISSUER), ("code", "the code")]).await.unwrap();
    assert_eq!((connection.generation, connection.scopes.as_slice()), (1, &["read".to_owned()][..]));
    let redeemed = &world.server.sent_to("/token")[0].form;
    assert_eq!((redeemed["code"].as_str(), redeemed["resource"].as_str()), ("the code", UPSTREAM));
    let challenge = data_encoding::BASE64URL_NOPAD.encode(&sha256(&[redeemed["code_verifier"].as_bytes()]).0);
    assert_eq!(challenge, sent("code_challenge"));
    assert_eq!(world.ledger.count("connection.connected"), 1);
}

#[tokio::test]
async fn an_answer_counts_once_in_the_session_that_began_it_for_its_own_server() {
    let world = World::new();
    let state = world.begin().await;
    let answer = form(&[("state", &state), ("iss", ISSUER), ("code", "c")]);
    let (other_session, other_server) = (sha256(&[b"another session"]), ServerName::parse("wiki").unwrap());
    // Bea was sent the address; Ana in another browser; at another redirect URI.
    for (server, user, session) in
        [(notes(), bea(), session()), (notes(), ana(), other_session), (other_server, ana(), session())]
    {
        let refused = world.connections.finish(&server, &answer, &visitor(&user, &session)).await;
        assert_eq!(refused.unwrap_err(), ConnectError::NotBegun);
    }
    assert!(world.server.sent_to("/token").is_empty(), "no code was redeemed");
    world.finish(&[("state", &state), ("iss", ISSUER), ("code", "c")]).await.unwrap();
    let again = world.finish(&[("state", &state), ("iss", ISSUER), ("code", "c")]).await;
    assert_eq!(again.unwrap_err(), ConnectError::NotBegun);
    let late = world.begin().await;
    world.clock.advance(limits::CONSENT_TTL);
    let late = world.finish(&[("state", &late), ("iss", ISSUER), ("code", "c")]).await;
    assert_eq!(late.unwrap_err(), ConnectError::NotBegun);
    let none = world.finish(&[("code", "c")]).await;
    assert_eq!(none.unwrap_err(), ConnectError::NotBegun);
}

/// Mix-up (RFC 9207): an answer that does not name the authorization server that was asked is never redeemed.
#[tokio::test]
async fn an_answer_of_another_authorization_server_is_refused_and_uses_the_attempt_up() {
    for issuer in [Some("https://evil.example"), Some("https://login.example/"), None] {
        let world = World::new();
        let state = world.begin().await;
        let mut answer = vec![("state", state.as_str()), ("code", "stolen")];
        answer.extend(issuer.map(|issuer| ("iss", issuer)));
        assert_eq!(world.finish(&answer).await.unwrap_err(), ConnectError::Foreign);
        assert!(world.server.sent_to("/token").is_empty());
        let again = world.finish(&[("state", &state), ("iss", ISSUER), ("code", "c")]).await;
        assert_eq!(again.unwrap_err(), ConnectError::NotBegun);
    }
}

#[tokio::test]
async fn a_no_loses_nothing_that_was_connected_before() {
    let world = World::new();
    let before = world.connect().await;
    let state = world.begin().await;
    let no = world.finish(&[("state", &state), ("iss", ISSUER), ("error", "access_denied")]).await;
    assert_eq!(no.unwrap_err(), ConnectError::Refused("access_denied".to_owned()));
    assert_eq!(world.stored().await, before);
    assert!(world.connections.bound(&notes(), &ana()).await.is_ok());
}

#[tokio::test]
async fn what_everybody_shares_is_an_administrators_to_connect() {
    let world = World::with(|settings| settings.whose = Whose::Shared);
    let (user, session) = (ana(), session());
    let person = visitor(&user, &session);
    assert_eq!(world.connections.begin(&notes(), &person).await.unwrap_err(), ConnectError::NotAdministrator);
    let administrator = Visitor { administrator: true, ..person };
    let url = world.connections.begin(&notes(), &administrator).await.unwrap();
    let answer = form(&[("state", &parameter(&url, "state").unwrap()), ("iss", ISSUER), ("code", "c")]);
    // Who is no administrator any more cannot finish it either.
    assert_eq!(
        world.connections.finish(&notes(), &answer, &person).await.unwrap_err(),
        ConnectError::NotAdministrator
    );
    let url = world.connections.begin(&notes(), &administrator).await.unwrap();
    let answer = form(&[("state", &parameter(&url, "state").unwrap()), ("iss", ISSUER), ("code", "c")]);
    let connection = world.connections.finish(&notes(), &answer, &administrator).await.unwrap();
    assert_eq!(connection.identity(), "connection:notes/shared");
    assert!(world.connections.bound(&notes(), &bea()).await.is_ok());
    assert_eq!(
        world.connections.disconnect(&notes(), &person).await.unwrap_err(),
        ConnectError::NotAdministrator
    );
}

#[tokio::test]
async fn one_users_connection_is_no_other_ones() {
    let world = World::new();
    world.connect().await;
    assert!(world.connections.bound(&notes(), &ana()).await.is_ok());
    assert!(world.connections.bound(&notes(), &bea()).await.is_err());
}

#[tokio::test]
async fn begun_consents_do_not_pile_up() {
    let world = World::new();
    let first = world.begin().await;
    let mut last = String::new();
    for _ in 0..limits::CONSENTS_PER_USER {
        world.clock.advance(std::time::Duration::from_secs(1));
        last = world.begin().await;
    }
    assert_eq!(world.store.count(Kind::PendingConsent).await.unwrap(), limits::CONSENTS_PER_USER as u64);
    assert!(world.finish(&[("state", &first), ("iss", ISSUER), ("code", "c")]).await.is_err());
    assert!(world.finish(&[("state", &last), ("iss", ISSUER), ("code", "c")]).await.is_ok());
    // One registration served them all.
    assert_eq!(world.server.sent_to("/register").len(), 1);
}

#[tokio::test]
async fn a_configured_client_proves_its_secret_as_the_server_wants_it() {
    let client = || Some(Configured { id: "a b".to_owned(), secret: Some(Secret::new("s:p a".to_owned())) });
    for (methods, basic) in [
        (serde_json::json!(["client_secret_basic"]), true),
        (serde_json::json!(["client_secret_post"]), false),
    ] {
        let world = World::with(|settings| settings.client = client());
        let mut metadata = crate::world::metadata();
        metadata["token_endpoint_auth_methods_supported"] = methods;
        world.server.publish(&format!("{ISSUER}/.well-known/oauth-authorization-server"), &metadata);
        world.connect().await;
        assert!(world.server.sent_to("/register").is_empty());
        let sent = &world.server.sent_to("/token")[0];
        if basic {
            let expected = data_encoding::BASE64.encode(b"a%20b:s%3Ap%20a");
            assert_eq!(sent.authorization.as_deref(), Some(format!("Basic {expected}").as_str()));
            assert!(!sent.form.contains_key("client_secret"));
        } else {
            assert_eq!(sent.form["client_secret"], "s:p a");
            assert_eq!(sent.authorization, None);
        }
    }
}

#[tokio::test]
async fn a_server_that_knows_metadata_documents_is_given_the_address_of_ours() {
    let world = World::new();
    let mut metadata = crate::world::metadata();
    metadata["client_id_metadata_document_supported"] = true.into();
    world.server.publish(&format!("{ISSUER}/.well-known/oauth-authorization-server"), &metadata);
    let url = world.connections.begin(&notes(), &visitor(&ana(), &session())).await.unwrap();
    let id = "https://tools.example.com/oauth/clients/notes";
    assert_eq!(parameter(&url, "client_id").unwrap(), id);
    assert!(world.server.sent_to("/register").is_empty());
    let document: serde_json::Value =
        serde_json::from_str(&world.connections.client_document(&notes()).unwrap()).unwrap();
    assert_eq!(document["client_id"], id);
    assert_eq!(
        document["redirect_uris"],
        serde_json::json!(["https://tools.example.com/oauth/callback/notes"])
    );
    assert_eq!(document["token_endpoint_auth_method"], "none");
}

#[tokio::test]
async fn a_browser_that_goes_away_while_its_code_is_redeemed_is_connected_all_the_same() {
    let world = World::new();
    let state = world.begin().await;
    world.hold();
    let connections = world.connections.clone();
    let answer = form(&[("state", &state), ("iss", ISSUER), ("code", "c")]);
    let ends =
        tokio::spawn(
            async move { connections.finish(&notes(), &answer, &visitor(&ana(), &session())).await },
        );
    world.until(|server| !server.sent_to("/token").is_empty()).await;
    ends.abort();
    assert!(ends.await.unwrap_err().is_cancelled());
    world.server.gate.add_permits(1);
    while world.connections.bound(&notes(), &ana()).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.store.count(Kind::PendingConsent).await.unwrap(), 0);
}

/// The code of a process that died: sent or not, its authorization server is asked once more, and whatever it gave the first
/// time ends with that (RFC 6749 section 4.1.2).
#[tokio::test]
async fn a_process_that_died_while_it_redeemed_a_code_leaves_no_tokens_that_nobody_knows() {
    for was_sent in [true, false] {
        let world = World::new();
        let state = world.begin().await;
        world.hold();
        let mortal = world.mortal();
        let answer = form(&[("state", &state), ("iss", ISSUER), ("code", "c")]);
        let again = answer.clone();
        let ends =
            tokio::spawn(async move { mortal.finish(&notes(), &answer, &visitor(&ana(), &session())).await });
        world.until(|server| !server.sent_to("/token").is_empty()).await;
        ends.abort();
        let _ = ends.await;
        // Nobody can use the answer a second time meanwhile, nor is it taken up while its process may live.
        let second = world.connections.finish(&notes(), &again, &visitor(&ana(), &session())).await;
        assert_eq!(second.unwrap_err(), ConnectError::NotBegun);
        world.server.gate.add_permits(2);
        world.connections.sweep(|_| None).await.unwrap();
        assert_eq!(world.server.sent_to("/token").len(), 1);
        world.clock.advance(limits::REFRESH_TURN);
        if was_sent {
            world.server.then(crate::world::Next::Answer(400, crate::endings::INVALID.to_owned()));
        }
        world.connections.sweep(|_| None).await.unwrap();
        let redeemed = world.server.sent_to("/token");
        assert_eq!((redeemed.len(), redeemed[1].form["code"].as_str()), (2, "c"));
        assert_eq!(world.connections.bound(&notes(), &ana()).await.is_ok(), !was_sent);
        assert_eq!(world.store.count(Kind::PendingConsent).await.unwrap(), 0);
        assert_eq!(world.ledger.count("connection.refused"), usize::from(was_sent));
    }
}

#[tokio::test]
async fn a_code_that_was_cut_off_is_not_used_again_once_its_user_has_connected_anew() {
    let world = World::new();
    let state = world.begin().await;
    world.server.then(crate::world::Next::Lost);
    assert!(world.finish(&[("state", &state), ("iss", ISSUER), ("code", "c")]).await.is_err());
    world.clock.advance(limits::REFRESH_TURN);
    world.connect().await;
    let asked = world.server.sent_to("/token").len();
    world.connections.sweep(|_| None).await.unwrap();
    assert_eq!(world.server.sent_to("/token").len(), asked);
    assert!(world.connections.bound(&notes(), &ana()).await.is_ok());
    assert_eq!(world.store.count(Kind::PendingConsent).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_with_a_key_proves_itself_with_a_statement_for_that_server_once() {
    let world = World::with(|settings| {
        settings.client = Some(Configured { id: "portunus".to_owned(), secret: None });
        settings.signs = true;
    });
    let user = ana();
    let session = session();
    let place = format!("{ISSUER}/.well-known/oauth-authorization-server");
    let refused = world.connections.begin(&notes(), &visitor(&user, &session)).await.unwrap_err();
    assert!(refused.to_string().contains("private_key_jwt"), "{refused}");
    let mut metadata = crate::world::metadata();
    metadata["token_endpoint_auth_methods_supported"] = serde_json::json!(["private_key_jwt"]);
    metadata["token_endpoint_auth_signing_alg_values_supported"] = serde_json::json!(["RS256"]);
    world.server.publish(&place, &metadata);
    assert!(world.connections.begin(&notes(), &visitor(&user, &session)).await.is_err());
    metadata["token_endpoint_auth_signing_alg_values_supported"] = serde_json::json!(["RS256", "EdDSA"]);
    world.server.publish(&place, &metadata);
    world.connect().await;
    world.server.then(crate::world::Next::Answer(400, crate::endings::INVALID.to_owned()));
    world.connections.disconnect(&notes(), &visitor(&user, &session)).await.unwrap();
    let sent = [world.server.sent_to("/token"), world.server.sent_to("/revoke")].concat();
    assert_eq!(sent.len(), 4);
    let mut used = std::collections::BTreeSet::new();
    for seen in sent {
        assert_eq!(seen.form["client_id"], "portunus");
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert_eq!((seen.form["client_assertion_type"].as_str(), seen.authorization), (kind, None));
        let claims = data_encoding::BASE64URL_NOPAD.decode(seen.form["client_assertion"].as_bytes()).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert!(claims["iss"] == "portunus" && claims["sub"] == "portunus");
        assert_eq!(claims["aud"], ISSUER);
        let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert_eq!(life, limits::CLIENT_PROOF_TTL.as_secs());
        assert!(used.insert(claims["jti"].as_str().unwrap().to_owned()), "each is for one request");
    }
}
