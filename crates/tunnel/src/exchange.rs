//! One call over a link: chosen, sent once, streamed both ways. Nothing is ever sent twice.

use crate::link::{Link, Slot};
use crate::registry::ServerLinks;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Request, Response, header};
use http_body::{Body as _, Frame, SizeHint};
use portunus_core::dialer::{Body, BodyError, DialError, Dialer};
use portunus_core::id::ServerName;
use portunus_core::store::Store;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Reaches one server over its links.
#[derive(Clone)]
pub struct LinkDialer {
    authority: Authority,
    links: Arc<ServerLinks>,
    store: Arc<dyn Store>,
}

#[async_trait::async_trait]
impl Dialer for LinkDialer {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, DialError> {
        let (mut parts, body) = request.into_parts();
        parts.uri = self.absolute(parts.uri)?;
        for name in HOP_BY_HOP {
            parts.headers.remove(name);
        }
        // A server beside the connector may not like a body of unknown length.
        if let (Some(length @ 1..), false) =
            (body.size_hint().exact(), parts.headers.contains_key(header::CONTENT_LENGTH))
        {
            parts.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let (slot, mut sender) = self.choose().await?;
        let end = body.is_end_stream();
        let (head, upload) = sender
            .send_request(Request::from_parts(parts, ()), end)
            .map_err(|error| unreachable(&format!("the request could not be put on the link: {error}")))?;
        slot.taken();
        let upload = (!end).then(|| Upload { body, stream: upload, chunk: None });
        Exchange { head, upload, slot }.run().await
    }
}

impl LinkDialer {
    pub(crate) fn new(server: &ServerName, links: Arc<ServerLinks>, store: Arc<dyn Store>) -> Self {
        // A server name is a DNS label, and so an authority; the fallback is never seen.
        let authority = Authority::try_from(server.as_str())
            .unwrap_or_else(|_| Authority::from_static("portunus.invalid"));
        Self { authority, links, store }
    }

    /// A place on the eligible link with the fewest calls.
    async fn choose(&self) -> Result<(Slot, SendRequest<Bytes>), DialError> {
        let links = self.links.load();
        let mut busy = false;
        let mut passed_over: Vec<&Arc<Link>> = Vec::new();
        loop {
            let open = links.iter().filter(|link| !passed_over.iter().any(|other| Arc::ptr_eq(other, link)));
            let least =
                open.filter_map(|link| Some((link.load()?, link))).min_by_key(|(streams, _)| *streams);
            let Some((_, link)) = least else {
                return Err(if busy { DialError::Busy } else { unreachable("it has no link") });
            };
            match link.reserve() {
                None => busy = true,
                Some(slot) => {
                    if link.confirm(&*self.store).await
                        && let Some(sender) = slot.sender()
                    {
                        return Ok((slot, sender));
                    }
                }
            }
            passed_over.push(link);
        }
    }

    fn absolute(&self, relative: Uri) -> Result<Uri, DialError> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        let path = relative.into_parts().path_and_query;
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        Uri::from_parts(parts).map_err(|error| unreachable(&format!("the path cannot be sent: {error}")))
    }
}

/// A call on its way, until the answer's head is there.
struct Exchange {
    head: ResponseFuture,
    upload: Option<Upload>,
    slot: Slot,
}

impl Exchange {
    async fn run(mut self) -> Result<Response<Body>, DialError> {
        let response = poll_fn(|context| self.poll(context)).await?;
        let Self { upload, slot, .. } = self;
        Ok(response.map(|recv| Body::new(Download { recv, upload, slot: Some(slot), trailers: false })))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<RecvStream>, DialError>> {
        poll_upload(&mut self.upload, context)?;
        Pin::new(&mut self.head).poll(context).map_err(|error| broken(&error))
    }
}

/// The request's body on its way up; at most one piece is held here, the rest waits in `body` for the link's window.
struct Upload {
    body: Body,
    stream: SendStream<Bytes>,
    chunk: Option<Bytes>,
}

/// Moves the upload on, and drops it when it is done.
fn poll_upload(upload: &mut Option<Upload>, context: &mut Context<'_>) -> Result<(), DialError> {
    if let Some(sending) = upload {
        match sending.poll(context) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => *upload = None,
            Poll::Ready(Err(error)) => {
                sending.stream.send_reset(Reason::CANCEL);
                *upload = None;
                return Err(error);
            }
        }
    }
    Ok(())
}

