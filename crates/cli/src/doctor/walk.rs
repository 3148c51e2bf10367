//! The way of the examination, top to bottom: each step judges, and the walk ends where the client would give up.

use super::authorize::{self, Flow};
use super::door::{self, Door};
use super::fetch::{Answer, Fetcher};
use super::metadata::Issuer;
use super::profile::{Profile, Redirect};
use super::register::{self, Known};
use super::report::{Findings, Report, Step};
use super::{call, discovery, sign_in, token, tools};
use portunus_core::secret::Secret;
use portunus_core::time::{Clock, Rng};
use std::time::Instant;
use tokio::net::TcpListener;
use url::Url;

/// Who examines what.
pub(crate) struct Patient<'a> {
    /// As the user typed it.
    pub typed: String,
    pub url: Url,
    pub profile: &'static Profile,
    pub fetcher: Fetcher,
    pub rng: &'a dyn Rng,
}

impl Patient<'_> {
    /// An answer that takes half of the client's patience is worth a word.
    pub(crate) fn timely(&self, answer: &Answer, findings: &mut Findings) {
        let most = self.fetcher.patience;
        if answer.took * 2 > most {
            findings.warn(
                format!("an answer took {:.1} s", answer.took.as_secs_f32()),
                "This client does not wait for long.",
                format!("Answer well within {} s.", most.as_secs()),
            );
        }
    }
}

/// Where tokens come from.
pub(crate) enum Source {
    /// Nowhere, unless the server gives one without asking.
    None,
    /// Given by the user.
    Given(Secret<String>),
    /// A person signs in.
    SignIn,
}

/// The client stops here.
struct Stop(&'static str);

/// The examination under way.
pub(crate) struct Walk<'a> {
    pub patient: Patient<'a>,
    pub source: Source,
    pub clock: &'a dyn Clock,
    /// Told of each step that begins, and of each that is done.
    pub watch: &'a dyn Fn(Progress<'_>),
    pub steps: Vec<Step>,
}

/// What a watcher is told.
pub(crate) enum Progress<'a> {
    Begins(&'static str),
    Done(&'a Step),
}

/// A step that is under way.
struct Open {
    name: &'static str,
    findings: Findings,
    begun: Instant,
}

impl Walk<'_> {
    /// Walks the way, as far as the client would.
    pub(crate) async fn walk(mut self) -> Report {
        let stopped_at = self.way().await.err().map(|Stop(name)| name);
        Report::new(&self.patient.typed, self.patient.profile.name, stopped_at, self.steps)
    }

    async fn way(&mut self) -> Result<(), Stop> {
        let mut step = self.begin("address");
        let sound = door::address(&self.patient.typed, &self.patient.url, &mut step.findings);
        self.end(step, sound)?;

        let mut step = self.begin("reach");
        let reached = door::reach(&mut self.patient, self.clock, &mut step.findings).await;
        self.end(step, reached)?;

        let mut step = self.begin("challenge");
        let door = door::knock(&self.patient, &mut step.findings).await;
        let token = match self.end(step, door)? {
            Door::Open => None,
            Door::Locked(challenge) => {
                let mut step = self.begin("resource metadata");
                let resource = discovery::resource(&self.patient, &challenge, &mut step.findings).await;
                let resource = self.end(step, resource)?;

                let mut step = self.begin("authorization server");
                let issuer = discovery::issuer(&self.patient, &resource, &mut step.findings).await;
                let issuer = self.end(step, issuer)?;

                let listener = self.listener().await?;
                let port = listener.as_ref().and_then(|l| l.local_addr().ok()).map_or(33_333, |at| at.port());
                let mut step = self.begin("registration");
                let known = register::register(&self.patient, &issuer, port, &mut step.findings).await;
                let known = self.end(step, known)?;

                let mut step = self.begin("authorize");
                let scope = challenge.get("scope");
                let findings = &mut step.findings;
                let flow =
                    authorize::authorize(&self.patient, &issuer, &resource, &known, scope, findings).await;
                let flow = self.end(step, flow)?;

                let token = self.token(&issuer, &known, flow, listener).await;
                register::undo(&self.patient, &known).await;
                let Some(token) = token? else { return Ok(()) };
                Some(token)
            }
        };
        self.first_call(token.as_ref()).await
    }

    async fn token(
        &mut self,
        issuer: &Issuer,
        known: &Known,
        mut flow: Flow,
        listener: Option<TcpListener>,
    ) -> Result<Option<Secret<String>>, Stop> {
        let mut step = self.begin("token");
        let findings = &mut step.findings;
        let wrong = token::wrong_code(&self.patient, issuer, known, &flow, findings).await;
        if wrong.is_none() {
            return self.end(step, None);
        }
        if let Source::Given(token) = std::mem::replace(&mut self.source, Source::None) {
            findings.ok("the token is the one that was given");
            return self.end(step, Some(Some(token)));
        }
        let code = match (flow.code.take(), listener) {
            (Some(code), _) => Some(code),
            (None, Some(listener)) => {
                let code = sign_in::wait(listener, &flow, &known.redirect, issuer, findings).await;
                if code.is_none() {
                    return self.end(step, None);
                }
                code
            }
            (None, None) => None,
        };
        let Some(code) = code else {
            let why = match self.patient.profile.redirect {
                Redirect::Loopback { .. } => {
                    "Give --sign-in to sign in with a browser, or --token-file with a token."
                }
                Redirect::Remote(_) => {
                    "Only the client itself gets the code; give --token-file with a token."
                }
            };
            findings.skip("a real token, and the first call", why);
            return self.end(step, Some(None));
        };
        let token = token::redeem(&self.patient, issuer, known, &flow, &code, findings).await;
        self.end(step, token.map(Some))
    }

    async fn first_call(&mut self, token: Option<&Secret<String>>) -> Result<(), Stop> {
        let token = token.map(|token| token.expose().as_str());
        let mut step = self.begin("first call");
        let connected = call::connect(&self.patient, token, &mut step.findings).await;
        let connected = self.end(step, connected)?;

        let mut step = self.begin("tools");
        let listed = if connected.tools {
            let listed = call::tools(&self.patient, token, &connected, &mut step.findings).await;
            listed.inspect(|tools| tools::judge(tools, self.patient.profile, &mut step.findings)).map(|_| ())
        } else {
            step.findings
                .skip("the server says that it has no tools", "It has no `tools` among its capabilities.");
            Some(())
        };
        call::close(&self.patient, token, &connected).await;
        self.end(step, listed)
    }

    /// The client's loopback port, when a person is to sign in.
    async fn listener(&mut self) -> Result<Option<TcpListener>, Stop> {
        let (Source::SignIn, Redirect::Loopback { port, .. }) = (&self.source, self.patient.profile.redirect)
        else {
            return Ok(None);
        };
        match sign_in::listen(port).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => {
                let mut step = self.begin("registration");
                sign_in::no_port(&error, &mut step.findings);
                self.end(step, None)
            }
        }
    }

    fn begin(&self, name: &'static str) -> Open {
        (self.watch)(Progress::Begins(name));
        Open { name, findings: Findings::default(), begun: Instant::now() }
    }

    /// Keeps a step; without a result, the client goes no further.
    fn end<T>(&mut self, step: Open, result: Option<T>) -> Result<T, Stop> {
        let Open { name, findings, begun } = step;
        let step = Step::new(name, findings, begun.elapsed());
        (self.watch)(Progress::Done(&step));
        self.steps.push(step);
        result.ok_or(Stop(name))
    }
}
