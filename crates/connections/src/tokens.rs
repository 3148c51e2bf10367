//! Token requests and their answers (RFC 6749 sections 4.1.3, 5 and 6; RFC 7009), and sets of tokens as they are sealed.

use crate::consent::random;
use crate::discovery::shown;
use crate::ports::{Answered, Outgoing, Sends};
use crate::settings::Settings;
use crate::{ConnectionError, Connections};
use data_encoding::BASE64;
use portunus_core::document::{ClientAuth, ClientIdentity, Connection};
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::time::Timestamp;
use portunus_vault::{Belongs, SealingError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::{Zeroize, Zeroizing};

/// A set of tokens.
#[derive(Serialize, Deserialize)]
pub struct Tokens {
    /// Goes to the server.
    pub access: String,
    /// Goes to the authorization server alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.access.zeroize();
        self.refresh.zeroize();
    }
}

/// An answer with tokens.
pub struct Granted {
    /// The tokens.
    pub tokens: Tokens,
    /// Seconds until the access token ends.
    pub expires_in: Option<u64>,
    /// What it is good for; `None`: what was asked for (section 5.1).
    pub scopes: Option<Vec<String>>,
}

/// An answer without tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The authorization server says why (section 5.2).
    #[error("the authorization server refused: {error} {description}")]
    Refused {
        /// The error code.
        error: String,
        /// Its words, cleaned.
        description: String,
    },
    /// Not the answer of a token endpoint.
    #[error("the token endpoint answered {0}, without tokens")]
    NoTokens(u16),
}

/// Who asks, and what proves it.
pub(crate) struct Asker<'a> {
    pub(crate) client: &'a ClientIdentity,
    pub(crate) secret: Option<Secret<String>>,
    /// Good for one request.
    pub(crate) statement: Option<Secret<String>>,
}

impl Connections {
    /// The client with its secret, from the configuration or as it was registered, or with a statement for one request.
    pub(crate) fn asker<'a>(
        &self,
        settings: &Settings,
        issuer: &str,
        client: &'a ClientIdentity,
    ) -> Result<Asker<'a>, SealingError> {
        let secret = match &client.sealed_secret {
            Some(sealed) => {
                let (server, client_id) = (&settings.server, client.id.as_str());
                let belongs = Belongs::ClientSecret { server, issuer, client_id };
                let plain = self.0.parts.key.open_belonging(&belongs, sealed)?;
                let text = String::from_utf8(plain.expose().clone()).map_err(|_| SealingError::Malformed)?;
                Some(Secret::new(text))
            }
            None => {
                let configured = settings.client.as_ref().filter(|configured| configured.id == client.id);
                configured.and_then(|configured| configured.secret.clone())
            }
        };
        let signs = client.auth == ClientAuth::PrivateKeyJwt;
        let statement = signs.then(|| Secret::new(self.statement(issuer, &client.id)));
        Ok(Asker { client, secret, statement })
    }

    /// What proves which client this is to this authorization server alone, once (RFC 7523 section 3).
    fn statement(&self, issuer: &str, client: &str) -> String {
        let now = self.now();
        let claims = json!({
            "iss": client,
            "sub": client,
            "aud": issuer,
            "jti": random(&*self.0.parts.rng),
            "iat": now.as_secs(),
            "exp": now.plus(limits::CLIENT_PROOF_TTL).as_secs(),
        });
        (self.0.parts.sign)(claims.to_string().as_bytes())
    }

    pub(crate) fn seal(&self, connection: &Connection, tokens: &Tokens) -> Result<String, SealingError> {
        let plain = Zeroizing::new(serde_json::to_vec(tokens).map_err(|_| SealingError::Failed)?);
        self.0.parts.key.seal_belonging(&belongs(connection), &plain, &*self.0.parts.rng)
    }

    /// The tokens of a connection; `None` when it has none any more.
    pub(crate) fn unseal(&self, connection: &Connection) -> Result<Option<Tokens>, ConnectionError> {
        let Some(sealed) = &connection.sealed else { return Ok(None) };
        let failed = |why| ConnectionError::Sealed { server: connection.server.clone(), why };
        let plain = self.0.parts.key.open_belonging(&belongs(connection), sealed).map_err(failed)?;
        serde_json::from_slice(plain.expose()).map(Some).map_err(|_| failed(SealingError::Malformed))
    }
}

fn belongs(connection: &Connection) -> Belongs<'_> {
    let Connection { server, user, issuer, generation, .. } = connection;
    Belongs::Tokens { server, user: user.as_ref(), issuer, generation: *generation }
}

/// The request that redeems a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5, RFC 8707 section 2.2).
pub(crate) fn redemption(
    settings: &Settings,
    endpoint: Url,
    asker: &Asker<'_>,
    code: &str,
    verifier: &str,
    redirect_uri: &str,
    resource: &str,
) -> Outgoing {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
        ("resource", resource),
    ];
    request(settings, endpoint, asker, &fields)
}

/// The request that renews tokens (RFC 6749 section 6).
pub(crate) fn refreshing(
    settings: &Settings,
    endpoint: Url,
    asker: &Asker<'_>,
    refresh: &str,
    resource: &str,
) -> Outgoing {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("resource", resource)];
    request(settings, endpoint, asker, &fields)
}

/// The request that revokes a token (RFC 7009 section 2.1).
pub(crate) fn revocation(
    settings: &Settings,
    endpoint: Url,
    asker: &Asker<'_>,
    token: &str,
    hint: &str,
) -> Outgoing {
    request(settings, endpoint, asker, &[("token", token), ("token_type_hint", hint)])
}

