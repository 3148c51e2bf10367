//! The servers of the configuration that are used with an account elsewhere, each with its way there.

use crate::config::Config;
use crate::node::StartError;
use arc_swap::ArcSwap;
use portunus_connections::{Carrier, Settings};
use portunus_core::server::Upstream;
use portunus_core::time::Clock;
use portunus_oauth::config::Issuer;
use portunus_web::connections::ConnectionCarrier;
use portunus_web::fetch::PublicFetcher;
use std::sync::Arc;

/// How they are connected to by this configuration. Nothing is asked of anybody yet.
pub(crate) fn settings(
    config: &Config,
    system: &rustls::ClientConfig,
    clock: &Arc<dyn Clock>,
    issuer: &Arc<ArcSwap<Issuer>>,
) -> Result<Vec<Settings>, StartError> {
    let mut all = Vec::new();
    for entry in &config.servers {
        let (Some(oauth), Upstream::Http(url)) = (&entry.oauth, &entry.server.upstream) else { continue };
        let failed = |error: String| StartError(format!("{}: {error}", entry.server.name));
        let own = (!entry.tls.is_plain()).then(|| entry.tls.load()).transpose().map_err(failed)?;
        let carrier = carrier(own.as_deref().unwrap_or(system), clock, issuer);
        all.push(Settings {
            server: entry.server.name.clone(),
            title: entry.server.title.clone(),
            upstream: url.clone(),
            resource: oauth.resource.clone(),
            whose: oauth.whose,
            issuer: oauth.issuer.clone(),
            scopes: oauth.scopes.clone(),
            more_scopes: oauth.more_scopes.clone(),
            client: oauth.client.clone(),
            signs: oauth.signs,
            carrier,
        });
    }
    Ok(all)
}

/// What reaches servers and their authorization servers, trusting what these TLS settings do.
pub(crate) fn carrier(
    tls: &rustls::ClientConfig,
    clock: &Arc<dyn Clock>,
    issuer: &Arc<ArcSwap<Issuer>>,
) -> Arc<dyn Carrier> {
    let named = PublicFetcher::of_named_hosts(tls, clock.clone(), issuer.clone());
    let public = PublicFetcher::new(tls, clock.clone(), issuer.clone());
    Arc::new(ConnectionCarrier::new(Arc::new(named), Arc::new(public)))
}
