//! SSH user certificates from Portunus' own authority: each version is a new key and a short-lived certificate. An old one is
//! put into the authority's list for `RevokedKeys`, and a log-in with it is tried, which must be refused.
//!
//! Log-ins are tried with OpenSSH's `ssh`, which gets the key through an agent and runs nothing there. A version's handle is
//! the serial number of its certificate.

use crate::register::{Register, publish};
use crate::x509::life;
use async_trait::async_trait;
use portunus_core::document::{CredentialKind, TestOutcome};
use portunus_core::limits::{CERT_BACKDATE, ROTATION_REQUEST_TIMEOUT};
use portunus_core::secret::Secret;
use portunus_core::time::{Rng, Timestamp};
use portunus_ssh::agent::{self, Agent};
use portunus_ssh::authority::Said;
use portunus_ssh::{Identity, UserAuthority, identity};
use portunus_vault::rotation::{Case, Created, Origin, Plan, Rotator, RotatorError, Verdict, Version};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// What the authority's list is called, in the directory of what upstream servers need.
const LIST: &str = "ssh-ca.krl";
/// The same of its public key.
const KEY: &str = "ssh-ca.pub";
/// What `ssh` says once it was let in, and when it was not.
const LET_IN: &str = "Authenticated to ";
const REFUSED: &str = "Permission denied";
/// Bytes of what `ssh` says that are read.
const SAID_BYTES: u64 = 16 * 1024;

/// Changes SSH keys and their certificates.
pub struct Ssh {
    authority: Arc<UserAuthority>,
    register: Register,
    directory: PathBuf,
    rng: Arc<dyn Rng>,
}

/// The plan's settings, read.
struct Settings<'a> {
    user: &'a str,
    host: &'a str,
    port: u16,
    known_hosts: &'a str,
    life: Duration,
    source_address: Option<&'a str>,
    extensions: Vec<&'a str>,
}

impl Ssh {
    /// Of this authority. Its key and its list are written into `directory`, for upstream servers to be given.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn open(
        authority: Arc<UserAuthority>,
        register: Register,
        directory: PathBuf,
        rng: Arc<dyn Rng>,
        now: Timestamp,
    ) -> Result<Self, RotatorError> {
        let this = Self { authority, register, directory, rng };
        publish(&this.directory.join(KEY), this.authority.public_line().as_bytes())?;
        this.publish_list(now).await?;
        Ok(this)
    }

    async fn publish_list(&self, now: Timestamp) -> Result<(), RotatorError> {
        let revoked = self.register.revoked(now).await?;
        let serials: Vec<u64> = revoked.iter().filter_map(|issued| issued.serial.parse().ok()).collect();
        let list = self.authority.revocations(&serials, now.as_millis(), now);
        publish(&self.directory.join(LIST), &list)
    }

    async fn refuse(&self, serial: Option<&str>, case: &Case<'_>) -> Result<(), RotatorError> {
        if let Some(serial) = serial {
            self.register.revoke(serial, case.now).await?;
        }
        self.publish_list(case.now).await
    }

    /// Whether the server lets this identity in.
    async fn lets_in(
        &self,
        settings: &Settings<'_>,
        secret: Option<&Secret<Vec<u8>>>,
    ) -> Result<bool, RotatorError> {
        let secret = secret.ok_or_else(|| RotatorError::Wrong(String::from("there is no key to try")))?;
        let identity =
            Identity::read(secret.expose()).map_err(|error| RotatorError::Wrong(error.to_string()))?;
        let later = |why: &str| RotatorError::Later(format!("{}: {why}", settings.host));
        let agent = Agent::start(identity, &*self.rng).map_err(|error| later(&error.to_string()))?;
        let asked = timeout(ROTATION_REQUEST_TIMEOUT, ask(settings, agent.socket())).await;
        match asked {
            Ok(Ok(said)) if said.contains(LET_IN) => Ok(true),
            Ok(Ok(said)) if said.contains(REFUSED) => Ok(false),
            Ok(Ok(said)) => Err(later(said.lines().last().unwrap_or("ssh said nothing"))),
            Ok(Err(error)) => Err(later(&format!("ssh: {error}"))),
            Err(_) => Err(later("gave no answer in time")),
        }
    }
}

/// What `ssh` says of a log-in, up to whether it is let in.
async fn ask(settings: &Settings<'_>, socket: &Path) -> std::io::Result<String> {
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-N", "-T", "-p", &settings.port.to_string(), "-l", settings.user]);
    // No key but the agent's, nobody who could be asked, no connection of somebody else's.
    for option in [
        "BatchMode=yes",
        "IdentityFile=none",
        "CertificateFile=none",
        "PreferredAuthentications=publickey",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=none",
        "UpdateHostKeys=no",
        "ControlPath=none",
        "ForwardAgent=no",
        "LogLevel=VERBOSE",
    ] {
        command.args(["-o", option]);
    }
    command.arg("-o").arg(format!("UserKnownHostsFile={}", settings.known_hosts));
    command.arg("--").arg(settings.host);
    command.env_clear().env("PATH", "/usr/bin:/bin").env(agent::VARIABLE, socket);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr.take(SAID_BYTES)).lines();
        while let Some(line) = lines.next_line().await? {
            said.push_str(&line);
            said.push('\n');
            if line.starts_with(LET_IN) {
                break;
            }
        }
    }
    let _ = child.kill().await;
    Ok(said)
}

