//! An upstream in memory that does as it is told, also badly.

use crate::world::Judge;
use async_trait::async_trait;
use portunus_core::document::TestOutcome;
use portunus_core::secret::Secret;
use portunus_vault::rotation::{Case, Created, Origin, Plan, Rotator, RotatorError, Verdict, Version};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub(crate) struct Upstream {
    /// By account.
    pub(crate) keys: Mutex<BTreeMap<String, String>>,
    /// What goes wrong next, by step.
    pub(crate) wrong: Mutex<BTreeMap<&'static str, VecDeque<RotatorError>>>,
    /// How often an old secret that was disabled is found alive.
    pub(crate) immortal: Mutex<u32>,
    /// What was asked.
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Upstream {
    pub(crate) fn with(account: &str, secret: &str) -> Arc<Self> {
        let upstream = Self::default();
        upstream.keys.lock().unwrap().insert(account.to_owned(), secret.to_owned());
        Arc::new(upstream)
    }
    pub(crate) fn fails(&self, step: &'static str, error: RotatorError) {
        self.wrong.lock().unwrap().entry(step).or_default().push_back(error);
    }
    fn begin(&self, step: &str, version: &Version<'_>) -> Result<(), RotatorError> {
        self.asked.lock().unwrap().push(format!("{step} {}", version.number));
        let next = self.wrong.lock().unwrap().get_mut(step).and_then(VecDeque::pop_front);
        next.map_or(Ok(()), Err)
    }
    fn works_here(&self, secret: Option<&Secret<Vec<u8>>>) -> bool {
        let text = secret.map(|secret| String::from_utf8(secret.expose().clone()).unwrap());
        text.is_some_and(|text| self.keys.lock().unwrap().values().any(|key| *key == text))
    }
}

#[async_trait]
impl Judge for Upstream {
    async fn works(&self, _account: Option<&str>, secret: &str) -> bool {
        self.keys.lock().unwrap().values().any(|key| key == secret)
    }
    async fn live(&self) -> usize {
        self.keys.lock().unwrap().len()
    }
}

/// The account of versions that nobody named.
pub(crate) const BY_HAND: &str = "by hand";

fn account(version: &Version<'_>) -> String {
    version.account.unwrap_or(BY_HAND).to_owned()
}

#[async_trait]
impl Rotator for Upstream {
    fn plan(&self, case: &Case<'_>) -> Result<Plan, String> {
        match case.text("secret") {
            Some("ours") => Ok(Plan { origin: Origin::Ours, account: Some(case.id.to_owned()) }),
            Some("theirs") => Ok(Plan { origin: Origin::Theirs, account: None }),
            _ => Err(String::from("settings.secret must be `ours` or `theirs`")),
        }
    }
    async fn create(&self, case: &Case<'_>, new: &Version<'_>) -> Result<Created, RotatorError> {
        self.begin("create", new)?;
        let mut keys = self.keys.lock().unwrap();
        let known: Vec<_> = case.known.iter().map(|one| one.account.as_deref().unwrap_or(BY_HAND)).collect();
        keys.retain(|account, _| known.contains(&account.as_str()));
        if let Some(secret) = new.secret {
            keys.insert(account(new), String::from_utf8(secret.expose().clone()).unwrap());
            return Ok(Created::default());
        }
        let account = format!("{}-{}", case.id, self.asked.lock().unwrap().len());
        let secret = format!("made-{account}-{}", keys.len());
        keys.insert(account.clone(), secret.clone());
        let secret = Some(Secret::new(secret.into_bytes()));
        Ok(Created {
            secret,
            account: Some(account.clone()),
            handle: Some(format!("lease of {account}")),
            lapses_at: None,
        })
    }
    async fn verify(&self, _case: &Case<'_>, new: &Version<'_>) -> Result<(), RotatorError> {
        self.begin("verify", new)?;
        if self.works_here(new.secret) {
            Ok(())
        } else {
            Err(RotatorError::Wrong("it does not work".to_owned()))
        }
    }
    async fn disable(&self, _case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        self.begin("disable", old)?;
        self.keys.lock().unwrap().remove(&account(old));
        Ok(())
    }
    async fn verify_dead(&self, _case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError> {
        self.begin("verify_dead", old)?;
        let mut immortal = self.immortal.lock().unwrap();
        let outcome = if *immortal > 0 || self.works_here(old.secret) {
            *immortal = immortal.saturating_sub(1);
            TestOutcome::Alive
        } else {
            TestOutcome::Dead
        };
        Ok(Verdict { outcome, detail: format!("asked the upstream: {}", outcome.word()) })
    }
    async fn delete(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        self.begin("delete", old)?;
        let known: Vec<_> = case.known.iter().map(|one| one.account.as_deref().unwrap_or(BY_HAND)).collect();
        self.keys.lock().unwrap().retain(|account, _| known.contains(&account.as_str()));
        Ok(())
    }
}
