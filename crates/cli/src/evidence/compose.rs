//! The edge's side of evidence packs, over the administrator's socket.

use super::{EVENTS, HASHES, RECORDS, beside};
use super::{EXPORTED, Exported, FORMAT, FileDigest, Hasher, KEYS, Manifest, Pack, Period, Proof, REVIEWS};
use crate::desk::{ADMIN, Answer, refused};
use crate::governance::Picture;
use crate::governance::desk::uuid;
use crate::node::Parts;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use portunus_core::digest::sha256;
use portunus_core::document::{Emergency, Review};
use portunus_core::limits::{EVIDENCE_PAGE_BYTES, EVIDENCE_RECORDS, EVIDENCE_SIGNED};
use portunus_core::record::{Event, Record};
use portunus_core::store::list_all;
use portunus_governance::evidence;
use portunus_ledger::layout::Hashes;
use portunus_ledger::{keys, merkle, read};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const README: &str = include_str!("README.txt");
/// Between two looks whether the checkpoint is signed.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) fn router(parts: Arc<Parts>) -> Router {
    Router::new().route("/evidence", post(pack)).route("/evidence/records", get(records)).with_state(parts)
}

/// Composes a pack: documents and digests, then the record about it, then the proof.
async fn pack(State(parts): State<Arc<Parts>>, Json(period): Json<Period>) -> Answer {
    if period.before <= period.since {
        return Err(refused("the period ends before it begins"));
    }
    let documents = documents(&parts, period).await?;
    let dir = parts.file_ledger.dir().to_owned();
    let durable = parts.file_ledger.stats().records;
    let of_period = move || -> io::Result<_> {
        let (first, end) = read::span(&dir, period.since, period.before)?;
        let span = (first, end.min(durable));
        Ok((span, digests(&dir, span)?))
    };
    let ((first, end), mut files) = blocking(of_period).await?;
    for (name, text) in &documents {
        let mut hasher = Hasher::new();
        hasher.add(text.as_bytes());
        files.insert(name.clone(), hasher.finish());
    }
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        edge: parts.edge.snapshot.load().public_url.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: parts.clock.now().to_string(),
        since: period.since.to_string(),
        before: period.before.to_string(),
        records: (first, end),
        files,
    };
    let manifest = serde_json::to_string_pretty(&manifest).map_err(|error| refused(&error))? + "\n";
    let proof = prove(&parts, &manifest, (first, end)).await?;
    Ok(Json(json!(Pack { manifest, proof, documents })))
}

/// Everything but the records.
async fn documents(
    parts: &Parts,
    period: Period,
) -> Result<BTreeMap<String, String>, (StatusCode, Json<Value>)> {
    let picture = Picture::take(parts).await.map_err(|error| refused(&error))?;
    let (now, version) = (parts.clock.now(), env!("CARGO_PKG_VERSION"));
    let all = &picture.identities;
    let events: Vec<_> = all.iter().map(|one| evidence::ocsf_identity(one, version, now)).collect();
    let reviews = list_all::<Review>(&*parts.store, None).await.map_err(|error| refused(&error))?;
    let reviews = reviews.into_iter().map(|review| review.value);
    let within = |review: &Review| review.opened_at < period.before && review.due_at >= period.since;
    let reviews: Vec<Review> = reviews.filter(within).collect();
    let emergencies = list_all::<Emergency>(&*parts.store, None).await.map_err(|error| refused(&error))?;
    let emergencies = emergencies.into_iter().map(|one| one.value);
    let within = |one: &Emergency| one.asked_at < period.before && one.asked_at >= period.since;
    let emergencies: Vec<_> = emergencies.filter(within).collect();
    let keys = portunus_web::jwks(&parts.edge.signer.public_key());
    let documents = [
        ("README.txt", README.to_owned()),
        ("identities.csv", evidence::identities_csv(all, now)),
        ("findings.csv", evidence::findings_csv(&picture.findings(parts))),
        ("identities.ocsf.json", json!(events).to_string() + "\n"),
        ("identities.cdx.json", evidence::cyclonedx(all, &uuid(parts), version, now).to_string() + "\n"),
        ("emergencies.json", json!(emergencies).to_string() + "\n"),
        (REVIEWS, json!(reviews).to_string() + "\n"),
        (KEYS, keys + "\n"),
    ];
    Ok(documents.map(|(name, text)| (name.to_owned(), text)).into())
}

