//! PostgreSQL: two roles that take turns. Changing a password would break new connections of calls that still carry the old
//! one; so the other role gets the new password, and the old role loses its own, its right to log in, and its sessions.
//!
//! The server is given the SCRAM-SHA-256 verifier (RFC 5803), never the password: neither its log nor
//! `pg_stat_activity` can show what it was not told.

use async_trait::async_trait;
use portunus_core::document::{CredentialKind, TestOutcome};
use portunus_core::limits::ROTATION_REQUEST_TIMEOUT;
use portunus_core::secret::Secret;
use portunus_vault::rotation::{Case, Created, Origin, Plan, Rotator, RotatorError, Verdict, Version};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Pause between two looks whether an old role's sessions are gone.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time for them to go.
const GONE: Duration = Duration::from_secs(10);
/// Bytes of a role's name (`NAMEDATALEN` - 1).
const NAME: usize = 63;

/// Changes the passwords of roles.
pub struct Postgres {
    tls: Arc<ClientConfig>,
}

/// Of a plan, read.
struct Settings<'a> {
    /// As the administrator's credential names it.
    host: &'a str,
    name: &'a str,
    port: u16,
    database: &'a str,
    roles: [&'a str; 2],
    /// New roles are made as members of this one.
    group: Option<&'a str>,
    /// `None`: without TLS.
    tls: Option<Option<&'a str>>,
}

impl<'a> Settings<'a> {
    fn read(case: &'a Case<'_>) -> Result<Self, String> {
        let [host] = case.credential.hosts.as_slice() else {
            return Err(String::from("the credential must have exactly one host, the database's"));
        };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => {
                (name, port.parse().map_err(|_| format!("`{host}` has no valid port"))?)
            }
            _ => (host.as_str(), 5432),
        };
        let name = name.trim_matches(['[', ']']);
        // A list, or as `cred bind --set` gives it.
        let roles: Vec<&str> = match case.settings.get("roles") {
            Some(Value::Array(roles)) => roles.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(roles)) => roles.split(',').map(str::trim).collect(),
            _ => Vec::new(),
        };
        let fits = |role: &str| (1..=NAME).contains(&role.len()) && !role.chars().any(char::is_control);
        let [first, second] = roles.as_slice() else {
            return Err(String::from("settings.roles must name two roles that take turns"));
        };
        if first == second || !fits(first) || !fits(second) {
            return Err(format!("settings.roles must name two different roles of 1 to {NAME} bytes"));
        }
        let local = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let tls = match case.text("tls").unwrap_or("verify") {
            "verify" => Some(case.text("ca")),
            "off" if local => None,
            "off" => {
                return Err(String::from("settings.tls may be `off` for a database on this machine only"));
            }
            _ => return Err(String::from("settings.tls must be `verify` or `off`")),
        };
        let database = case.text("database").unwrap_or("postgres");
        let roles = [*first, *second];
        Ok(Self { host, name, port, database, roles, group: case.text("group"), tls })
    }
}

impl Postgres {
    /// Checks servers' certificates by this configuration, unless a plan names an authority of its own.
    #[must_use]
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls }
    }

    async fn log_in(
        &self,
        settings: &Settings<'_>,
        role: &str,
        password: &Secret<Vec<u8>>,
    ) -> Result<Client, LogIn> {
        let mut config = Config::new();
        config.host(settings.name).port(settings.port).dbname(settings.database).user(role);
        config.password(password.expose()).application_name("portunus-rotation");
        config.connect_timeout(ROTATION_REQUEST_TIMEOUT);
        let connecting = async {
            match settings.tls {
                None => {
                    let (client, connection) = config.ssl_mode(SslMode::Disable).connect(NoTls).await?;
                    tokio::spawn(connection);
                    Ok(client)
                }
                Some(authority) => {
                    let tls = self.trusting(authority).map_err(LogIn::Later)?;
                    let tls = MakeRustlsConnect::new(tls);
                    let (client, connection) = config.ssl_mode(SslMode::Require).connect(tls).await?;
                    tokio::spawn(connection);
                    Ok(client)
                }
            }
        };
        let late = || LogIn::Later(format!("{} did not answer in time", settings.host));
        timeout(ROTATION_REQUEST_TIMEOUT, connecting).await.unwrap_or_else(|_| Err(late()))
    }

    fn trusting(&self, authority: Option<&str>) -> Result<ClientConfig, String> {
        let Some(file) = authority else { return Ok((*self.tls).clone()) };
        let wrong = |error: &dyn std::fmt::Display| format!("settings.ca: {file}: {error}");
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file).map_err(|e| wrong(&e))? {
            roots.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
        }
        Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }

    async fn administer(&self, case: &Case<'_>, settings: &Settings<'_>) -> Result<Client, RotatorError> {
        let administrator = case.administrator.ok_or_else(no_administrator)?;
        let (role, password) = administrator.for_host(settings.host)?;
        self.log_in(settings, role, password).await.map_err(|error| {
            RotatorError::Later(format!("the administrator's log-in failed: {}", error.into_words()))
        })
    }
}

