//! Decides every request: Cedar policies over callers, servers, tools, arguments and SQL facts. Pure: no I/O, no clock.
//!
//! | module | holds |
//! |---|---|
//! | `model` | what goes into a decision: policy files, servers and tools, a request |
//! | `decision` | what comes out: [`Permit`] (nobody else can make one), [`Refused`], [`ApprovalNeeded`] |
//! | `engine` | [`Engine`]: decides, and says what is visible |
//! | `load` | from files and servers to an [`Engine`] |
//! | `disclosure` | which columns and data classes may be shown, which tables changed |
//! | `release` | how many rows and bytes of a result may be shown |
//! | `viewer` | what is visible in a listing |
//! | `principal` | a caller in Cedar's terms, made once per token |
//! | `source`, `check`, `schema` | files into policies; problems with line and hint; the Cedar schema |
//! | `looks`, `slice` | what a policy looks at, and where it can apply, so that a decision touches few |
//! | `step_up` | what would lift a refusal: scopes, a fresher or stronger sign-in |
//! | `fit` | whether arguments fit the tool's input schema |
//! | `context`, `arguments`, `shape` | one request in Cedar's terms; JSON arguments without silent loss |
//! | [`approval`] | what an approval is good for |
//! | `approver` | who must give it: the words of `@approvable` |
//! | [`sql`] | facts about SQL text |
//! | [`defaults`] | the policies that come with Portunus, and templates |
//! | [`explain`], [`advice`] | for people: which policies decided, and what would have to change |
//! | [`testing`], [`coverage`] | tests of policies, and which policies no test reaches |
//! | [`matrix`], [`replay`], [`shadow`] | who may do what; recorded calls, and live ones, under other policies |
//! | [`export`] | compiled policies for other tools that reason about Cedar |
//! | `partial`, `lookups` | decisions of which not everything is known; the words that policies look at |
//! | [`fuzz`] | what must hold for any text, for fuzzers and property tests |
//!
//! A request is refused when no policy permits it, when one forbids it, and when *any* policy that could apply fails:
//! Cedar alone would skip a failing `forbid`.
//!
//! ```
//! use portunus_policy::{Engine, ServerTools, Source, Tool, TrustGroups, defaults};
//!
//! let text = r#"permit (principal in Group::"analysts", action in Action::"raed", resource == Server::"sales");"#;
//! let mine = Source { path: "sales.cedar".into(), text: text.into() };
//! let sales = ServerTools {
//!     server: "sales".parse()?,
//!     environment: "production".into(),
//!     owner: "ana@example.com".into(),
//!     classes: Vec::new(),
//!     tools: vec![Tool { name: "read_query".into(), groups: TrustGroups::READ, input_schema: None }],
//! };
//! let problems = Engine::load(&[defaults::source(), mine], &[sales]).unwrap_err();
//! assert_eq!(
//!     problems[0].to_string(),
//!     "sales.cedar:1:59: there is no action `raed`\n  Did you mean `read`?"
//! );
//! # Ok::<(), portunus_core::id::InvalidName>(())
//! ```

#![forbid(unsafe_code)]

pub mod advice;
pub mod approval;
mod approver;
mod arguments;
mod check;
mod context;
pub mod coverage;
mod decision;
pub mod defaults;
mod disclosure;
mod engine;
pub mod explain;
pub mod export;
mod fit;
pub mod fuzz;
mod load;
mod looks;
mod lookups;
pub mod matrix;
mod model;
mod names;
mod partial;
mod principal;
mod problem;
mod release;
pub mod replay;
mod schema;
pub mod shadow;
mod shape;
mod slice;
mod source;
pub mod sql;
mod step_up;
pub mod testing;
mod viewer;

pub use approver::{Approver, ApproverError, Person};
pub use decision::{ARGUMENTS_REASON, ApprovalNeeded, DEFAULT_REASON, Decision, Permit, Refused};
pub use disclosure::{Choice, Disclosure, DisclosureKey};
pub use engine::Engine;
pub use load::schema_text;
pub use model::{
    Approved, Context, Counts, NO_PAST, Operation, Past, Question, Request, ServerTools, Source, Spans, Tool,
    TrustGroups, View,
};
pub use principal::Principal;
pub use problem::{Problem, Severity};
pub use release::Caps;
pub use step_up::StepUp;
pub use viewer::Viewer;
