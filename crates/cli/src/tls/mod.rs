//! The edge's certificate: where it comes from, and how it is replaced under running connections.
//!
//! | module | |
//! |---|---|
//! | [`served`] | the certificate in use, and how long it lives |
//! | [`clients`] | whose certificates clients may show |
//! | [`files`] | from a pair of PEM files, read again when they change |
//! | [`acme`] | from an ACME authority, kept in the store, replaced in time |
//! | [`upstream`] | towards upstreams: their own CA, a certificate of ours |
//! | [`local`] | from Portunus' own CA, renewed in time |

mod acme;
mod clients;
mod files;
mod local;
mod served;
mod upstream;

pub(crate) use served::{Served, Slot};
pub(crate) use upstream::UpstreamTls;

use crate::config::Config;
use crate::config::tls::Tls;
use crate::node::{Parts, StartError};
use crate::settings::Settings;
use portunus_acme::authority::Authority;
use portunus_core::store::Store;
use portunus_core::time::{Clock, Rng};
use portunus_edge::plain::{self, Plain};
use portunus_edge::ports::Challenges;
use portunus_edge::tls::{TlsConfigs, client_config};
use portunus_tunnel::authority::LinkAuthority;
use prometheus_client::metrics::counter::Counter;
use rustls::server::ResolvesServerCert;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Interval of a look at what may have changed: files, the clock.
const LOOK: Duration = Duration::from_secs(5);

/// Where the certificate comes from, and the one in use.
pub(crate) struct Certificates {
    pub(crate) slot: Arc<Slot>,
    source: Source,
    /// The host of the public URL, as records name it.
    host: String,
    clients: Option<clients::Authorities>,
    /// Attempts to get a certificate that failed.
    pub(crate) failures: Counter,
}

enum Source {
    Files(files::Pair),
    Local(local::Local),
    Acme(Arc<Authority>),
}

/// What an authority needs of the node.
pub(crate) struct Ports<'a> {
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) rng: &'a Arc<dyn Rng>,
}

impl Certificates {
    /// Gets the certificate to start with; with an authority, the one in the store, if there is one yet. With a local CA its
    /// certificate is written for clients to trust.
    pub(crate) async fn open(
        config: &Config,
        settings: &Settings<'_>,
        ports: &Ports<'_>,
    ) -> Result<Self, StartError> {
        let host = config.public_url.host_str().unwrap_or("localhost").to_owned();
        let (source, first) = match &config.tls {
            Tls::Files { cert, key } => {
                let pair = files::Pair::new(cert, key);
                let first = pair.load().map_err(StartError)?;
                (Source::Files(pair), Some(first))
            }
            Tls::LocalCa => {
                let local = local::Local::open(config, settings, &host).await?;
                let first = local.issue(settings.now, settings.rng).map_err(StartError)?;
                (Source::Local(local), Some(first))
            }
            Tls::Acme(acme) => {
                let plan = acme::plan(acme, &host)?;
                let (store, clock, rng) = (ports.store.clone(), ports.clock.clone(), ports.rng.clone());
                let authority = Authority::new(plan, store, settings.key.clone(), clock, rng);
                let first = match authority.stored().await.map_err(|e| StartError(e.to_string()))? {
                    Some(stored) => Some(Served::new(stored.chain, stored.key).map_err(StartError)?),
                    None => None,
                };
                if first.is_none() {
                    tracing::info!(
                        host,
                        "there is no certificate yet: clients are refused until one is issued"
                    );
                }
                (Source::Acme(Arc::new(authority)), first)
            }
        };
        let slot = Arc::new(first.map_or_else(Slot::default, |first| {
            first.warn_of_name(&host);
            Slot::holding(first)
        }));
        let clients = config.client_certificates.as_ref().map(clients::Authorities::new);
        Ok(Self { slot, source, host, clients, failures: Counter::default() })
    }

