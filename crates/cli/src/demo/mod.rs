//! `portunus demo`: everything in one process, every part the real one.

mod client;
mod files;
mod http;
mod person;
mod story;

use crate::admin::AdminClient;
use crate::args::Demo;
use crate::command::{Failure, Outcome};
use crate::config;
use crate::node::Node;
use crate::serving::{Sql, Traced};
use crate::signals;
use crate::system::{SystemClock, SystemRng};
use portunus_core::id::ServerName;
use portunus_core::secret::Secret;
use portunus_core::trace::Spans;
use portunus_sqlite::Options;
use portunus_tunnel::connector::{Config, Connector, Event};
use portunus_tunnel::wire::Timing;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

const USER: &str = "ana";
const SERVER: &str = "sales";
/// How long the connector may take to link.
const LINK_PATIENCE: Duration = Duration::from_secs(30);

/// A running demo.
struct Running {
    node: Node,
    connector: JoinHandle<()>,
    stop_connector: oneshot::Sender<()>,
    state: PathBuf,
    public_url: String,
    /// `None` when the account is from an earlier run.
    password: Option<String>,
}

pub(crate) async fn run(demo: Demo) -> Outcome {
    let quiet = demo.json;
    let running = start(&demo).await?;
    if demo.once {
        let outcome = once(&running, quiet).await;
        stop(running).await;
        return outcome;
    }
    if demo.json {
        announce_json(&running)
    } else {
        announce(&running)
    }
    signals::stop().await;
    if !quiet {
        println!("stopping: calls in flight finish, the ledger is signed");
    }
    stop(running).await;
    Ok(())
}

async fn start(demo: &Demo) -> Result<Running, Failure> {
    let https: SocketAddr = demo
        .listen
        .parse()
        .map_err(|_| Failure::Usage(format!("--listen `{}` must be IP:PORT", demo.listen)))?;
    let port = if https.port() == 0 { free_port(https)? } else { https.port() };
    let https = SocketAddr::new(https.ip(), port);
    progress(demo, "preparing the sample database, policies and keys");
    files::write(&demo.state, port, &https.to_string(), &demo.admin_listen).map_err(Failure::Usage)?;
    let state = demo.state.canonicalize().map_err(Failure::usage)?;
    let config = config::load(&state.join("portunus.yaml")).map_err(Failure::usage)?;
    let public_url = config.public_url.as_str().trim_end_matches('/').to_owned();
    let node = Node::start(config).await.map_err(Failure::usage)?;
    let admin = AdminClient::new(&state);
    let password = account(&admin).await?;
    progress(demo, "linking the connector");
    let (connector, stop_connector) = link(&state, &public_url, &admin).await?;
    Ok(Running { node, connector, stop_connector, state, public_url, password })
}

async fn stop(running: Running) {
    let _ = running.stop_connector.send(());
    running.node.stop().await;
    let _ = running.connector.await;
}

fn progress(demo: &Demo, text: &str) {
    if !demo.json {
        eprintln!("· {text}");
    }
}

/// The demo's public URL holds its port, so it must be known before the edge binds it.
fn free_port(address: SocketAddr) -> Result<u16, Failure> {
    let listener = std::net::TcpListener::bind(address).map_err(Failure::usage)?;
    listener.local_addr().map(|local| local.port()).map_err(Failure::usage)
}

/// The one user, and their one-time password when they are new.
async fn account(admin: &AdminClient) -> Result<Option<String>, Failure> {
    let users = admin.get("/users").await.map_err(Failure::refused)?;
    let known = users["users"].as_array().is_some_and(|all| all.iter().any(|user| user["name"] == USER));
    if known {
        return Ok(None);
    }
    let body =
        json!({ "name": USER, "display_name": "Ana Analyst", "groups": ["analysts"], "administrator": true });
    let added = admin.post("/users", &body).await.map_err(Failure::refused)?;
    Ok(added["password"].as_str().map(str::to_owned))
}

