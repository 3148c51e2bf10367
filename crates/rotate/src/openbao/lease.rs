//! Secrets that OpenBao makes for a while: reading a path of one of its engines gives a new secret under a lease. The path
//! must be read by nobody but this credential's rotation: any other lease below it is one that an interrupted attempt
//! left, and is revoked.

use super::client::{Place, ask, path, refused};
use crate::http::Http;
use async_trait::async_trait;
use http::StatusCode;
use portunus_core::document::TestOutcome;
use portunus_core::secret::Secret;
use portunus_vault::rotation::{Case, Created, Origin, Plan, Rotator, RotatorError, Verdict, Version};
use serde_json::{Value, json};
use std::time::Duration;

/// Shortest life of a lease that is worth having: a rotation must fit into its last third.
const SHORTEST: u64 = 60;

/// Changes leased secrets.
pub struct Leases {
    http: Http,
}

impl Leases {
    /// Over this client.
    #[must_use]
    pub fn new(http: Http) -> Self {
        Self { http }
    }

    /// Revokes, and waits until it has happened: without `sync` a revocation is only queued.
    async fn revoke(&self, case: &Case<'_>, lease: &str) -> Result<(), RotatorError> {
        let body = json!({ "lease_id": lease, "sync": true });
        let (status, answer) = ask(&self.http, case, "POST", "sys/leases/revoke", Some(&body)).await?;
        // One that is gone is what was wanted.
        let gone = status == StatusCode::BAD_REQUEST && says(&answer, "lease not found");
        if status.is_success() || gone { Ok(()) } else { Err(refused("revoking the lease", status, &answer)) }
    }

    async fn lives(&self, case: &Case<'_>, lease: &str) -> Result<bool, RotatorError> {
        let body = json!({ "lease_id": lease });
        let (status, answer) = ask(&self.http, case, "POST", "sys/leases/lookup", Some(&body)).await?;
        match status {
            StatusCode::OK => Ok(true),
            StatusCode::BAD_REQUEST if says(&answer, "invalid lease") => Ok(false),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(refused("looking the lease up", status, &answer)),
        }
    }

    /// Revokes what no version of the credential knows. Not while the secret of a version was added by hand: any lease could be
    /// its own.
    async fn sweep(&self, case: &Case<'_>, besides: u32) -> Result<(), RotatorError> {
        if case.known.iter().any(|known| known.version != besides && known.handle.is_none()) {
            return Ok(());
        }
        let path = path(case, "path", EXAMPLE).map_err(RotatorError::Wrong)?;
        let place = format!("sys/leases/lookup/{path}/");
        let (status, answer) = ask(&self.http, case, "LIST", &place, None).await?;
        let keys = match status {
            StatusCode::OK => {
                answer.pointer("/data/keys").and_then(Value::as_array).cloned().unwrap_or_default()
            }
            StatusCode::NOT_FOUND => return Ok(()),
            _ => {
                return Err(refused(
                    "listing the leases (a policy with `sudo` on the list)",
                    status,
                    &answer,
                ));
            }
        };
        for lease in keys.iter().filter_map(Value::as_str).map(|key| format!("{path}/{key}")) {
            if !case.known.iter().any(|known| known.handle.as_deref() == Some(lease.as_str())) {
                tracing::info!(
                    credential = case.credential.name.as_str(),
                    "a lease that nobody knows is revoked"
                );
                self.revoke(case, &lease).await?;
            }
        }
        Ok(())
    }
}

const EXAMPLE: &str = "database/creds/crm";

fn says(answer: &Value, words: &str) -> bool {
    let errors = answer.get("errors").and_then(Value::as_array);
    errors.into_iter().flatten().filter_map(Value::as_str).any(|error| error.contains(words))
}

fn field<'a>(case: &'a Case<'_>, key: &str, usual: &'a str) -> &'a str {
    case.text(key).unwrap_or(usual)
}

#[async_trait]
impl Rotator for Leases {
    fn plan(&self, case: &Case<'_>) -> Result<Plan, String> {
        Place::read(case)?;
        path(case, "path", EXAMPLE)?;
        Ok(Plan { origin: Origin::Theirs, account: None })
    }

    async fn create(&self, case: &Case<'_>, new: &Version<'_>) -> Result<Created, RotatorError> {
        self.sweep(case, new.number).await?;
        let path = path(case, "path", EXAMPLE).map_err(RotatorError::Wrong)?;
        let (status, answer) = ask(&self.http, case, "GET", path, None).await?;
        if status != StatusCode::OK {
            return Err(refused("asking for a secret", status, &answer));
        }
        let given = |key: &str| answer.get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
        let (secret, account) =
            (given(field(case, "field", "password")), given(field(case, "account_field", "username")));
        let lease = answer.get("lease_id").and_then(Value::as_str).filter(|lease| !lease.is_empty());
        let seconds = answer.get("lease_duration").and_then(Value::as_u64).unwrap_or_default();
        let lease = lease.ok_or_else(|| RotatorError::Wrong(format!("`{path}` gives no leases")))?;
        if seconds < SHORTEST {
            // It is not kept, so it would be swept; but it need not live until then.
            self.revoke(case, lease).await?;
            return Err(RotatorError::Wrong(format!(
                "leases of `{path}` last {seconds} s, less than {SHORTEST}"
            )));
        }
        Ok(Created {
            secret: secret.map(|secret| Secret::new(secret.as_bytes().to_vec())),
            account: account.map(str::to_owned),
            handle: Some(lease.to_owned()),
            lapses_at: Some(case.now.plus(Duration::from_secs(seconds))),
        })
    }

    async fn verify(&self, case: &Case<'_>, new: &Version<'_>) -> Result<(), RotatorError> {
        let lease =
            new.handle.ok_or_else(|| RotatorError::Wrong(String::from("the new secret has no lease")))?;
        if self.lives(case, lease).await? {
            return Ok(());
        }
        Err(RotatorError::Wrong(String::from("the new lease is not in force")))
    }

    async fn disable(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        match old.handle {
            Some(lease) => self.revoke(case, lease).await,
            None => Ok(()),
        }
    }

    async fn verify_dead(&self, case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError> {
        let Some(lease) = old.handle else {
            let detail =
                String::from("the old secret was added by hand and has no lease; end it at the upstream");
            return Ok(Verdict { outcome: TestOutcome::Unverifiable, detail });
        };
        Ok(if self.lives(case, lease).await? {
            Verdict { outcome: TestOutcome::Alive, detail: String::from("the lease is in force") }
        } else {
            Verdict { outcome: TestOutcome::Dead, detail: String::from("the lease was revoked and is gone") }
        })
    }

    async fn delete(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        self.sweep(case, old.number).await
    }
}
