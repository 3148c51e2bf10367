//! The one narrow port to durable state: documents by kind and id, changed in atomic batches that state which versions
//! they were computed from. SQLite implements it for one machine, PostgreSQL for several; one conformance suite runs on both.

use crate::time::Timestamp;
use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};

/// A kind of document. The text form is what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// [`crate::document::User`]
    User,
    /// [`crate::document::Client`]
    Client,
    /// [`crate::document::Grant`]
    Grant,
    /// [`crate::document::Code`]
    Code,
    /// [`crate::document::AccessToken`]
    Access,
    /// [`crate::document::RefreshToken`]
    Refresh,
    /// [`crate::document::Session`]
    Session,
    /// [`crate::document::JoinToken`]
    Join,
    /// [`crate::document::Connector`]
    Connector,
    /// [`crate::document::Credential`]
    Credential,
    /// [`crate::document::Approval`]
    Approval,
    /// [`crate::document::Setting`]
    Setting,
    /// [`crate::document::FetchedKeys`]
    FetchedKeys,
    /// [`crate::document::UsedAssertion`]
    UsedAssertion,
    /// [`crate::document::DeviceRequest`]
    Device,
    /// [`crate::document::PendingChallenge`]
    Challenge,
    /// [`crate::document::Lease`]
    Lease,
    /// [`crate::document::Identity`]
    Identity,
    /// [`crate::document::ProviderSession`]
    ProviderSession,
    /// [`crate::document::UsedLogout`]
    UsedLogout,
    /// [`crate::document::GrantUse`]
    GrantUse,
    /// [`crate::document::Passkey`]
    Passkey,
    /// [`crate::document::UsedChallenge`]
    UsedChallenge,
    /// [`crate::document::Spelling`]
    Spelling,
    /// [`crate::document::SessionLabels`]
    Labels,
    /// [`crate::document::Tally`]
    Tally,
    /// [`crate::document::Usage`]
    Usage,
    /// [`crate::document::Review`]
    Review,
    /// [`crate::document::Rotation`]
    Rotation,
    /// [`crate::document::Connection`]
    Connection,
    /// [`crate::document::PendingConsent`]
    PendingConsent,
    /// [`crate::document::Registered`]
    Registered,
    /// [`crate::document::Observed`]
    Observed,
    /// [`crate::document::Emergency`]
    Emergency,
    /// [`crate::document::Issued`]
    Issued,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 35] = [
        Self::User,
        Self::Client,
        Self::Grant,
        Self::Code,
        Self::Access,
        Self::Refresh,
        Self::Session,
        Self::Join,
        Self::Connector,
        Self::Credential,
        Self::Approval,
        Self::Setting,
        Self::FetchedKeys,
        Self::UsedAssertion,
        Self::Device,
        Self::Challenge,
        Self::Lease,
        Self::Identity,
        Self::ProviderSession,
        Self::UsedLogout,
        Self::GrantUse,
        Self::Passkey,
        Self::UsedChallenge,
        Self::Spelling,
        Self::Labels,
        Self::Tally,
        Self::Usage,
        Self::Review,
        Self::Rotation,
        Self::Connection,
        Self::PendingConsent,
        Self::Registered,
        Self::Observed,
        Self::Emergency,
        Self::Issued,
    ];
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Client => "client",
            Self::Grant => "grant",
            Self::Code => "code",
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Session => "session",
            Self::Join => "join",
            Self::Connector => "connector",
            Self::Credential => "credential",
            Self::Approval => "approval",
            Self::Setting => "setting",
            Self::FetchedKeys => "fetched_keys",
            Self::UsedAssertion => "used_assertion",
            Self::Device => "device",
            Self::Challenge => "challenge",
            Self::Lease => "lease",
            Self::Identity => "identity",
            Self::ProviderSession => "provider_session",
            Self::UsedLogout => "used_logout",
            Self::GrantUse => "grant_use",
            Self::Passkey => "passkey",
            Self::UsedChallenge => "used_challenge",
            Self::Spelling => "spelling",
            Self::Labels => "labels",
            Self::Tally => "tally",
            Self::Usage => "usage",
            Self::Review => "review",
            Self::Rotation => "rotation",
            Self::Connection => "connection",
            Self::PendingConsent => "pending_consent",
            Self::Registered => "registered",
            Self::Observed => "observed",
            Self::Emergency => "emergency",
            Self::Issued => "issued",
        }
    }
}

