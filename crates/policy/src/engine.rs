//! Compiled policies and the decisions they make.

use crate::approval::{Subject, binding, digest};
use crate::approver::Approver;
use crate::arguments;
use crate::context::{self, Parts};
use crate::decision::{ARGUMENTS_REASON, ApprovalNeeded, DEFAULT_REASON, Decision, Permit, Refused};
use crate::looks::Looks;
use crate::model::{Approved, Operation, Question, Request, View};
use crate::names::{TYPES, uid, uid_within};
use crate::principal::{self, Prepared, Principal};
use crate::problem::Problem;
use crate::slice::{Served, Target};
use crate::step_up::StepUp;
use cedar_policy::{
    Authorizer, Context, Effect, Entities, Entity, EntityUid, Policy, PolicyId, PolicySet, Response,
};
use portunus_core::caller::Caller;
use portunus_core::digest::{Digest, equal};
use portunus_core::id::{ServerName, UserName};
use portunus_core::treatment::Treatment;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Policies, checked and compiled. Immutable: a reload makes a new one.
#[derive(Debug)]
pub struct Engine {
    pub(crate) version: Digest,
    /// Of the sources alone.
    pub(crate) sources: Digest,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) known: HashMap<String, Known>,
    pub(crate) servers: HashMap<String, Served>,
    pub(crate) authorizer: Authorizer,
    pub(crate) evaluations: AtomicU64,
    pub(crate) uses_counters: bool,
}

/// What is said about a policy.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) policy: Policy,
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) reason: Option<String>,
    pub(crate) approver: Option<String>,
    pub(crate) step_up: Option<StepUp>,
    pub(crate) treatment: Option<Treatment>,
}

/// One request in Cedar's terms.
pub(crate) struct Asked {
    pub(crate) target: Target,
    pub(crate) resource: EntityUid,
    pub(crate) entities: Arc<Entities>,
    pub(crate) owner: EntityUid,
    pub(crate) environment: String,
}

impl Asked {
    /// Something asked about a server as a whole.
    pub(crate) fn about(served: &Served, target: Target, entities: impl Into<Arc<Entities>>) -> Self {
        let entities = entities.into();
        let (owner, environment) = (served.owner.clone(), served.environment.clone());
        Self { target, resource: served.uid.clone(), entities, owner, environment }
    }

    /// The same, decided by other policies.
    pub(crate) fn with(&self, target: Target) -> Self {
        let Self { resource, entities, owner, environment, .. } = self;
        let (owner, environment) = (owner.clone(), environment.clone());
        Self { target, resource: resource.clone(), entities: entities.clone(), owner, environment }
    }
}

/// What the policies say.
pub(crate) enum Verdict {
    /// These permit it.
    Allow(Vec<String>),
    /// These forbid it; none when nothing permits it.
    Deny(Vec<String>),
    /// These could not be evaluated; or none could, when the request cannot be put in Cedar's terms.
    Failed { policies: Vec<String>, reason: &'static str },
}

impl Engine {
    /// The policy version: a digest over the sources, the servers and the schema.
    #[must_use]
    pub fn version(&self) -> &Digest {
        &self.version
    }

    /// Whether both come of the same policy files.
    #[must_use]
    pub fn has_the_policies_of(&self, other: &Self) -> bool {
        self.sources == other.sources
    }

    /// How often the policies were evaluated so far: for tests, and for finding out what is asked too often.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations.load(Ordering::Relaxed)
    }

    /// Problems that do not stop the policies from being used.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Prepares a caller. A principal may be used with every later engine too; it is a little slower then.
    #[must_use]
    pub fn principal(&self, caller: &Caller) -> Principal {
        let server = self.servers.get(caller.server.as_str()).map(|served| &served.entity);
        Principal(Arc::new(Prepared::new(caller, server, self.version)))
    }

    /// Decides one request. Everything that is not clearly permitted is refused: a server that is not the token's, a
    /// policy that fails, arguments that cannot be read.
    pub fn decide(&self, principal: &Principal, request: &Request<'_>) -> Decision {
        let caller = &*principal.0;
        let Some(asked) = self.ask(caller, request.server.as_str(), request.operation) else {
            return Decision::Refused(self.refused(request, Vec::new(), DEFAULT_REASON));
        };
        self.decide_asked(caller, request, &asked)
    }

