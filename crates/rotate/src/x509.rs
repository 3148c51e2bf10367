//! Client certificates from Portunus' own authority: each version is a new key and a short-lived certificate. An old one is
//! put into the authority's revocation list, and then tried at the upstream, which must refuse it.
//!
//! A version's handle is the serial number of its certificate.

use crate::probe;
use crate::register::{Register, publish};
use async_trait::async_trait;
use data_encoding::HEXLOWER;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use portunus_core::document::{CredentialKind, TestOutcome};
use portunus_core::limits::{ISSUED_LIFE, ROTATION_REQUEST_TIMEOUT};
use portunus_core::secret::Secret;
use portunus_core::time::{Rng, Timestamp};
use portunus_vault::rotation::{Case, Created, Origin, Plan, Rotator, RotatorError, Verdict, Version};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

/// An authority whose certificates upstream servers accept.
pub trait Authority: Send + Sync {
    /// The certificate that upstream servers trust, PEM.
    fn certificate(&self) -> String;
    /// A certificate with this serial number for a fresh key, and the key: both PEM.
    ///
    /// # Errors
    /// When it could not be made.
    fn issue(
        &self,
        subject: &str,
        serial: &[u8],
        life: Duration,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, String>;
    /// The list of serial numbers to be refused, and since when; PEM.
    ///
    /// # Errors
    /// When it could not be made.
    fn revocations(&self, revoked: &[(Vec<u8>, Timestamp)], now: Timestamp) -> Result<String, String>;
}

/// What the authority's revocation list is called, in the directory of what upstream servers need.
const LIST: &str = "client-ca.crl";
/// The same of its certificate.
const CERTIFICATE: &str = "client-ca.pem";
/// Bytes of a serial number (RFC 5280 section 4.1.2.2: at most 20).
const SERIAL_BYTES: usize = 16;

/// Changes client certificates.
pub struct X509 {
    authority: Arc<dyn Authority>,
    register: Register,
    directory: PathBuf,
    tls: Arc<ClientConfig>,
    rng: Arc<dyn Rng>,
}

/// The plan's settings, read.
struct Settings<'a> {
    subject: &'a str,
    life: Duration,
    url: Url,
    host: String,
    /// Whom to trust at `url` instead of the system's authorities.
    ca: Option<&'a str>,
}

/// What an upstream did with whoever showed it something.
enum Seen {
    /// It broke the connection off, for this reason.
    Refused(String),
    /// It answered.
    Answered(StatusCode),
}

impl Seen {
    /// nginx completes the handshake and answers 400, others 401 or 403; 495 and 496 are nginx' own words for it.
    fn let_in(&self) -> bool {
        !matches!(self, Self::Refused(_))
            && !matches!(self, Self::Answered(status) if [400, 401, 403, 495, 496].contains(&status.as_u16()))
    }

    fn words(&self) -> String {
        match self {
            Self::Refused(why) => format!("breaks off ({why})"),
            Self::Answered(status) => format!("answers {}", status.as_u16()),
        }
    }
}

