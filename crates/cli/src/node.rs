//! One edge, wired together: store, ledger, keys, tunnel, control plane, data plane, administration.

use crate::config::{Config, Tools};
use crate::control::Control;
use crate::pins::{self, Book};
use crate::sealing::{self, Sealing};
use crate::settings::{SettingError, Settings};
use crate::system::{SystemClock, SystemRng};
use crate::upstreams::Upstreams;
use crate::{
    connections, control, governance, health, login, policies, reload, rotation, telemetry, tls, usage,
};
use arc_swap::ArcSwap;
use portunus_connections::Connections;
use portunus_core::limits;
use portunus_core::record::{Event, Ledger, LedgerError, Record};
use portunus_core::server::Server;
use portunus_core::store::Store;
use portunus_core::time::{Clock, Rng};
use portunus_core::trace::Spans;
use portunus_disclose::veil::Classes;
use portunus_edge::counters::Counters;
use portunus_edge::emergencies::Emergencies;
use portunus_edge::labels::Labels;
use portunus_edge::mask_key::MaskKeys;
use portunus_edge::metrics::Metrics;
use portunus_edge::shown::DataClasses;
use portunus_edge::{
    Edge, Published, Snapshot, approval, assertion, caller, cors, handle, listener, ports, route,
};
use portunus_governance::OwnKey;
use portunus_governance::findings::Thresholds;
use portunus_governance::mirror::Mirror;
use portunus_ledger::FileLedger;
use portunus_ledger::redact::Redactor;
use portunus_oauth::client_admin;
use portunus_oauth::config::Issuer;
use portunus_oauth::dpop::Guard;
use portunus_oauth::passkey::ceremony::ChallengeKey;
use portunus_oauth::ports::Ports;
use portunus_pins::Lock;
use portunus_store::SqliteStore;
use portunus_tunnel::authority::LinkAuthority;
use portunus_tunnel::certificate::PeerCertificate;
use portunus_tunnel::enrol::Desk;
use portunus_tunnel::registry::Registry;
use portunus_tunnel::wire::{GatewayInfo, Timing};
use portunus_vault::rotation::Engine;
use portunus_vault::{SealingKey, Vault};
use portunus_web::connections::TokioRuntime;
use portunus_web::fetch::PublicFetcher;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Why an edge did not start. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StartError(pub String);