/// A real connector: it enrols with a join token and dials the public port like any other.
async fn link(
    state: &Path,
    public_url: &str,
    admin: &AdminClient,
) -> Result<(JoinHandle<()>, oneshot::Sender<()>), Failure> {
    let answer = admin.post("/join-tokens", &json!({ "server": SERVER })).await.map_err(Failure::refused)?;
    let token = answer["join_token"].as_str().unwrap_or_default().to_owned();
    let name = ServerName::parse(SERVER).map_err(Failure::usage)?;
    let config = Config {
        gateway: url::Url::parse(public_url).map_err(Failure::usage)?,
        name: name.clone(),
        state_dir: state.join("connector"),
        join_token: Some(Secret::new(token)),
        links: 2,
        ca_file: Some(state.join("ca.pem")),
        proxy: None,
        timing: Timing::default(),
    };
    let (up, mut is_up) = mpsc::channel(1);
    let events = move |event: Event| {
        tracing::debug!("demo connector: {}", crate::command::connect::words(&event).1);
        if matches!(event, Event::LinkUp { .. }) {
            let _ = up.try_send(());
        }
    };
    let connector = Connector::new(config, Arc::new(SystemClock), Arc::new(SystemRng), Arc::new(events));
    let connector = connector.map_err(Failure::refused)?;
    let gateway = connector.enrol().await.map_err(Failure::refused)?;
    let options = Options { write: true, ..Options::new(state.join("shop.db")) };
    let sql = Sql::open(options, &name, &gateway).map_err(Failure::refused)?;
    let spans = crate::telemetry::start_spans().map(|spans| Arc::new(spans) as Arc<dyn Spans>);
    let service = Traced::new(Traced::new(sql, "tool", spans.clone()), "connector", spans);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let stop = async move {
            let _ = stopped.await;
        };
        if let Err(error) = connector.run(service, stop).await {
            tracing::error!(%error, "the demo's connector ended");
        }
    });
    match tokio::time::timeout(LINK_PATIENCE, is_up.recv()).await {
        Ok(Some(())) => Ok((task, stop)),
        _ => Err(Failure::Refused(String::from("the connector did not link in time"))),
    }
}

async fn once(running: &Running, quiet: bool) -> Outcome {
    let Some(password) = &running.password else {
        return Err(Failure::Usage(format!(
            "the story needs a fresh state directory: {} was used before; remove it or give another --state",
            running.state.display()
        )));
    };
    let setting = story::Setting {
        mcp_url: &format!("{}/{SERVER}/mcp", running.public_url),
        ca_file: &running.state.join("ca.pem"),
        user: USER,
        password,
        admin: AdminClient::new(&running.state),
    };
    let steps = story::play(&setting, quiet).await;
    let failed = steps.iter().find(|step| !step.ok);
    if quiet {
        println!("{}", json!({ "ok": failed.is_none(), "steps": steps }));
    }
    match failed {
        None => Ok(()),
        Some(step) => Err(Failure::Refused(format!("the story stopped at `{}`: {}", step.name, step.saw))),
    }
}

fn announce_json(running: &Running) {
    let admin_url = running.node.admin.map(|address| format!("http://{address}"));
    let line = json!({
        "mcp_url": format!("{}/{SERVER}/mcp", running.public_url),
        "issuer": running.public_url,
        "ca_file": running.state.join("ca.pem"),
        "user": USER,
        "password": running.password,
        "admin_url": admin_url,
        "state": running.state,
    });
    println!("{line}");
}

fn announce(running: &Running) {
    let url = &running.public_url;
    let ca = running.state.join("ca.pem");
    let password = running.password.as_deref().unwrap_or("(the one you chose)");
    let state = running.state.display();
    println!(
        "
Portunus is running. The sample shop database is behind a real tunnel, under the policies in
{state}/policies (edit them: the next call is decided by what you saved).

  Paste into an MCP client    {url}/{SERVER}/mcp
  Sign in as                  {USER}
  One-time password           {password}
  Console                     {url}/console/

Clients must trust the demo's own CA. One variable does it:
  Node (inspector, VS Code)   export NODE_EXTRA_CA_CERTS={ca}
  Python                      export SSL_CERT_FILE={ca}

Try       npx @modelcontextprotocol/inspector
Approve   portunus approve list --state {state}
Watch     portunus audit tail --follow --state {state}
Stop      Ctrl-C
",
        ca = ca.display(),
    );
}
