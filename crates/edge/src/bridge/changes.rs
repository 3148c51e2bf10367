//! The GET stream of a legacy client's session: a `subscriptions/listen` upstream, opened anew whenever the client watches
//! other resources.

use super::visit::{Visit, Watched};
use super::wire::{self, Behalf, Events, PAUSE, Piece};
use super::{Inner, Origin};
use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use portunus_core::dialer::{Body, BodyError, DialError};
use portunus_core::limits;
use portunus_mcp::bridge::{Incoming, to_modern};
use portunus_mcp::message::Method;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// What the stream reads from, and what it tells.
struct Changes {
    bridge: Arc<Inner>,
    origin: Origin,
    visit: Arc<Visit>,
    behalf: Behalf,
    watched: watch::Receiver<Watched>,
    upstream: Option<Events>,
    /// The change of the watched resources that `upstream` was opened for.
    opened_for: u64,
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.visit.honoured.send_replace(None);
    }
}

/// The answer to a GET.
pub(super) fn stream(
    bridge: Arc<Inner>,
    origin: Origin,
    visit: Arc<Visit>,
    behalf: Behalf,
) -> Response<Body> {
    visit.honoured.send_replace(Some(0));
    let mut watched = visit.watched.subscribe();
    watched.mark_changed();
    let changes = Changes { bridge, origin, visit, behalf, watched, upstream: None, opened_for: 0 };
    let frames = stream::try_unfold((Some(changes), true), |(changes, first)| async move {
        let Some(mut changes) = changes else { return Ok::<_, BodyError>(None) };
        // The client gets the head of the stream at once.
        let bytes = if first { Some(Bytes::from_static(PAUSE)) } else { changes.next().await };
        Ok(bytes.map(|bytes| (Frame::data(bytes), (Some(changes), false))))
    });
    wire::events(Body::new(StreamBody::new(Box::pin(frames))))
}

impl Changes {
    /// What the client is told next; `None` when its session is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.visit.is_over() {
                return None;
            }
            let visit = self.visit.clone();
            let piece = tokio::select! {
                () = visit.ended() => return None,
                changed = self.watched.changed() => {
                    changed.ok()?;
                    self.open().await;
                    continue;
                }
                piece = read(&mut self.upstream) => piece,
            };
            match piece {
                Ok(Some(Piece::Message(Incoming::Notification(note)))) => {
                    if note.method == "notifications/subscriptions/acknowledged" {
                        self.visit.honoured.send_replace(Some(self.opened_for));
                    }
                    if let Some(told) = to_modern::relevant(&self.visit.client(), &note) {
                        return Some(wire::frame(told));
                    }
                }
                // It ended: after a while another one.
                Ok(None | Some(Piece::Message(Incoming::Response(_)))) | Err(_) => {
                    self.upstream = None;
                    sleep(limits::READER_TIMEOUT).await;
                    self.watched.mark_changed();
                }
                Ok(Some(_)) => return Some(Bytes::from_static(PAUSE)),
            }
        }
    }

    /// Listens to what is watched now.
    async fn open(&mut self) {
        let watched = self.watched.borrow_and_update().clone();
        let uris: Vec<String> = watched.uris.into_iter().collect();
        let id = format!("\"portunus-listen-{}\"", watched.changes);
        let body = self.visit.client().listen(&id, &uris);
        let asked = self.bridge.ask(&self.origin, &self.behalf, &Method::Listen, None, body);
        let answer = timeout(limits::ERA_PROBE_TIMEOUT, asked).await;
        self.opened_for = watched.changes;
        match answer {
            Ok(Ok(answer)) if crate::inspect::is_event_stream(answer.headers()) => {
                self.upstream = Some(Events::new(answer.into_body()));
            }
            // A server that has nothing to tell: nobody needs to wait for it.
            _ => {
                self.upstream = None;
                self.visit.honoured.send_replace(Some(self.opened_for));
            }
        }
    }
}

async fn read(upstream: &mut Option<Events>) -> Result<Option<Piece>, DialError> {
    match upstream {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