    /// Decides what was asked, by the policies of its slice.
    pub(crate) fn decide_asked(&self, caller: &Prepared, request: &Request<'_>, asked: &Asked) -> Decision {
        let denied = match self.evaluate(caller, request, asked, None) {
            Verdict::Allow(policies) => return permit(request, asked, policies, None),
            Verdict::Failed { policies, reason } => {
                return Decision::Refused(self.refused(request, policies, reason));
            }
            Verdict::Deny(policies) => policies,
        };
        if let Some(step_up) = self.step_up(caller, request, asked, &denied) {
            let refused = self.refused(request, denied, DEFAULT_REASON);
            return Decision::Refused(Refused { step_up: Some(step_up), ..refused });
        }
        match self.needed(caller, request, asked, &denied) {
            Some((approver, binding)) => {
                self.with_approval(caller, request, asked, denied, approver, binding)
            }
            None => Decision::Refused(self.refused(request, denied, DEFAULT_REASON)),
        }
    }

    /// Whether the arguments of a call fit the tool's own input schema; those of a tool without a known one do. This comes
    /// before [`Self::decide`], so that policies see what the tool declares.
    ///
    /// # Errors
    /// What is wrong, in words for the client, without any of the arguments' values.
    pub fn check_arguments(
        &self,
        server: &ServerName,
        tool: &str,
        arguments: Option<&[u8]>,
    ) -> Result<(), String> {
        match self.servers.get(server.as_str()) {
            Some(served) => served.tool(tool).fit.check(arguments),
            None => Ok(()),
        }
    }

    /// Whether a tool is known: confirmed by an administrator, or seen and pinned.
    #[must_use]
    pub fn knows_tool(&self, server: &ServerName, tool: &str) -> bool {
        self.servers.get(server.as_str()).is_some_and(|served| served.knows_tool(tool))
    }

    /// Whether what a caller sees of a server's lists stays the same until policies change.
    #[must_use]
    pub fn view_is_lasting(&self, server: &ServerName) -> bool {
        self.servers.get(server.as_str()).is_some_and(|served| served.is_lasting)
    }

    /// Whether any policy at all looks at counts.
    #[must_use]
    pub const fn uses_counters(&self) -> bool {
        self.uses_counters
    }

    /// Whether some policy that can apply looks at counts.
    #[must_use]
    pub fn looks_at_counters(&self, server: &ServerName, operation: Operation<'_>) -> bool {
        let Some(served) = self.servers.get(server.as_str()) else { return false };
        let Some(name) = operation_name(operation) else {
            let Operation::CallTool(tool) = operation else { return false };
            return served.slice_of_tool(tool).looks.contains(Looks::COUNTERS);
        };
        served.operation(name).is_some_and(|target| target.slice.looks.contains(Looks::COUNTERS))
    }

    pub(crate) fn served(&self, server: &str) -> Option<&Served> {
        self.servers.get(server)
    }

    /// Puts a request in Cedar's terms; `None` when it is for a server that does not exist or is not the token's.
    pub(crate) fn ask(&self, caller: &Prepared, server: &str, operation: Operation<'_>) -> Option<Asked> {
        let served = self.servers.get(server).filter(|_| caller.caller.server.as_str() == server)?;
        let within = |kind, id| Some(uid_within(kind, server, id));
        let target = match operation_name(operation) {
            Some(name) => served.operation(name)?.clone(),
            None => {
                let Operation::CallTool(tool) = operation else { return None };
                served.tool(tool)
            }
        };
        let inner = match operation {
            Operation::ReadResource(id) | Operation::Subscribe(id) => within(&TYPES.resource, id),
            Operation::GetPrompt(id) => within(&TYPES.prompt, id),
            _ => None,
        };
        let inside = |id: &EntityUid| Entity::new_no_attrs(id.clone(), [served.uid.clone()].into());
        let entities = match &inner {
            // Names that clients make up are not kept.
            None if caller.version == self.version && served.knows(operation) => {
                caller.entities_with(&target.entity)?
            }
            _ => {
                let more = [Some(target.entity.clone()), inner.as_ref().map(inside)];
                let entities = self.entities(caller, served)?;
                Arc::new(entities.add_entities(more.into_iter().flatten(), None).ok()?)
            }
        };
        let asked = Asked::about(served, target, entities);
        Some(Asked { resource: inner.unwrap_or_else(|| served.uid.clone()), ..asked })
    }