    /// How the certificate in use is renewed, in a word.
    pub(crate) const fn renewal(&self) -> &'static str {
        match self.source {
            Source::Files(_) => "files, by hand",
            Source::Local(_) => "local-ca",
            Source::Acme(_) => "acme",
        }
    }

    /// The TLS configurations for clients, links and validating authorities.
    pub(crate) fn configs(&self, links: &LinkAuthority, ports: &Ports<'_>) -> Result<TlsConfigs, StartError> {
        let resolver: Arc<dyn ResolvesServerCert> = self.slot.clone();
        let link_config = portunus_tunnel::tls::link_server_config(links.root(), resolver.clone());
        let clients = client_config(resolver).map_err(|e| StartError(format!("TLS: {e}")))?;
        Ok(TlsConfigs {
            clients: Arc::new(clients),
            asking: self.clients.as_ref().map(|c| c.asking(&self.slot)).transpose().map_err(StartError)?,
            links: Some(link_config.map_err(|e| StartError(e.to_string()))?),
            challenges: self.challenges(ports.store, ports.clock, acme::Kind::TlsAlpn01),
        })
    }

    /// Answers to challenges of this kind, if the authority is to use it.
    fn challenges(
        &self,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        kind: acme::Kind,
    ) -> Option<Arc<dyn Challenges>> {
        match &self.source {
            Source::Acme(authority) if authority.challenge() == kind => {
                Some(Arc::new(acme::Answers { store: store.clone(), clock: clock.clone() }))
            }
            _ => None,
        }
    }
}

/// Starts what serves and keeps the certificate beside the listener for clients: the plain port, renewals.
pub(crate) async fn start(
    config: &Config,
    parts: &Arc<Parts>,
    stopped: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut tasks = vec![
        tokio::spawn(keep(parts.clone(), stopped.clone())),
        tokio::spawn(clients::keep(parts.clone(), stopped.clone())),
    ];
    if let Some(address) = config.http {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|e| StartError(format!("listen on {address}: {e}")))?;
        let challenges = parts.certificates.challenges(&parts.store, &parts.clock, acme::Kind::Http01);
        let plain = Arc::new(Plain::new(&config.public_url, challenges));
        tasks.push(tokio::spawn(plain::serve(listener, plain, stopped.clone())));
    }
    Ok(tasks)
}

/// Keeps the certificate fresh until stopped.
async fn keep(parts: Arc<Parts>, mut stopped: watch::Receiver<bool>) {
    let certificates = &parts.certificates;
    let mut files = match &certificates.source {
        Source::Files(pair) => pair.watch(),
        Source::Local(_) => files::Watch::default(),
        Source::Acme(authority) => return acme::keep(&parts, authority, stopped).await,
    };
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        match &certificates.source {
            Source::Files(pair) => {
                // What could not be recorded is tried again at the next look.
                if let Some(new) = files.look(pair)
                    && settle(&parts, new).await
                {
                    files.settled();
                }
            }
            Source::Local(local) => {
                let now = parts.clock.now();
                if certificates.slot.get().is_none_or(|served| served.leaf.life.is_due(now)) {
                    settle(&parts, local.issue(now, &*parts.rng)).await;
                }
            }
            Source::Acme(_) => {}
        }
    }
}

/// Puts a new certificate into use once that is recorded, or records why not; false when it could not be recorded.
async fn settle(parts: &Parts, new: Result<Served, String>) -> bool {
    let host = parts.certificates.host.as_str();
    let before = parts.certificates.slot.get();
    let now = parts.clock.now();
    // An expired certificate is never an improvement.
    let new = new.and_then(|new| match new.leaf.life.not_after.is_past(now) {
        true => Err(format!("the new certificate ended at {}", new.leaf.life.not_after)),
        false => Ok(new),
    });
    match new {
        Err(error) => {
            tracing::error!(error, "the new certificate is refused; the old one stays in use");
            parts.note("certificate.refused", host, &[("why", &error)]).await.is_ok()
        }
        Ok(new) if before.is_some_and(|before| before.is_same(&new)) => true,
        Ok(new) => {
            let (serial, end) = (new.leaf.serial.clone(), new.leaf.life.not_after.to_string());
            let detail = [("serial", serial.as_str()), ("not_after", end.as_str())];
            if let Err(error) = parts.note("certificate.replaced", host, &detail).await {
                tracing::error!(%error, "the new certificate waits: it could not be recorded");
                return false;
            }
            new.warn_of_name(host);
            parts.certificates.slot.put(new);
            tracing::info!(serial, not_after = end, "a new certificate is in use");
            true
        }
    }
}

/// For HTTP upstreams: the system's roots.
pub(crate) fn upstream_client() -> Result<Arc<rustls::ClientConfig>, StartError> {
    UpstreamTls::default().load().map_err(StartError)
}
