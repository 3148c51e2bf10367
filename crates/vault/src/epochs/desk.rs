//! The steps: the first start, a new epoch, the end of a former one.

use super::{Epoch, EpochError, Provider, Source};
use crate::key::{Kek, KeyError, Readers};
use crate::rewrap::{self, Census, Progress};
use crate::ring::SealingKey;
use crate::sealing::SealingError;
use portunus_core::document::{Credential, Setting};
use portunus_core::limits::{KEY_EPOCHS, REWRAP_SETTLE};
use portunus_core::record::{Event, Ledger, LedgerError, Record};
use portunus_core::secret::Secret;
use portunus_core::store::{Batch, Query, Store, StoreError, list, load};
use portunus_core::time::{Clock, Rng, Timestamp};
use std::collections::BTreeMap;
use std::path::Path;

/// The setting that holds the list.
const EPOCHS: &str = "sealing-epochs";
/// The sealed setting with the key that names secrets.
const FINGERPRINT_KEY: &str = "fingerprint-key";

/// What the steps here need.
pub struct Desk<'a> {
    /// Where the list and all that is sealed are.
    pub store: &'a dyn Store,
    /// Where changes are recorded.
    pub ledger: &'a dyn Ledger,
    /// What the configuration says.
    pub provider: &'a Provider,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub rng: &'a dyn Rng,
}

/// The sealing key, and what there is to say about it.
pub struct Opened {
    /// All epochs that are needed.
    pub key: SealingKey,
    /// Whether a change of key has not come to its end: [`Desk::finish`] goes on with it.
    pub unfinished: bool,
    /// The epoch that seals.
    pub current: Epoch,
    /// When the first epoch began.
    pub since: Timestamp,
    /// What the operator should know.
    pub notice: Option<String>,
}