    /// The caller and their server, as this engine knows it.
    pub(crate) fn entities(&self, caller: &Prepared, served: &Served) -> Option<Entities> {
        if caller.version == self.version {
            caller.entities.clone()
        } else {
            principal::entities(&caller.caller, Some(&served.entity))
        }
    }

    /// What the policies say of a request, with this approval in its context.
    fn evaluate(
        &self,
        caller: &Prepared,
        request: &Request<'_>,
        asked: &Asked,
        approval: Option<(EntityUid, &str)>,
    ) -> Verdict {
        match context_of(caller, request, asked, approval) {
            Ok(context) => self.verdict(caller, asked, &caller.own(&asked.target.slice), context),
            Err(reason) => Verdict::Failed { policies: Vec::new(), reason },
        }
    }

    pub(crate) fn verdict(
        &self,
        caller: &Prepared,
        asked: &Asked,
        policies: &PolicySet,
        context: Context,
    ) -> Verdict {
        let Some(response) = self.respond(caller, asked, &asked.resource, policies, context) else {
            return Verdict::Failed { policies: Vec::new(), reason: DEFAULT_REASON };
        };
        // Cedar skips a policy that fails, a forbid too: that must not let anything through.
        let failed: BTreeSet<String> = failures(&response).map(|(id, _)| id).collect();
        if !failed.is_empty() {
            return Verdict::Failed { policies: failed.into_iter().collect(), reason: DEFAULT_REASON };
        }
        let decided: BTreeSet<&PolicyId> = response.diagnostics().reason().collect();
        let decided = decided.into_iter().map(ToString::to_string).collect();
        match response.decision() {
            cedar_policy::Decision::Allow => Verdict::Allow(decided),
            cedar_policy::Decision::Deny => Verdict::Deny(decided),
        }
    }

    /// Cedar's answer; `None` when it does not take the request.
    pub(crate) fn respond(
        &self,
        caller: &Prepared,
        asked: &Asked,
        resource: &EntityUid,
        policies: &PolicySet,
        context: Context,
    ) -> Option<Response> {
        self.evaluations.fetch_add(1, Ordering::Relaxed);
        let (principal, action) = (caller.uid.clone(), asked.target.uid.clone());
        let request = cedar_policy::Request::new(principal, action, resource.clone(), context, None).ok()?;
        Some(self.authorizer.is_authorized(&request, policies, &asked.entities))
    }

    /// Who must approve a tool call that these policies forbid, and what the approval is good for; `None` when one of them
    /// is not approvable, or they want different approvers.
    fn needed(
        &self,
        caller: &Prepared,
        request: &Request<'_>,
        asked: &Asked,
        denied: &[String],
    ) -> Option<(String, Digest)> {
        let Operation::CallTool(tool) = request.operation else { return None };
        let approvers: Option<BTreeSet<&str>> =
            denied.iter().map(|id| self.known.get(id)?.approver.as_deref()).collect();
        let approvers = approvers?;
        let approver = approvers.first().filter(|_| approvers.len() == 1)?;
        // Not the whole engine's version: a tool that appears elsewhere, or a schema that became known meanwhile, does not
        // void what a human has just approved. What the tool says of itself is the edge's to compare.
        let version = digest(
            b"portunus tool 1",
            &[
                &self.sources.0,
                &asked.target.definition.0,
                asked.environment.as_bytes(),
                asked.owner.id().unescaped().as_bytes(),
            ],
        );
        let subject = Subject {
            user: &caller.caller.user,
            client: &caller.caller.client,
            server: request.server,
            tool,
            arguments: request.arguments,
            besides: request.besides,
            approver,
            version: &version,
        };
        Some(((*approver).to_owned(), binding(&subject)))
    }

