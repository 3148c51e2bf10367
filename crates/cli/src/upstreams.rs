//! The ways to upstreams: the tunnel, URLs, and programs whose processes outlive a reload that does not concern them.

use crate::config::ServerConfig;
use crate::node::StartError;
use portunus_core::assertion::Verifier;
use portunus_core::dialer::Dialer;
use portunus_core::digest::Digest;
use portunus_core::id::ServerName;
use portunus_core::server::{Program, Upstream};
use portunus_core::time::{Clock, Rng};
use portunus_edge::Published;
use portunus_edge::assertion::Signer;
use portunus_edge::bridge::{Bridge, Protocol};
use portunus_edge::upstream::http::HttpDialer;
use portunus_stdio::{Guard, StdioServer};
use portunus_tunnel::registry::Registry;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The sub-command by which this program guards a child.
pub(crate) const GUARD: &str = "child-guard";

/// What is needed to reach upstreams.
pub(crate) struct Upstreams {
    registry: Registry,
    tls: Arc<rustls::ClientConfig>,
    assertion_key: Vec<u8>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    guard: Guard,
    /// Programs that are published, or were until a call ends that is still under way.
    programs: Mutex<HashMap<ServerName, (Program, StdioServer)>>,
    /// What clients of both protocol eras go through. A reload keeps that of a server which did not change, and with it what
    /// is known of the upstream's era and the sessions of its callers.
    bridges: Mutex<HashMap<ServerName, (Kept, Bridge)>>,
}

/// What a bridge was made for; the digest is that of its upstream's TLS files.
type Kept = (Upstream, Protocol, Digest);

impl Upstreams {
    pub(crate) fn new(
        registry: Registry,
        tls: Arc<rustls::ClientConfig>,
        signer: &Signer,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Result<Self, StartError> {
        let guard = Guard::of_this_program(GUARD)
            .map_err(|e| StartError(format!("the program of this process cannot be found: {e}")))?;
        let assertion_key = signer.public_key();
        Ok(Self {
            registry,
            tls,
            assertion_key,
            clock,
            rng,
            guard,
            programs: Mutex::default(),
            bridges: Mutex::default(),
        })
    }

    /// The way to this server, for clients of both protocol eras.
    pub(crate) fn dialer(&self, entry: &ServerConfig) -> Result<Arc<dyn Dialer>, StartError> {
        let server = &entry.server;
        let mut bridges = self.bridges.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = (server.upstream.clone(), entry.protocol, entry.tls.digest());
        if let Some((_, bridge)) = bridges.get(&server.name).filter(|(kept, _)| *kept == wanted) {
            return Ok(Arc::new(bridge.clone()));
        }
        let base = match &server.upstream {
            Upstream::Http(url) => Some(url.clone()),
            _ => None,
        };
        let bridge = Bridge::new(self.way(entry)?, entry.protocol, base, self.rng.clone());
        if let Some((_, old)) = bridges.insert(server.name.clone(), (wanted, bridge.clone())) {
            old.end();
        }
        Ok(Arc::new(bridge))
    }

    /// The way itself.
    fn way(&self, entry: &ServerConfig) -> Result<Arc<dyn Dialer>, StartError> {
        let server = &entry.server;
        let failed = |e: &dyn std::fmt::Display| StartError(format!("{}: {e}", server.name));
        match &server.upstream {
            Upstream::Tunnel => Ok(Arc::new(self.registry.dialer(&server.name))),
            Upstream::Http(url) => {
                let own =
                    (!entry.tls.is_plain()).then(|| entry.tls.load()).transpose().map_err(|e| failed(&e))?;
                let tls = own.unwrap_or_else(|| self.tls.clone());
                Ok(Arc::new(HttpDialer::new(url, tls).map_err(|e| failed(&e))?))
            }
            Upstream::Program(program) => {
                let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((_, running)) = programs.get(&server.name).filter(|(old, _)| old == program) {
                    return Ok(Arc::new(running.clone()));
                }
                let verifier = Verifier::new(&self.assertion_key, server.name.as_str(), self.clock.clone());
                let verifier = verifier.map_err(|e| failed(&e))?;
                let (name, guard, rng) = (server.name.clone(), self.guard.clone(), self.rng.clone());
                let started = StdioServer::new(name.clone(), program.clone(), guard, verifier, rng);
                programs.insert(name, (program.clone(), started.clone()));
                Ok(Arc::new(started))
            }
        }
    }

    /// Forgets what is not published any more; a program ends with the last call that is under way.
    pub(crate) fn keep(&self, servers: &HashMap<ServerName, Arc<Published>>) {
        let is_program =
            |published: &Arc<Published>| matches!(published.server.upstream, Upstream::Program(_));
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        programs.retain(|name, _| servers.get(name).is_some_and(is_program));
        let mut bridges = self.bridges.lock().unwrap_or_else(PoisonError::into_inner);
        bridges.retain(|name, (_, bridge)| {
            let kept = servers.contains_key(name);
            if !kept {
                bridge.end();
            }
            kept
        });
    }

    /// Ends all programs; resolves when they are gone.
    pub(crate) async fn stop(&self) {
        let programs = std::mem::take(&mut *self.programs.lock().unwrap_or_else(PoisonError::into_inner));
        futures_util::future::join_all(programs.values().map(|(_, running)| running.stop())).await;
    }
}
