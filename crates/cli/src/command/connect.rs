//! `portunus connect`: the connector beside a tool.

use super::{Failure, Outcome};
use crate::args::Connect;
use crate::config::upstream;
use crate::serving::{Sql, Traced};
use crate::signals;
use crate::system::{SystemClock, SystemRng};
use crate::tls::UpstreamTls;
use crate::upstreams::GUARD;
use data_encoding::BASE64URL_NOPAD;
use portunus_core::assertion::Verifier;
use portunus_core::id::ServerName;
use portunus_core::secret::Secret;
use portunus_core::trace::Spans;
use portunus_sqlite::Options;
use portunus_stdio::{Guard, StdioServer};
use portunus_tunnel::connector::{Config, Connector, ConnectorError, Event};
use portunus_tunnel::dial::Proxy;
use portunus_tunnel::target::{DialerTarget, HttpTarget};
use portunus_tunnel::wire::{GatewayInfo, Timing};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

pub(crate) async fn run(connect: Connect) -> Outcome {
    let gateway = Url::parse(&connect.gateway).map_err(|e| Failure::Usage(format!("--gateway: {e}")))?;
    let name = ServerName::parse(&connect.name).map_err(Failure::usage)?;
    let state_dir = connect.state.clone().unwrap_or_else(|| default_state(&gateway, &name));
    let config = Config {
        join_token: join_token(&connect)?,
        links: connect.links,
        ca_file: connect.ca_file.clone(),
        proxy: proxy()?,
        timing: Timing::default(),
        gateway,
        name: name.clone(),
        state_dir,
    };
    let plain = connect.plain || !std::io::stderr().is_terminal();
    let (clock, rng) = (Arc::new(SystemClock), Arc::new(SystemRng));
    let connector = Connector::new(config, clock, rng, Arc::new(move |event| report(&event, plain)));
    let connector = connector.map_err(|error| match error {
        ConnectorError::Config(_) => Failure::usage(error),
        _ => Failure::refused(error),
    })?;
    let spans = crate::telemetry::start_spans().map(|spans| Arc::new(spans) as Arc<dyn Spans>);
    let ended = match (&connect.to, &connect.sqlite) {
        (Some(to), _) => {
            let url = Url::parse(to).map_err(|e| Failure::Usage(format!("--to: {e}")))?;
            let own =
                UpstreamTls::new(connect.ca.clone(), connect.client_cert.clone(), connect.client_key.clone());
            let own = own.map_err(Failure::Usage)?;
            let target = if own.is_plain() {
                HttpTarget::new(&url, connect.ca_file.as_deref())
            } else {
                HttpTarget::with_tls(&url, &*own.load().map_err(Failure::Usage)?)
            };
            let target = target.map_err(Failure::usage)?;
            connector.run(Traced::new(target, "connector", spans), signals::stop()).await
        }
        (None, Some(file)) => {
            let gateway = tokio::select! {
                gateway = connector.enrol() => gateway.map_err(Failure::refused)?,
                () = signals::stop() => return Ok(()),
            };
            let options = Options { write: connect.write, ..Options::new(file) };
            let sql = Sql::open(options, &name, &gateway).map_err(Failure::refused)?;
            let service = Traced::new(Traced::new(sql, "tool", spans.clone()), "connector", spans);
            connector.run(service, signals::stop()).await
        }
        (None, None) => {
            let gateway = tokio::select! {
                gateway = connector.enrol() => gateway.map_err(Failure::refused)?,
                () = signals::stop() => return Ok(()),
            };
            let server = program(&connect, &name, &gateway)?;
            let target = DialerTarget::new(Arc::new(server.clone()));
            let ended = connector.run(Traced::new(target, "connector", spans), signals::stop()).await;
            server.stop().await;
            ended
        }
    };
    ended.map_err(Failure::refused)
}

/// The program after `--` as a server.
fn program(connect: &Connect, name: &ServerName, gateway: &GatewayInfo) -> Result<StdioServer, Failure> {
    let mut environment = BTreeMap::new();
    for text in &connect.env {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let missing = |error| Failure::Usage(format!("--env {text}: {error}"));
                (text.as_str(), std::env::var(text).map_err(missing)?)
            }
        };
        environment.insert(name.to_owned(), value);
    }
    let directory = connect.cwd.clone().unwrap_or_else(|| PathBuf::from("."));
    let program = upstream::program(&connect.program, &environment, &directory, Some(&connect.per));
    let program = program.map_err(Failure::Usage)?;
    let key = BASE64URL_NOPAD.decode(gateway.assertion_key.as_bytes());
    let key = key.map_err(|_| Failure::refused("the edge gave no usable assertion key: enrol again"))?;
    let verifier = Verifier::new(&key, name.as_str(), Arc::new(SystemClock)).map_err(Failure::refused)?;
    let guard = Guard::of_this_program(GUARD).map_err(Failure::refused)?;
    Ok(StdioServer::new(name.clone(), program, guard, verifier, Arc::new(SystemRng)))
}

fn join_token(connect: &Connect) -> Result<Option<Secret<String>>, Failure> {
    let Some(path) = &connect.token_file else { return Ok(None) };
    let text =
        std::fs::read_to_string(path).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))?;
    Ok(Some(Secret::new(text.trim().to_owned())))
}

fn proxy() -> Result<Option<Proxy>, Failure> {
    let found = ["HTTPS_PROXY", "https_proxy"].iter().find_map(|name| std::env::var(name).ok());
    let Some(text) = found.filter(|text| !text.is_empty()) else { return Ok(None) };
    let url = Url::parse(&text).map_err(|e| Failure::Usage(format!("HTTPS_PROXY: {e}")))?;
    Proxy::new(url).map(Some).map_err(Failure::usage)
}

/// `$XDG_STATE_HOME/portunus/HOST/NAME`, by default below `~/.local/state`.
fn default_state(gateway: &Url, name: &ServerName) -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(|| PathBuf::from("."));
    let host = gateway.host_str().unwrap_or("gateway");
    let place = gateway.port().map_or_else(|| host.to_owned(), |port| format!("{host}_{port}"));
    base.join("portunus").join(place).join(name.as_str())
}

fn report(event: &Event, plain: bool) {
    let (mark, text) = words(event);
    match (plain, mark) {
        (false, _) => eprintln!("{mark} {text}"),
        (true, "✗") => tracing::warn!("{text}"),
        (true, _) => tracing::info!("{text}"),
    }
}

/// A mark for good, bad or neutral news, and the news.
pub(crate) fn words(event: &Event) -> (&'static str, String) {
    let soon = |pause: &std::time::Duration| format!("{:.1} s", pause.as_secs_f64());
    match event {
        Event::Enrolled { connector, server } => ("✓", format!("enrolled as {connector} for {server}")),
        Event::Waiting { why, retry_in } => ("✗", format!("{why}; trying again in {}", soon(retry_in))),
        Event::Dialling { slot } => ("·", format!("link {slot}: dialling")),
        Event::LinkUp { slot } => ("✓", format!("link {slot} is up")),
        Event::LinkDown { slot, why, retry_in } => {
            ("✗", format!("link {slot} is down: {why}; dialling again in {}", soon(retry_in)))
        }
        Event::Renewed { next } => ("✓", format!("certificate renewed; next at {next}")),
        Event::Refused { message, .. } => ("✗", format!("refused: {message}")),
        Event::Draining => ("·", String::from("stopping: calls in flight finish")),
    }
}