fn no_administrator() -> RotatorError {
    RotatorError::Wrong(String::from("settings.admin must name a credential of the kind `rotator`"))
}

/// Why a log-in failed.
enum LogIn {
    /// The server refuses role or password.
    Refused(String),
    /// Something else is in the way.
    Later(String),
}

impl From<tokio_postgres::Error> for LogIn {
    fn from(error: tokio_postgres::Error) -> Self {
        let refused = [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION];
        match error.code() {
            Some(code) if refused.contains(code) => Self::Refused(words(&error)),
            _ => Self::Later(words(&error)),
        }
    }
}

impl LogIn {
    fn into_words(self) -> String {
        match self {
            Self::Refused(words) | Self::Later(words) => words,
        }
    }
}

/// The server's own message and its code, or what is wrong with the connection. Statements of ours are in neither.
fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
        }
    }
}

fn failed(error: &tokio_postgres::Error) -> RotatorError {
    let text = words(error);
    let hopeless = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::UNDEFINED_OBJECT, SqlState::RESERVED_NAME];
    match error.code() {
        Some(code) if hopeless.contains(code) => RotatorError::Wrong(text),
        _ => RotatorError::Later(text),
    }
}

/// A name in a statement.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn account<'a>(version: &Version<'a>) -> Result<&'a str, RotatorError> {
    version.account.ok_or_else(|| RotatorError::Wrong(String::from("the version belongs to no role")))
}

/// The old version's role: versions that were added by hand name none, and belong to the credential's own.
fn role_of<'a>(case: &'a Case<'_>, version: &Version<'a>) -> &'a str {
    version.account.unwrap_or_else(|| case.credential.kind.name())
}

