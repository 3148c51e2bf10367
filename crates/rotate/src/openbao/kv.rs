//! A secret that is kept in OpenBao's KV engine, version 2, where the upstream itself reads it. Each write states the version
//! it replaces (check-and-set): what somebody else wrote in the meantime is not written over. A version's account is its
//! number there.

use super::client::{Place, ask, is_path, path, refused};
use crate::http::Http;
use async_trait::async_trait;
use http::StatusCode;
use portunus_core::digest;
use portunus_core::document::TestOutcome;
use portunus_core::secret::Secret;
use portunus_vault::rotation::{Case, Created, Origin, Plan, Rotator, RotatorError, Verdict, Version};
use serde_json::{Map, Value, json};

/// Changes secrets in a KV engine.
pub struct Kv {
    http: Http,
}

/// What a version holds; `None`: there is none, or it was destroyed.
struct Held {
    number: u64,
    data: Option<Map<String, Value>>,
}

impl Kv {
    /// Over this client.
    #[must_use]
    pub fn new(http: Http) -> Self {
        Self { http }
    }

    async fn read(&self, case: &Case<'_>, version: Option<&str>) -> Result<Held, RotatorError> {
        let (mount, path) = places(case).map_err(RotatorError::Wrong)?;
        let query = version.map(|number| format!("?version={number}")).unwrap_or_default();
        let (status, answer) =
            ask(&self.http, case, "GET", &format!("{mount}/data/{path}{query}"), None).await?;
        let number = answer.pointer("/data/metadata/version").and_then(Value::as_u64);
        let data = answer.pointer("/data/data").and_then(Value::as_object).cloned();
        match (status, number) {
            (StatusCode::OK, Some(number)) => Ok(Held { number, data }),
            // Deleted or destroyed: its number is told all the same.
            (StatusCode::NOT_FOUND, Some(number)) => Ok(Held { number, data: None }),
            (StatusCode::NOT_FOUND, None) => Ok(Held { number: 0, data: None }),
            _ => Err(refused("reading the secret", status, &answer)),
        }
    }

    /// Writes the secret in place of version `cas`; the other fields stay as they are there.
    async fn write(
        &self,
        case: &Case<'_>,
        held: &Held,
        secret: &Secret<Vec<u8>>,
    ) -> Result<u64, RotatorError> {
        let (mount, path) = places(case).map_err(RotatorError::Wrong)?;
        let mut data = held.data.clone().unwrap_or_default();
        data.insert(field(case).to_owned(), Value::from(text(secret)?));
        let body = json!({ "options": { "cas": held.number }, "data": data });
        let (status, answer) =
            ask(&self.http, case, "POST", &format!("{mount}/data/{path}"), Some(&body)).await?;
        match (status, answer.pointer("/data/version").and_then(Value::as_u64)) {
            (StatusCode::OK, Some(number)) => Ok(number),
            _ => Err(refused("writing the secret", status, &answer)),
        }
    }

    async fn destroy(&self, case: &Case<'_>, account: &str) -> Result<(), RotatorError> {
        let (mount, path) = places(case).map_err(RotatorError::Wrong)?;
        let body = json!({ "versions": [number(account)?] });
        let place = format!("{mount}/destroy/{path}");
        let (status, answer) = ask(&self.http, case, "POST", &place, Some(&body)).await?;
        if status.is_success() { Ok(()) } else { Err(refused("destroying the old version", status, &answer)) }
    }

    fn holds(case: &Case<'_>, held: &Held, secret: &Secret<Vec<u8>>) -> bool {
        let found = held.data.as_ref().and_then(|data| data.get(field(case))).and_then(Value::as_str);
        found.is_some_and(|found| digest::equal(found.as_bytes(), secret.expose()))
    }
}

fn places<'a>(case: &'a Case<'_>) -> Result<(&'a str, &'a str), String> {
    Ok((path(case, "mount", "secret")?, path(case, "path", "crm/api-key")?))
}

fn field<'a>(case: &'a Case<'_>) -> &'a str {
    case.text("field").unwrap_or("value")
}

fn number(account: &str) -> Result<u64, RotatorError> {
    account.parse().map_err(|_| RotatorError::Wrong(String::from("the version's account is no number")))
}

fn text(secret: &Secret<Vec<u8>>) -> Result<&str, RotatorError> {
    let wrong = |_| RotatorError::Wrong(String::from("a secret that is no text cannot be kept there"));
    std::str::from_utf8(secret.expose()).map_err(wrong)
}