fn request(settings: &Settings, url: Url, asker: &Asker<'_>, fields: &[(&str, &str)]) -> Outgoing {
    let mut form = Serializer::new(String::new());
    form.extend_pairs(fields);
    let secret = asker.secret.as_ref().map_or("", |secret| secret.expose());
    let mut authorization = None;
    match asker.client.auth {
        ClientAuth::None => {
            form.append_pair("client_id", &asker.client.id);
        }
        ClientAuth::Post => {
            form.append_pair("client_id", &asker.client.id).append_pair("client_secret", secret);
        }
        ClientAuth::PrivateKeyJwt => {
            let statement = asker.statement.as_ref().map_or("", |statement| statement.expose());
            form.append_pair("client_id", &asker.client.id)
                .append_pair(
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                )
                .append_pair("client_assertion", statement);
        }
        ClientAuth::Basic => {
            // Both are form-encoded first (RFC 6749 section 2.3.1). A space as `%20`, not `+`: every decoder reads that.
            let encoded =
                |text: &str| byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
            let pair = Secret::new(format!("{}:{}", encoded(&asker.client.id), encoded(secret)));
            authorization = Some(Secret::new(format!("Basic {}", BASE64.encode(pair.expose().as_bytes()))));
        }
    }
    let named = settings.names(&url);
    Outgoing { url, named, authorization, sends: Sends::Form(Secret::new(form.finish())) }
}

/// Reads the answer of a token endpoint.
///
/// # Errors
/// See [`TokenError`].
pub fn read(answered: &Answered) -> Result<Granted, TokenError> {
    #[derive(Deserialize)]
    struct Body {
        access_token: Option<String>,
        token_type: Option<String>,
        expires_in: Option<serde_json::Number>,
        refresh_token: Option<String>,
        scope: Option<String>,
        error: Option<String>,
        error_description: Option<String>,
    }
    let bad = || TokenError::NoTokens(answered.status);
    let body: Body = serde_json::from_slice(&answered.body).map_err(|_| bad())?;
    if let Some(error) = body.error.filter(|_| answered.status != 200) {
        let description = shown(&body.error_description.unwrap_or_default());
        return Err(TokenError::Refused { error: shown(&error), description });
    }
    let visible = |token: &String| {
        (1..=limits::FOREIGN_ACCESS_BYTES).contains(&token.len())
            && token.bytes().all(|b| b.is_ascii_graphic())
    };
    let access = body.access_token.filter(|_| answered.status == 200).ok_or_else(bad)?;
    let tokens = Tokens { access, refresh: body.refresh_token };
    // Any other type would need a proof that nobody here makes (section 7.1).
    let is_bearer = body.token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !is_bearer || !visible(&tokens.access) || !tokens.refresh.as_ref().is_none_or(visible) {
        return Err(bad());
    }
    let expires_in = body.expires_in.and_then(|number| {
        // Some write it as a fraction.
        number.as_u64().or_else(|| number.as_f64().filter(|n| (0.0..1e12).contains(n)).map(|n| n as u64))
    });
    let scopes = body.scope.map(|scope| {
        let scopes = scope.split(' ').filter(|scope| !scope.is_empty() && scope.len() <= limits::SCOPE_BYTES);
        scopes.take(limits::CREDENTIAL_SCOPES).map(str::to_owned).collect()
    });
    Ok(Granted { tokens, expires_in, scopes })
}

/// When the access token of an answer ends.
#[must_use]
pub fn end(granted: &Granted, now: Timestamp) -> Option<Timestamp> {
    granted.expires_in.map(|secs| now.plus(std::time::Duration::from_secs(secs)))
}

/// The URL of an endpoint as it was stored.
pub(crate) fn stored(settings: &Settings, server: &ServerName, text: &str) -> Result<Url, ConnectionError> {
    settings.usable(text).ok_or_else(|| ConnectionError::Unavailable {
        server: server.clone(),
        why: "its authorization server is no longer one that may be used; connect again".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Result<Granted, TokenError> {
        read(&Answered { status, challenge: None, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn tokens_are_taken_from_an_answer_that_has_them_and_is_good() {
        let good =
            answered(200, r#"{"access_token":"a","token_type":"bearer","expires_in":60.0,"scope":"x y"}"#)
                .ok()
                .unwrap();
        assert_eq!((good.tokens.access.as_str(), good.expires_in), ("a", Some(60)));
        assert_eq!(good.scopes.as_deref(), Some(&["x".to_owned(), "y".to_owned()][..]));
        for (status, body) in [
            (200, r#"{"access_token":"a"}"#),
            (200, r#"{"access_token":"a","token_type":"DPoP"}"#),
            (200, r#"{"access_token":"a\nb","token_type":"Bearer"}"#),
            (200, r#"{"access_token":"","token_type":"Bearer"}"#),
            (200, r#"{"access_token":"a","token_type":"Bearer","refresh_token":"r r"}"#),
            (201, r#"{"access_token":"a","token_type":"Bearer"}"#),
            (200, r#"{"error":"invalid_grant"}"#),
            (502, "<html>"),
        ] {
            assert!(
                matches!(answered(status, body), Err(TokenError::NoTokens(found)) if found == status),
                "{body}"
            );
        }
        let refused =
            answered(400, r#"{"error":"invalid_grant","error_description":"gone\u202e"}"#).err().unwrap();
        assert_eq!(
            refused,
            TokenError::Refused { error: "invalid_grant".into(), description: "gone".into() }
        );
    }
}
