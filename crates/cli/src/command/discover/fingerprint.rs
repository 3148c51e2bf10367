//! Names for secrets. The running edge's own, which can be compared with its registry, or, without an edge, keyed with a
//! random key of this run: equal secrets then have equal names in one run, and nothing in another.

use crate::admin::{AdminClient, AdminError};
use crate::args::Admin;
use crate::system::SystemRng;
use data_encoding::{BASE64, HEXLOWER};
use portunus_core::limits::{FINGERPRINTS, SECRET_BYTES};
use portunus_core::secret::Secret;
use portunus_core::time::Rng;
use serde_json::{Value, json};

/// Bytes of secrets in one question to the edge.
const QUESTION_BYTES: usize = 512 * 1024;

/// Where fingerprints come from.
pub(super) struct Fingerprinter {
    edge: Option<AdminClient>,
    /// Of this run.
    key: aws_lc_rs::hmac::Key,
}

/// A secret's name, and the credentials that hold it.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    pub fingerprint: String,
    pub credentials: Vec<String>,
}

impl Fingerprinter {
    /// The edge's when one answers.
    pub(super) async fn choose(admin: &Admin) -> Self {
        let client = AdminClient::new(&admin.state);
        // An edge that is too old to know fingerprints is as good as none.
        let answers = client.post("/fingerprints", &json!({ "secrets": [] })).await.is_ok();
        let mut key = [0_u8; 32];
        SystemRng.fill(&mut key);
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
        Self { edge: answers.then_some(client), key }
    }

    /// `edge` or `run`.
    pub(super) const fn source(&self) -> &'static str {
        if self.edge.is_some() { "edge" } else { "run" }
    }

    /// The names of these secrets, in order.
    pub(super) async fn name(&self, secrets: &[Secret<String>]) -> Result<Vec<Named>, AdminError> {
        let mut named: Vec<Named> = secrets.iter().map(|secret| of_run(&self.key, secret)).collect();
        let Some(client) = &self.edge else { return Ok(named) };
        // What is too long to be a credential is in no registry.
        let fits = |(_, secret): &(usize, &Secret<String>)| secret.expose().len() <= SECRET_BYTES;
        let (places, asked): (Vec<usize>, Vec<&Secret<String>>) =
            secrets.iter().enumerate().filter(fits).unzip();
        let mut answers = Vec::with_capacity(asked.len());
        let mut rest = asked.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(batch(rest));
            answers.extend(ask(client, now).await?);
            rest = later;
        }
        for (place, answer) in places.into_iter().zip(answers) {
            if let Some(slot) = named.get_mut(place) {
                *slot = answer;
            }
        }
        Ok(named)
    }
}

/// How many of them go into one question; at least one.
fn batch(secrets: &[&Secret<String>]) -> usize {
    let mut bytes = 0;
    let fits = secrets.iter().take(FINGERPRINTS).take_while(|secret| {
        bytes += secret.expose().len();
        bytes <= QUESTION_BYTES
    });
    fits.count().max(1)
}

async fn ask(client: &AdminClient, secrets: &[&Secret<String>]) -> Result<Vec<Named>, AdminError> {
    let encoded: Vec<String> =
        secrets.iter().map(|secret| BASE64.encode(secret.expose().as_bytes())).collect();
    let answer = client.post("/fingerprints", &json!({ "secrets": encoded })).await?;
    let rows = answer["fingerprints"].as_array().cloned().unwrap_or_default();
    if rows.len() != secrets.len() {
        return Err(AdminError::Broken(String::from(
            "it gave another number of fingerprints than was asked for",
        )));
    }
    let named = |row: &Value| Named {
        fingerprint: row["fingerprint"].as_str().unwrap_or_default().to_owned(),
        credentials: row["credentials"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    };
    Ok(rows.iter().map(named).collect())
}

fn of_run(key: &aws_lc_rs::hmac::Key, secret: &Secret<String>) -> Named {
    let tag = aws_lc_rs::hmac::sign(key, secret.expose().as_bytes());
    let fingerprint = HEXLOWER.encode(tag.as_ref().get(..16).unwrap_or_default());
    Named { fingerprint, credentials: Vec::new() }
}