/// Digests of the files that are made of records.
fn digests(dir: &Path, (first, end): (u64, u64)) -> io::Result<BTreeMap<String, FileDigest>> {
    if end - first > EVIDENCE_RECORDS {
        let text = format!(
            "there are {} records in this period, and a pack holds {EVIDENCE_RECORDS} at most; make several, each of a shorter period",
            end - first
        );
        return Err(io::Error::other(text));
    }
    let (mut records, mut hashes, mut events) = (Hasher::new(), Hasher::new(), Hasher::new());
    let mut count = 0;
    for line in read::lines(dir, first, end)? {
        let line = line?;
        let (hash, event) = beside(&line, env!("CARGO_PKG_VERSION"));
        records.add(&line);
        records.add(b"\n");
        hashes.add(hash.as_bytes());
        events.add(event.unwrap_or_default().as_bytes());
        count += 1;
    }
    if count != end - first {
        return Err(io::Error::other("records of this period are missing; run `portunus audit verify`"));
    }
    Ok([(RECORDS, records), (HASHES, hashes), (EVENTS, events)]
        .map(|(name, hasher)| (name.to_owned(), hasher.finish()))
        .into())
}

/// Records what is handed out, and proves that this and everything in it stands in the ledger.
async fn prove(parts: &Parts, manifest: &str, span: (u64, u64)) -> Result<String, (StatusCode, Json<Value>)> {
    let detail = [("first_record", span.0), ("end_record", span.1)];
    let event = Event {
        at: parts.clock.now(),
        by: ADMIN.to_owned(),
        action: EXPORTED.to_owned(),
        subject: sha256(&[manifest.as_bytes()]).hex(),
        detail: detail.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect(),
    };
    let seq = parts.ledger.append(Record::Event(event)).await.map_err(|error| refused(&error))?;
    let ledger = &parts.file_ledger;
    ledger.sign();
    let signed = async {
        while ledger.stats().signed <= seq {
            tokio::time::sleep(LOOK).await;
        }
    };
    let late = |_| refused("the ledger did not sign a checkpoint in time; see the edge's log, and try again");
    tokio::time::timeout(EVIDENCE_SIGNED, signed).await.map_err(late)?;
    let dir = ledger.dir().to_owned();
    blocking(move || proof(&dir, span, seq)).await.map(|proof| proof.text())
}

fn proof(dir: &Path, span: (u64, u64), seq: u64) -> io::Result<Proof> {
    let key = keys::verifier(dir).map_err(io::Error::other)?;
    let checkpoint = keys::checkpoint(dir)?;
    let size = key.open(&checkpoint).map_err(io::Error::other)?.size;
    let mut hashes = Hashes::open(dir)?;
    let mut node = |index| hashes.node(index);
    let merkle::Range { before, after } = merkle::range(span, size, &mut node)?;
    let inclusion = merkle::inclusion(seq, size, &mut node)?;
    let line = read::lines(dir, seq, seq + 1)?.next().transpose()?;
    let line = line.and_then(|line| String::from_utf8(line).ok());
    let line = line.ok_or_else(|| io::Error::other("the record about the pack cannot be read"))?;
    Ok(Proof {
        vkey: key.to_string(),
        checkpoint,
        before,
        after,
        exported: Exported { line, seq, inclusion },
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    first: u64,
    end: u64,
}

/// Records as they stand in the ledger, as many of them as a page holds; at least one where there is one.
async fn records(
    State(parts): State<Arc<Parts>>,
    Query(run): Query<Run>,
) -> Result<Response, (StatusCode, Json<Value>)> {
    let dir = parts.file_ledger.dir().to_owned();
    let text = blocking(move || -> io::Result<Vec<u8>> {
        let mut page = Vec::new();
        for line in read::lines(&dir, run.first, run.end)? {
            page.extend_from_slice(&line?);
            page.push(b'\n');
            if page.len() >= EVIDENCE_PAGE_BYTES {
                break;
            }
        }
        Ok(page)
    });
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], text.await?).into_response())
}

/// Reads files where that keeps nobody waiting.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, (StatusCode, Json<Value>)> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| refused(&error))?;
    done.map_err(|error| refused(&error))
}
