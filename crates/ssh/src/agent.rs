//! An agent (draft-miller-ssh-agent) for one program: it tells the public keys of one identity and signs with it. It takes no
//! keys in, gives none out, and ends with its program. Its socket is in a directory that only its owner may enter.

use crate::identity::Identity;
use crate::wire::{Reader, put};
use data_encoding::HEXLOWER;
use portunus_core::limits::{AGENT_CONNECTIONS, AGENT_MESSAGE_BYTES};
use portunus_core::time::Rng;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// Messages of the protocol, section 5.1.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN: u8 = 13;
const SIGNATURE: u8 = 14;

/// The variable that tells a program where its agent is.
pub const VARIABLE: &str = "SSH_AUTH_SOCK";

/// A running agent. Dropping it closes its socket and all of its connections.
#[derive(Debug)]
pub struct Agent {
    directory: PathBuf,
    socket: PathBuf,
    task: AbortHandle,
}

impl Agent {
    /// Listens on a socket of its own. To be called in a runtime.
    ///
    /// # Errors
    /// When directory or socket cannot be made.
    pub fn start(identity: Identity, rng: &dyn Rng) -> io::Result<Self> {
        let mut name = [0_u8; 12];
        rng.fill(&mut name);
        // In a directory of the system's for such things: the path of a socket may have about 100 bytes only.
        let directory = std::env::temp_dir().join(format!("portunus-agent-{}", HEXLOWER.encode(&name)));
        DirBuilder::new().mode(0o700).create(&directory)?;
        let socket = directory.join("agent");
        let listener = UnixListener::bind(&socket).inspect_err(|_| remove(&directory))?;
        let task = tokio::spawn(serve(listener, Arc::new(identity))).abort_handle();
        Ok(Self { directory, socket, task })
    }

    /// Where it is.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
        remove(&self.directory);
    }
}

/// The directory and the socket in it; nothing else is there.
fn remove(directory: &Path) {
    let _ = std::fs::remove_file(directory.join("agent"));
    if let Err(error) = std::fs::remove_dir(directory) {
        tracing::debug!(%error, "the directory of an agent stays behind");
    }
}

async fn serve(listener: UnixListener, identity: Arc<Identity>) {
    let room = Arc::new(Semaphore::new(AGENT_CONNECTIONS));
    // Ends them all when this task is ended.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { return };
        while connections.try_join_next().is_some() {}
        let identity = identity.clone();
        connections.spawn(async move {
            // One that ends or talks nonsense is simply over.
            let _ = converse(stream, &identity).await;
            drop(place);
        });
    }
}

async fn converse(mut stream: UnixStream, identity: &Identity) -> io::Result<()> {
    loop {
        let length = stream.read_u32().await?;
        if length == 0 || length > AGENT_MESSAGE_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut question = vec![0; usize::try_from(length).unwrap_or_default()];
        stream.read_exact(&mut question).await?;
        let mut framed = Vec::new();
        put(&mut framed, &answer(&question, identity));
        stream.write_all(&framed).await?;
    }
}

/// The answer to one message; what is not known fails.
fn answer(question: &[u8], identity: &Identity) -> Vec<u8> {
    let mut reader = Reader(question);
    let answer = match reader.byte() {
        Some(REQUEST_IDENTITIES) => Some(identities(identity)),
        Some(SIGN) => sign(&mut reader, identity),
        _ => None,
    };
    answer.unwrap_or_else(|| vec![FAILURE])
}

fn identities(identity: &Identity) -> Vec<u8> {
    let blobs = identity.blobs();
    let mut answer = vec![IDENTITIES];
    answer.extend_from_slice(&u32::try_from(blobs.len()).unwrap_or_default().to_be_bytes());
    for blob in blobs {
        put(&mut answer, &blob);
        put(&mut answer, b"portunus");
    }
    answer
}

fn sign(reader: &mut Reader<'_>, identity: &Identity) -> Option<Vec<u8>> {
    let (key, message, _flags) = (reader.string()?, reader.string()?, reader.u32()?);
    if !identity.blobs().iter().any(|blob| blob == key) {
        return None;
    }
    let mut answer = vec![SIGNATURE];
    put(&mut answer, &identity.sign(message));
    Some(answer)
}
