//! Evidence packs: a directory for auditors with the identities, reviews and records of a period, and the ledger's proof of all
//! of it. The edge composes one, and notes the digest of its manifest in the ledger before it hands it out; whoever has this
//! binary checks it, without an edge, a network or a secret.
//!
//! | module | holds |
//! |---|---|
//! | [`compose`] | the edge's side: documents, digests, the proof |
//! | [`write`] | a pack as files |
//! | [`verify`](mod@verify) | the offline check, which names what is wrong |
//! | [`records`] | records against the ledger's tree |
//!
//! What a changed file is found by: documents by their digests in the manifest; the manifest by its digest in the record
//! `evidence.exported`; that record and all others by the ledger's tree; the tree by a signed checkpoint.

pub(crate) mod compose;
mod records;
pub(crate) mod verify;
pub(crate) mod write;

use portunus_core::digest::Digest;
use portunus_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names this form of packs.
const FORMAT: &str = "portunus-evidence/1";
/// The action of the record that has the manifest's digest for its subject.
const EXPORTED: &str = "evidence.exported";

const MANIFEST: &str = "manifest.json";
const PROOF: &str = "proof.json";
/// The lines of the ledger, as they stand in it.
const RECORDS: &str = "records.jsonl";
/// The hash of each of those lines as a leaf of the ledger's tree, so that a changed one can be named.
const HASHES: &str = "records.sha256";
/// The same records as OCSF events.
const EVENTS: &str = "records.ocsf.jsonl";
/// Reviews, and the public keys that their verdicts are signed with.
const REVIEWS: &str = "reviews.json";
const KEYS: &str = "keys.json";
/// Every file that the manifest names, in order.
const FILES: [&str; 11] = [
    "README.txt",
    "emergencies.json",
    "findings.csv",
    "identities.cdx.json",
    "identities.csv",
    "identities.ocsf.json",
    KEYS,
    RECORDS,
    EVENTS,
    HASHES,
    REVIEWS,
];

/// What a pack holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: String,
    /// The edge's URL.
    edge: String,
    /// The version of Portunus that made it.
    version: String,
    made_at: String,
    since: String,
    before: String,
    /// The first record, and one past the last.
    records: (u64, u64),
    files: BTreeMap<String, FileDigest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDigest {
    sha256: Digest,
    bytes: u64,
}

/// What the ledger says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    /// The public key of the ledger (C2SP vkey). Compare it with one that was kept elsewhere.
    vkey: String,
    /// A signed note (C2SP tlog-checkpoint) over the records of the pack and the one about the pack.
    checkpoint: String,
    /// Roots of the subtrees before and after the records; see [`portunus_ledger::merkle::Range`].
    before: Vec<Digest>,
    after: Vec<Digest>,
    /// The record about the pack, its place, and the proof that it is there (RFC 9162 section 2.1.3).
    exported: Exported,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exported {
    line: String,
    seq: u64,
    inclusion: Vec<Digest>,
}

impl Proof {
    /// Its one text: other bytes would be bytes that nothing proves.
    fn text(&self) -> String {
        // Texts and numbers: writing them cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// From when until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Period {
    pub since: Timestamp,
    pub before: Timestamp,
}

/// A pack on its way from the edge, without the records, which are fetched piece by piece.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pack {
    pub manifest: String,
    pub proof: String,
    /// By name of the file.
    pub documents: BTreeMap<String, String>,
}

/// A digest that grows.
struct Hasher {
    context: aws_lc_rs::digest::Context,
    bytes: u64,
}

impl Hasher {
    fn new() -> Self {
        Self { context: aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256), bytes: 0 }
    }
    fn add(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }
    fn finish(self) -> FileDigest {
        let mut sha256 = [0; 32];
        for (to, from) in sha256.iter_mut().zip(self.context.finish().as_ref()) {
            *to = *from;
        }
        FileDigest { sha256: Digest(sha256), bytes: self.bytes }
    }
}

/// What a record's line gives in the files beside [`RECORDS`]: its hash, and its event if it is one.
fn beside(line: &[u8], version: &str) -> (String, Option<String>) {
    let hash = portunus_ledger::merkle::leaf_hash(line).hex() + "\n";
    let entry = portunus_ledger::entry::parse(line).ok();
    let event =
        entry.and_then(|entry| portunus_governance::evidence::ocsf(entry.seq, &entry.record, version));
    (hash, event.map(|event| event.to_string() + "\n"))
}
