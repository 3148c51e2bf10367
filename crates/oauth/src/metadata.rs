//! The discovery documents: RFC 9728 for each server, RFC 8414 and OpenID Connect Discovery 1.0 for the issuer.

use crate::config::{Issuer, OFFLINE_SCOPE, SCOPE};
use crate::keys::ALGORITHMS;
use crate::registration::Dynamic;
use crate::{client_credentials, device, exchange, id_jag, jwt_bearer};
use portunus_core::server::Server;
use serde::Serialize;

/// How clients may prove themselves.
const METHODS: [&str; 4] = ["none", "private_key_jwt", "client_secret_basic", "client_secret_post"];
/// Those among them that prove something.
const CONFIDENTIAL_METHODS: [&str; 3] = ["private_key_jwt", "client_secret_basic", "client_secret_post"];

/// Where the protected resource metadata of a server is, relative to the issuer: its resource's path behind the
/// well-known prefix (RFC 9728 section 3.1).
#[must_use]
pub fn protected_resource_path(server: &Server) -> String {
    format!("/.well-known/oauth-protected-resource/{}/mcp", server.name)
}

/// The value of `WWW-Authenticate` that sends a client to the metadata of a server (RFC 9728 section 5.1). `error` is
/// `invalid_token` or `insufficient_scope` (RFC 6750 section 3.1), absent when the request had no token at all.
#[must_use]
pub fn challenge(issuer: &Issuer, server: &Server, error: Option<&str>) -> String {
    let metadata = issuer.endpoint(&protected_resource_path(server));
    let error = error.map(|code| format!("error=\"{code}\", ")).unwrap_or_default();
    format!("Bearer {error}resource_metadata=\"{metadata}\", scope=\"{SCOPE}\"")
}

/// The protected resource metadata of a server (RFC 9728 section 2).
#[must_use]
pub fn protected_resource<'a>(issuer: &'a Issuer, server: &'a Server) -> ProtectedResource<'a> {
    ProtectedResource {
        resource: issuer.resource(&server.name),
        authorization_servers: [issuer.as_str()],
        scopes_supported: std::iter::once(SCOPE).chain(server.scopes.keys().map(String::as_str)).collect(),
        bearer_methods_supported: ["header"],
        dpop_signing_alg_values_supported: ALGORITHMS,
        tls_client_certificate_bound_access_tokens: true,
        resource_name: &server.title,
    }
}

/// The issuer's metadata (RFC 8414 section 2), which is its OpenID Connect discovery document too: the two are the same
/// bytes, so no client can see two different issuers.
#[must_use]
pub fn authorization_server(issuer: &Issuer) -> AuthorizationServer<'_> {
    AuthorizationServer {
        issuer: issuer.as_str(),
        authorization_endpoint: issuer.endpoint("/oauth/authorize"),
        token_endpoint: issuer.endpoint("/oauth/token"),
        registration_endpoint: (issuer.registration().dynamic != Dynamic::Off)
            .then(|| issuer.endpoint("/oauth/register")),
        device_authorization_endpoint: issuer.endpoint("/oauth/device_authorization"),
        revocation_endpoint: issuer.endpoint("/oauth/revoke"),
        introspection_endpoint: issuer.endpoint("/oauth/introspect"),
        jwks_uri: issuer.endpoint("/oauth/jwks"),
        scopes_supported: [SCOPE, OFFLINE_SCOPE],
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        grant_types_supported: [
            "authorization_code",
            "refresh_token",
            client_credentials::GRANT_TYPE,
            device::GRANT_TYPE,
            jwt_bearer::GRANT_TYPE,
            exchange::GRANT_TYPE,
        ],
        dpop_signing_alg_values_supported: ALGORITHMS,
        tls_client_certificate_bound_access_tokens: true,
        authorization_grant_profiles_supported: [id_jag::PROFILE],
        token_endpoint_auth_methods_supported: METHODS,
        token_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
        revocation_endpoint_auth_methods_supported: METHODS,
        revocation_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
        introspection_endpoint_auth_methods_supported: CONFIDENTIAL_METHODS,
        introspection_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
        code_challenge_methods_supported: ["S256"],
        client_id_metadata_document_supported: true,
        authorization_response_iss_parameter_supported: true,
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: ["EdDSA"],
    }
}

