//! From nothing to a child that takes requests: the process, and in the legacy era the handshake, which is ours.

use crate::child::{Child, Given};
use crate::command::Guard;
use crate::message;
use crate::table::{Asking, Item, Reader};
use bytes::Bytes;
use portunus_core::dialer::{DialError, Plain, Presented};
use portunus_core::id::ServerName;
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::server::Program;
use portunus_core::time::Rng;
use portunus_mcp::message::{Era, Version};
use portunus_ssh::Identity;
use portunus_ssh::agent::{self, Agent};
use std::sync::Arc;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

/// Why a start failed.
#[derive(Debug, Clone)]
pub(crate) enum Failed {
    /// No process, or none that speaks MCP.
    Start(String),
    /// It answered the handshake with this error.
    Refused(Bytes),
    /// The credential that it was to be started with could not be opened.
    Credential(DialError),
}

const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// The `params` of the handshake with a shared child. It offers nothing that would let the child ask "the client", since
/// there are many.
pub(crate) fn shared_handshake() -> Bytes {
    let (version, own) = (Version::NEWEST_LEGACY, env!("CARGO_PKG_VERSION"));
    Bytes::from(format!(
        r#"{{"protocolVersion":"{version}","capabilities":{{}},"clientInfo":{{"name":"portunus","version":"{own}"}}}}"#
    ))
}

/// Starts a child; resolves when it takes requests.
pub(crate) async fn start(
    guard: Guard,
    name: ServerName,
    program: Arc<Program>,
    era: Era,
    handshake: Option<Bytes>,
    (credential, rng): (Option<Presented>, &dyn Rng),
) -> Result<Arc<Child>, Failed> {
    let given = match credential {
        None => Given::default(),
        Some(credential) => open(&credential, rng).await.map_err(Failed::Credential)?,
    };
    let child = Child::start(&guard, &name, &program, given)
        .map_err(|error| Failed::Start(format!("no process could be started: {error}")))?;
    let child = Arc::new(child);
    if era == Era::Modern {
        return Ok(child);
    }
    let params = handshake.unwrap_or_else(shared_handshake);
    match timeout(limits::CHILD_START_TIMEOUT, initialize(&child, &params)).await {
        Ok(Ok(())) => Ok(child),
        Ok(Err(failed)) => Err(failed),
        Err(_) => {
            let waited = limits::CHILD_START_TIMEOUT.as_secs();
            Err(Failed::Start(format!("its process did not answer the handshake within {waited} s")))
        }
    }
}

async fn open(credential: &Presented, rng: &dyn Rng) -> Result<Given, DialError> {
    let given = Given { ended: credential.ended(), ..Given::default() };
    let unusable = |why: String| DialError::Credential(format!("`{}`: {why}", credential.used().name));
    match credential.open().await? {
        Plain::Environment(shown) => Ok(Given { shown, ..given }),
        Plain::SshKey(text) => {
            let identity = Identity::read(text.expose()).map_err(|error| unusable(error.to_string()))?;
            let agent = Agent::start(identity, rng).map_err(|error| unusable(error.to_string()))?;
            let socket = agent.socket().to_string_lossy().into_owned();
            let shown = vec![(agent::VARIABLE.to_owned(), Secret::new(socket))];
            Ok(Given { shown, agent: Some(agent), ..given })
        }
        _ => Err(credential.unfit("a program")),
    }
}

async fn initialize(child: &Child, params: &[u8]) -> Result<(), Failed> {
    let (sender, mut receiver) = unbounded_channel();
    let asking = Asking {
        id: Bytes::from_static(b"0"),
        token: None,
        session: None,
        caller: None,
        reader: Reader::new(sender),
        takes_events: false,
    };
    let request = |number: u64| {
        let head = format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"initialize","params":"#);
        message::splice(&[head.as_bytes(), params, b"}"].concat(), Vec::new())
    };
    let gone = |why: String| Failed::Start(format!("its process did not start: {why}"));
    child.ask(asking, request).map_err(|_| gone(child.why()))?;
    let Some(Item::Answer(held, _)) = receiver.recv().await else { return Err(gone(child.why())) };
    match message::outcome(held.bytes()) {
        Some(Ok(result)) => {
            let _ = child.handshake.set(Bytes::copy_from_slice(result.as_bytes()));
            child.say(Bytes::from_static(INITIALIZED)).map_err(|_| gone(child.why()))
        }
        Some(Err(error)) => Err(Failed::Refused(Bytes::copy_from_slice(error.as_bytes()))),
        None => Err(gone(String::from("its answer to the handshake is no answer"))),
    }
}