    /// Decides a call that can be approved. What the approval does not cover is asked again, never let through.
    fn with_approval(
        &self,
        caller: &Prepared,
        request: &Request<'_>,
        asked: &Asked,
        denied: Vec<String>,
        approver: String,
        binding: Digest,
    ) -> Decision {
        let used = request.approval.filter(|approved| equal(&approved.binding.0, &binding.0));
        let by = match used {
            Some(Approved { by, .. }) => uid(&TYPES.user, by.as_str()),
            None if approver == "owner" => asked.owner.clone(),
            None => {
                let named = Approver::parse(&approver).ok();
                // Somebody who is nobody else: no user's name has parentheses.
                let by = named.as_ref().and_then(Approver::one_user).map_or("(approver)", UserName::as_str);
                uid(&TYPES.user, by)
            }
        };
        let id = used.map_or("(approval)", |approved| approved.id.as_str());
        match (self.evaluate(caller, request, asked, Some((by, id))), used) {
            (Verdict::Allow(policies), Some(approved)) => permit(request, asked, policies, Some(approved)),
            (Verdict::Allow(_), None) => {
                let refused = self.refused(request, denied, DEFAULT_REASON);
                Decision::ApprovalNeeded(ApprovalNeeded { refused, approver, binding })
            }
            (Verdict::Deny(policies), _) => {
                let policies = if policies.is_empty() { denied } else { policies };
                Decision::Refused(self.refused(request, policies, DEFAULT_REASON))
            }
            (Verdict::Failed { policies, reason }, _) => {
                Decision::Refused(self.refused(request, policies, reason))
            }
        }
    }

    fn refused(&self, request: &Request<'_>, policies: Vec<String>, otherwise: &str) -> Refused {
        let forbids = policies.iter().filter_map(|id| self.known.get(id));
        let words =
            forbids.filter(|known| known.policy.effect() == Effect::Forbid).filter_map(|k| k.reason.clone());
        let mut reasons: Vec<String> = words.collect::<BTreeSet<String>>().into_iter().collect();
        if reasons.is_empty() {
            reasons.push(otherwise.to_owned());
        }
        Refused { decision: request.decision.clone(), reasons, policies, step_up: None }
    }

    /// What the caller must bring so that these policies no longer forbid the request, all in one; `None` unless each of
    /// them is lifted by a step-up (or, after that, by an approval), and bringing it really would help.
    fn step_up(
        &self,
        caller: &Prepared,
        request: &Request<'_>,
        asked: &Asked,
        denied: &[String],
    ) -> Option<StepUp> {
        let known: Option<Vec<&Known>> = denied.iter().map(|id| self.known.get(id)).collect();
        let known = known?;
        if !known.iter().all(|known| known.step_up.is_some() || known.approver.is_some()) {
            return None;
        }
        let mut parts = known.iter().filter_map(|known| known.step_up.as_ref());
        let first = parts.next()?.clone();
        let mut needed = parts.try_fold(first, StepUp::and)?;
        needed.scopes.retain(|scope| !caller.caller.scopes.contains(scope));
        // Asking for what changes nothing would send a client round and round.
        let mut stepped = caller.caller.clone();
        stepped.scopes.extend(needed.scopes.iter().cloned());
        if needed.needs_sign_in() {
            stepped.sign_in.at = request.context.now;
        }
        if needed.acr.is_some() {
            stepped.sign_in.acr.clone_from(&needed.acr);
        }
        let served = self.servers.get(request.server.as_str())?;
        let stepped = Prepared::new(&stepped, Some(&served.entity), self.version);
        match self.evaluate(&stepped, request, asked, None) {
            Verdict::Allow(_) => Some(needed),
            Verdict::Deny(left) if !left.is_empty() => {
                let approvable =
                    |id: &String| self.known.get(id).is_some_and(|known| known.approver.is_some());
                left.iter().all(approvable).then_some(needed)
            }
            Verdict::Deny(_) | Verdict::Failed { .. } => None,
        }
    }

    /// Whether some policy about a tool, whatever its arguments, is lifted by a step-up.
    #[must_use]
    pub fn has_step_ups(&self, server: &ServerName, tool: &str) -> bool {
        let served = self.servers.get(server.as_str());
        served.is_some_and(|served| !served.slice_of_tool(tool).step_ups.is_empty())
    }

