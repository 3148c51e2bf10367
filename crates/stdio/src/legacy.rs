//! The era of the handshake: sessions, which are ours, with children whose one handshake was ours as well.
//!
//! A session with a shared child has no state in it, so it outlives a restart, until it subscribes to a resource. A
//! session with a child of one caller ends with that child: 404, and its client starts again. A child belongs to one version
//! of a credential: a session without state follows its requests to the child of the version that they carry, any other ends.

use crate::child::Child;
use crate::children::{Key, NoChild};
use crate::exchange::{self, json, takes_events};
use crate::message::{self, part_of, splice};
use crate::server::{ATTEMPTS, Answer, Inner, Sender, accepted, refuse};
use crate::sessions::Session;
use crate::table::Asking;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use portunus_core::dialer::{Body, DialError, empty};
use portunus_core::digest::sha256;
use portunus_core::server::Per;
use portunus_mcp::answer;
use portunus_mcp::header::MCP_SESSION_ID;
use portunus_mcp::message::{Call, Era, Method, Notification, Reject, Version, code};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A request.
pub(crate) async fn call(server: &Inner, sender: &Sender<'_>, call: &Call) -> Answer {
    if call.method == Method::Initialize {
        return initialize(server, sender, call).await;
    }
    let mut attempts = 0;
    loop {
        let session = match find(server, sender) {
            Ok(session) => session,
            Err(reject) => return Ok(refuse(&reject.with_id(call.id.clone()))),
        };
        let (child, key) = match child(server, &session, sender).await? {
            Some(found) => found,
            None => return Ok(refuse(&ended().with_id(call.id.clone()))),
        };
        attempts += 1;
        match ask(server, sender, &session, (&child, key), call).await {
            Err(error) if attempts < ATTEMPTS && child.left_untouched(&error) => {}
            answer => return answer,
        }
    }
}

async fn ask(
    server: &Inner,
    sender: &Sender<'_>,
    session: &Session,
    (child, key): (&Arc<Child>, Key),
    call: &Call,
) -> Answer {
    let shared = server.children.per() == Per::Server;
    let uri = call.target.as_deref().unwrap_or_default();
    match call.method {
        // It would change the log of all, which none of them gets.
        Method::SetLevel if shared => {
            return Ok(refuse(
                &Reject::method_not_found(&call.method, call.version).with_id(call.id.clone()),
            ));
        }
        Method::ResourcesSubscribe => {
            if !child.table().subscribe(&session.id, uri) {
                let text = "too many subscriptions in this session";
                return Ok(json(
                    StatusCode::OK,
                    answer::error(Some(&call.id), code::INVALID_PARAMS, text, None),
                ));
            }
            server.sessions.bind(&session.id, key);
        }
        Method::ResourcesUnsubscribe if child.table().unsubscribe(&session.id, uri) => {
            return Ok(result(&call.id, "{}"));
        }
        _ => {}
    }
    exchange::ask(child, call, Some(session), takes_events(sender.headers)).await
}

/// Begins a session. The child answers the handshake once; every session gets what it said.
async fn initialize(server: &Inner, sender: &Sender<'_>, call: &Call) -> Answer {
    let Some((params, version)) = message::handshake(&call.body) else {
        let text = "initialize needs params with a protocolVersion";
        return Ok(json(StatusCode::OK, answer::error(Some(&call.id), code::INVALID_PARAMS, text, None)));
    };
    let own = server.children.per() == Per::Caller;
    let key = Key {
        era: Era::Legacy,
        caller: own.then_some(sender.caller),
        client: own.then(|| sha256(&[params.as_bytes()])),
        credential: sender.used(),
    };
    let handshake = own.then(|| Bytes::copy_from_slice(params.as_bytes()));
    let child = match server.children.get(&key, handshake, sender.credential).await {
        Ok(child) => child,
        Err(NoChild::Dial(error)) => return Err(error),
        Err(NoChild::Refused(error)) => {
            let error =
                [b"{\"jsonrpc\":\"2.0\",\"id\":", &call.id[..], b",\"error\":", &error, b"}"].concat();
            return Ok(json(StatusCode::OK, error.into()));
        }
    };
    let said = child.handshake.get().and_then(|said| std::str::from_utf8(said).ok()).unwrap_or("{}");
    let said = if own { Some(said.to_owned()) } else { for_many(said, &version) };
    let Some(said) = said else {
        return Err(DialError::Broken(String::from("its answer to the handshake cannot be read")));
    };
    let (id, pushed_out) = server.sessions.begin(sender.caller, key, own, server.children.rng());
    pushed_out.iter().for_each(|session| end(server, session));
    let mut response = result(&call.id, &said);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(MCP_SESSION_ID, id);
    }
    Ok(response)
}

/// What a shared child said of itself, for one of its sessions: with the version that this client asked for if the child
/// speaks a newer one, whose messages differ by members that may be ignored; and without logging, because nobody could say
/// whose call a log message is about.
fn for_many(said: &str, wanted: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow, rename = "protocolVersion")]
        version: &'a RawValue,
        #[serde(borrow, default)]
        capabilities: Option<&'a RawValue>,
    }
    let parsed: Said<'_> = serde_json::from_str(said).ok()?;
    let spoken: String = serde_json::from_str(parsed.version.get()).ok()?;
    let older = match (Version::parse(wanted), Version::parse(&spoken)) {
        (Some(wanted), Some(spoken)) => wanted < spoken,
        _ => false,
    };
    let version = older.then(|| format!("\"{wanted}\""));
    let capabilities = parsed.capabilities.map(|raw| {
        let mut all: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
        all.remove("logging");
        serde_json::to_string(&all).unwrap_or_else(|_| String::from("{}"))
    });
    let mut places = Vec::new();
    for (raw, new) in [(Some(parsed.version), &version), (parsed.capabilities, &capabilities)] {
        if let (Some(raw), Some(new)) = (raw, new) {
            places.push((part_of(said.as_bytes(), raw.get().as_bytes())?, new.as_bytes()));
        }
    }
    String::from_utf8(splice(said.as_bytes(), places).into()).ok()
}

