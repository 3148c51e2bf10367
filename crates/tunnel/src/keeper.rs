//! An enrolled connector at work: its links, each kept up by a task of its own, and its certificate, renewed in time.

use crate::connector::{Connector, ConnectorError, Event, OpenError};
use crate::identity::Identity;
use crate::wire::{RENEW_PATH, Timing};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use portunus_core::dialer::{Body, BodyError};
use portunus_core::limits;
use portunus_core::time::Rng;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;

/// Keeps the links up until `stop` resolves, or the edge refuses for good.
pub(crate) async fn keep_links<S>(
    connector: Connector,
    identity: Identity,
    service: S,
    stop: impl Future<Output = ()>,
) -> Result<(), ConnectorError>
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BodyError>,
{
    let drain = connector.config.timing.drain;
    let links = connector.config.links;
    let running = Arc::new(Running {
        identity: watch::Sender::new(Arc::new(identity)),
        stopping: watch::Sender::new(false),
        renewing: Mutex::new(()),
        connector,
    });
    let mut tasks = JoinSet::new();
    for slot in 0..links {
        tasks.spawn(Arc::clone(&running).keep_link(slot, service.clone()));
    }
    tasks.spawn(Arc::clone(&running).keep_fresh());
    let ended = tokio::select! {
        // Tasks end by themselves only when there is no going on.
        Some(ended) = tasks.join_next() => ended.unwrap_or_else(|failed| {
            std::panic::resume_unwind(failed.into_panic())
        }),
        () = stop => Ok(()),
    };
    running.connector.tell(Event::Draining);
    running.stopping.send_replace(true);
    let finish = async { while tasks.join_next().await.is_some() {} };
    // Each link keeps the bound itself; this one is for the unforeseen.
    let _ = timeout(drain * 2, finish).await;
    ended
}

/// An enrolled connector at work; shared by its tasks.
struct Running {
    connector: Connector,
    identity: watch::Sender<Arc<Identity>>,
    stopping: watch::Sender<bool>,
    renewing: Mutex<()>,
}

impl Running {
    /// Keeps one link up, until the edge refuses for good or the connector stops.
    async fn keep_link<S>(self: Arc<Self>, slot: usize, service: S) -> Result<(), ConnectorError>
    where
        S: Service<Request<Incoming>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        S::Error: Into<BodyError>,
    {
        let connector = &self.connector;
        let timing = connector.config.timing;
        let mut identities = self.identity.subscribe();
        let mut stopping = self.stopping.subscribe();
        let mut pause = Pause::new(timing.pause);
        // Dropped when the link that serves is replaced; the set holds it and earlier ones that drain.
        let mut _serving: Option<oneshot::Sender<()>> = None;
        let mut served = JoinSet::new();
        loop {
            let identity = Arc::clone(&identities.borrow_and_update());
            connector.tell(Event::Dialling { slot });
            let opened = tokio::select! {
                opened = connector.open(&identity) => opened,
                _ = stopping.wait_for(|stop| *stop) => break,
            };
            let why = match opened {
                Ok(stream) => {
                    connector.tell(Event::LinkUp { slot });
                    let up = Instant::now();
                    let (current, replaced) = oneshot::channel();
                    let task = serve(stream, service.clone(), timing, replaced, self.stopping.subscribe());
                    let task = served.spawn(task).id();
                    // This drops the earlier link's sender, if there is one: that link is replaced.
                    _serving = Some(current);
                    let why = tokio::select! {
                        why = ended(&mut served, task) => why,
                        // A new certificate: open a new link beside this one.
                        Ok(()) = identities.changed() => continue,
                        _ = stopping.wait_for(|stop| *stop) => break,
                    };
                    if up.elapsed() >= timing.pause.1 {
                        pause = Pause::new(timing.pause);
                    }
                    why
                }
                Err(OpenError::Failed(why)) => why,
                Err(OpenError::Refused(error)) => return Err(error),
                Err(OpenError::Stale(why)) => match self.renew(&identity).await {
                    Err(error) if !error.is_passing() => return Err(error),
                    Err(error) => format!("{why}; {error}"),
                    Ok(()) => why,
                },
            };
            let retry_in = pause.next(&*connector.rng);
            connector.tell(Event::LinkDown { slot, why, retry_in });
            tokio::select! {
                () = sleep(retry_in) => {}
                _ = stopping.wait_for(|stop| *stop) => break,
            }
        }
        while served.join_next().await.is_some() {}
        Ok(())
    }

