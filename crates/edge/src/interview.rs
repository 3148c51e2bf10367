//! What a server asks of its client is decided like what a client asks of a server: sampling, elicitation, roots. Refused
//! unless a policy allows it, and recorded either way.

use crate::Edge;
use crate::decide::{self, Case};
use crate::record;
use crate::screen::Barred;
use portunus_core::caller::Caller;
use portunus_core::id::{self, ServerName};
use portunus_core::limits;
use portunus_core::peer::ClientCertificate;
use portunus_core::record::{Intent, LedgerError, Receipt, Record, Verdict};
use portunus_mcp::question::{self, Asks};
use portunus_policy::{Context, Decision, Operation, Past, Principal, Question, Request};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a question is refused, as recorded: by policies, or by none of them.
const FORBIDDEN: &str = "No policy allows the server to ask the client for this.";
/// It was not decided: it is not known here, cannot be read, or the session's labels cannot.
const UNDECIDED: &str = "What the server asks of the client could not be decided.";

/// Decides the questions in the messages of one answer.
pub struct Interview {
    edge: Arc<Edge>,
    principal: Arc<Principal>,
    server: ServerName,
    environment: String,
    era: &'static str,
    source: IpAddr,
    certificate: Option<Arc<ClientCertificate>>,
    past: Arc<Past>,
    trace: String,
    /// Records of questions that may be shown once these are durable.
    receipts: Mutex<Vec<Receipt>>,
    asked: AtomicUsize,
}

impl Interview {
    /// For the answer to a request.
    #[must_use]
    pub fn new(edge: &Arc<Edge>, case: &Case<'_>) -> Self {
        Self {
            edge: edge.clone(),
            principal: decide::principal(case),
            receipts: Mutex::default(),
            asked: AtomicUsize::new(0),
            server: case.published.server.name.clone(),
            environment: case.published.server.environment.clone(),
            era: crate::asked::era_word(case.asked.era()),
            source: case.source,
            certificate: case.certificate.cloned(),
            past: case.past.clone(),
            trace: case.trace.trace_hex(),
        }
    }

    /// Whether the client may see what this message asks of it.
    ///
    /// # Errors
    /// When it asks for something that no policy allows, or it cannot be told what it asks.
    pub fn check(&self, message: &[u8]) -> Result<(), Barred> {
        let questions = question::questions(message).map_err(|_| {
            Barred::Question(
                "The server asked the client for something in a way that cannot be read for certain",
            )
        })?;
        for asked in questions {
            if self.asked.fetch_add(1, Ordering::Relaxed) >= limits::QUESTIONS_PER_ANSWER {
                return Err(Barred::TooManyQuestions);
            }
            let host;
            let (question, method) = match &asked {
                Asks::Sampling => (Some(Question::Sampling), "sampling/createMessage"),
                Asks::Roots => (Some(Question::Roots), "roots/list"),
                Asks::Form => (Some(Question::Form), "elicitation/create"),
                Asks::Page(page) => {
                    host = question::host(page);
                    (host.as_deref().map(Question::Page), "elicitation/create")
                }
                Asks::Other(_) => (None, "request"),
            };
            let target = match (&asked, &question) {
                (_, Some(Question::Page(host))) => Some((*host).to_owned()),
                (Asks::Other(method), _) => Some(method.chars().take(64).collect()),
                _ => None,
            };
            if !self.decide(question, method, target) {
                tracing::debug!(server = %self.server, method, "a server's question was refused");
                return Err(Barred::Question(words(&asked)));
            }
        }
        Ok(())
    }

    fn decide(&self, question: Option<Question<'_>>, method: &str, target: Option<String>) -> bool {
        // A stream may be open for long: policies and labels are those of now.
        let (now, engine) = (self.edge.clock.now(), self.edge.snapshot.load().engine.clone());
        let decision = id::mint("dec", now, &*self.edge.rng);
        let labels = self.edge.labels.known(self.principal.caller(), now);
        let question = question.filter(|_| labels.is_some());
        let past = Past { labels: labels.unwrap_or_default(), ..Past::clone(&self.past) };
        let context = Context {
            now,
            source: self.source,
            environment: &self.environment,
            era: self.era,
            certificate: self.certificate.as_deref(),
            past: &past,
            pin: "pinned",
            credential_age: None,
        };
        let made = question.map(|question| {
            let (server, decision) = (&self.server, decision.clone());
            let operation = Operation::Ask(question);
            let request = Request {
                decision,
                server,
                operation,
                arguments: None,
                besides: None,
                sql: None,
                approval: None,
                context,
            };
            engine.decide(&self.principal, &request)
        });
        let (permitted, policies, reason) = match made {
            Some(Decision::Permit(permit)) => (true, permit.policies().to_vec(), None),
            Some(Decision::Refused(refused)) => (false, refused.policies, Some(FORBIDDEN)),
            Some(Decision::ApprovalNeeded(needed)) => (false, needed.refused.policies, Some(FORBIDDEN)),
            None => (false, Vec::new(), Some(UNDECIDED)),
        };
        let caller: &Caller = self.principal.caller();
        self.record(Intent {
            at: now,
            decision,
            verdict: if permitted { Verdict::Permit } else { Verdict::Refuse },
            server: self.server.clone(),
            method: method.to_owned(),
            target,
            user: caller.user.clone(),
            client: caller.client.clone(),
            grant: caller.grant.clone(),
            arguments_digest: None,
            arguments: None,
            policies,
            reason: reason.map(str::to_owned),
            approval: None,
            credential: None,
            connection: None,
            trace: Some(self.trace.clone()),
            circumstances: record::circumstances(caller, &context),
        });
        permitted
    }

    /// Waits until what was permitted is recorded; it must not be shown before.
    ///
    /// # Errors
    /// When it is not.
    pub async fn settle(&self) -> Result<(), LedgerError> {
        let receipts = std::mem::take(&mut *self.receipts.lock().unwrap_or_else(PoisonError::into_inner));
        for receipt in receipts {
            let late = |_| LedgerError::Io(String::from("it did not become durable in time"));
            tokio::time::timeout(limits::LEDGER_TIMEOUT, receipt).await.map_err(late)??;
        }
        Ok(())
    }

    fn record(&self, intent: Intent) {
        let permitted = intent.verdict == Verdict::Permit;
        let record = Record::Intent(Box::new(intent));
        if permitted {
            let receipt = self.edge.ledger.append(record);
            self.receipts.lock().unwrap_or_else(PoisonError::into_inner).push(receipt);
        } else {
            self.edge.ledger.append_later(record);
        }
    }
}

const fn words(asked: &Asks) -> &'static str {
    match asked {
        Asks::Sampling => {
            "The server asked the client's model to write something (sampling), which no policy allows"
        }
        Asks::Roots => "The server asked for the client's directories (roots), which no policy allows",
        Asks::Form => "The server asked the user to fill in a form (elicitation), which no policy allows",
        Asks::Page(_) => "The server wanted to send the user to a page that no policy allows",
        Asks::Other(_) => "The server asked the client for something that is not known here",
    }
}
