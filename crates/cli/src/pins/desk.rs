//! The administrator's side of pins, over the admin socket: what is pinned, what waits, what changed; accepting and
//! rejecting. Recorded first, then done, then written to the lockfile.

use super::{Book, Known, Synced};
use crate::desk::{ADMIN, Answer, Refused, refused};
use axum::Json;
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use portunus_core::id::ServerName;
use portunus_edge::pin::Waiting;
use portunus_pins::{Definition, Kind, Lock, State as PinState};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Definitions accepted with one request.
const ITEMS: usize = 10_000;

type Shared = State<Arc<Book>>;

/// The routes.
pub(crate) fn router(book: Arc<Book>) -> Router {
    Router::new()
        .route("/pins", get(list))
        .route("/pins/diff", get(diff))
        .route("/pins/accept", post(accept))
        .route("/pins/reject", post(reject))
        .with_state(book)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    server: Option<ServerName>,
}

async fn list(State(book): Shared, Query(which): Query<Which>) -> Answer {
    let lock = book.pins.lock();
    let waiting = book.pins.waiting(which.server.as_ref());
    Ok(Json(json!({ "pins": rows(&lock, &waiting, which.server.as_ref()) })))
}

/// What is pinned and what waits, one row for each name.
pub(crate) fn rows(lock: &Lock, waiting: &[Waiting], of: Option<&ServerName>) -> Vec<Value> {
    let mut rows: Vec<Value> = waiting.iter().map(waiting_row).collect();
    for server in lock.servers().filter(|server| of.is_none_or(|of| of == *server)) {
        for (kind, entry) in lock.entries(server) {
            let name = entry.definition.name();
            if waiting.iter().any(|w| (&w.server, w.kind, w.name.as_str()) == (server, kind, name)) {
                continue;
            }
            rows.push(json!({
                "server": server, "kind": kind, "name": name,
                "state": if entry.definition.is_nothing() { "rejected" } else { "pinned" },
                "digest": entry.definition.digest(),
                "accepted_by": &*entry.accepted_by, "accepted_at": entry.accepted_at, "flags": [],
            }));
        }
    }
    rows.sort_by_cached_key(|row| {
        ["server", "kind", "name"]
            .map(|key| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned())
    });
    rows
}