/// One stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id, unique within its kind.
    pub id: String,
    /// Starts at 1 and grows by one with each change.
    pub version: u64,
    /// The id of what it belongs to, for [`Query::parent`].
    pub parent: Option<String>,
    /// After this moment it may be purged; readers must still check it themselves.
    pub expires_at: Option<Timestamp>,
    /// JSON.
    pub value: Vec<u8>,
}

/// Which documents to list, in order of id.
#[derive(Debug, Clone, Default)]
pub struct Query<'a> {
    /// Only those that belong to this parent.
    pub parent: Option<&'a str>,
    /// Only ids beyond this one (for paging).
    pub after: Option<&'a str>,
    /// In reverse order: the greatest id first, which for ids that sort by time is the newest.
    pub backwards: bool,
    /// At most so many; 0 means 1,000, and no page is longer than 1,000.
    pub limit: usize,
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No such document.
    Absent,
    /// The document at this version.
    Version(u64),
    /// Either; the last writer wins.
    Any,
}

/// One step of a batch.
#[derive(Debug, Clone)]
pub struct Write {
    /// Kind of the document.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// What must be so for the batch to succeed.
    pub expect: Expect,
    /// What to do.
    pub change: Change,
}

/// What one step does.
#[derive(Debug, Clone)]
pub enum Change {
    /// Stores this.
    Put {
        /// See [`Entry::parent`].
        parent: Option<String>,
        /// See [`Entry::expires_at`].
        expires_at: Option<Timestamp>,
        /// See [`Entry::value`].
        value: Vec<u8>,
    },
    /// Removes it.
    Delete,
    /// Changes nothing: only the expectation counts.
    Check,
}

/// Steps that happen together or not at all.
#[derive(Debug, Clone, Default)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    /// The steps, in order.
    pub writes: Vec<Write>,
}

/// A document that changed, as observers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
}

/// Called after a commit is durable and before `commit` returns, so that what a committer revoked is gone everywhere on
/// this node by the time it hears of success. Must be quick and must not call the store.
pub type Observer = Box<dyn Fn(&[Changed]) + Send + Sync>;

/// Durable state.
#[async_trait]
pub trait Store: Send + Sync {
    /// The document, if there is one.
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>, StoreError>;
    /// Documents of a kind, in order of id.
    async fn list(&self, kind: Kind, query: Query<'_>) -> Result<Vec<Entry>, StoreError>;
    /// How many documents of a kind there are.
    async fn count(&self, kind: Kind) -> Result<u64, StoreError>;
    /// Applies the batch if every expectation holds; returns the store's generation after it, durable.
    async fn commit(&self, batch: Batch) -> Result<u64, StoreError>;
    /// Removes up to `limit` documents that expired before `now`; returns how many.
    async fn purge(&self, now: Timestamp, limit: usize) -> Result<u64, StoreError>;
    /// The number of the latest commit.
    async fn generation(&self) -> Result<u64, StoreError>;
    /// Adds an observer of commits.
    fn observe(&self, observer: Observer);
}

/// Why the store did not do it. Each of these refuses whatever was asked (law 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// An expectation did not hold: somebody else was first. Nothing was changed.
    #[error("{kind} changed in the meantime")]
    Conflict {
        /// The stored name of the kind whose expectation failed.
        kind: &'static str,
    },
    /// The database failed; the text is for the operator.
    #[error("the store failed: {0}")]
    Failed(String),
    /// A stored document does not have the form this version knows.
    #[error("a stored {kind} could not be read: {why}")]
    Unreadable {
        /// The stored name of the kind.
        kind: &'static str,
        /// What the parser said.
        why: String,
    },
}