impl StartError {
    fn because(what: &str, error: &dyn std::fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

impl From<SettingError> for StartError {
    fn from(error: SettingError) -> Self {
        Self(error.to_string())
    }
}

/// A running edge.
pub(crate) struct Node {
    pub parts: Arc<Parts>,
    pub https: SocketAddr,
    pub admin: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    ledger: Arc<FileLedger>,
}

/// What the parts of a node share.
pub(crate) struct Parts {
    pub store: Arc<dyn Store>,
    pub ledger: Arc<dyn Ledger>,
    pub file_ledger: Arc<FileLedger>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub key: SealingKey,
    pub sealing: Arc<Sealing>,
    pub registry: Registry,
    pub edge: Arc<Edge>,
    pub issuer: Arc<ArcSwap<Issuer>>,
    pub certificates: tls::Certificates,
    pub tls: Arc<ArcSwap<portunus_edge::tls::TlsConfigs>>,
    pub upstreams: Upstreams,
    /// Trusts what the system does, towards upstreams.
    pub upstream_tls: Arc<rustls::ClientConfig>,
    pub web: portunus_web::State,
    pub book: Arc<Book>,
    /// The edge's own keys, as far as they do not change while it runs.
    pub own_keys: Vec<OwnKey>,
    /// From when on something about an identity is worth a word.
    pub thresholds: ArcSwap<Thresholds>,
    pub rotations: Arc<Engine>,
    /// What governance reads of the store.
    pub mirror: Mirror,
    /// The configuration in force.
    pub config: ArcSwap<Config>,
}

impl Parts {
    /// What changes are made with now.
    pub(crate) fn ports(&self) -> Ports<'_> {
        let Self { store, ledger, rng, clock, .. } = self;
        Ports { store: &**store, ledger: &**ledger, rng: &**rng, now: clock.now() }
    }

    /// Records something that Portunus itself did.
    pub(crate) async fn note(
        &self,
        action: &str,
        subject: &str,
        detail: &[(&str, &str)],
    ) -> Result<(), LedgerError> {
        let detail: BTreeMap<_, _> = detail.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (by, action, subject) = (String::from("portunus"), action.to_owned(), subject.to_owned());
        let event = Event { at: self.clock.now(), by, action, subject, detail };
        self.ledger.append(Record::Event(event)).await.map(|_| ())
    }
}

impl Node {
    /// Starts everything; returns when requests are served.
    pub(crate) async fn start(config: Config) -> Result<Self, StartError> {
        let loaded = reload::fingerprint(&config);
        let parts = open(&config).await?;
        let book = parts.book.clone();
        configure_clients(&parts, &config).await?;
        let bind = |address: SocketAddr| async move {
            TcpListener::bind(address)
                .await
                .map_err(|e| StartError::because(&format!("listen on {address}"), &e))
        };
        let https = bind(config.https).await?;
        let https_address = https.local_addr().map_err(|e| StartError::because("listen", &e))?;
        let socket = control::bind_admin(&config.admin_socket)
            .map_err(|e| StartError::because(&config.admin_socket.display().to_string(), &e))?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        // Last to listen: who sees it ready can also administer it.
        let admin = match config.admin {
            None => None,
            Some(address) => {
                let listener = bind(address).await?;
                let local = listener.local_addr().map_err(|e| StartError::because("listen", &e))?;
                tasks.push(tokio::spawn(health::serve(listener, parts.clone(), stopped.clone())));
                Some(local)
            }
        };
        let web_admin = portunus_web::admin_router(parts.web.clone());
        tasks.push(tokio::spawn(control::serve_admin(
            socket,
            web_admin,
            book.clone(),
            parts.clone(),
            stopped.clone(),
        )));
        sealing::resume(&parts, &stopped);
        tasks.push(tokio::spawn(reload::watch(config.clone(), loaded, parts.clone(), stopped.clone())));
        tasks.push(tokio::spawn(pins::watch(book, stopped.clone())));
        tasks.extend(tls::start(&config, &parts, &stopped).await?);
        let (reports, reported) = usage::channel();
        parts.edge.callers.report_to(Arc::new(reports));
        tasks.push(tokio::spawn(usage::record(parts.store.clone(), reported, stopped.clone())));
        tasks.push(tokio::spawn(usage::write_counters(parts.edge.clone(), stopped.clone())));
        tasks.push(tokio::spawn(governance::sweep::run(parts.clone(), stopped.clone())));
        tasks.push(tokio::spawn(governance::emergency::run(parts.clone(), stopped.clone())));
        tasks.push(tokio::spawn(governance::connections::run(parts.clone(), stopped.clone())));
        tasks.push(tokio::spawn(governance::revoke::run(parts.clone(), stopped.clone())));
        tasks.push(tokio::spawn(reload::purge(parts.clone(), stopped.clone())));
        tasks.push(tokio::spawn(rotation::run(parts.clone(), stopped.clone())));
        let announced = portunus_web::approvals::webhook::announce(parts.web.clone(), stopped.clone());
        tasks.push(tokio::spawn(announced));
        let links = Arc::new(LinkPort(parts.registry.clone()));
        let serving = listener::serve(https, parts.tls.clone(), parts.edge.clone(), links, stopped);
        tasks.push(tokio::spawn(serving));
        parts
            .note("edge.started", config.public_url.as_str(), &[("version", env!("CARGO_PKG_VERSION"))])
            .await
            .map_err(|e| StartError::because("ledger", &e))?;
        let ledger = parts.file_ledger.clone();
        Ok(Self { parts, https: https_address, admin, stop, tasks, ledger })
    }

    /// Drains and ends: calls in flight finish, streams get their time, the ledger is closed with a checkpoint.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        // A peer of the admin listener that never ends its request must not hold the stop up.
        let end = tokio::time::Instant::now() + limits::DRAIN_TIMEOUT + Duration::from_secs(5);
        for mut task in self.tasks {
            if tokio::time::timeout_at(end, &mut task).await.is_err() {
                task.abort();
            }
        }
        // Links are closed last: calls in flight came through them.
        self.parts.registry.drain();
        self.parts.upstreams.stop().await;
        if let Err(error) = self.parts.note("edge.stopped", "", &[]).await {
            tracing::warn!(%error, "the stop was not recorded");
        }
        let ledger = self.ledger;
        let _ = tokio::task::spawn_blocking(move || ledger.close()).await;
    }
}