fn waiting_row(waiting: &Waiting) -> Value {
    let state = match waiting.state {
        PinState::Pinned => "pinned",
        PinState::New => "new",
        PinState::Changed => "changed",
    };
    json!({
        "server": waiting.server, "kind": waiting.kind, "name": waiting.name, "state": state,
        "digest": waiting.digest, "seen_at": waiting.seen_at, "flags": waiting.flags,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    server: ServerName,
    kind: Option<Kind>,
    name: String,
}

async fn diff(State(book): Shared, Query(asked): Query<Named>) -> Answer {
    let kind = kind(&book, &asked)?;
    let lock = book.pins.lock();
    let old = lock.entry(&asked.server, kind, &asked.name).map(|entry| entry.definition.clone());
    let old = old.filter(|old| !old.is_nothing());
    let listed = book.pins.listed(&asked.server, kind, &asked.name);
    let waiting = book.pins.waiting(Some(&asked.server));
    let waiting = waiting.into_iter().find(|waiting| (waiting.kind, &waiting.name) == (kind, &asked.name));
    // What is remembered without its definition is what is pinned.
    let new: Option<Definition> = if waiting.is_some() { listed } else { listed.or_else(|| old.clone()) };
    let diff = portunus_pins::diff::diff(old.as_ref(), new.as_ref());
    let state = waiting.as_ref().map_or("pinned", |waiting| match waiting.state {
        PinState::Changed => "changed",
        PinState::New | PinState::Pinned => "new",
    });
    Ok(Json(json!({
        "server": asked.server, "kind": kind, "name": asked.name, "state": state,
        "digest": waiting.as_ref().map_or(new.map(|new| new.digest()), |waiting| waiting.digest),
        "flags": waiting.map(|waiting| waiting.flags).unwrap_or_default(),
        "text": diff.render(), "diff": diff,
    })))
}

/// The kind that is meant: the one that is said, else the one that has something of this name, what waits first.
fn kind(book: &Book, asked: &Named) -> Result<Kind, Refused> {
    if let Some(kind) = asked.kind {
        return Ok(kind);
    }
    let waiting = book.pins.waiting(Some(&asked.server));
    let mut kinds: Vec<Kind> = waiting.iter().filter(|w| w.name == asked.name).map(|w| w.kind).collect();
    if kinds.is_empty() {
        let lock = book.pins.lock();
        kinds.extend(
            Kind::ALL.into_iter().filter(|kind| lock.entry(&asked.server, *kind, &asked.name).is_some()),
        );
    }
    match kinds.as_slice() {
        [kind] => Ok(*kind),
        [] => {
            let (server, name) = (&asked.server, portunus_pins::text::shown(&asked.name, 100));
            Err(refused(format!(
                "{server} has nothing called {name} that is pinned or waits: see portunus pin list"
            )))
        }
        _ => Err(refused("more than one thing has this name: say --kind tool, prompt, resource or widget")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accept {
    server: ServerName,
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    kind: Option<Kind>,
    name: String,
    /// The first digits of the digest that the administrator looked at.
    digest: String,
}

async fn accept(State(book): Shared, Json(asked): Json<Accept>) -> Answer {
    if asked.items.len() > ITEMS {
        return Err(refused(format!("accept at most {ITEMS} definitions at once")));
    }
    // From here on nobody else writes the file.
    let mut known = book.known.lock().await;
    settle(&book, &mut known).await?;
    let mut accepted = Vec::new();
    for item in asked.items {
        let named = Named { server: asked.server.clone(), kind: item.kind, name: item.name };
        let kind = kind(&book, &named)?;
        let (server, name) = (&named.server, &named.name);
        let detail = vec![("kind", kind.to_string()), ("digest", item.digest.clone())];
        note(&book, "pin.accepted", server, name, detail, || {
            book.pins.check(server, kind, name, &item.digest)
        })
        .await?;
        let now = book.clock.now();
        let done = book.pins.accept(server, kind, name, &item.digest, ADMIN, now).map_err(refused)?;
        accepted.push(json!({ "kind": kind, "name": name, "digest": done.digest() }));
    }
    write(&book, &mut known).await?;
    Ok(Json(json!({ "server": asked.server, "accepted": accepted })))
}

async fn reject(State(book): Shared, Json(asked): Json<Named>) -> Answer {
    let mut known = book.known.lock().await;
    settle(&book, &mut known).await?;
    let lock = book.pins.lock();
    let pinned = |kind: &Kind| lock.entry(&asked.server, *kind, &asked.name).is_some();
    let kind = match asked.kind {
        Some(kind) => kind,
        None => Kind::ALL.into_iter().find(pinned).map_or_else(|| kind(&book, &asked), Ok)?,
    };
    let (server, name) = (&asked.server, &asked.name);
    if !pinned(&kind) {
        return Err(refused("it is not pinned, so it is hidden and refused already"));
    }
    note(&book, "pin.rejected", server, name, vec![("kind", kind.to_string())], || Ok(())).await?;
    book.pins.reject(server, kind, name, ADMIN, book.clock.now());
    write(&book, &mut known).await?;
    Ok(Json(json!({ "server": server, "kind": kind, "name": name, "rejected": true })))
}

/// Records what is about to be done, once it is known that it can be.
async fn note(
    book: &Book,
    action: &str,
    server: &ServerName,
    name: &str,
    detail: Vec<(&str, String)>,
    check: impl FnOnce() -> Result<(), portunus_edge::pin::Reason>,
) -> Result<(), Refused> {
    check().map_err(refused)?;
    let subject = format!("{server}/{}", portunus_pins::text::shown(name, 200));
    book.note(ADMIN, action, subject, detail).await.map_err(refused)
}

/// Takes what people wrote into the lockfile first: nothing is decided on top of a file that cannot be read.
async fn settle(book: &Book, known: &mut Known) -> Result<(), Refused> {
    match book.sync(known).await {
        Ok(Synced::Taken | Synced::Written) => Ok(()),
        Ok(Synced::Refused) => Err(refused("the lockfile cannot be read, as the log says: mend it first")),
        Err(error) => Err(refused(error)),
    }
}

async fn write(book: &Book, known: &mut Known) -> Result<(), Refused> {
    book.sync(known).await.map(drop).map_err(|error| {
        refused(format!(
            "it is in force, but the lockfile could not be written, which is tried again: {error}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::opened;
    use super::*;
    use portunus_core::testing::MemoryLedger;
    use portunus_core::time::Timestamp;
    use portunus_mcp::message::List;
    use std::path::PathBuf;
    use tower::ServiceExt;

    struct Office {
        book: Arc<Book>,
        ledger: Arc<MemoryLedger>,
        path: PathBuf,
        _directory: tempfile::TempDir,
    }

    impl Office {
        /// With `find` accepted, and something else listed by now.
        fn open() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("portunus.lock");
            let ledger: Arc<MemoryLedger> = Arc::default();
            let book = Arc::new(opened(&path, &ledger));
            let office = Self { book, ledger, path, _directory: directory };
            office.see("Finds rows.");
            office.see("Finds rows and more.");
            office
        }

        fn see(&self, description: &str) {
            let tool = json!({ "name": "find", "description": description });
            let list = json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": [tool] } }).to_string();
            let sales = ServerName::parse("sales").unwrap();
            self.book.pins().see_list(&sales, List::Tools, &list.into(), true, Timestamp::from_secs(1));
        }

        async fn ask(&self, path: &str, body: Option<Value>) -> (u16, Value) {
            let method = if body.is_some() { "POST" } else { "GET" };
            let request =
                http::Request::builder().method(method).uri(path).header("content-type", "application/json");
            let body = body.map_or_else(axum::body::Body::empty, |body| body.to_string().into());
            let answer = router(self.book.clone()).oneshot(request.body(body).unwrap()).await.unwrap();
            let status = answer.status().as_u16();
            let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
        }

        async fn accept(&self, digest: &str) -> (u16, Value) {
            let items = json!([{ "kind": null, "name": "find", "digest": digest }]);
            self.ask("/pins/accept", Some(json!({ "server": "sales", "items": items }))).await
        }
    }

    #[tokio::test]
    async fn what_waits_is_listed_shown_accepted_recorded_and_written() {
        let office = Office::open();
        let (_, listed) = office.ask("/pins?server=sales", None).await;
        assert_eq!(listed["pins"].as_array().unwrap().len(), 1);
        assert_eq!(listed["pins"][0]["state"], "changed");
        let (_, shown) = office.ask("/pins/diff?server=sales&name=find", None).await;
        assert!(shown["text"].as_str().unwrap().contains("+ Finds rows and more."), "{shown}");
        let digest = shown["digest"].as_str().unwrap();
        assert_eq!(digest, listed["pins"][0]["digest"].as_str().unwrap());

        let (status, accepted) = office.accept(digest).await;
        assert_eq!((status, accepted["accepted"][0]["digest"].as_str()), (200, Some(digest)));
        assert!(std::fs::read_to_string(&office.path).unwrap().contains("Finds rows and more."));
        let events = office.ledger.events();
        let event = events.iter().find(|event| event.action == "pin.accepted").unwrap();
        assert_eq!((&*event.by, &*event.subject), ("admin", "sales/find"));
        let (_, listed) = office.ask("/pins", None).await;
        assert_eq!(
            (&listed["pins"][0]["state"], &listed["pins"][0]["accepted_by"]),
            (&json!("pinned"), &json!("admin"))
        );
    }

    #[tokio::test]
    async fn nothing_is_accepted_that_changed_in_between_or_was_not_recorded() {
        let office = Office::open();
        let (_, shown) = office.ask("/pins/diff?server=sales&name=find", None).await;
        let digest = shown["digest"].as_str().unwrap();
        office.see("Finds rows and sends them away.");
        let (status, said) = office.accept(digest).await;
        assert_eq!(status, 400);
        assert!(said["message"].as_str().unwrap().contains("look at it again"), "{said}");
        assert_eq!(office.ledger.count("pin.accepted"), 0);

        office.see("Finds rows and more.");
        office.ledger.set_failing(true);
        let (status, said) = office.accept(digest).await;
        assert_eq!(
            (status, said["message"].as_str().unwrap().starts_with("not recorded, so not done")),
            (400, true)
        );
        assert_eq!(office.ask("/pins", None).await.1["pins"][0]["state"], "changed");
    }

    #[tokio::test]
    async fn a_rejected_pin_waits_again_and_an_unknown_name_is_said_to_be_one() {
        let office = Office::open();
        office.see("Finds rows.");
        let body = json!({ "server": "sales", "kind": null, "name": "find" });
        assert_eq!(office.ask("/pins/reject", Some(body.clone())).await.0, 200);
        assert_eq!(office.ledger.count("pin.rejected"), 1);
        assert_eq!(office.ask("/pins", None).await.1["pins"][0]["state"], "new");
        assert_eq!(office.ask("/pins/reject", Some(body)).await.0, 400);
        let (status, said) = office.ask("/pins/diff?server=sales&name=none", None).await;
        assert_eq!(status, 400);
        assert!(said["message"].as_str().unwrap().contains("see portunus pin list"), "{said}");
    }

    #[tokio::test]
    async fn a_lockfile_in_doubt_keeps_administrators_from_changing_it() {
        let office = Office::open();
        std::fs::write(&office.path, "<<<<<<< HEAD\n").unwrap();
        let (_, shown) = office.ask("/pins/diff?server=sales&name=find", None).await;
        let (status, said) = office.accept(shown["digest"].as_str().unwrap()).await;
        assert_eq!(status, 400);
        assert!(said["message"].as_str().unwrap().contains("line 1"), "{said}");
        assert_eq!(std::fs::read_to_string(&office.path).unwrap(), "<<<<<<< HEAD\n");
    }
}
