//! Audit records, and the port to the ledger (law 1: no record, no call).

use crate::caller::SignIn;
use crate::digest::Digest;
use crate::id::{ClientId, CredentialName, GroupName, Id, ServerName, UserName};
use crate::server::Actor;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

/// One entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// A decision about a call, durable before the call is sent (or its answer released).
    Intent(Box<Intent>),
    /// How an admitted call ended.
    Outcome(Outcome),
    /// Anything else worth proof: sign-ins, grants, revocations, administration, reloads, starts.
    Event(Event),
}

/// Who asked for what, and what was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// When it was decided.
    pub at: Timestamp,
    /// The decision's id; the client sees it in a refusal, the upstream in the assertion.
    pub decision: Id,
    /// The result.
    pub verdict: Verdict,
    /// The server.
    pub server: ServerName,
    /// JSON-RPC method.
    pub method: String,
    /// Tool, prompt or resource.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
    /// The user.
    pub user: UserName,
    /// The OAuth client.
    pub client: ClientId,
    /// The grant.
    pub grant: Id,
    /// Digest of the exact argument bytes, keyed by the ledger so that short secrets in them cannot be guessed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub arguments_digest: Option<Digest>,
    /// The arguments as JSON text with secret-shaped values replaced by digests; absent when too long.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub arguments: Option<String>,
    /// Ids of the policies that decided.
    pub policies: Vec<String>,
    /// The policies' own words, or why the request was refused before policy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The approval that was used, or asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approval: Option<Id>,
    /// The credential and version injected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<CredentialUse>,
    /// The connection whose access token was injected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection: Option<ConnectionUse>,
    /// W3C trace id, 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace: Option<String>,
    /// What else was known of caller and request, so that the decision can be made again under other policies; absent in
    /// records of old versions, and when it is longer than [`crate::limits::RECORDED_CIRCUMSTANCE_BYTES`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub circumstances: Option<Circumstances>,
}

/// What a decision looks at besides who, what and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// The user's groups at that moment.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub groups: Vec<GroupName>,
    /// The grant's scopes.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub scopes: Vec<String>,
    /// What drives the client.
    pub actor: Actor,
    /// How and when the user signed in.
    pub sign_in: SignIn,
    /// How the client proved itself: [`crate::caller::Holding::word`].
    pub proof: String,
    /// Whether the client's connection had a certificate that a configured authority vouches for; its names are not kept.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub certificate: bool,
    /// Where the connection came from.
    pub source: IpAddr,
    /// The server's environment.
    pub environment: String,
    /// `legacy` or `modern`.
    pub era: String,
    /// The emergency that the caller had at this server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub emergency: Option<Id>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Admitted.
    Permit,
    /// Refused.
    Refuse,
    /// Refused until a human approves it.
    ApprovalNeeded,
}

/// A credential version that went upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CredentialUse {
    /// Its name.
    pub name: CredentialName,
    /// Its version, from 1.
    pub version: u32,
}

impl fmt::Display for CredentialUse {
    /// `NAME:VERSION`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.version)
    }
}

/// A connection whose access token went upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionUse {
    /// Such as `connection:notion/ana`; see [`crate::document::Connection::identity`].
    pub identity: String,
    /// Which set of tokens, from 1.
    pub generation: u64,
}

/// How an admitted call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// When its last byte was passed on, or it broke.
    pub at: Timestamp,
    /// The decision that admitted it.
    pub decision: Id,
    /// What happened.
    pub end: End,
    /// HTTP status of the upstream's answer, when there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// Bytes of the answer passed to the client.
    pub bytes: u64,
    /// Microseconds from decision to end.
    pub micros: u64,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The whole answer was passed on.
    Done,
    /// The upstream could not be reached; nothing was sent.
    Unreachable,
    /// The upstream's answer broke off, or the connection did.
    Broken,
    /// No answer in time.
    TimedOut,
    /// The answer was longer than the server's bound.
    TooLarge,
    /// The client went away.
    Cancelled,
    /// The grant was revoked while the answer streamed.
    Revoked,
    /// The answer could not be inspected, so it was withheld.
    Withheld,
}

/// Anything else worth proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who did it: a user's name, `admin` for the local administrator, `portunus` for itself.
    pub by: String,
    /// What, as `noun.verb`: `grant.created`, `user.signed_in`, `credential.added` …
    pub action: String,
    /// On what.
    pub subject: String,
    /// More, without secrets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub detail: BTreeMap<String, String>,
}

/// Where records go. Appending never blocks; the receipt resolves when the record is durable.
pub trait Ledger: Send + Sync {
    /// Queues a record behind all earlier ones.
    fn append(&self, record: Record) -> Receipt;
    /// Queues a record that nobody waits for, such as an outcome: it becomes durable with the next one that somebody does
    /// wait for, or shortly after.
    fn append_later(&self, record: Record) {
        drop(self.append(record));
    }
}

/// Resolves to the record's sequence number once it is durable.
#[derive(Debug)]
pub struct Receipt(futures_channel::oneshot::Receiver<Result<u64, LedgerError>>);

/// The writer's half of a [`Receipt`].
pub type ReceiptSender = futures_channel::oneshot::Sender<Result<u64, LedgerError>>;

impl Receipt {
    /// A receipt and the half that resolves it; dropping that half resolves it to [`LedgerError::Stopped`].
    #[must_use]
    pub fn pair() -> (ReceiptSender, Self) {
        let (sender, receiver) = futures_channel::oneshot::channel();
        (sender, Self(receiver))
    }
    /// A receipt that has failed already.
    #[must_use]
    pub fn failed(error: LedgerError) -> Self {
        let (sender, receipt) = Self::pair();
        // The receiver is alive: it is `receipt`.
        let _ = sender.send(Err(error));
        receipt
    }
}

impl Future for Receipt {
    type Output = Result<u64, LedgerError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|sent| sent.unwrap_or(Err(LedgerError::Stopped)))
    }
}

/// Why a record is not durable. Each of these refuses the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Too many records wait already.
    #[error("the ledger is overloaded")]
    Full,
    /// The writer has stopped.
    #[error("the ledger is closed")]
    Stopped,
    /// The record is longer than its bound.
    #[error("the record is too long")]
    TooLong,
    /// The disk refused; the text is for the operator.
    #[error("the ledger could not be written: {0}")]
    Io(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_an_old_version_is_read_and_written_as_it_was() {
        let old = r#"{"kind":"intent","at":1795000000000,"decision":"dec_01jd0000000000000000000000","verdict":"permit","server":"sales","method":"tools/call","target":"read_query","user":"ana","client":"chat","grant":"grt_01jd0000000000000000000000","policies":["readers"]}"#;
        let record: Record = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), old);
        let Record::Intent(mut intent) = record else { panic!("an intent") };
        intent.circumstances = Some(Circumstances {
            groups: vec![GroupName::parse("analysts").unwrap()],
            scopes: Vec::new(),
            actor: Actor::Assistant,
            sign_in: SignIn::new("pwd", Timestamp::from_millis(5)),
            proof: "none".to_owned(),
            certificate: false,
            source: "10.1.2.3".parse().unwrap(),
            environment: "production".to_owned(),
            era: "modern".to_owned(),
            emergency: None,
        });
        let line = serde_json::to_string(&Record::Intent(intent.clone())).unwrap();
        assert!(line.len() - old.len() < 220, "{}", line.len() - old.len());
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), Record::Intent(intent));
    }
}