    /// The scopes that every call of a tool needs besides those that all callers hold, for a caller without any: what
    /// policies say with `@step_up`, as far as no argument matters.
    #[must_use]
    pub fn scopes_of_tool(&self, principal: &Principal, view: &View<'_>) -> BTreeSet<String> {
        let none = BTreeSet::new();
        let mut bare = principal.0.caller.clone();
        bare.scopes.clear();
        let Some(served) = self.servers.get(view.server.as_str()) else { return none };
        let bare = Prepared::new(&bare, Some(&served.entity), self.version);
        let Some(asked) = self.ask(&bare, view.server.as_str(), view.operation) else { return none };
        let slice = &asked.target.slice;
        if slice.step_ups.is_empty() {
            return none;
        }
        let Some(context) = context::build(slice.looks, &bare, &view.context, parts_of(view.operation))
        else {
            return none;
        };
        match self.verdict(&bare, &asked, &slice.step_ups, context) {
            Verdict::Deny(policies) => {
                let known = policies.iter().filter_map(|id| self.known.get(id)?.step_up.as_ref());
                known.flat_map(|step_up| step_up.scopes.iter().cloned()).collect()
            }
            Verdict::Allow(_) | Verdict::Failed { .. } => none,
        }
    }
}

/// The context of a request; what to tell the client when there is none.
pub(crate) fn context_of(
    caller: &Prepared,
    request: &Request<'_>,
    asked: &Asked,
    approval: Option<(EntityUid, &str)>,
) -> Result<Context, &'static str> {
    let looks = asked.target.slice.looks;
    let mut parts = Parts { approval, sql: request.sql, ..parts_of(request.operation) };
    if looks.contains(Looks::ARGUMENTS) && matches!(request.operation, Operation::CallTool(_)) {
        let read = arguments::read(request.arguments.unwrap_or(b"{}"), &asked.target.shape);
        parts.arguments = Some(read.map_err(|_| ARGUMENTS_REASON)?);
    }
    context::build(looks, caller, &request.context, parts).ok_or(DEFAULT_REASON)
}

fn permit(
    request: &Request<'_>,
    asked: &Asked,
    policies: Vec<String>,
    approval: Option<&Approved>,
) -> Decision {
    Decision::Permit(Permit {
        decision: request.decision.clone(),
        server: request.server.clone(),
        action: asked.target.uid.id().unescaped().to_owned(),
        policies,
        approval: approval.map(|approved| approved.id.clone()),
    })
}

/// Policies that could not be evaluated, and why.
pub(crate) fn failures(response: &Response) -> impl Iterator<Item = (String, String)> {
    response.diagnostics().errors().map(|error| match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
            (error.policy_id().to_string(), error.inner().to_string())
        }
    })
}

/// The action of what is not a tool call.
const fn operation_name(operation: Operation<'_>) -> Option<&'static str> {
    Some(match operation {
        Operation::CallTool(_) => return None,
        Operation::List(_) => "list",
        Operation::Session(_) => "session",
        Operation::Complete(_) => "complete",
        Operation::Task(_) => "task",
        Operation::Answer => "answer",
        Operation::Estimate(_) => "estimate",
        Operation::ReadResource(_) => "read_resource",
        Operation::Subscribe(_) => "subscribe",
        Operation::GetPrompt(_) => "get_prompt",
        Operation::Ask(Question::Sampling) => "sample",
        Operation::Ask(Question::Roots) => "roots",
        Operation::Ask(Question::Form | Question::Page(_)) => "elicit",
    })
}

/// The attributes that an operation brings along.
pub(crate) fn parts_of(operation: Operation<'_>) -> Parts<'_> {
    match operation {
        Operation::List(method) | Operation::Session(method) => {
            Parts { method: Some(method), ..Parts::default() }
        }
        Operation::Complete(target) | Operation::Task(target) | Operation::Estimate(target) => {
            Parts { target: Some(target), ..Parts::default() }
        }
        Operation::CallTool(_) => Parts { is_call: true, ..Parts::default() },
        Operation::Ask(Question::Form) => {
            Parts { texts: vec![("mode", "form"), ("host", "")], ..Parts::default() }
        }
        Operation::Ask(Question::Page(host)) => {
            Parts { texts: vec![("mode", "url"), ("host", host)], ..Parts::default() }
        }
        _ => Parts::default(),
    }
}