impl X509 {
    /// Of this authority. Its certificate and its list are written into `directory`, for upstream servers to be given.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn open(
        authority: Arc<dyn Authority>,
        register: Register,
        directory: PathBuf,
        (tls, rng): (Arc<ClientConfig>, Arc<dyn Rng>),
        now: Timestamp,
    ) -> Result<Self, RotatorError> {
        let this = Self { authority, register, directory, tls, rng };
        publish(&this.directory.join(CERTIFICATE), this.authority.certificate().as_bytes())?;
        this.publish_list(now).await?;
        Ok(this)
    }

    async fn publish_list(&self, now: Timestamp) -> Result<(), RotatorError> {
        let revoked = self.register.revoked(now).await?.into_iter().filter_map(|issued| {
            let serial = HEXLOWER.decode(issued.serial.as_bytes()).ok()?;
            Some((serial, issued.revoked_at?))
        });
        let list = self.authority.revocations(&revoked.collect::<Vec<_>>(), now);
        publish(&self.directory.join(LIST), list.map_err(RotatorError::Later)?.as_bytes())
    }

    async fn refuse(&self, serial: Option<&str>, case: &Case<'_>) -> Result<(), RotatorError> {
        if let Some(serial) = serial {
            self.register.revoke(serial, case.now).await?;
        }
        self.publish_list(case.now).await
    }

    /// What the upstream does with this certificate, or with nobody's.
    async fn show(
        &self,
        settings: &Settings<'_>,
        pem: Option<&Secret<Vec<u8>>>,
    ) -> Result<Seen, RotatorError> {
        let later = |why: String| RotatorError::Later(format!("{} {why}", settings.host));
        let tls = self.configuration(settings, pem)?;
        let (host, port) =
            (settings.url.host_str().unwrap_or_default(), settings.url.port_or_known_default());
        let (name, port) = (host.trim_matches(['[', ']']), port.unwrap_or(443));
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| RotatorError::Wrong(format!("`{host}` is no name that a certificate can have")))?;
        let exchange = async {
            let stream = TcpStream::connect((name, port)).await;
            let stream = stream.map_err(|error| later(format!("cannot be reached: {error}")))?;
            let stream = match TlsConnector::from(Arc::new(tls)).connect(server, stream).await {
                Ok(stream) => stream,
                Err(error) => {
                    return refused(&error).ok_or_else(|| later(format!("has no TLS for us: {error}")));
                }
            };
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| later(error.to_string()))?;
            let driver = tokio::spawn(connection);
            let answer = sender.send_request(question(settings)?).await;
            driver.abort();
            match answer {
                Ok(answer) => Ok(Seen::Answered(answer.status())),
                Err(error) => refused(&error).ok_or_else(|| later(format!("gave no answer: {error}"))),
            }
        };
        let answered = timeout(ROTATION_REQUEST_TIMEOUT, exchange).await;
        answered.unwrap_or_else(|_| Err(later(String::from("gave no answer in time"))))
    }

    fn configuration(
        &self,
        settings: &Settings<'_>,
        pem: Option<&Secret<Vec<u8>>>,
    ) -> Result<ClientConfig, RotatorError> {
        let wrong = |what: &str| RotatorError::Wrong(what.to_owned());
        let mut tls = match settings.ca {
            None => (*self.tls).clone(),
            Some(file) => trusting(file).map_err(RotatorError::Later)?,
        };
        // Each is tried by itself: a resumed session would carry the one shown before.
        tls.resumption = rustls::client::Resumption::disabled();
        let Some(pem) = pem else { return Ok(tls) };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose()).collect();
        let chain = chain.map_err(|_| wrong("the certificate is no PEM"))?;
        let key = PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|_| wrong("the key is no PEM"))?;
        let pair = rustls::sign::CertifiedKey::from_der(chain, key, tls.crypto_provider());
        let pair = pair.map_err(|_| wrong("certificate and key cannot be used together"))?;
        tls.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(pair));
        Ok(tls)
    }
}

fn trusting(file: &str) -> Result<ClientConfig, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("settings.ca: {file}: {error}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))? {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// That the peer ended it with an alert, which in TLS 1.3 comes after the handshake, as the answer to the first request.
fn refused(error: &(dyn std::error::Error + 'static)) -> Option<Seen> {
    let mut cause = Some(error);
    while let Some(one) = cause {
        let inner = one.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = one.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()));
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            return Some(Seen::Refused(format!("{alert:?}")));
        }
        cause = one.source();
    }
    None
}

fn question(settings: &Settings<'_>) -> Result<Request<Full<bytes::Bytes>>, RotatorError> {
    let target = settings
        .url
        .query()
        .map_or_else(|| settings.url.path().to_owned(), |query| format!("{}?{query}", settings.url.path()));
    let mut request = probe::question(&target)?;
    let host = settings.host.parse().map_err(|_| RotatorError::Wrong(String::from("a host of odd form")))?;
    request.headers_mut().insert(header::HOST, host);
    Ok(request)
}