/// A notification of a client.
pub(crate) fn notification(server: &Inner, sender: &Sender<'_>, said: &Notification) -> Answer {
    let session = match find(server, sender) {
        Ok(session) => session,
        Err(reject) => return Ok(refuse(&reject)),
    };
    let child = server.children.running(&session.key);
    let own = server.children.per() == Per::Caller;
    match (&said.method, &said.cancels) {
        (Method::Cancelled, Some(id)) => {
            // It may be with the child of another version than what was asked last.
            for child in server.children.versions(&session.key) {
                let number = child.table().number(&session.id, id).map(|number| number.to_string());
                let place = part_of(&said.body, id);
                if let (Some(number), Some(place)) = (number, place) {
                    child.say(splice(&said.body, vec![(place, number.as_bytes())]))?;
                }
            }
        }
        // The handshake with the child is over.
        (Method::Initialized | Method::Cancelled, _) => {}
        _ if own => {
            child.map_or(Ok(()), |child| child.say(splice(&said.body, Vec::new())))?;
        }
        // News of one client's roots or progress mean nothing to a shared child, which asked for neither.
        _ => {}
    }
    Ok(accepted())
}

/// A client's answer to a question of the child, which is passed on if it was asked, once.
pub(crate) fn answer(server: &Inner, sender: &Sender<'_>, said: &portunus_mcp::message::Answer) -> Answer {
    let session = match find(server, sender) {
        Ok(session) => session,
        Err(reject) => return Ok(refuse(&reject)),
    };
    let child = server.children.running(&session.key);
    match child.filter(|child| child.table().take_question(&said.id)) {
        Some(child) => {
            child.say(splice(&said.body, Vec::new()))?;
            Ok(accepted())
        }
        None => Ok(refuse(&Reject::invalid_request("nothing was asked with this id"))),
    }
}

/// GET: the session's stream.
pub(crate) async fn listen(server: &Inner, sender: &Sender<'_>) -> Answer {
    let session = match find(server, sender) {
        Ok(session) => session,
        Err(reject) => return Ok(refuse(&reject)),
    };
    Ok(match child(server, &session, sender).await? {
        Some((child, _)) => exchange::listen(&child, session.id),
        None => refuse(&ended()),
    })
}

/// DELETE: the session ends.
pub(crate) fn delete(server: &Inner, sender: &Sender<'_>) -> Response<Body> {
    match find(server, sender) {
        Ok(session) => {
            server.sessions.end(&session.id);
            end(server, &session);
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(reject) => refuse(&reject),
    }
}

/// Tells the child what concerns it when a session has ended.
pub(crate) fn end(server: &Inner, session: &Session) {
    let Some(child) = server.children.running(&session.key) else { return };
    let resources = child.table().end_session(&session.id);
    for uri in resources {
        unsubscribe(&child, &uri);
    }
}

/// Nobody is subscribed to this any more; nobody waits for the answer either.
fn unsubscribe(child: &Child, uri: &str) {
    let Ok(uri) = serde_json::to_string(uri) else { return };
    let request = |number: u64| {
        Bytes::from(format!(
            r#"{{"jsonrpc":"2.0","id":{number},"method":"resources/unsubscribe","params":{{"uri":{uri}}}}}"#
        ))
    };
    if let Ok(number) = child.ask(Asking::unheard(), request) {
        child.table().abandon(number);
    }
}

/// The session that a request names.
fn find(server: &Inner, sender: &Sender<'_>) -> Result<Session, Reject> {
    match portunus_mcp::header::session_id(sender.headers)? {
        Some(id) => server.sessions.find(id, &sender.caller).ok_or_else(ended),
        None => Err(Reject::invalid_request(
            "Mcp-Session-Id is missing: begin with initialize and repeat the id that its answer carries",
        )),
    }
}

/// The child that a session's request goes to, and its key; `None` when the session ended with its child, or its child is
/// one of another version of the credential than the request's.
async fn child(
    server: &Inner,
    session: &Session,
    sender: &Sender<'_>,
) -> Result<Option<(Arc<Child>, Key)>, DialError> {
    let key = Key { credential: sender.used(), ..session.key.clone() };
    if session.bound && key != session.key {
        server.sessions.end(&session.id);
        end(server, session);
        return Ok(None);
    }
    if let Some(child) = server.children.running(&key) {
        server.sessions.follow(&session.id, &key);
        return Ok(Some((child, key)));
    }
    if session.bound {
        server.sessions.end(&session.id);
        return Ok(None);
    }
    match server.children.get(&key, None, sender.credential).await {
        Ok(child) => {
            server.sessions.follow(&session.id, &key);
            Ok(Some((child, key)))
        }
        Err(NoChild::Dial(error)) => Err(error),
        Err(NoChild::Refused(_)) => Err(DialError::Unreachable(String::from("it refused the handshake"))),
    }
}

fn ended() -> Reject {
    let text = "this session is not known, or it has ended: begin again with initialize";
    Reject::new(StatusCode::NOT_FOUND, code::INVALID_REQUEST, text)
}

fn result(id: &[u8], result: &str) -> Response<Body> {
    json(
        StatusCode::OK,
        [b"{\"jsonrpc\":\"2.0\",\"id\":", id, b",\"result\":", result.as_bytes(), b"}"].concat().into(),
    )
}
