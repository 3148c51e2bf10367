//! Access keys of an IAM user in AWS: a user may have two, so the new one is made beside the old one. The user must be this
//! credential's alone: a key of it that no version knows is one that an interrupted attempt left, and is deleted.
//!
//! A key is only ever used to sign requests (Signature Version 4); neither the administrator's nor the user's is sent.

mod query;

use crate::http::{Http, address};
use async_trait::async_trait;
use portunus_core::document::TestOutcome;
use portunus_core::secret::Secret;
use portunus_vault::rotation::{Case, Created, Origin, Plan, Rotator, RotatorError, Verdict, Version};
use portunus_vault::service::sigv4::AccessKeys;
use query::{Api, Said, ask, values};

/// Changes access keys.
pub struct Aws {
    http: Http,
}

const IAM: &str = "https://iam.amazonaws.com";
const STS: &str = "https://sts.amazonaws.com";
const REGION: &str = "us-east-1";

/// Where, and whose keys.
struct Settings<'a> {
    iam: Api<'a>,
    sts: Api<'a>,
    user: &'a str,
}

impl<'a> Settings<'a> {
    fn read(case: &'a Case<'_>) -> Result<Self, String> {
        let region = case.text("region").unwrap_or(REGION);
        let fits = |text: &str, more: &[u8]| {
            (1..=128).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
        };
        if !fits(region, b"-") {
            return Err(String::from("settings.region is not valid"));
        }
        let user = case.text("user").filter(|user| fits(user, b"_+=,.@-"));
        let user = user.ok_or("settings.user must name the IAM user whose keys are changed")?;
        let api = |key: &str, usual: &str, service: &'static str| {
            let (url, host) = address(case.text(key).unwrap_or(usual))?;
            if url.path() != "/" || url.query().is_some() {
                return Err(format!("settings.{key} must have no path and no query"));
            }
            Ok(Api { url, host, region, service })
        };
        Ok(Self { iam: api("iam", IAM, "iam")?, sts: api("sts", STS, "sts")?, user })
    }

    fn administrator(&self, case: &Case<'_>) -> Result<AccessKeys, RotatorError> {
        let missing = || {
            RotatorError::Wrong(String::from(
                "settings.admin must name a credential of the kind `rotator` whose account is an access key's id",
            ))
        };
        let (id, secret) = case.administrator.ok_or_else(missing)?.for_host(&self.iam.host)?;
        keys(id, secret)
    }
}

fn keys(id: &str, secret: &Secret<Vec<u8>>) -> Result<AccessKeys, RotatorError> {
    let text = std::str::from_utf8(secret.expose());
    let text = text.map_err(|_| RotatorError::Wrong(String::from("an access key's secret is text")))?;
    Ok(AccessKeys { id: id.to_owned(), secret: Secret::new(text.to_owned()), session_token: None })
}

/// The id of a version's key; the first one's is in the settings, since whoever added it could not say it.
fn id_of<'a>(case: &'a Case<'_>, version: &Version<'a>) -> Option<&'a str> {
    version.account.or_else(|| case.text("access_key_id"))
}

impl Aws {
    /// Over this client.
    #[must_use]
    pub fn new(http: Http) -> Self {
        Self { http }
    }

    async fn iam(
        &self,
        case: &Case<'_>,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Said, RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        let keys = settings.administrator(case)?;
        let mut all = vec![("UserName", settings.user)];
        all.extend(parameters);
        ask(&self.http, &settings.iam, &keys, action, &all, case.now).await
    }

    /// The user's keys and whether each is active.
    async fn list(&self, case: &Case<'_>) -> Result<Vec<(String, bool)>, RotatorError> {
        let body = self.iam(case, "ListAccessKeys", &[]).await?.accepted("listing the keys")?;
        let (ids, states) = (values(&body, "AccessKeyId"), values(&body, "Status"));
        Ok(ids.into_iter().zip(states.into_iter().map(|state| state == "Active")).collect())
    }

    async fn remove(&self, case: &Case<'_>, id: &str) -> Result<(), RotatorError> {
        self.iam(case, "DeleteAccessKey", &[("AccessKeyId", id)]).await?.done_or_gone("deleting the key")
    }

