//! Checks a pack offline: nothing in it is trusted but signatures by the ledger's key. Everything that is wrong is named.

use super::records::{compare, hashes, stand_in_tree};
use super::{EVENTS, EXPORTED, FILES, FORMAT, FileDigest, HASHES, Hasher, KEYS, MANIFEST, Manifest};
use super::{PROOF, Proof, RECORDS, REVIEWS, beside};
use portunus_core::digest::{Digest, sha256};
use portunus_core::document::Review;
use portunus_core::limits::{EVIDENCE_PROOF_BYTES, EVIDENCE_RECORDS, EVIDENCE_REVIEWS_BYTES};
use portunus_core::record::Record;
use portunus_ledger::checkpoint::{Checkpoint, VerifierKey};
use portunus_ledger::entry;
use portunus_ledger::merkle::{leaf_hash, verify_inclusion};
use portunus_oauth::{jwt, keys::KeySet};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A pack without fault.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub edge: String,
    pub made_at: String,
    pub since: String,
    pub before: String,
    pub records: u64,
    /// Verdicts of reviews whose signatures fit.
    pub verdicts: usize,
    pub checkpoint_size: u64,
    pub root: Digest,
    pub vkey: String,
    /// The key came out of the pack itself, so it proves only that the pack agrees with itself.
    pub own_key: bool,
}

/// Checks the pack in `dir` with `key`, or with the one that it brings along.
///
/// # Errors
/// What is wrong, a sentence each.
pub(crate) fn verify(dir: &Path, key: Option<&VerifierKey>) -> Result<Report, Vec<String>> {
    let mut wrong = Vec::new();
    let checked = check(dir, key, &mut wrong);
    match checked {
        Ok(report) if wrong.is_empty() => Ok(report),
        Ok(_) => Err(wrong),
        Err(Stop(last)) => {
            wrong.extend(last);
            Err(wrong)
        }
    }
}

/// Nothing further can be said after this.
struct Stop(Option<String>);

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self(Some(error.to_string()))
    }
}

fn stop<T>(text: impl Into<String>) -> Result<T, Stop> {
    Err(Stop(Some(text.into())))
}