/// A type that is stored as one document.
pub trait Document: Serialize + DeserializeOwned + Send + Sync {
    /// Its kind.
    const KIND: Kind;
    /// Its id within the kind.
    fn id(&self) -> String;
    /// What it belongs to.
    fn parent(&self) -> Option<String> {
        None
    }
    /// When it may be purged.
    fn expires_at(&self) -> Option<Timestamp> {
        None
    }
}

/// A document with the version it was read at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The document.
    pub value: T,
    /// Its version.
    pub version: u64,
}

/// Reads one document.
///
/// # Errors
/// When the store fails or the document cannot be read.
pub async fn load<T: Document>(store: &dyn Store, id: &str) -> Result<Option<Versioned<T>>, StoreError> {
    store.get(T::KIND, id).await?.map(parse).transpose()
}

/// Reads a page of documents.
///
/// # Errors
/// When the store fails or a document cannot be read.
pub async fn list<T: Document>(store: &dyn Store, query: Query<'_>) -> Result<Vec<Versioned<T>>, StoreError> {
    store.list(T::KIND, query).await?.into_iter().map(parse).collect()
}

/// Reads every document of a kind (or of one parent), page by page.
///
/// # Errors
/// When the store fails or a document cannot be read.
pub async fn list_all<T: Document>(
    store: &dyn Store,
    parent: Option<&str>,
) -> Result<Vec<Versioned<T>>, StoreError> {
    let mut all: Vec<Versioned<T>> = Vec::new();
    loop {
        let after = all.last().map(|last| last.value.id());
        let page = list::<T>(store, Query { parent, after: after.as_deref(), limit: 1000, backwards: false })
            .await?;
        let done = page.len() < 1000;
        all.extend(page);
        if done {
            return Ok(all);
        }
    }
}

fn parse<T: Document>(entry: Entry) -> Result<Versioned<T>, StoreError> {
    serde_json::from_slice(&entry.value)
        .map(|value| Versioned { value, version: entry.version })
        .map_err(|error| StoreError::Unreadable { kind: T::KIND.as_str(), why: error.to_string() })
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }
    /// Adds a new document; its id must be free.
    pub fn insert<T: Document>(self, document: &T) -> Self {
        self.put(document, Expect::Absent)
    }
    /// Replaces a document that was read at `version`.
    pub fn update<T: Document>(self, document: &T, version: u64) -> Self {
        self.put(document, Expect::Version(version))
    }
    /// Stores a document over whatever is there.
    pub fn upsert<T: Document>(self, document: &T) -> Self {
        self.put(document, Expect::Any)
    }
    /// Removes a document.
    pub fn delete<T: Document>(self, id: &str, expect: Expect) -> Self {
        self.step(Write { kind: T::KIND, id: id.to_owned(), expect, change: Change::Delete })
    }
    /// Demands that a document is still at `version` without changing it.
    pub fn check<T: Document>(self, id: &str, version: u64) -> Self {
        let expect = Expect::Version(version);
        self.step(Write { kind: T::KIND, id: id.to_owned(), expect, change: Change::Check })
    }

    fn put<T: Document>(self, document: &T, expect: Expect) -> Self {
        // Documents are plain structs with text keys: serialising one into memory cannot fail. Were it to, the empty
        // value is unreadable, and so refused, wherever it is loaded.
        let value = serde_json::to_vec(document).unwrap_or_default();
        let change = Change::Put { parent: document.parent(), expires_at: document.expires_at(), value };
        self.step(Write { kind: T::KIND, id: document.id(), expect, change })
    }
    fn step(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }
}