impl<'a> Settings<'a> {
    fn read(case: &'a Case<'_>) -> Result<Self, String> {
        if case.credential.kind != CredentialKind::ClientCertificate {
            return Err(String::from("only a credential of the kind client_certificate can be changed so"));
        }
        let url = case.text("url").ok_or("settings.url must say where a certificate is tried: https://…")?;
        let (url, host) = crate::http::address(url)?;
        if url.scheme() != "https" {
            return Err(String::from("settings.url must begin with https://"));
        }
        if !case.credential.hosts.iter().any(|own| own.eq_ignore_ascii_case(&host)) {
            return Err(format!("settings.url is at {host}, which is none of the credential's hosts"));
        }
        let subject = case.text("subject").unwrap_or(case.credential.name.as_str());
        if subject.is_empty() || subject.len() > 64 || subject.chars().any(char::is_control) {
            return Err(String::from("settings.subject must be 1 to 64 bytes of text"));
        }
        Ok(Self { subject, life: life(case)?, url, host, ca: case.text("ca") })
    }
}

/// How long a certificate lives.
pub(crate) fn life(case: &Case<'_>) -> Result<Duration, String> {
    let (shortest, usual, longest) = ISSUED_LIFE;
    let Some(given) = case.settings.get("life_seconds") else { return Ok(usual) };
    // `cred bind --set` gives texts.
    let seconds = given.as_u64().or_else(|| given.as_str()?.parse().ok()).map(Duration::from_secs);
    seconds.filter(|life| (shortest..=longest).contains(life)).ok_or_else(|| {
        format!("settings.life_seconds must be {} to {}", shortest.as_secs(), longest.as_secs())
    })
}

#[async_trait]
impl Rotator for X509 {
    fn plan(&self, case: &Case<'_>) -> Result<Plan, String> {
        Settings::read(case)?;
        Ok(Plan { origin: Origin::Theirs, account: None })
    }

    async fn create(&self, case: &Case<'_>, _new: &Version<'_>) -> Result<Created, RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        self.register.revoke_lost(case).await?;
        self.publish_list(case.now).await?;
        let mut serial = [0_u8; SERIAL_BYTES];
        self.rng.fill(&mut serial);
        // RFC 5280 section 4.1.2.2: positive, and without zeroes before it.
        if let Some(first) = serial.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        let (handle, end) = (HEXLOWER.encode(&serial), case.now.plus(settings.life));
        self.register.announce(&case.credential.name, &handle, case.now, end).await?;
        let made = self.authority.issue(settings.subject, &serial, settings.life, case.now);
        let secret = Some(made.map_err(RotatorError::Later)?);
        Ok(Created { secret, account: None, handle: Some(handle), lapses_at: Some(end) })
    }

    async fn verify(&self, case: &Case<'_>, new: &Version<'_>) -> Result<(), RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        let seen = self.show(&settings, new.secret).await?;
        if seen.let_in() {
            return Ok(());
        }
        Err(RotatorError::Later(format!(
            "{} {} with the new certificate; does it trust {CERTIFICATE}?",
            settings.host,
            seen.words()
        )))
    }

    async fn disable(&self, case: &Case<'_>, old: &Version<'_>) -> Result<(), RotatorError> {
        self.refuse(old.handle, case).await
    }

    async fn verify_dead(&self, case: &Case<'_>, old: &Version<'_>) -> Result<Verdict, RotatorError> {
        let settings = Settings::read(case).map_err(RotatorError::Wrong)?;
        let told = |outcome, detail| Ok(Verdict { outcome, detail });
        if self.show(&settings, None).await?.let_in() {
            let why =
                format!("{} lets everybody in, so nothing can be said about a certificate", settings.host);
            return told(TestOutcome::Unverifiable, why);
        }
        let seen = self.show(&settings, old.secret).await?;
        if !seen.let_in() {
            return told(TestOutcome::Dead, format!("{} {} with it", settings.host, seen.words()));
        }
        let why = match old.handle {
            Some(_) => format!("it has not read {LIST} since"),
            None => String::from("it was added by hand: revoke it at the authority that signed it"),
        };
        told(TestOutcome::Alive, format!("{} {} with it: {why}", settings.host, seen.words()))
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
