//! Puts properties to the solver, one kind of request after the other.

use crate::annotations;
use crate::found::{self, Counterexample};
use crate::property::{Claim, Property, Requests};
use crate::world::World;
use cedar_policy::{Policy, PolicyId, PolicySet, RequestEnv};
use cedar_policy_symcc::solver::LocalSolver;
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

/// What came of a property for one kind of request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds for every request of this kind.
    Proven,
    /// It does not hold for this one.
    Broken(Box<Counterexample>),
    /// It could not be decided; why.
    Unknown(String),
}

/// One kind of request: principal type, action, resource type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// `User sales/read_query Server`.
    pub environment: String,
    /// What came of it.
    pub verdict: Verdict,
}

/// Why a property cannot even be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// No solver.
    #[error("the solver {} cannot be started: {error}\nGet cvc5 1.3.1 or later (https://cvc5.github.io, or your system's packages) and name it with --solver or CVC5", path.display())]
    NoSolver {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The property says something that is none.
    #[error("{0}")]
    Property(String),
}

/// Asks a solver.
pub struct Prover {
    solver: PathBuf,
    timeout: Duration,
    compiler: Option<CedarSymCompiler<LocalSolver>>,
}

/// What is asked about one kind of request.
enum Question {
    /// Some request that the first permits is not permitted by the second.
    Implies(Box<PolicySet>, Box<PolicySet>),
    /// A policy applies.
    Matches(Policy),
    /// A policy fails.
    Fails(Policy),
}

/// What is to be seen of a counter-example when it is evaluated.
enum Seen<'p> {
    /// These permit it, by Portunus' rule, and these others do not.
    Permitted(&'p PolicySet, &'p PolicySet),
    Anything,
}