    /// Deletes what no version knows. Not while it is uncertain which key a version holds: it could be the one to be deleted.
    async fn sweep(&self, case: &Case<'_>, besides: u32) -> Result<(), RotatorError> {
        let versions = case.known.iter().filter(|known| known.version != besides);
        let (named, unnamed): (Vec<_>, Vec<_>) = versions.partition(|known| known.account.is_some());
        let mut known: Vec<_> = named.iter().filter_map(|known| known.account.as_deref()).collect();
        match (unnamed.as_slice(), case.text("access_key_id"), case.in_use) {
            ([], ..) => {}
            // What the settings say is true if the two fit together.
            ([_], Some(first), Some(secret)) => {
                if self.try_key(case, first, secret).await?.accepted("trying the key in use").is_err() {
                    return Ok(());
                }
                known.push(first);
            }
            _ => return Ok(()),
        }
        for (id, _) in self.list(case).await? {
            if !known.contains(&id.as_str()) {
                tracing::info!(
                    credential = case.credential.name.as_str(),
                    id,
                    "a key that nobody knows is deleted"
                );
                self.remove(case, &id).await?;
            }
        }
        Ok(())
    }

    /// What the upstream says to a request that is signed with this key.
    async fn try_key(
        &self,
        case: &Case<'_>,
        id: &str,
        secret: &Secret<Vec<u8>>,
    ) -> Result<Said, RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        ask(&self.http, &settings.sts, &keys(id, secret)?, "GetCallerIdentity", &[], case.now).await
    }
}

#[async_trait]
impl Rotator for Aws {
    fn plan(&self, case: &Case<'_>) -> Result<Plan, String> {
        let settings = Settings::read(case)?;
        settings.administrator(case).map_err(|error| error.to_string())?;
        let known = case.credential.in_use().is_some_and(|version| version.account.is_some());
        if !known && case.text("access_key_id").is_none() {
            return Err(String::from("settings.access_key_id must say which key the credential holds now"));
        }
        Ok(Plan { origin: Origin::Theirs, account: None })
    }

    async fn create(&self, case: &Case<'_>, new: &Version<'_>) -> Result<Created, RotatorError> {
        self.sweep(case, new.number).await?;
        let body = self.iam(case, "CreateAccessKey", &[]).await?.accepted("making a key")?;
        let one = |name| values(&body, name).into_iter().next();
        Ok(Created {
            secret: one("SecretAccessKey").map(|secret| Secret::new(secret.into_bytes())),
            account: one("AccessKeyId"),
            ..Created::default()
        })
    }

    async fn verify(&self, case: &Case<'_>, new: &Version<'_>) -> Result<(), RotatorError> {
        let (Some(id), Some(secret)) = (new.account, new.secret) else {
            return Err(RotatorError::Wrong(String::from("there is no new key to try")));
        };
        // A new key is not known everywhere at once: a refusal is no end.
        match self.try_key(case, id, secret).await?.accepted("trying the new key") {
            Ok(_) => Ok(()),
            Err(RotatorError::Wrong(why) | RotatorError::Later(why)) => Err(RotatorError::Later(why)),
        }
    }

    /// Makes the key inactive. One that is inactive already and still taken is deleted.
    async fn disable(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        let Some(id) = id_of(case, old) else { return Ok(()) };
        match self.list(case).await?.into_iter().find(|(known, _)| known == id) {
            None => Ok(()),
            Some((_, false)) => self.remove(case, id).await,
            Some((_, true)) => {
                let parameters = [("AccessKeyId", id), ("Status", "Inactive")];
                self.iam(case, "UpdateAccessKey", &parameters).await?.done_or_gone("making the key inactive")
            }
        }
    }

    async fn verify_dead(&self, case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError> {
        let (Some(id), Some(secret)) = (id_of(case, old), old.secret) else {
            let detail = String::from("the old key is gone");
            return Ok(Verdict { outcome: TestOutcome::Unverifiable, detail });
        };
        let said = self.try_key(case, id, secret).await?;
        if said.is_refusal_of_the_key() {
            let detail = format!("a request signed with {id} is refused: {}", said.code());
            return Ok(Verdict { outcome: TestOutcome::Dead, detail });
        }
        said.accepted("trying the old key")?;
        let detail = format!("a request signed with {id} is taken");
        Ok(Verdict { outcome: TestOutcome::Alive, detail })
    }

    async fn delete(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        match id_of(case, old) {
            Some(id) => self.remove(case, id).await,
            None => Ok(()),
        }
    }

    async fn undo(
        &self,
        case: &Case<'_>,
        new: &Version<'_>,
        _old: &Version<'_>,
    ) -> Result<Option<String>, RotatorError> {
        if let Some(id) = new.account {
            self.remove(case, id).await?;
        }
        self.sweep(case, new.number).await?;
        Ok(None)
    }
}