impl Upload {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        loop {
            if let Some(chunk) = &mut self.chunk {
                if chunk.is_empty() {
                    self.chunk = None;
                    continue;
                }
                self.stream.reserve_capacity(chunk.len());
                match ready!(self.stream.poll_capacity(context)) {
                    // The other end has closed its half: what it wanted to know, it knows. The answer tells the rest.
                    None | Some(Err(_)) => return Poll::Ready(Ok(())),
                    Some(Ok(capacity)) => {
                        let piece = chunk.split_to(capacity.min(chunk.len()));
                        let last = chunk.is_empty() && self.body.is_end_stream();
                        if self.stream.send_data(piece, last).is_err() || last {
                            return Poll::Ready(Ok(()));
                        }
                    }
                }
                continue;
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => {
                    // An error means that the other end has closed already.
                    let _ = self.stream.send_data(Bytes::new(), true);
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => {
                    let why = format!("the request's body broke off: {error}");
                    return Poll::Ready(Err(DialError::Broken(why)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    // The whole body is in memory already: hand it over at once instead of waiting for the window.
                    Ok(data) if self.body.is_end_stream() => {
                        let _ = self.stream.send_data(data, true);
                        return Poll::Ready(Ok(()));
                    }
                    Ok(data) => self.chunk = Some(data),
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            let _ = self.stream.send_trailers(trailers);
                            return Poll::Ready(Ok(()));
                        }
                    }
                },
            }
        }
    }
}

/// The answer's body on its way down. Dropping it before its end resets the stream, which cancels the call at the
/// connector.
struct Download {
    recv: RecvStream,
    upload: Option<Upload>,
    /// Given back at the end of the stream, however long the body object lives on.
    slot: Option<Slot>,
    /// The data is through; trailers may follow.
    trailers: bool,
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = this.poll(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            this.upload = None;
            this.slot = None;
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.recv.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Download {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, DialError>>> {
        if self.slot.is_none() {
            return Poll::Ready(None);
        }
        poll_upload(&mut self.upload, context).map_or_else(
            |error| Poll::Ready(Some(Err(error))),
            |()| {
                if !self.trailers {
                    match ready!(self.recv.poll_data(context)) {
                        Some(Ok(data)) => {
                            // The window opens again as fast as the reader reads. It fails only for a closed stream.
                            let _ = self.recv.flow_control().release_capacity(data.len());
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                        Some(Err(error)) => return Poll::Ready(Some(Err(broken(&error)))),
                        None => self.trailers = true,
                    }
                }
                let trailers = ready!(self.recv.poll_trailers(context)).map_err(|error| broken(&error));
                Poll::Ready(trailers.map(|found| found.map(Frame::trailers)).transpose())
            },
        )
    }
}

/// Headers about one connection (RFC 9113 section 8.2.2), which HTTP/2 forbids.
pub(crate) const HOP_BY_HOP: [header::HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::HeaderName::from_static("keep-alive"),
    header::HeaderName::from_static("proxy-connection"),
];

fn unreachable(why: &str) -> DialError {
    DialError::Unreachable(why.to_owned())
}

fn broken(error: &h2::Error) -> DialError {
    // RFC 9113 sections 6.8 and 8.7: a stream beyond a GOAWAY's last one, and a stream reset with REFUSED_STREAM, were
    // not processed. A connector sends the first when it stops, the second when it could not reach its server.
    if error.is_remote() && error.is_go_away() {
        return unreachable("its connector is stopping");
    }
    if error.is_remote() && error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM) {
        return unreachable("its connector could not reach it");
    }
    DialError::Broken(if error.is_reset() && error.is_remote() {
        "the connector gave the call up".to_owned()
    } else if error.is_io() {
        "its link closed".to_owned()
    } else {
        error.to_string()
    })
}