fn check(dir: &Path, key: Option<&VerifierKey>, wrong: &mut Vec<String>) -> Result<Report, Stop> {
    let text = read(dir, MANIFEST, EVIDENCE_PROOF_BYTES)?;
    let manifest: Manifest = match serde_json::from_str(&text) {
        Ok(manifest) => manifest,
        Err(error) => return stop(format!("{MANIFEST}: {error}")),
    };
    let (first, end) = manifest.records;
    if manifest.format != FORMAT || first > end || end - first > EVIDENCE_RECORDS {
        return stop(format!("{MANIFEST}: it is of a form that this version does not know"));
    }
    names(dir, &manifest, wrong)?;
    for (name, digest) in &manifest.files {
        match digest_of(&dir.join(name)) {
            Ok(found) if found == *digest => {}
            Ok(_) => wrong.push(format!("{name}: it was changed")),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    let (proof, checkpoint, vkey) = proof(dir, key, wrong)?;
    bound(&text, &proof, &checkpoint, end, wrong);
    records(dir, &manifest, &proof, &checkpoint, wrong)?;
    let verdicts = reviews(dir, &manifest, wrong)?;
    Ok(Report {
        records: end - first,
        verdicts,
        checkpoint_size: checkpoint.size,
        root: checkpoint.root,
        vkey,
        own_key: key.is_none(),
        edge: manifest.edge,
        made_at: manifest.made_at,
        since: manifest.since,
        before: manifest.before,
    })
}

/// The files that there must be, and no others.
fn names(dir: &Path, manifest: &Manifest, wrong: &mut Vec<String>) -> Result<(), Stop> {
    let listed: Vec<&str> = manifest.files.keys().map(String::as_str).collect();
    if listed != FILES {
        return stop(format!("{MANIFEST}: it does not name the files that a pack has"));
    }
    let wanted: BTreeSet<&str> = FILES.into_iter().chain([MANIFEST, PROOF]).collect();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let known = name.to_str().is_some_and(|name| wanted.contains(name));
        if !known || !entry.file_type()?.is_file() {
            wrong.push(format!("{}: it was put in; a pack has no such file", name.display()));
        }
    }
    Ok(())
}

/// The proof and the checkpoint in it, if a good key signed that.
fn proof(
    dir: &Path,
    key: Option<&VerifierKey>,
    wrong: &mut Vec<String>,
) -> Result<(Proof, Checkpoint, String), Stop> {
    let text = read(dir, PROOF, EVIDENCE_PROOF_BYTES)?;
    let proof: Proof = match serde_json::from_str(&text) {
        Ok(proof) => proof,
        Err(error) => return stop(format!("{PROOF}: {error}")),
    };
    // One signature, one text: whatever else stands there is proven by nothing.
    if proof.text() != text || proof.checkpoint.matches('\u{2014}').count() != 1 {
        wrong.push(format!("{PROOF}: it was changed"));
    }
    let own = match VerifierKey::parse(&proof.vkey) {
        Ok(own) => own,
        Err(error) => return stop(format!("{PROOF}: vkey: {error}")),
    };
    if key.is_some_and(|key| *key != own) {
        wrong.push(format!("{PROOF}: it brings another key than the one to trust: {}", proof.vkey));
    }
    match key.unwrap_or(&own).open(&proof.checkpoint) {
        Ok(checkpoint) => {
            let vkey = key.unwrap_or(&own).to_string();
            Ok((proof, checkpoint, vkey))
        }
        Err(error) => stop(format!("{PROOF}: checkpoint: {error}")),
    }
}

/// The record about the pack stands in the ledger, behind the pack's records, and has the manifest's digest.
fn bound(manifest: &str, proof: &Proof, checkpoint: &Checkpoint, end: u64, wrong: &mut Vec<String>) {
    let exported = &proof.exported;
    let leaf = leaf_hash(exported.line.as_bytes());
    let (seq, size, root) = (exported.seq, checkpoint.size, &checkpoint.root);
    if seq < end || !verify_inclusion(seq, size, leaf, &exported.inclusion, root) {
        wrong.push(format!("{PROOF}: the ledger has no such record about this pack"));
        return;
    }
    let event = match entry::parse(exported.line.as_bytes()) {
        Ok(entry::Entry { seq: claimed, record: Record::Event(event) }) if claimed == seq => event,
        _ => return wrong.push(format!("{PROOF}: record {seq} is not about a pack")),
    };
    if event.action != EXPORTED || event.subject != sha256(&[manifest.as_bytes()]).hex() {
        wrong.push(format!("{MANIFEST}: it was changed: record {seq} of the ledger has another digest"));
    }
}

fn records(
    dir: &Path,
    manifest: &Manifest,
    proof: &Proof,
    checkpoint: &Checkpoint,
    wrong: &mut Vec<String>,
) -> Result<(), Stop> {
    let (first, _) = manifest.records;
    let known = match hashes(&dir.join(HASHES), manifest.records) {
        Ok(Ok(known)) => known,
        Ok(Err(why)) => return stop(why),
        // It was named already.
        Err(_) => return Err(Stop(None)),
    };
    if !stand_in_tree(&known, first, proof, checkpoint) {
        wrong.push(format!("{HASHES}: these are not the records that the ledger has at that place"));
    }
    let path = dir.join(RECORDS);
    // Another version may tell the same of a record in other words; its digest is checked in any case.
    let comparable = manifest.version == env!("CARGO_PKG_VERSION");
    let mut events = Hasher::new();
    let each = |line: &[u8]| {
        if comparable {
            events.add(beside(line, &manifest.version).1.unwrap_or_default().as_bytes());
        }
    };
    let named = compare(&path, first, &known, each);
    let whole = matches!(&named, Ok(named) if named.is_empty());
    wrong.extend(named.unwrap_or_default());
    if comparable && whole && manifest.files.get(EVENTS) != Some(&events.finish()) {
        wrong.push(format!("{EVENTS}: it does not tell what the records say"));
    }
    Ok(())
}

/// Each verdict says what was signed; how many there are.
fn reviews(dir: &Path, manifest: &Manifest, wrong: &mut Vec<String>) -> Result<usize, Stop> {
    let (Ok(reviews), Ok(keys)) =
        (read(dir, REVIEWS, EVIDENCE_REVIEWS_BYTES), read(dir, KEYS, EVIDENCE_PROOF_BYTES))
    else {
        // It was named already.
        return Err(Stop(None));
    };
    let reviews: Vec<Review> = match serde_json::from_str(&reviews) {
        Ok(reviews) => reviews,
        Err(error) => return stop(format!("{REVIEWS}: {error}")),
    };
    let keys = match KeySet::parse(keys.as_bytes()) {
        Ok(keys) => keys,
        Err(error) => return stop(format!("{KEYS}: {error}")),
    };
    let mut verdicts = 0;
    for review in &reviews {
        let Some(verdict) = &review.verdict else { continue };
        let said = json!({
            "iss": manifest.edge, "iat": verdict.at.as_secs(), "jti": review.id, "campaign": review.campaign,
            "identity": review.identity, "owner": review.owner, "reviewer": verdict.by, "keep": verdict.keep,
            "why": verdict.why,
        });
        match signed(&verdict.signed, &keys, &said) {
            Ok(()) => verdicts += 1,
            Err(why) => wrong.push(format!("{REVIEWS}: {}: {why}", review.id)),
        }
    }
    Ok(verdicts)
}

fn signed(text: &str, keys: &KeySet, said: &Value) -> Result<(), String> {
    let token = jwt::read(text).and_then(|token| token.verify(keys));
    let token = token.map_err(|error| error.to_string())?;
    let of_kind = token.typ.as_deref() == Some("portunus-review+jwt");
    let same = said.as_object().is_some_and(|members| {
        members.iter().all(|(name, value)| token.claims.get(name).unwrap_or(&Value::Null) == value)
    });
    if of_kind && same { Ok(()) } else { Err(String::from("this is not what was signed")) }
}

fn digest_of(path: &Path) -> io::Result<FileDigest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        hasher.add(buffer.get(..read).unwrap_or_default());
    }
}

/// A file that has no more than so many bytes.
fn read(dir: &Path, name: &str, longest: usize) -> Result<String, Stop> {
    let mut text = String::new();
    let named = |error: io::Error| Stop(Some(format!("{name}: {error}")));
    let file = File::open(dir.join(name)).map_err(named)?;
    file.take(longest as u64 + 1).read_to_string(&mut text).map_err(named)?;
    if text.len() > longest { stop(format!("{name}: it is longer than {longest} bytes")) } else { Ok(text) }
}