#[expect(clippy::too_many_lines, reason = "one part after another, each made of those before")]
async fn open(config: &Config) -> Result<Arc<Parts>, StartError> {
    let (clock, rng): (Arc<dyn Clock>, Arc<dyn Rng>) = (Arc::new(SystemClock), Arc::new(SystemRng));
    let store = SqliteStore::open(&config.store).map_err(|e| StartError::because("store", &e))?;
    let store: Arc<dyn Store> = Arc::new(store);
    let (file_ledger, redactor) = open_ledger(config, &*rng)?;
    let ledger: Arc<dyn Ledger> = file_ledger.clone();
    let (key, sealing) = sealing::open(&config.sealing_key, &*store, &*ledger, &clock, &*rng).await?;

    let settings = Settings { store: &*store, key: &key, rng: &*rng, now: clock.now() };
    let link_authority = Arc::new(settings.link_authority().await?);
    let authorities = rotation::authorities::Authorities::open(&settings).await?;
    let seed = settings.assertion_seed().await?;
    let issuer_text = config.public_url.as_str().trim_end_matches('/');
    let signer = assertion::Signer::new(seed.expose(), issuer_text).map_err(|e| StartError(e.to_string()))?;
    let ports = tls::Ports { store: &store, clock: &clock, rng: &rng };
    let certificates = tls::Certificates::open(config, &settings, &ports).await?;
    let tls = certificates.configs(&link_authority, &ports)?;
    let own_keys =
        governance::own_keys(config, &sealing, &signer.public_key(), link_authority.root(), &authorities);
    let desk = desk(&store, &ledger, &rng, link_authority, gateway_info(issuer_text, &signer));
    let registry = Registry::new(store.clone(), clock.clone(), rng.clone(), Timing::default());
    let issuer = Arc::new(ArcSwap::from_pointee(issuer(config)?));
    let upstream_tls = tls::upstream_client()?;
    let upstreams =
        Upstreams::new(registry.clone(), upstream_tls.clone(), &signer, clock.clone(), rng.clone())?;
    let book = open_pins(config, &ledger, &clock)?;
    let snapshot = snapshot(config, &book.pins().lock(), None, &upstreams)?;
    let connections = Connections::new(portunus_connections::Parts {
        store: store.clone(),
        ledger: ledger.clone(),
        clock: clock.clone(),
        rng: rng.clone(),
        key: key.clone(),
        runtime: Arc::new(TokioRuntime),
        carrier: connections::carrier(&upstream_tls, &clock, &issuer),
        sign: sealer("client-authentication+jwt", seed.expose(), issuer_text)?,
        public_url: issuer_text.to_owned(),
    });
    connections.replace(connections::settings(config, &upstream_tls, &clock, &issuer)?);
    let web = portunus_web::State::new(portunus_web::Parts {
        store: store.clone(),
        ledger: ledger.clone(),
        clock: clock.clone(),
        rng: rng.clone(),
        issuer: issuer.clone(),
        fetcher: Arc::new(PublicFetcher::new(&upstream_tls, clock.clone(), issuer.clone())),
        trusted: Arc::new(PublicFetcher::of_named_hosts(&upstream_tls, clock.clone(), issuer.clone())),
        courier: Arc::new(PublicFetcher::of_named_hosts(&upstream_tls, clock.clone(), issuer.clone())),
        dpop: Guard::new(seed.expose(), config.dpop_nonce),
        challenges: ChallengeKey::new(seed.expose()),
        connections: connections.clone(),
        login: login::login(config, &upstream_tls)?,
        seal: sealer("portunus-review+jwt", seed.expose(), issuer_text)?,
        jwks: portunus_web::jwks(&signer.public_key()),
    });
    web.replace_webhook(config.approvals.webhook());
    web.replace_emergency_approvers(config.emergency_approvers.clone());
    let mirror = Mirror::new(store.clone());
    let vault = Arc::new(Vault::new(store.clone(), key.clone()));
    let watched = vault.clone();
    tokio::spawn(async move { watched.watch_endings().await });
    let shared = rotation::Shared {
        store: &store,
        ledger: &ledger,
        clock: &clock,
        rng: &rng,
        key: &key,
        calls: vault.clone(),
        tls: &upstream_tls,
        authorities,
    };
    let rotations = Arc::new(rotation::engine(config, shared).await?);
    let control = Control::new(portunus_web::router(web.clone()), desk, &clock);
    let edge = Edge {
        snapshot: ArcSwap::from_pointee(snapshot),
        callers: caller::Callers::new(&*store, clock.clone()),
        proofs: Guard::new(seed.expose(), config.dpop_nonce),
        store: store.clone(),
        ledger: ledger.clone(),
        redactor,
        counters: Arc::new(
            Counters::load(&*store, clock.now()).await.map_err(|e| StartError::because("store", &e))?,
        ),
        emergencies: Emergencies::new(&*store),
        uses: Arc::default(),
        observed: portunus_edge::observed::Sightings::default(),
        pins: book.pins().clone(),
        labels: Arc::new(Labels::new(store.clone())),
        mask_keys: MaskKeys::new(seed.expose()),
        approvals: approval::Desk::new(&*store, limits::APPROVAL_WAIT),
        vault,
        connections,
        handles: handle::Handles::new(seed.expose()),
        signer,
        clock: clock.clone(),
        rng: rng.clone(),
        shadow: Mutex::default(),
        metrics: Arc::new(Metrics::new()),
        spans: telemetry::start_spans().map(|spans| Arc::new(spans) as Arc<dyn Spans>),
        control: Arc::new(control),
    };
    edge.vault.limit_age(config.governance.block_age);
    let (edge, tls) = (Arc::new(edge), Arc::new(ArcSwap::from_pointee(tls)));
    Ok(Arc::new(Parts {
        store,
        ledger,
        file_ledger,
        clock,
        rng,
        key,
        sealing,
        registry,
        edge,
        issuer,
        certificates,
        tls,
        upstreams,
        upstream_tls,
        web,
        book,
        own_keys,
        thresholds: ArcSwap::from_pointee(config.governance),
        rotations,
        mirror,
        config: ArcSwap::from_pointee(config.clone()),
    }))
}

