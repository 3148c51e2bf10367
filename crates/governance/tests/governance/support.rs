//! Documents to look at.

use portunus_core::document::{
    Credential, CredentialKind, RotationPlan, SealedVersion, Usage, User, VersionState,
};
use portunus_core::id::{ClientId, CredentialName, ServerName, UserName};
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use portunus_governance::{Identity, PublishedServer, Sources, inventory};
use std::time::Duration;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

pub(crate) fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

pub(crate) fn ago(count: u64) -> Timestamp {
    Timestamp::from_secs(NOW.as_secs() - count * 86_400)
}

pub(crate) fn server_name(name: &str) -> ServerName {
    ServerName::parse(name).unwrap()
}

/// A credential with nothing to say against it but that no ended secret was tried.
pub(crate) fn credential(name: &str) -> Credential {
    Credential {
        name: CredentialName::parse(name).unwrap(),
        kind: CredentialKind::Bearer,
        owner: Some("ana".to_owned()),
        purpose: "questions about sales".to_owned(),
        environment: Some("production".to_owned()),
        vendor: Some("acme".to_owned()),
        scopes: vec!["read".to_owned()],
        hosts: vec!["api.example.com".to_owned()],
        server: server_name("sales"),
        expires_at: Some(NOW.plus(days(60))),
        rotation: Some(RotationPlan {
            method: "exec".to_owned(),
            every_seconds: Some(86_400),
            settings: serde_json::Map::new(),
        }),
        versions: vec![version(1, VersionState::Active, &format!("print-of-{name}"), ago(10))],
        numbered: 0,
        tested: None,
        disabled: None,
        waiver: None,
        exposed_at: None,
        revoked_at: None,
        created_at: ago(10),
    }
}

pub(crate) fn version(number: u32, state: VersionState, fingerprint: &str, at: Timestamp) -> SealedVersion {
    SealedVersion {
        number,
        created_at: at,
        sealed: "sealed-text".to_owned(),
        fingerprint: fingerprint.to_owned(),
        state,
        account: None,
        by_hand: false,
        seen: None,
    }
}

pub(crate) fn usage(credential: &str, user: &str, tool: &str, at: Timestamp) -> Usage {
    Usage {
        identity: format!("credential:{credential}"),
        user: UserName::try_from(user.to_owned()).unwrap(),
        client: ClientId::parse("https://chat.example/client.json").unwrap(),
        server: server_name("sales"),
        tool: tool.to_owned(),
        version: 1,
        actor: Actor::Assistant,
        count: 3,
        first_at: at,
        last_at: at,
    }
}

pub(crate) fn published(name: &str, credential: Option<&str>) -> PublishedServer {
    PublishedServer {
        name: server_name(name),
        owner: "ana".to_owned(),
        environment: "production".to_owned(),
        actors: vec![Actor::Assistant],
        credential: credential.map(str::to_owned),
        upstream: "api.example.com".to_owned(),
        tools: vec!["query".to_owned(), "write".to_owned()],
    }
}

pub(crate) fn user(name: &str, disabled_at: Option<Timestamp>) -> User {
    User {
        name: UserName::parse(name).unwrap(),
        display_name: name.to_owned(),
        groups: Vec::new(),
        password_hash: None,
        one_time_password: false,
        administrator: false,
        disabled_at,
        created_at: ago(400),
        issuer: None,
    }
}

pub(crate) fn identities(credentials: Vec<Credential>, uses: Vec<Usage>) -> Vec<Identity> {
    inventory(&Sources { credentials: &credentials, uses: &uses, ..Sources::default() }, NOW)
}