impl Prover {
    /// With this executable of cvc5, and this much time for each question.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn new(solver: PathBuf, timeout: Duration) -> Result<Self, ProveError> {
        let tried = Command::new(&solver)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .args(["--lang", "smt"])
            .status();
        match tokio::time::timeout(Duration::from_secs(30), tried).await {
            Ok(Ok(_)) => Ok(Self { solver, timeout, compiler: None }),
            Ok(Err(error)) => Err(ProveError::NoSolver { path: solver, error }),
            Err(_) => Err(ProveError::NoSolver { path: solver, error: std::io::ErrorKind::TimedOut.into() }),
        }
    }

    /// Checks one property. `than` are the other policies that it speaks of. `told` hears of each kind of request before it
    /// is asked about: its number from 1, and of how many.
    ///
    /// # Errors
    /// When the property names what does not exist, or the solver is gone.
    pub async fn check(
        &mut self,
        property: &Property,
        world: &World,
        than: Option<&World>,
        told: &mut (dyn FnMut(usize, usize, &str) + Send),
    ) -> Result<Vec<Checked>, ProveError> {
        let environments = chosen(&property.claim, world)?;
        let count = environments.len();
        let mut checked = Vec::new();
        for (index, env) in environments.iter().enumerate() {
            let name = format!("{} {} {}", env.principal(), env.action().id().unescaped(), env.resource());
            told(index + 1, count, &name);
            let verdict = match &property.claim {
                Claim::Never(requests) => self.never(world, env, requests).await?,
                Claim::Narrows(_) => self.narrows(world, other(than)?, env).await?,
                Claim::Equivalent(_) => match self.narrows(world, other(than)?, env).await? {
                    Verdict::Proven => self.narrows(other(than)?, world, env).await?,
                    other => other,
                },
                Claim::CanMatch(id) => {
                    self.ask(world, env, Question::Matches(policy(world, id)?), Seen::Anything).await?
                }
                Claim::NeverFails(id) => {
                    self.ask(world, env, Question::Fails(policy(world, id)?), Seen::Anything).await?
                }
            };
            checked.push(Checked { environment: name, verdict });
        }
        if let Claim::CanMatch(id) = &property.claim {
            checked = alive(id, checked);
        }
        Ok(checked)
    }

    async fn never(
        &mut self,
        world: &World,
        env: &RequestEnv,
        requests: &Requests,
    ) -> Result<Verdict, ProveError> {
        let condition = requests.condition();
        let guard =
            parse("(property)", &format!("permit (principal, action, resource) unless {{ {condition} }};"))?;
        let doubt = world.doubt_about(&guard, env);
        let right = PolicySet::from_policies([guard]).map_err(said)?;
        let all = world.policy_set().map_err(ProveError::Property)?;
        let question = Question::Implies(assuming(&all, world, env)?, Box::new(right.clone()));
        let verdict = self.ask(world, env, question, Seen::Permitted(&all, &right)).await?;
        Ok(match (verdict, doubt) {
            (Verdict::Proven, Some(why)) => Verdict::Unknown(why),
            (verdict, _) => verdict,
        })
    }

    /// Whether `world` permits nothing that `than` does not. What `than` permits, Cedar says only of policies that never
    /// fail.
    async fn narrows(
        &mut self,
        world: &World,
        than: &World,
        env: &RequestEnv,
    ) -> Result<Verdict, ProveError> {
        let (new, old) = (world.policy_set(), than.policy_set());
        let (new, old) = (new.map_err(ProveError::Property)?, old.map_err(ProveError::Property)?);
        let question = Question::Implies(assuming(&new, world, env)?, Box::new(old.clone()));
        let verdict = self.ask(world, env, question, Seen::Permitted(&new, &old)).await?;
        if verdict != Verdict::Proven {
            return Ok(verdict);
        }
        if let Some(why) = than.doubt(env).or_else(|| annotations::weaker(world, than, env)) {
            return Ok(Verdict::Unknown(why));
        }
        for (id, exported) in &than.policies {
            let question = Question::Fails(exported.policy.clone());
            if self.ask(world, env, question, Seen::Anything).await? != Verdict::Proven {
                return Ok(Verdict::Unknown(format!("the policy {id} could fail, which refuses")));
            }
        }
        Ok(Verdict::Proven)
    }

    /// One question. Proven: the solver says that there is no such request.
    async fn ask(
        &mut self,
        world: &World,
        env: &RequestEnv,
        question: Question,
        seen: Seen<'_>,
    ) -> Result<Verdict, ProveError> {
        let doubt = world.doubt(env);
        let answer = match self.found(world, env, &question).await? {
            Ok(answer) => answer,
            Err(why) => return Ok(Verdict::Unknown(why)),
        };
        Ok(match (answer, doubt) {
            (None, None) => Verdict::Proven,
            (None, Some(why)) => Verdict::Unknown(why),
            (Some(found), _) => judge(&found, &seen, &question, world),
        })
    }

    /// What the solver finds; the inner error is why it could not say.
    async fn found(
        &mut self,
        world: &World,
        env: &RequestEnv,
        question: &Question,
    ) -> Result<Result<Option<Env>, String>, ProveError> {
        let mut compiler = match self.compiler.take() {
            Some(compiler) => compiler,
            None => self.start()?,
        };
        let timeout = self.timeout;
        let asked = async {
            match question {
                Question::Implies(one, other) => {
                    let one = CompiledPolicySet::compile(one, env, &world.schema)?;
                    let other = CompiledPolicySet::compile(other, env, &world.schema)?;
                    compiler.check_implies_with_counterexample_opt(&one, &other).await
                }
                Question::Matches(policy) => {
                    let policy = CompiledPolicy::compile(policy, env, &world.schema)?;
                    compiler.check_never_matches_with_counterexample_opt(&policy).await
                }
                Question::Fails(policy) => {
                    let policy = CompiledPolicy::compile(policy, env, &world.schema)?;
                    compiler.check_never_errors_with_counterexample_opt(&policy).await
                }
            }
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(Ok(found)) => {
                self.compiler = Some(compiler);
                Ok(Ok(found))
            }
            // A solver that stumbled is not asked again: the next question starts a new one.
            Ok(Err(error)) => Ok(Err(words(&error))),
            Err(_) => Ok(Err(format!("no answer within {} s", timeout.as_secs()))),
        }
    }

    fn start(&self) -> Result<CedarSymCompiler<LocalSolver>, ProveError> {
        let limit = format!("--tlimit={}", self.timeout.as_millis());
        let mut command = Command::new(&self.solver);
        command.args(["--lang", "smt", &limit]).kill_on_drop(true);
        let failed = |error: String| ProveError::NoSolver {
            path: self.solver.clone(),
            error: std::io::Error::other(error),
        };
        let solver = LocalSolver::from_command(&mut command).map_err(|error| failed(error.to_string()))?;
        CedarSymCompiler::new(solver).map_err(|error| failed(error.to_string()))
    }
}