fn secret_of<'a>(version: &Version<'a>) -> Result<&'a Secret<Vec<u8>>, RotatorError> {
    version.secret.ok_or_else(|| RotatorError::Wrong(String::from("there is no secret to work with")))
}

#[async_trait]
impl Rotator for Kv {
    fn plan(&self, case: &Case<'_>) -> Result<Plan, String> {
        Place::read(case)?;
        places(case)?;
        if !is_path(field(case)) || field(case).contains('/') {
            return Err(String::from("settings.field must be letters, digits, `_`, `-` and `.`"));
        }
        Ok(Plan { origin: Origin::Ours, account: None })
    }

    async fn create(&self, case: &Case<'_>, new: &Version<'_>) -> Result<Created, RotatorError> {
        let secret = secret_of(new)?;
        let held = self.read(case, None).await?;
        // An earlier attempt may have written it.
        let number = if Self::holds(case, &held, secret) {
            held.number
        } else {
            let current =
                case.known.iter().find(|known| known.version != new.number && known.account.is_some());
            let ours = current.and_then(|known| known.account.as_deref()).map(number).transpose()?;
            if ours.is_some_and(|ours| ours != held.number) {
                return Err(RotatorError::Wrong(format!(
                    "somebody else has written version {}; take it over with `portunus cred add --replace` first",
                    held.number
                )));
            }
            self.write(case, &held, secret).await?
        };
        Ok(Created { account: Some(number.to_string()), ..Created::default() })
    }

    async fn verify(&self, case: &Case<'_>, new: &Version<'_>) -> Result<(), RotatorError> {
        let held = self.read(case, None).await?;
        if Self::holds(case, &held, secret_of(new)?) {
            return Ok(());
        }
        Err(RotatorError::Wrong(format!("version {} holds another secret", held.number)))
    }

    async fn disable(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        match old.account {
            Some(account) => self.destroy(case, account).await,
            // Added by hand: which version it was there is not known, but it is the one before ours, if it holds it.
            None => {
                let Some(secret) = old.secret else { return Ok(()) };
                let newest = self.read(case, None).await?.number;
                for number in (newest.saturating_sub(2)..newest).rev().filter(|number| *number > 0) {
                    let number = number.to_string();
                    if Self::holds(case, &self.read(case, Some(&number)).await?, secret) {
                        self.destroy(case, &number).await?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn verify_dead(&self, case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError> {
        let current = self.read(case, None).await?;
        let kept = match old.account {
            Some(account) => self.read(case, Some(account)).await?.data.is_some(),
            None => false,
        };
        let alive = kept || old.secret.is_some_and(|secret| Self::holds(case, &current, secret));
        Ok(if alive {
            Verdict {
                outcome: TestOutcome::Alive,
                detail: String::from("OpenBao still gives the old secret out"),
            }
        } else {
            let account = old.account.unwrap_or("before");
            let detail =
                format!("version {account} is destroyed, and {} holds another secret", current.number);
            Verdict { outcome: TestOutcome::Dead, detail }
        })
    }

    /// What was destroyed leaves only its number.
    async fn delete(&self, _case: &Case<'_>, _old: &Version<'_>) -> Result<(), RotatorError> {
        Ok(())
    }

    /// Writes the old secret again, for those who read the newest version.
    async fn undo(
        &self,
        case: &Case<'_>,
        new: &Version<'_>,
        old: &Version<'_>,
    ) -> Result<Option<String>, RotatorError> {
        let held = self.read(case, None).await?;
        let is =
            |secret: Option<&Secret<Vec<u8>>>| secret.is_some_and(|secret| Self::holds(case, &held, secret));
        let (mut newest, mut again) = (held.number, None);
        match old.secret {
            Some(secret) if is(new.secret) => {
                newest = self.write(case, &held, secret).await?;
                again = Some(newest.to_string());
            }
            // An earlier attempt did, or the new one was never written.
            _ if is(old.secret) => again = Some(newest.to_string()),
            _ => {}
        }
        // Attempts that were interrupted may have left it further back.
        for number in newest.saturating_sub(3).max(1)..=newest {
            let (number, Some(secret)) = (number.to_string(), new.secret) else { continue };
            if Self::holds(case, &self.read(case, Some(&number)).await?, secret) {
                self.destroy(case, &number).await?;
            }
        }
        Ok(again)
    }
}