/// See [`protected_resource`].
#[derive(Debug, Serialize)]
pub struct ProtectedResource<'a> {
    resource: String,
    authorization_servers: [&'a str; 1],
    scopes_supported: Vec<&'a str>,
    bearer_methods_supported: [&'static str; 1],
    dpop_signing_alg_values_supported: [&'static str; 4],
    tls_client_certificate_bound_access_tokens: bool,
    resource_name: &'a str,
}

/// See [`authorization_server`].
#[derive(Debug, Serialize)]
pub struct AuthorizationServer<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    device_authorization_endpoint: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    jwks_uri: String,
    scopes_supported: [&'static str; 2],
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 6],
    dpop_signing_alg_values_supported: [&'static str; 4],
    tls_client_certificate_bound_access_tokens: bool,
    authorization_grant_profiles_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 4],
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 4],
    revocation_endpoint_auth_methods_supported: [&'static str; 4],
    revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 4],
    introspection_endpoint_auth_methods_supported: [&'static str; 3],
    introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 4],
    code_challenge_methods_supported: [&'static str; 1],
    client_id_metadata_document_supported: bool,
    authorization_response_iss_parameter_supported: bool,
    // Required by OpenID Connect Discovery; no ID tokens are issued, and no request can ask for one.
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: [&'static str; 1],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::issuer;

    #[test]
    fn the_issuer_metadata_says_exactly_this() {
        let json = serde_json::to_value(authorization_server(&issuer())).unwrap();
        let expected = serde_json::json!({
            "issuer": "https://tools.example.com",
            "authorization_endpoint": "https://tools.example.com/oauth/authorize",
            "token_endpoint": "https://tools.example.com/oauth/token",
            "registration_endpoint": "https://tools.example.com/oauth/register",
            "device_authorization_endpoint": "https://tools.example.com/oauth/device_authorization",
            "revocation_endpoint": "https://tools.example.com/oauth/revoke",
            "introspection_endpoint": "https://tools.example.com/oauth/introspect",
            "jwks_uri": "https://tools.example.com/oauth/jwks",
            "scopes_supported": ["mcp", "offline_access"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": [
                "authorization_code",
                "refresh_token",
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:device_code",
                "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ],
            "dpop_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
            "tls_client_certificate_bound_access_tokens": true,
            "authorization_grant_profiles_supported": ["urn:ietf:params:oauth:grant-profile:id-jag"],
            "token_endpoint_auth_methods_supported":
                ["none", "private_key_jwt", "client_secret_basic", "client_secret_post"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
            "revocation_endpoint_auth_methods_supported":
                ["none", "private_key_jwt", "client_secret_basic", "client_secret_post"],
            "revocation_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
            "introspection_endpoint_auth_methods_supported":
                ["private_key_jwt", "client_secret_basic", "client_secret_post"],
            "introspection_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
            "code_challenge_methods_supported": ["S256"],
            "client_id_metadata_document_supported": true,
            "authorization_response_iss_parameter_supported": true,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_server_metadata_names_its_exact_resource_and_one_issuer() {
        let issuer = issuer();
        let server = &issuer.servers()[0];
        let json = serde_json::to_value(protected_resource(&issuer, server)).unwrap();
        assert_eq!(json["resource"], "https://tools.example.com/sales/mcp");
        assert_eq!(json["authorization_servers"], serde_json::json!(["https://tools.example.com"]));
        // MCP: `offline_access` is the authorization server's business, never listed by a resource.
        assert_eq!(json["scopes_supported"], serde_json::json!(["mcp", "rows:write"]));
        assert_eq!(
            challenge(&issuer, server, Some("invalid_token")),
            "Bearer error=\"invalid_token\", resource_metadata=\"https://tools.example.com/.well-known/\
             oauth-protected-resource/sales/mcp\", scope=\"mcp\""
        );
    }
}
