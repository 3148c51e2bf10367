//! How a connector becomes one, stays one and stops being one: join tokens, enrolment, renewal, revocation.

use crate::authority::{AuthorityError, LinkAuthority, ProvenKey};
use crate::wire::{
    ENROL_PATH, EnrolReply, EnrolRequest, GatewayInfo, Problem, ProblemCode, RENEW_PATH, RenewRequest,
    renewal_message,
};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use portunus_core::document::{Connector, JoinToken};
use portunus_core::id::{self, Id, ServerName};
use portunus_core::limits;
use portunus_core::record::{Event, Ledger, LedgerError, Record};
use portunus_core::secret::Secret;
use portunus_core::store::{self, Batch, Store, StoreError, Versioned};
use portunus_core::time::{Rng, Timestamp};
use portunus_core::token::{self, TokenKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Where connectors enrol and renew.
pub struct Desk {
    /// Connectors and join tokens.
    pub store: Arc<dyn Store>,
    /// Every enrolment is recorded before it counts.
    pub ledger: Arc<dyn Ledger>,
    /// Signs the certificates.
    pub authority: Arc<LinkAuthority>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// What connectors are told about the edge.
    pub gateway: GatewayInfo,
    /// Life of a certificate; [`limits::CONNECTOR_CERT_TTL`] outside tests.
    pub certificate_life: Duration,
}

/// Why an enrolment, a renewal or an administrative step was refused. Each message says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The request is not the JSON it should be.
    #[error("the request is not valid: {0}")]
    Malformed(String),
    /// No such token, or a typing error in it.
    #[error("this join token is not known here: check that it was copied whole, or ask for a new one")]
    TokenUnknown,
    /// Used before: somebody, perhaps a thief, has enrolled with it.
    #[error(
        "this join token was used already: ask for a new one, and if it was not you who used it, have that connector revoked"
    )]
    TokenUsed,
    /// Past its life.
    #[error("this join token expired at {0}: ask for a new one")]
    TokenExpired(Timestamp),
    /// For another server.
    #[error("this join token is for the server `{0}`: connect with that name, or ask for a token for yours")]
    WrongServer(ServerName),
    /// The bound is reached.
    #[error("the server `{server}` has {bound} connectors already: revoke those that are gone", bound = limits::CONNECTORS_PER_SERVER)]
    TooMany {
        /// The server.
        server: ServerName,
    },
    /// The signing request was refused.
    #[error("{0}")]
    Csr(String),
    /// No such connector.
    #[error("this connector is not known here: remove its state directory and enrol with a new join token")]
    Unknown,
    /// Revoked.
    #[error(
        "this connector was revoked at {0}: if that was a mistake, remove its state directory and enrol with a new join token"
    )]
    Revoked(Timestamp),
    /// Another key, or not its signature.
    #[error(
        "the renewal is not signed by the key that enrolled: remove the state directory and enrol with a new join token"
    )]
    KeyRefused,
    /// The clocks differ.
    #[error("this machine's clock differs from the edge's by {0} s: set it right")]
    ClockSkew(u64),
    /// Away too long.
    #[error("this connector was away since {0}: remove its state directory and enrol with a new join token")]
    Dormant(Timestamp),
    /// The store failed or somebody else was first.
    #[error("the edge could not do it now ({0}): try again")]
    Store(#[from] StoreError),
    /// No record, no connector.
    #[error("the edge could not record it ({0}): try again")]
    Ledger(#[from] LedgerError),
    /// The authority failed.
    #[error("the edge could not sign the certificate: try again")]
    Authority(#[source] AuthorityError),
}

impl Desk {
    /// Answers a POST to [`ENROL_PATH`] or [`RENEW_PATH`] whose body was read whole; `None` for any other path.
    pub async fn answer(&self, path: &str, body: &[u8], now: Timestamp) -> Option<http::Response<Bytes>> {
        let result = match path {
            ENROL_PATH => match parse(body) {
                Ok(request) => self.enrol(request, now).await,
                Err(error) => Err(error),
            },
            RENEW_PATH => match parse(body) {
                Ok(request) => self.renew(request, now).await,
                Err(error) => Err(error),
            },
            _ => return None,
        };
        Some(match result {
            Ok(reply) => json(http::StatusCode::OK, &reply),
            Err(error) => {
                tracing::warn!(path, code = ?error.problem().code, %error, "a connector was refused");
                json(error.status(), &error.problem())
            }
        })
    }

    /// Turns a join token and a proven key into a connector.
    ///
    /// # Errors
    /// See [`EnrolError`]. The token stays unused unless a connector was made.
    pub async fn enrol(&self, request: EnrolRequest, now: Timestamp) -> Result<EnrolReply, EnrolError> {
        // The token first: a stranger without one costs a look-up, not a signature check.
        let token = self.usable_token(&request, now).await?;
        let key =
            ProvenKey::from_csr(&request.csr_pem).map_err(|error| EnrolError::Csr(error.to_string()))?;
        let server = token.value.server.clone();
        let connectors = store::list_all::<Connector>(&*self.store, Some(server.as_str())).await?;
        if connectors.iter().filter(|found| found.value.revoked_at.is_none()).count()
            >= limits::CONNECTORS_PER_SERVER
        {
            return Err(EnrolError::TooMany { server });
        }
        let connector = Connector {
            id: id::mint("con", now, &*self.rng),
            server,
            key_digest: key.digest(),
            owner: token.value.issued_by.clone(),
            enrolled_at: now,
            renewed_at: now,
            revoked_at: None,
        };
        let reply = self.certify(&key, &connector, now)?;
        let record = |action| {
            let detail = [("server", connector.server.to_string()), ("key", connector.key_digest.hex())];
            event(&connector.owner, action, connector.id.as_str(), &detail, now)
        };
        self.ledger.append(record("connector.enrolled")).await?;
        let spent = JoinToken { used_at: Some(now), ..token.value };
        match self.store.commit(Batch::new().update(&spent, token.version).insert(&connector)).await {
            Ok(_) => Ok(reply),
            Err(error) => {
                self.ledger.append(record("connector.enrolment_failed")).await?;
                // Whoever was first has used the token up.
                Err(if matches!(error, StoreError::Conflict { .. }) {
                    EnrolError::TokenUsed
                } else {
                    error.into()
                })
            }
        }
    }

    /// Gives a known, unrevoked connector a new certificate for the same key. The connector is authenticated by that
    /// key alone, so one that slept through its certificate's end can come back, within [`limits::CONNECTOR_DORMANCY`].
    ///
    /// # Errors
    /// See [`EnrolError`].
    pub async fn renew(&self, request: RenewRequest, now: Timestamp) -> Result<EnrolReply, EnrolError> {
        let key =
            ProvenKey::from_csr(&request.csr_pem).map_err(|error| EnrolError::Csr(error.to_string()))?;
        let found = store::load::<Connector>(&*self.store, request.connector.as_str()).await?;
        let Versioned { value: connector, version } = found.ok_or(EnrolError::Unknown)?;
        let message = renewal_message(&request.connector, request.at, &request.csr_pem);
        let signature = BASE64URL_NOPAD.decode(request.signature.as_bytes()).unwrap_or_default();
        if key.digest() != connector.key_digest || !key.verifies(&message, &signature) {
            return Err(EnrolError::KeyRefused);
        }
        let skew = now.since(request.at).max(request.at.since(now));
        if skew > limits::RENEWAL_SKEW {
            return Err(EnrolError::ClockSkew(skew.as_secs()));
        }
        if let Some(at) = connector.revoked_at {
            return Err(EnrolError::Revoked(at));
        }
        if now.since(connector.renewed_at) > limits::CONNECTOR_DORMANCY {
            return Err(EnrolError::Dormant(connector.renewed_at));
        }
        let reply = self.certify(&key, &connector, now)?;
        let connector = Connector { renewed_at: now, ..connector };
        let by = connector.id.to_string();
        self.ledger.append(event(&by, "connector.renewed", &by, &[], now)).await?;
        self.store.commit(Batch::new().update(&connector, version)).await?;
        Ok(reply)
    }

    async fn usable_token(
        &self,
        request: &EnrolRequest,
        now: Timestamp,
    ) -> Result<Versioned<JoinToken>, EnrolError> {
        let digest = token::digest(TokenKind::Join, request.join_token.expose());
        let digest = digest.ok_or(EnrolError::TokenUnknown)?;
        let found = store::load::<JoinToken>(&*self.store, &digest.hex()).await?;
        let token = found.ok_or(EnrolError::TokenUnknown)?;
        if token.value.used_at.is_some() {
            return Err(EnrolError::TokenUsed);
        }
        if token.value.expires_at.is_past(now) {
            return Err(EnrolError::TokenExpired(token.value.expires_at));
        }
        if token.value.server != request.server {
            return Err(EnrolError::WrongServer(token.value.server));
        }
        Ok(token)
    }

    fn certify(
        &self,
        key: &ProvenKey,
        connector: &Connector,
        now: Timestamp,
    ) -> Result<EnrolReply, EnrolError> {
        let certificate_pem = self
            .authority
            .connector_cert(key, &connector.id, &connector.server, self.certificate_life, now, &*self.rng)
            .map_err(EnrolError::Authority)?;
        Ok(EnrolReply {
            connector: connector.id.clone(),
            server: connector.server.clone(),
            certificate_pem,
            lifetime_secs: self.certificate_life.as_secs(),
            gateway: self.gateway.clone(),
        })
    }
}

/// Makes a single-use join token for a server; only its digest is kept.
///
/// # Errors
/// When the store or the ledger fails.
pub async fn join_token(
    store: &dyn Store,
    ledger: &dyn Ledger,
    server: &ServerName,
    by: &str,
    life: Duration,
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<Secret<String>, EnrolError> {
    let text = token::mint(TokenKind::Join, rng);
    let digest = token::digest(TokenKind::Join, text.expose()).ok_or(EnrolError::TokenUnknown)?;
    let document = JoinToken {
        digest,
        server: server.clone(),
        issued_by: by.to_owned(),
        used_at: None,
        expires_at: now.plus(life),
    };
    let detail = [("expires_at", document.expires_at.to_string())];
    ledger.append(event(by, "join_token.created", server.as_str(), &detail, now)).await?;
    store.commit(Batch::new().insert(&document)).await?;
    Ok(text)
}

/// Revokes a connector, once that is recorded. When this returns, its links on this node take no call any more.
///
/// # Errors
/// When there is no such connector, or the store or the ledger fails.
pub async fn revoke(
    store: &dyn Store,
    ledger: &dyn Ledger,
    connector: &Id,
    by: &str,
    now: Timestamp,
) -> Result<(), EnrolError> {
    let mut recorded = false;
    loop {
        let found = store::load::<Connector>(store, connector.as_str()).await?;
        let Versioned { value, version } = found.ok_or(EnrolError::Unknown)?;
        if value.revoked_at.is_some() {
            return Ok(());
        }
        if !std::mem::replace(&mut recorded, true) {
            ledger.append(event(by, "connector.revoked", connector.as_str(), &[], now)).await?;
        }
        let revoked = Connector { revoked_at: Some(now), ..value };
        match store.commit(Batch::new().update(&revoked, version)).await {
            // A renewal came between; it must not win.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

impl EnrolError {
    /// The answer's status.
    #[must_use]
    pub fn status(&self) -> http::StatusCode {
        use http::StatusCode;
        match self {
            Self::Malformed(_) | Self::Csr(_) => StatusCode::BAD_REQUEST,
            Self::Store(_) | Self::Ledger(_) | Self::Authority(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::FORBIDDEN,
        }
    }
    /// The answer's body. What went wrong inside the edge stays there.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::Malformed(_) => ProblemCode::BadRequest,
            Self::TokenUnknown => ProblemCode::JoinTokenUnknown,
            Self::TokenUsed => ProblemCode::JoinTokenUsed,
            Self::TokenExpired(_) => ProblemCode::JoinTokenExpired,
            Self::WrongServer(_) => ProblemCode::WrongServer,
            Self::TooMany { .. } => ProblemCode::TooManyConnectors,
            Self::Csr(_) => ProblemCode::CsrRefused,
            Self::Unknown => ProblemCode::ConnectorUnknown,
            Self::Revoked(_) => ProblemCode::ConnectorRevoked,
            Self::KeyRefused => ProblemCode::KeyRefused,
            Self::ClockSkew(_) => ProblemCode::ClockSkew,
            Self::Dormant(_) => ProblemCode::Dormant,
            Self::Store(_) | Self::Ledger(_) | Self::Authority(_) => ProblemCode::Unavailable,
        };
        let message = match code {
            ProblemCode::Unavailable => "the edge cannot do this now: try again".to_owned(),
            _ => self.to_string(),
        };
        Problem { code, message }
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, EnrolError> {
    if body.len() > limits::ENROL_BYTES {
        return Err(EnrolError::Malformed(format!("it is longer than {} bytes", limits::ENROL_BYTES)));
    }
    // Only the place, never the text: a join token may stand in it.
    serde_json::from_slice(body).map_err(|error| {
        EnrolError::Malformed(format!("unexpected JSON at line {}, column {}", error.line(), error.column()))
    })
}

fn json<T: serde::Serialize>(status: http::StatusCode, value: &T) -> http::Response<Bytes> {
    // Plain structs with text keys serialise; were one not to, the empty body is refused by the connector.
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = http::Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

fn event(by: &str, action: &str, subject: &str, detail: &[(&str, String)], at: Timestamp) -> Record {
    Record::Event(Event {
        at,
        by: by.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: detail
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect::<BTreeMap<_, _>>(),
    })
}
