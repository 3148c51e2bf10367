//! `CycloneDX` 1.6: every identity as a cryptographic asset, with its dates and fingerprints.

use crate::identity::{Identity, IdentityKind, Standing};
use portunus_core::time::Timestamp;
use serde_json::{Value, json};

/// The bill of materials. `serial` is a random UUID (RFC 9562).
#[must_use]
pub fn cyclonedx(identities: &[Identity], serial: &str, version: &str, now: Timestamp) -> Value {
    let components: Vec<_> = identities.iter().map(component).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{serial}"),
        "version": 1,
        "metadata": {
            "timestamp": now.to_string(),
            "tools": { "components": [{ "type": "application", "name": "portunus", "version": version }] },
        },
        "components": components,
    })
}

fn component(identity: &Identity) -> Value {
    let mut properties = vec![
        property("kind", identity.kind.as_str()),
        property("form", &identity.form),
        property("status", identity.standing.as_str()),
        property("uses", &identity.uses.to_string()),
    ];
    let optional = [
        ("owner", identity.owner.clone()),
        ("environment", identity.environment.clone()),
        ("vendor", identity.vendor.clone()),
        ("rotation", identity.rotation.as_ref().map(|plan| plan.method.clone())),
        ("last_used", identity.last_used.as_ref().map(|used| used.at.to_string())),
        ("last_used_by", identity.last_used.as_ref().map(|used| used.user.to_string())),
        ("revocation_tested", identity.tested.as_ref().map(|tested| tested.at.to_string())),
        ("revocation_outcome", identity.tested.as_ref().map(|tested| tested.outcome.word().to_owned())),
    ];
    properties.extend(optional.iter().filter_map(|(name, value)| Some(property(name, value.as_deref()?))));
    properties.extend(identity.servers.iter().map(|server| property("server", server.as_str())));
    properties.extend(identity.upstreams.iter().map(|host| property("upstream", host)));
    properties.extend(identity.scopes.iter().map(|scope| property("scope", scope)));
    let fingerprints = identity.versions.iter().filter(|version| !version.fingerprint.is_empty());
    properties.extend(
        fingerprints
            .map(|version| property(&format!("fingerprint:{}", version.number), &version.fingerprint)),
    );
    json!({
        "type": "cryptographic-asset",
        "bom-ref": identity.id,
        "name": identity.id,
        "description": identity.purpose,
        "cryptoProperties": crypto(identity),
        "properties": properties,
    })
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": format!("portunus:{name}"), "value": value })
}

fn crypto(identity: &Identity) -> Value {
    let dates = |value: &mut Value, start: &str, end: &str| {
        if let Some(members) = value.as_object_mut() {
            members.insert(start.to_owned(), identity.created_at.to_string().into());
            if let Some(expires) = identity.expires_at {
                members.insert(end.to_owned(), expires.to_string().into());
            }
        }
    };
    if matches!(identity.kind, IdentityKind::Certificate | IdentityKind::Connector) {
        let mut properties = json!({ "subjectName": identity.id, "certificateFormat": "X.509" });
        dates(&mut properties, "notValidBefore", "notValidAfter");
        return json!({ "assetType": "certificate", "certificateProperties": properties });
    }
    let mut properties =
        json!({ "type": material(identity), "id": identity.id, "state": state(identity.standing) });
    dates(&mut properties, "creationDate", "expirationDate");
    json!({ "assetType": "related-crypto-material", "relatedCryptoMaterialProperties": properties })
}

/// One of the specification's words for what it is.
fn material(identity: &Identity) -> &'static str {
    match (identity.kind, identity.form.as_str()) {
        (IdentityKind::Key, form) if form.contains("private") || form.contains("ed25519") => "private-key",
        (IdentityKind::Key, _) => "secret-key",
        (IdentityKind::Connection | IdentityKind::JoinToken, _) | (IdentityKind::Credential, "bearer") => {
            "token"
        }
        (IdentityKind::Credential, "basic" | "postgres") => "password",
        (IdentityKind::Credential, "client_certificate") => "private-key",
        _ => "credential",
    }
}

fn state(standing: Standing) -> &'static str {
    match standing {
        Standing::Proposed => "pre-activation",
        Standing::Active | Standing::Rotating | Standing::Draining => "active",
        Standing::Disabled => "suspended",
        Standing::Expired | Standing::Retired => "deactivated",
        Standing::Revoked => "destroyed",
    }
}