    /// Renews when it is time. The clock is asked each minute, because timers stand still while a laptop sleeps.
    async fn keep_fresh(self: Arc<Self>) -> Result<(), ConnectorError> {
        const LOOK: Duration = Duration::from_secs(60);
        let connector = &self.connector;
        let mut stopping = self.stopping.subscribe();
        let mut pause = Pause::new(connector.config.timing.pause);
        loop {
            let identity = Arc::clone(&self.identity.borrow());
            let left = identity.renew_at.since(connector.clock.now());
            if !left.is_zero() {
                tokio::select! {
                    () = sleep(left.min(LOOK)) => continue,
                    _ = stopping.wait_for(|stop| *stop) => return Ok(()),
                }
            }
            match self.renew(&identity).await {
                Ok(()) => pause = Pause::new(connector.config.timing.pause),
                Err(error) if error.is_passing() => {
                    tokio::select! {
                        () = connector.wait(&error, &mut pause) => {}
                        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Gets a new certificate, unless somebody did since `seen`.
    async fn renew(&self, seen: &Arc<Identity>) -> Result<(), ConnectorError> {
        let _alone = self.renewing.lock().await;
        if !Arc::ptr_eq(seen, &self.identity.borrow()) {
            return Ok(());
        }
        let Connector { key, clock, config, .. } = &self.connector;
        let request = key.renewal(&seen.reply.connector, clock.now())?;
        let reply = self.connector.ask(RENEW_PATH, &request).await?;
        let identity = key.keep(config.gateway.as_str(), reply, clock.now())?;
        self.connector.tell(Event::Renewed { next: identity.renew_at });
        self.identity.send_replace(Arc::new(identity));
        Ok(())
    }
}

/// Serves one link until it ends, or the connector stops or has replaced it and its calls are done; says why it ended.
async fn serve<S>(
    stream: TlsStream<TcpStream>,
    service: S,
    timing: Timing,
    replaced: oneshot::Receiver<()>,
    mut stopping: watch::Receiver<bool>,
) -> String
where
    S: Service<Request<Incoming>, Response = Response<Body>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BodyError>,
{
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(timing.ping)
        .keep_alive_timeout(timing.ping)
        .max_concurrent_streams(limits::LINK_STREAMS)
        .initial_stream_window_size(limits::LINK_STREAM_WINDOW)
        .initial_connection_window_size(limits::LINK_WINDOW)
        .max_header_list_size(u32::try_from(limits::HEADER_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(limits::LINK_STREAM_WINDOW as usize)
        // The edge cancels calls by resetting their streams, as often as its clients go away.
        .max_pending_accept_reset_streams(limits::LINK_STREAMS as usize)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // The edge closes a link that was replaced when it has no calls; the pause is for an edge that does not.
    let superseded = async {
        let _ = replaced.await;
        sleep(timing.drain * 2).await;
    };
    tokio::select! {
        ended = connection.as_mut() => return why(ended),
        _ = stopping.wait_for(|stop| *stop) => {}
        () = superseded => {}
    }
    connection.as_mut().graceful_shutdown();
    timeout(timing.drain, connection).await.map_or_else(|_| "its calls did not end in time".to_owned(), why)
}

fn why(ended: Result<(), hyper::Error>) -> String {
    match ended {
        Ok(()) => "the edge closed it".to_owned(),
        Err(error) => {
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
        }
    }
}

/// Why the link with this task ended; earlier links that end meanwhile are passed over.
async fn ended(served: &mut JoinSet<String>, current: tokio::task::Id) -> String {
    loop {
        match served.join_next_with_id().await {
            Some(Ok((id, why))) if id == current => return why,
            Some(Err(error)) if error.id() == current => return "its task failed".to_owned(),
            Some(_) => {}
            None => return "its task is gone".to_owned(),
        }
    }
}

/// Growing pauses with full jitter, so that many connectors do not come back at once.
pub(crate) struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    pub(crate) const fn new((first, longest): (Duration, Duration)) -> Self {
        Self { next: first, longest }
    }

    pub(crate) fn next(&mut self, rng: &dyn Rng) -> Duration {
        let mut random = [0; 4];
        rng.fill(&mut random);
        let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        let pause = self.next.mul_f64(share);
        self.next = (self.next * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portunus_core::testing::CountingRng;

    #[test]
    fn pauses_grow_to_the_longest_and_are_spread_over_their_whole_length() {
        let rng = CountingRng::default();
        let (first, longest) = (Duration::from_millis(250), Duration::from_secs(30));
        let mut pause = Pause::new((first, longest));
        let mut bound = first;
        for _ in 0..20 {
            assert!(pause.next(&rng) <= bound);
            bound = (bound * 2).min(longest);
        }
        let late: Vec<Duration> = (0..200).map(|_| pause.next(&rng)).collect();
        assert!(late.iter().all(|pause| *pause <= longest));
        for tenth in 0..10 {
            let range = longest * tenth / 10..longest * (tenth + 1) / 10;
            assert!(late.iter().any(|pause| range.contains(pause)), "none in {range:?}");
        }
    }
}