impl<'a> Settings<'a> {
    fn read(case: &'a Case<'_>) -> Result<Self, String> {
        let CredentialKind::Ssh(user) = &case.credential.kind else {
            return Err(String::from("only a credential of the kind ssh can be changed so"));
        };
        let given =
            case.text("host").ok_or("settings.host must say where a log-in is tried: host or host:port")?;
        if !case.credential.hosts.iter().any(|own| own.eq_ignore_ascii_case(given)) {
            return Err(format!("settings.host is {given}, which is none of the credential's hosts"));
        }
        let (host, port) = match given.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| "settings.host has a bad port")?)
            }
            _ => (given, 22),
        };
        let known_hosts = case.text("known_hosts").filter(|file| file.starts_with('/'));
        let known_hosts = known_hosts
            .ok_or("settings.known_hosts must be the absolute path of a file with the server's key")?;
        if known_hosts.contains(|c: char| c.is_whitespace() || c.is_control() || "\"%".contains(c)) {
            return Err(String::from("settings.known_hosts must have no spaces, quotes and percent signs"));
        }
        let word = |text: &str| {
            !text.is_empty()
                && text.len() <= 256
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:/,@".contains(&b))
        };
        let source_address = case.text("source_address");
        if source_address.is_some_and(|addresses| !word(addresses)) {
            return Err(String::from(
                "settings.source_address must be addresses or networks with commas between",
            ));
        }
        let mut extensions: Vec<&str> =
            case.text("extensions").map(|all| all.split(',').collect()).unwrap_or_default();
        extensions.sort_unstable();
        if !extensions.iter().all(|one| word(one)) {
            return Err(String::from(
                "settings.extensions must be names such as permit-pty, with commas between",
            ));
        }
        let host = host.trim_matches(['[', ']']);
        Ok(Self { user, host, port, known_hosts, life: life(case)?, source_address, extensions })
    }
}

#[async_trait]
impl Rotator for Ssh {
    fn plan(&self, case: &Case<'_>) -> Result<Plan, String> {
        Settings::read(case)?;
        Ok(Plan { origin: Origin::Theirs, account: None })
    }

    async fn create(&self, case: &Case<'_>, _new: &Version<'_>) -> Result<Created, RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        self.register.revoke_lost(case).await?;
        self.publish_list(case.now).await?;
        let (mut seed, mut nonce, mut number, mut check) =
            (Zeroizing::new([0_u8; 32]), [0_u8; 32], [0_u8; 8], [0_u8; 4]);
        self.rng.fill(&mut *seed);
        for bytes in [&mut nonce[..], &mut number, &mut check] {
            self.rng.fill(bytes);
        }
        // Not zero, which a list of revoked ones could not name.
        let serial = (u64::from_be_bytes(number) >> 1) | 1;
        // Certificates count whole seconds.
        let end = Timestamp::from_secs(case.now.plus(settings.life).as_secs());
        let handle = serial.to_string();
        self.register.announce(&case.credential.name, &handle, case.now, end).await?;
        let seed = Secret::new(*seed);
        let broken = |error: identity::IdentityError| RotatorError::Later(error.to_string());
        let begin = Timestamp::from_secs(case.now.as_secs().saturating_sub(CERT_BACKDATE.as_secs()));
        let said = Said {
            serial,
            key_id: case.id,
            principals: &[settings.user],
            valid_after: begin,
            valid_before: end,
            source_address: settings.source_address,
            extensions: &settings.extensions,
        };
        let public = identity::public_of(&seed).map_err(broken)?;
        let certificate = self.authority.certify(&public, &nonce, &said);
        let secret = Some(identity::write(&seed, check, &certificate).map_err(broken)?);
        Ok(Created { secret, account: None, handle: Some(handle), lapses_at: Some(end) })
    }

    async fn verify(&self, case: &Case<'_>, new: &Version<'_>) -> Result<(), RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        if self.lets_in(&settings, new.secret).await? {
            return Ok(());
        }
        let host = settings.host;
        Err(RotatorError::Later(format!(
            "{host} refuses the new certificate; are {KEY} its TrustedUserCAKeys?"
        )))
    }

    async fn disable(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        self.refuse(old.handle, case).await
    }

    async fn verify_dead(&self, case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        if !self.lets_in(&settings, old.secret).await? {
            let detail = format!("{} refuses to log {} in with it", settings.host, settings.user);
            return Ok(Verdict { outcome: TestOutcome::Dead, detail });
        }
        let why = match old.handle {
            Some(_) => format!("is {LIST} its RevokedKeys?"),
            None => String::from("it was added by hand: take it out of authorized_keys there"),
        };
        let detail = format!("{} still lets {} in with it: {why}", settings.host, settings.user);
        Ok(Verdict { outcome: TestOutcome::Alive, detail })
    }

    /// It stays in the list until it ends.
    async fn delete(&self, _case: &Case<'_>, _old: &Version<'_>) -> Result<(), RotatorError> {
        Ok(())
    }

    async fn undo(
        &self,
        case: &Case<'_>,
        new: &Version<'_>,
        _old: &Version<'_>,
    ) -> Result<Option<String>, RotatorError> {
        self.register.revoke_lost(case).await?;
        self.refuse(new.handle, case).await?;
        Ok(None)
    }
}
