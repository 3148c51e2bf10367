//! What opens an upstream for a call: a credential of the configuration, or the caller's own (or everybody's) connection.
//! Found before the decision, opened with the permit, injected last, towards the upstream's own host only.

use crate::Edge;
use crate::connect::{self, Connect};
use crate::decide::Case;
use crate::record;
use crate::refusal::Refusal;
use http::{HeaderMap, Request, StatusCode, header};
use portunus_connections::challenge::Challenge;
use portunus_connections::{Bound as Connection, ConnectionError};
use portunus_core::dialer::{Body, Presented};
use portunus_core::record::{Event, Intent, Record};
use portunus_core::server::Upstream;
use portunus_core::time::Timestamp;
use portunus_policy::Permit;
use portunus_vault::Bound as Credential;

/// What a call takes along.
pub enum Key {
    /// A credential version.
    Credential(Credential),
    /// An access token of a connection.
    Connection(Connection),
}

impl Key {
    /// When it was made.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        match self {
            Self::Credential(bound) => bound.created_at(),
            Self::Connection(bound) => bound.created_at(),
        }
    }

    /// The credential, if it is one.
    #[must_use]
    pub const fn credential(&self) -> Option<&Credential> {
        match self {
            Self::Credential(bound) => Some(bound),
            Self::Connection(_) => None,
        }
    }

    /// The identity's id and version, as uses are counted.
    #[must_use]
    pub fn identity(&self) -> (String, u32) {
        match self {
            Self::Credential(bound) => {
                let used = bound.credential();
                (format!("credential:{}", used.name), used.version)
            }
            Self::Connection(bound) => {
                let used = bound.used();
                (used.identity.clone(), u32::try_from(used.generation).unwrap_or(u32::MAX))
            }
        }
    }

    /// Names it in the record of the call.
    pub fn note(&self, intent: &mut Intent) {
        match self {
            Self::Credential(bound) => intent.credential = Some(bound.credential().clone()),
            Self::Connection(bound) => intent.connection = Some(bound.used().clone()),
        }
    }
}

/// The key that this server's calls carry, if they need one.
///
/// # Errors
/// When it cannot be used now, or the caller must connect first.
pub async fn find(edge: &Edge, case: &Case<'_>) -> Result<Option<Key>, Refusal> {
    let server = &case.published.server;
    if edge.connections.of(&server.name).is_some() {
        return connect::bound(edge, case).await.map(|bound| bound.map(Key::Connection));
    }
    let Some(name) = &server.credential else { return Ok(None) };
    let bound = edge.vault.bound(name, server, case.now).await;
    let bound = bound.map_err(|error| Refusal::Credential { id: case.asked.id(), error })?;
    Ok(Some(Key::Credential(bound)))
}

/// Opens the key, or has the dialer open it, after a last look at where that leads.
///
/// # Errors
/// When it may not go there, or cannot be opened any more.
pub async fn present(
    edge: &Edge,
    case: &Case<'_>,
    permit: &Permit,
    key: &Key,
    request: &mut Request<Body>,
) -> Result<(), Refusal> {
    match key {
        Key::Credential(bound) => {
            let presented = credential(edge, case, permit, bound).await?;
            request.extensions_mut().insert(presented);
            Ok(())
        }
        Key::Connection(bound) => {
            let refused = |error| refusal(edge, case, error);
            let Upstream::Http(url) = &case.published.server.upstream else {
                return Err(Refusal::Internal("a connection is for a server at a URL"));
            };
            let opened = edge.connections.open(permit, bound).await.map_err(refused)?;
            opened.inject(request.headers_mut(), &authority(url)).map_err(refused)
        }
    }
}

/// The credential for this server's dialer.
async fn credential(
    edge: &Edge,
    case: &Case<'_>,
    permit: &Permit,
    bound: &Credential,
) -> Result<Presented, Refusal> {
    let refused = |error| Refusal::Credential { id: case.asked.id(), error };
    let server = &case.published.server;
    if edge.vault.is_newly_flagged(bound) {
        tracing::warn!(
            credential = bound.credential().name.as_str(),
            server = server.name.as_str(),
            "a credential goes into the URL's query, where logs on its way may keep it"
        );
    }
    let opened = edge.vault.open(permit, bound).await.map_err(refused)?;
    opened.present(server).map_err(refused)
}

/// What an upstream's refusal of a connection's token means: `Some` with another one to try once, `None` when the answer
/// is one like any other.
///
/// # Errors
/// When the caller must act: connect again, or agree to more.
pub async fn refused(
    edge: &Edge,
    case: &Case<'_>,
    bound: &Connection,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<Key>, Refusal> {
    match status {
        StatusCode::UNAUTHORIZED => {
            let renewed = edge.connections.after_refusal(bound).await;
            match renewed.map_err(|error| refusal(edge, case, error))? {
                Some(renewed) => Ok(Some(Key::Connection(renewed))),
                None => Err(still_refused(edge, case, bound)),
            }
        }
        StatusCode::FORBIDDEN => {
            let Some(scopes) = lacking_scopes(headers) else { return Ok(None) };
            let wanted = edge.connections.want(bound, &scopes).await;
            wanted.map_err(|error| refusal(edge, case, error))?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// A token that was renewed just now is not accepted either.
#[must_use]
pub fn still_refused(edge: &Edge, case: &Case<'_>, bound: &Connection) -> Refusal {
    refusal(edge, case, edge.connections.refused(bound))
}

/// Records that the call goes out once more, with another generation: nothing was done with it, for the server refused the
/// token.
///
/// # Errors
/// When it could not be recorded: it is not sent.
pub async fn record_again(edge: &Edge, permit: &Permit, key: &Key) -> Result<(), Refusal> {
    let Key::Connection(bound) = key else { return Ok(()) };
    let used = bound.used();
    let detail = [("connection", used.identity.clone()), ("generation", used.generation.to_string())];
    let event = Event {
        at: edge.clock.now(),
        by: String::from("portunus"),
        action: String::from("call.sent_again"),
        subject: permit.decision().to_string(),
        detail: detail.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    record::durable(edge.ledger.append(Record::Event(event))).await
}

/// The scopes that a server says a token lacks (RFC 6750 section 3.1).
fn lacking_scopes(headers: &HeaderMap) -> Option<Vec<String>> {
    let lines = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok());
    let challenge = Challenge::parse(&lines.collect::<Vec<_>>().join(", "))?;
    let lacks = challenge.error.as_deref() == Some("insufficient_scope") && !challenge.scope.is_empty();
    lacks.then_some(challenge.scope)
}

pub(crate) fn refusal(edge: &Edge, case: &Case<'_>, error: ConnectionError) -> Refusal {
    match error {
        ConnectionError::Needed(need) => Refusal::ConnectNeeded(Box::new(Connect::new(edge, case, *need))),
        ConnectionError::Store(error) => error.into(),
        ConnectionError::Ledger(error) => error.into(),
        error => Refusal::Connection { id: case.asked.id(), error },
    }
}

/// `host`, or `host:port` where the port is not the scheme's own.
fn authority(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