/// Signs statements of one type: what reviewers say, or which client this is.
fn sealer(kind: &'static str, seed: &[u8], issuer: &str) -> Result<portunus_web::Sealer, StartError> {
    let signer = assertion::Signer::new(seed, issuer).map_err(|e| StartError(e.to_string()))?;
    Ok(Arc::new(move |payload| signer.statement(kind, payload)))
}

/// The lockfile beside the configuration.
fn open_pins(
    config: &Config,
    ledger: &Arc<dyn Ledger>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Book>, StartError> {
    let path = pins::path_beside(&config.path);
    let book = Book::open(path, ledger.clone(), clock.clone());
    book.map(Arc::new).map_err(|e| StartError(e.to_string()))
}

/// Where connectors enrol.
fn desk(
    store: &Arc<dyn Store>,
    ledger: &Arc<dyn Ledger>,
    rng: &Arc<dyn Rng>,
    authority: Arc<LinkAuthority>,
    gateway: GatewayInfo,
) -> Desk {
    let certificate_life = limits::CONNECTOR_CERT_TTL;
    let (store, ledger, rng) = (store.clone(), ledger.clone(), rng.clone());
    Desk { store, ledger, authority, rng, gateway, certificate_life }
}

fn open_ledger(config: &Config, rng: &dyn Rng) -> Result<(Arc<FileLedger>, Redactor), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::because("ledger", error);
    let origin = config.public_url.as_str().trim_start_matches("https://").trim_end_matches('/');
    let keys = portunus_ledger::keys::load_or_create(&config.ledger, origin, rng).map_err(|e| failed(&e))?;
    let redactor = Redactor::new(&keys.redaction);
    let options = portunus_ledger::Options::new(&config.ledger, keys.signing);
    Ok((Arc::new(FileLedger::open(options).map_err(|e| failed(&e))?), redactor))
}