/// Ends the role's sessions until there are none.
async fn end_sessions(client: &Client, role: &str) -> Result<(), RotatorError> {
    let begun = Instant::now();
    let mut quiet = 0;
    loop {
        let rows = client
            .query("SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", &[&role])
            .await
            .map_err(|error| failed(&error))?;
        // A log-in that was under way may show itself after the first look.
        quiet = if rows.is_empty() { quiet + 1 } else { 0 };
        if quiet == 3 {
            return Ok(());
        }
        if begun.elapsed() > GONE {
            let why = format!("{} sessions of the old role do not end", rows.len());
            return Err(RotatorError::Later(why));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, RotatorError>> + Send) -> Result<T, RotatorError> {
    let late = || RotatorError::Later(String::from("the database did not answer in time"));
    timeout(GONE + ROTATION_REQUEST_TIMEOUT, work).await.unwrap_or_else(|_| Err(late()))
}

#[async_trait]
impl Rotator for Postgres {
    fn plan(&self, case: &Case<'_>) -> Result<Plan, String> {
        let settings = Settings::read(case)?;
        let CredentialKind::Postgres(own) = &case.credential.kind else {
            return Err(String::from("the credential must be of the kind `postgres`"));
        };
        let administrator = case.administrator.ok_or_else(|| no_administrator().to_string())?;
        administrator.for_host(settings.host).map_err(|error| error.to_string())?;
        let current = case.credential.in_use().and_then(|version| version.account.as_deref()).unwrap_or(own);
        let [first, second] = settings.roles;
        let next = match current {
            role if role == first => second,
            role if role == second => first,
            role => return Err(format!("the role in use, `{role}`, must be one of settings.roles")),
        };
        Ok(Plan { origin: Origin::Ours, account: Some(next.to_owned()) })
    }

    async fn create(&self, case: &Case<'_>, new: &Version<'_>) -> Result<Created, RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        let (role, secret) = (account(new)?, new.secret.ok_or_else(no_secret)?);
        let verifier = postgres_protocol::password::scram_sha_256(secret.expose());
        in_time(async {
            let client = self.administer(case, &settings).await?;
            let known = client.query_opt("SELECT FROM pg_roles WHERE rolname = $1", &[&role]).await;
            if known.map_err(|error| failed(&error))?.is_none() {
                let group = settings.group.ok_or_else(|| {
                    RotatorError::Wrong(format!(
                        "there is no role `{role}`; create it, or name the group it belongs to in settings.group"
                    ))
                })?;
                // What it makes belongs to the group, so that the other role finds its own there.
                let make = format!(
                    "CREATE ROLE {role} NOLOGIN IN ROLE {group}; ALTER ROLE {role} SET role TO {group}",
                    role = quoted(role),
                    group = quoted(group)
                );
                client.batch_execute(&make).await.map_err(|error| failed(&error))?;
            }
            // Letters, digits, `+ / = $ : -`: nothing that ends a quoted text.
            let give = format!("ALTER ROLE {} LOGIN PASSWORD '{verifier}' VALID UNTIL 'infinity'", quoted(role));
            client.batch_execute(&give).await.map_err(|error| failed(&error))?;
            Ok(Created::default())
        })
        .await
    }

    async fn verify(&self, case: &Case<'_>, new: &Version<'_>) -> Result<(), RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        let (role, secret) = (account(new)?, new.secret.ok_or_else(no_secret)?);
        let client = self.log_in(&settings, role, secret).await;
        let client = client.map_err(|error| RotatorError::Later(error.into_words()))?;
        in_time(async {
            let row = client.query_one("SELECT session_user::text", &[]).await;
            let found: String = row.and_then(|row| row.try_get(0)).map_err(|error| failed(&error))?;
            if found == role { Ok(()) } else { Err(RotatorError::Wrong(format!("the log-in is `{found}`"))) }
        })
        .await
    }

    async fn disable(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        let role = role_of(case, old);
        in_time(async {
            let client = self.administer(case, &settings).await?;
            let forbid = format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", quoted(role));
            match client.batch_execute(&forbid).await {
                Ok(()) => end_sessions(&client, role).await,
                // It was never made, or is gone: nobody logs in with it, but a dropped role's sessions go on.
                Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => Ok(()),
                Err(error) => Err(failed(&error)),
            }
        })
        .await
    }

    async fn verify_dead(&self, case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        let role = role_of(case, old);
        let verdict = |outcome, detail: String| Ok(Verdict { outcome, detail });
        let Some(secret) = old.secret else {
            return verdict(TestOutcome::Unverifiable, String::from("the old secret is gone"));
        };
        let said = match self.log_in(&settings, role, secret).await {
            Ok(_) => return verdict(TestOutcome::Alive, format!("`{role}` can log in")),
            Err(LogIn::Later(why)) => return Err(RotatorError::Later(why)),
            Err(LogIn::Refused(said)) => said,
        };
        in_time(async {
            let client = self.administer(case, &settings).await?;
            let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1";
            let row = client.query_one(sessions, &[&role]).await;
            let left: i64 = row.and_then(|row| row.try_get(0)).map_err(|error| failed(&error))?;
            if left > 0 {
                return verdict(TestOutcome::Alive, format!("{left} sessions of `{role}` go on"));
            }
            verdict(
                TestOutcome::Dead,
                format!("the log-in of `{role}` is refused: {said}; it has no sessions"),
            )
        })
        .await
    }

    /// The role stays: its turn comes again.
    async fn delete(&self, _case: &Case<'_>, _old: &Version<'_>) -> Result<(), RotatorError> {
        Ok(())
    }
}

fn no_secret() -> RotatorError {
    RotatorError::Wrong(String::from("there is no secret to work with"))
}
