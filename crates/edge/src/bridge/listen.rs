//! A modern client's `subscriptions/listen` at a legacy upstream: resources are subscribed to, and what the session's stream
//! tells of changes goes to whoever asked for it.

use super::session::{Listening, Session};
use super::wire::{self, Behalf};
use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use portunus_core::dialer::{Body, BodyError, DialError};
use portunus_mcp::bridge::Notification;
use portunus_mcp::bridge::to_legacy::{self, Filter};
use portunus_mcp::message::Call;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What the stream does next.
struct State {
    id: Bytes,
    first: Option<Bytes>,
    changes: Option<mpsc::Receiver<Notification>>,
    /// Unsubscribes when the client goes away.
    _listening: Listening,
}

/// The answer to a `subscriptions/listen`: a stream that begins with what is honoured of it.
pub(super) async fn listen(
    session: &Arc<Session>,
    behalf: &Behalf,
    call: &Call,
) -> Result<Response<Body>, DialError> {
    let wanted = Filter::of(call, &session.handshake);
    let (filter, changes, listening) = session.subscribe(behalf, wanted).await?;
    let id = call.id.clone();
    let first = Some(to_legacy::acknowledged(&id, &filter));
    let state = State { id, first, changes: Some(changes), _listening: listening };
    let frames = stream::unfold(state, |mut state| async move {
        let message = match state.first.take() {
            Some(first) => first,
            None => match state.changes.as_mut()?.recv().await {
                Some(change) => to_legacy::change(&state.id, &change),
                None => {
                    state.changes = None;
                    to_legacy::closed(&state.id)
                }
            },
        };
        Some((Ok::<_, BodyError>(Frame::data(wire::frame(message))), state))
    });
    Ok(wire::events(Body::new(StreamBody::new(Box::pin(frames)))))
}