/// The kinds of request that a claim is about.
fn chosen(claim: &Claim, world: &World) -> Result<Vec<RequestEnv>, ProveError> {
    let all = world.environments();
    let Claim::Never(requests) = claim else { return Ok(all) };
    if let Some(action) = requests.action.as_deref().filter(|action| !world.knows_action(action)) {
        return Err(ProveError::Property(format!("there is no action `{action}`")));
    }
    let about = |env: &RequestEnv| {
        requests.action.as_deref().is_none_or(|action| world.is_action(env, action))
            && requests.resource_type().is_none_or(|kind| env.resource().to_string() == kind)
    };
    let chosen: Vec<RequestEnv> = all.into_iter().filter(about).collect();
    if chosen.is_empty() {
        return Err(ProveError::Property("no request is of this action and this resource".to_owned()));
    }
    Ok(chosen)
}

fn other(than: Option<&World>) -> Result<&World, ProveError> {
    than.ok_or_else(|| ProveError::Property("there are no policies to compare with".to_owned()))
}

fn policy(world: &World, id: &str) -> Result<Policy, ProveError> {
    let found = world.policies.get(id).map(|one| one.policy.clone());
    found.ok_or_else(|| ProveError::Property(format!("there is no policy with the id `{id}`")))
}

/// The policies, and a refusal of whatever cannot happen.
fn assuming(policies: &PolicySet, world: &World, env: &RequestEnv) -> Result<Box<PolicySet>, ProveError> {
    let text = format!("forbid (principal, action, resource) unless {{ {} }};", world.assumptions(env));
    let mut all = policies.clone();
    all.add(parse("(assumed)", &text)?).map_err(said)?;
    Ok(Box::new(all))
}

fn parse(id: &str, text: &str) -> Result<Policy, ProveError> {
    Policy::parse(Some(PolicyId::new(id)), text)
        .map_err(|errors| ProveError::Property(format!("the property cannot be read: {errors}")))
}

fn said(error: impl std::fmt::Display) -> ProveError {
    ProveError::Property(error.to_string())
}

/// What a found request is worth: it is evaluated before it is told.
fn judge(found: &Env, seen: &Seen<'_>, question: &Question, world: &World) -> Verdict {
    let policies = match seen {
        Seen::Permitted(these, others) => {
            let (one, other) = (found::again(found, these), found::again(found, others));
            if !one.failed.is_empty() {
                let failed = one.failed.join(", ");
                return Verdict::Unknown(format!(
                    "only by Cedar's rule: {failed} fails, which Portunus refuses"
                ));
            }
            if !one.permitted || other.permitted {
                return Verdict::Unknown(
                    "the solver's example does not hold when it is evaluated".to_owned(),
                );
            }
            one.policies
        }
        Seen::Anything => match question {
            Question::Matches(policy) | Question::Fails(policy) => vec![policy.id().to_string()],
            Question::Implies(..) => Vec::new(),
        },
    };
    let property = match seen {
        Seen::Permitted(_, others) => others.to_string(),
        Seen::Anything => String::new(),
    };
    let reads = |attribute: &str| world.reads(attribute, &property);
    Verdict::Broken(Box::new(Counterexample::of(found, policies, reads)))
}

/// For "this policy is not dead", a request that it applies to is the proof, and one is enough.
fn alive(id: &str, checked: Vec<Checked>) -> Vec<Checked> {
    if let Some(one) = checked.iter().find(|one| matches!(one.verdict, Verdict::Broken(_))) {
        return vec![Checked { verdict: Verdict::Proven, ..one.clone() }];
    }
    if let Some(one) = checked.iter().find(|one| matches!(one.verdict, Verdict::Unknown(_))) {
        return vec![one.clone()];
    }
    let nothing = Counterexample::nothing(id);
    vec![Checked {
        environment: "every kind of request".to_owned(),
        verdict: Verdict::Broken(Box::new(nothing)),
    }]
}

/// An error with what caused it.
fn words(error: &cedar_policy_symcc::err::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    if let cedar_policy_symcc::err::Error::PolicyNotWellTyped { errs } = error {
        for one in errs {
            text = format!("{text}: {one}");
        }
    }
    text
}