fn gateway_info(public_url: &str, signer: &assertion::Signer) -> GatewayInfo {
    let assertion_key = data_encoding::BASE64URL_NOPAD.encode(&signer.public_key());
    GatewayInfo { public_url: public_url.to_owned(), assertion_key }
}

/// The issuer of this configuration.
pub(crate) fn issuer(config: &Config) -> Result<Issuer, StartError> {
    let servers = config.servers.iter().map(|entry| entry.server.clone()).collect();
    let issuer = Issuer::new(&config.public_url, servers).map_err(|e| StartError(e.to_string()))?;
    Ok(issuer
        .with_registration(config.registration.clone())
        .with_machines(config.machines.clone())
        .with_providers(config.login.providers.clone())
        .with_lives(config.tokens))
}

/// Makes the stored clients of the configuration what it says.
pub(crate) async fn configure_clients(parts: &Parts, config: &Config) -> Result<(), StartError> {
    let configured = client_admin::configure(&parts.ports(), &config.clients).await;
    configured.map_err(|e| StartError::because("clients", &e))
}

/// One immutable view of this configuration and its policies.
pub(crate) fn snapshot(
    config: &Config,
    lock: &Lock,
    before: Option<&Snapshot>,
    upstreams: &Upstreams,
) -> Result<Snapshot, StartError> {
    let engine = policies::load(config, lock).map_err(|e| StartError(e.to_string()))?;
    for warning in engine.warnings() {
        tracing::warn!("{warning}");
    }
    let mut servers = HashMap::new();
    for entry in &config.servers {
        let published = Published {
            dialer: upstreams.dialer(entry)?,
            read_only: policies::read_only(entry),
            takes_secrets: entry.takes_secrets.clone(),
            built_in_sql: entry.tools == Tools::Sql,
            sql: entry.sql.clone(),
            labels: entry.labels.clone(),
            gives_tasks: Arc::default(),
            mirrors: Arc::default(),
            pinned: entry.pinned,
            lists: Arc::default(),
            room: room(&entry.server, before),
            server: entry.server.clone(),
        };
        servers.insert(entry.server.name.clone(), Arc::new(published));
    }
    Ok(Snapshot {
        public_url: config.public_url.as_str().trim_end_matches('/').to_owned(),
        hosts: route::Hosts::new(&config.public_url),
        origins: cors::Origins::new(
            config.public_url.as_str().trim_end_matches('/'),
            &config.allowed_origins,
        ),
        engine: Arc::new(engine),
        shadow: policies::candidate(config, lock),
        data: data_classes(config)?,
        approval_ttl: config.approvals.ttl,
        servers,
    })
}

/// What is looked for in results, and what it puts on sessions.
fn data_classes(config: &Config) -> Result<DataClasses, StartError> {
    let own = config.classes.iter().filter_map(|class| Some((class.name.clone(), class.pattern.clone()?)));
    let classes = Classes::new(&own.collect()).map_err(|e| StartError::because("data_classes", &e))?;
    let labelled = config.classes.iter().filter(|class| !class.labels.is_empty());
    Ok(DataClasses {
        classes,
        labels: labelled.map(|class| (class.name.clone(), class.labels.clone())).collect(),
    })
}

/// The server's room for calls: after a reload the one that its running calls already fill.
fn room(server: &Server, before: Option<&Snapshot>) -> Arc<Semaphore> {
    let calls = server.limits.concurrent_calls;
    let same = before.and_then(|snapshot| snapshot.servers.get(&server.name));
    let same = same.filter(|published| published.server.limits.concurrent_calls == calls);
    same.map_or_else(|| Arc::new(Semaphore::new(calls)), |published| published.room.clone())
}

struct LinkPort(Registry);

#[async_trait::async_trait]
impl ports::Links for LinkPort {
    async fn run(
        &self,
        stream: ports::TlsStream,
        certificates: Vec<rustls::pki_types::CertificateDer<'static>>,
        peer: SocketAddr,
    ) {
        let Some(leaf) = certificates.first() else { return };
        let admitted = match PeerCertificate::from_der(leaf) {
            Ok(certificate) => self.0.accept(stream, certificate).await.map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = admitted {
            tracing::warn!(%peer, error, "a link was refused");
        }
    }
}