impl Desk<'_> {
    /// The store's sealing key; the first start makes it.
    ///
    /// # Errors
    /// When a needed key cannot be had, or the store fails.
    pub async fn open(&self) -> Result<Opened, EpochError> {
        let epochs = match self.read().await? {
            Some((epochs, _)) => epochs,
            None => self.first().await?,
        };
        let needed: Vec<&Epoch> = epochs.iter().filter(|epoch| epoch.retired_at.is_none()).collect();
        let Some((current, former)) = needed.split_last() else {
            return Err(EpochError::Misconfigured(format!("`{EPOCHS}` in the store has no current epoch")));
        };
        let key = SealingKey::of(self.key_of(current).await?);
        for epoch in former {
            key.accept(self.key_of(epoch).await?);
        }
        self.open_fingerprint_key(&key).await?;
        let since = epochs.first().map_or(current.created_at, |first| first.created_at);
        let (notice, current, unfinished) = (self.notice(current), (*current).clone(), !former.is_empty());
        Ok(Opened { key, unfinished, current, since, notice })
    }

    /// Makes a new epoch the sealing key: from `file`, which is made when it is not there, or else from what the
    /// configuration says. It seals when this returns; [`Desk::finish`] does the rest.
    ///
    /// # Errors
    /// When the last change has not come to its end, there is no new key, or it could not be recorded.
    pub async fn begin(&self, key: &SealingKey, file: Option<&Path>, by: &str) -> Result<Epoch, EpochError> {
        let (mut epochs, version) = self.read().await?.ok_or_else(|| self.no_list())?;
        if epochs.iter().filter(|epoch| epoch.retired_at.is_none()).count() > 1 {
            let text = "the last change of the sealing key has not come to its end; `portunus cred rewrap --status` shows how far it is";
            return Err(EpochError::Misconfigured(text.to_owned()));
        }
        let (kek, source) = self.new_key(key, file).await?;
        let key_id = kek.id().to_string();
        if epochs.iter().any(|epoch| epoch.key_id == key_id) {
            let text = format!(
                "the key {key_id} of {} is or was the sealing key already; a new one must be new",
                source.words()
            );
            return Err(EpochError::Misconfigured(text));
        }
        let (id, now) = (kek.id(), self.clock.now());
        let number = epochs.last().map_or(0, |last| last.number).saturating_add(1);
        let before = key.current().id().to_string();
        let epoch = Epoch { number, key_id, source, created_at: now, retired_at: None };
        epochs.push(epoch.clone());
        let surplus = epochs.len().saturating_sub(KEY_EPOCHS);
        epochs.drain(..surplus);
        self.record("sealing_key.changed", &epoch, &[("from", before)], by).await?;
        // Known before anything can be sealed with it, and used only once it is in the list for good.
        key.accept(kek);
        if let Err(error) = self.store.commit(Batch::new().update(&setting(&epochs), version)).await {
            // The commit's error is what the caller must hear, whether or not this can be recorded.
            let _ = self.record("sealing_key.changed.failed", &epoch, &[], by).await;
            return Err(error.into());
        }
        key.switch(id);
        Ok(epoch)
    }

    /// Rewraps everything that a former epoch seals, retires these epochs and forgets their keys; returns how many values
    /// were rewrapped by this process. `pause` waits for that long.
    ///
    /// # Errors
    /// When the store or the ledger fails. What was done is done; it can be called again.
    pub async fn finish<P: Future<Output = ()>>(
        &self,
        key: &SealingKey,
        progress: &Progress,
        pause: impl Fn(std::time::Duration) -> P,
    ) -> Result<u64, EpochError> {
        // Twice nothing, with time between for what was sealed before the change and committed after.
        let mut quiet = 0;
        while quiet < 2 {
            match rewrap::pass(self.store, key, progress, self.rng).await? {
                0 => quiet += 1,
                _ => quiet = 0,
            }
            if quiet == 1 {
                pause(REWRAP_SETTLE).await;
            }
        }
        let rewrapped = progress.rewrapped.load(std::sync::atomic::Ordering::Relaxed);
        self.retire(rewrapped).await?;
        // A call that read its credential before the last pass may not have opened it yet.
        pause(REWRAP_SETTLE).await;
        // What is damaged can be told from what is foreign with the key alone.
        let (epochs, census) = self.status(key).await?;
        let retired = epochs.into_iter().filter(|epoch| epoch.retired_at.is_some()).map(|epoch| epoch.key_id);
        let retired: Vec<String> = retired.collect();
        let needed = census.sealed.keys().any(|id| retired.contains(&id.to_string()));
        if census.damaged == 0 && !needed {
            key.forget(&retired);
        }
        Ok(rewrapped)
    }

    async fn retire(&self, rewrapped: u64) -> Result<(), EpochError> {
        loop {
            let (mut epochs, version) = self.read().await?.ok_or_else(|| self.no_list())?;
            let Some((current, former)) = epochs.split_last_mut() else { return Err(self.no_list()) };
            if former.iter().all(|epoch| epoch.retired_at.is_some()) {
                return Ok(());
            }
            let detail = [("rewrapped", rewrapped.to_string())];
            self.record("sealing_key.rewrapped", current, &detail, "portunus").await?;
            let now = self.clock.now();
            former.iter_mut().for_each(|epoch| epoch.retired_at = epoch.retired_at.or(Some(now)));
            match self.store.commit(Batch::new().update(&setting(&epochs), version)).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The list, and what is sealed with which key at this moment.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn status(&self, key: &SealingKey) -> Result<(Vec<Epoch>, Census), EpochError> {
        let (epochs, _) = self.read().await?.ok_or_else(|| self.no_list())?;
        Ok((epochs, rewrap::census(self.store, key).await?))
    }

    async fn read(&self) -> Result<Option<(Vec<Epoch>, u64)>, EpochError> {
        let Some(found) = load::<Setting>(self.store, EPOCHS).await? else { return Ok(None) };
        let epochs = serde_json::from_str(&found.value.value)
            .map_err(|error| StoreError::Unreadable { kind: "setting", why: format!("{EPOCHS}: {error}") })?;
        Ok(Some((epochs, found.version)))
    }

    fn no_list(&self) -> EpochError {
        EpochError::Misconfigured(format!("the store has no `{EPOCHS}`; it was made when the edge started"))
    }

    /// The first epoch: of a new store, or of one from before there were epochs.
    async fn first(&self) -> Result<Vec<Epoch>, EpochError> {
        let nobody = SealingKey::of(Kek::random(self.rng));
        let sealed: Vec<_> = rewrap::census(self.store, &nobody).await?.sealed.into_keys().collect();
        let (kek, source) = match self.provider {
            // Never a fresh key for a store whose secrets are sealed with another.
            Provider::File(path) if sealed.is_empty() => {
                (Kek::load_or_create(path, self.rng)?, Source::File(path.clone()))
            }
            Provider::File(_) | Provider::Systemd { .. } => {
                self.local_key()?.ok_or_else(|| self.no_list())?
            }
            Provider::Service { .. } if sealed.is_empty() => self.service_key().await?,
            Provider::Service { .. } => {
                let text = "the store's secrets are sealed with a key file. Start once with `sealing_key: { file: … }` as before, then name the key service and run `portunus cred rewrap`";
                return Err(EpochError::Misconfigured(text.to_owned()));
            }
        };
        if let Some(other) = sealed.iter().find(|id| **id != kek.id()) {
            return Err(EpochError::Missing {
                key_id: other.to_string(),
                from: source.words(),
                why: format!("that is the key {}", kek.id()),
            });
        }
        let epochs = vec![Epoch {
            number: 1,
            key_id: kek.id().to_string(),
            source,
            created_at: self.clock.now(),
            retired_at: None,
        }];
        match self.store.commit(Batch::new().insert(&setting(&epochs))).await {
            Ok(_) => Ok(epochs),
            // Somebody else was first: theirs counts.
            Err(StoreError::Conflict { .. }) => Ok(self.read().await?.map_or(epochs, |(epochs, _)| epochs)),
            Err(error) => Err(error.into()),
        }
    }

    /// The epoch's key, from where the configuration has it, or else from where it was when it became the sealing key.
    async fn key_of(&self, epoch: &Epoch) -> Result<Kek, EpochError> {
        let missing = |why: String| EpochError::Missing {
            key_id: epoch.key_id.clone(),
            from: epoch.source.words(),
            why,
        };
        let is_it = |kek: &Kek| kek.id().to_string() == epoch.key_id;
        // A key that was moved to another file is the same key.
        if let Ok(Some((kek, _))) = self.local_key()
            && is_it(&kek)
        {
            return Ok(kek);
        }
        let kek = match (&epoch.source, self.provider) {
            (Source::File(path), _) => Kek::load(path),
            (Source::Systemd(name), Provider::Systemd { directory, .. }) => {
                systemd(directory.as_deref(), name)
            }
            (Source::Service { kind, wrapped, .. }, Provider::Service { kind: configured, service, .. })
                if kind == configured =>
            {
                return match service.unwrap(&context(&epoch.key_id), wrapped).await {
                    Ok(bytes) => Some(Kek::new(bytes))
                        .filter(is_it)
                        .ok_or_else(|| missing(String::from("the service gave another key"))),
                    Err(error) => Err(error.into()),
                };
            }
            (source, _) => {
                let text = format!(
                    "the store's secrets are sealed with a key of {}, and `sealing_key:` in portunus.yaml names something else. Give back what it named before, or change the key with `portunus cred rewrap` first",
                    source.words()
                );
                return Err(EpochError::Misconfigured(text));
            }
        };
        let kek = kek.map_err(|error| missing(error.to_string()))?;
        if is_it(&kek) { Ok(kek) } else { Err(missing(format!("that is the key {}", kek.id()))) }
    }

    /// The key that the configuration names, where that is no service.
    fn local_key(&self) -> Result<Option<(Kek, Source)>, KeyError> {
        Ok(match self.provider {
            Provider::File(path) => Some((Kek::load(path)?, Source::File(path.clone()))),
            Provider::Systemd { directory, name } => {
                Some((systemd(directory.as_deref(), name)?, Source::Systemd(name.clone())))
            }
            Provider::Service { .. } => None,
        })
    }

    /// A fresh key, wrapped by the configured service.
    async fn service_key(&self) -> Result<(Kek, Source), EpochError> {
        let Provider::Service { kind, key, service } = self.provider else { return Err(self.no_list()) };
        let kek = Kek::random(self.rng);
        let wrapped = service.wrap(&context(&kek.id().to_string()), kek.bytes()).await?;
        Ok((kek, Source::Service { kind: *kind, key: key.clone(), wrapped }))
    }

    async fn new_key(&self, key: &SealingKey, file: Option<&Path>) -> Result<(Kek, Source), EpochError> {
        if let Some(path) = file {
            return Ok((Kek::load_or_create(path, self.rng)?, Source::File(path.to_owned())));
        }
        match self.local_key()? {
            None => self.service_key().await,
            Some((kek, source)) if kek.id() == key.current().id() => {
                let text = format!(
                    "{} holds the sealing key that is in use; name a file for the new one with --new-key-file, or another `sealing_key:` in portunus.yaml",
                    source.words()
                );
                Err(EpochError::Misconfigured(text))
            }
            Some(new) => Ok(new),
        }
    }

    /// The key that names secrets: its own, so that names stay when the sealing key changes. A store with credentials from
    /// before it was kept goes on with the one that named those.
    async fn open_fingerprint_key(&self, key: &SealingKey) -> Result<(), EpochError> {
        let sealed = |error| EpochError::Sealed { name: FINGERPRINT_KEY, error };
        loop {
            if let Some(found) = load::<Setting>(self.store, FINGERPRINT_KEY).await? {
                let opened = key.open_setting(&found.value).map_err(sealed)?;
                let bytes =
                    opened.expose().as_slice().try_into().map_err(|_| sealed(SealingError::Malformed))?;
                key.name_secrets_with(Secret::new(bytes));
                return Ok(());
            }
            let query = Query { limit: 1, ..Query::default() };
            let fresh = if list::<Credential>(self.store, query).await?.is_empty() {
                Secret::new(*Kek::random(self.rng).bytes())
            } else {
                key.current().derived_fingerprint_key()
            };
            let setting = key.seal_setting(FINGERPRINT_KEY, fresh.expose(), self.rng).map_err(sealed)?;
            match self.store.commit(Batch::new().insert(&setting)).await {
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn notice(&self, current: &Epoch) -> Option<String> {
        let named = match self.provider {
            Provider::Service { kind, .. } => {
                let same = matches!(&current.source, Source::Service { kind: of, .. } if of == kind);
                return (!same).then(|| {
                    format!("the sealing key still comes from {}; `portunus cred rewrap` makes a new one at the key service", current.source.words())
                });
            }
            Provider::File(path) => Source::File(path.clone()),
            Provider::Systemd { name, .. } => Source::Systemd(name.clone()),
        };
        let same = matches!(self.local_key(), Ok(Some((kek, _))) if kek.id().to_string() == current.key_id);
        (!same).then(|| {
            format!(
                "the sealing key in use comes from {}, not from {} as portunus.yaml says; name the former there, or run `portunus cred rewrap` to change to the latter",
                current.source.words(),
                named.words()
            )
        })
    }

    async fn record(
        &self,
        action: &str,
        epoch: &Epoch,
        more: &[(&str, String)],
        by: &str,
    ) -> Result<(), LedgerError> {
        let mut detail = BTreeMap::from([
            ("epoch".to_owned(), epoch.number.to_string()),
            ("source".to_owned(), epoch.source.words()),
        ]);
        detail.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let (by, action, subject) = (by.to_owned(), action.to_owned(), epoch.key_id.clone());
        let event = Event { at: self.clock.now(), by, action, subject, detail };
        self.ledger.append(Record::Event(event)).await.map(|_| ())
    }
}

fn setting(epochs: &[Epoch]) -> Setting {
    // Plain structs with text keys: serialising them cannot fail. Were it to, the empty value is refused when it is read.
    Setting { name: EPOCHS.to_owned(), value: serde_json::to_string(epochs).unwrap_or_default() }
}

/// What a key service is told that it wraps.
fn context(key_id: &str) -> String {
    format!("portunus sealing key {key_id}")
}

fn systemd(directory: Option<&Path>, name: &str) -> Result<Kek, KeyError> {
    let directory = directory.ok_or_else(|| KeyError::NoCredentials { name: name.to_owned() })?;
    Kek::load_for(&directory.join(name), Readers::Group)
}
