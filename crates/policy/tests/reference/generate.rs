//! Random policies in Cedar's grammar over Portunus' schema: of the right types, so that they load.

use std::cell::RefCell;

thread_local! {
    static PROBLEM: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Why the last world did not load.
pub(crate) fn last_problem() -> String {
    PROBLEM.with_borrow(Clone::clone)
}

pub(crate) fn set_problem(text: String) {
    PROBLEM.with_borrow_mut(|problem| *problem = text);
}

/// A small generator of numbers; the same for the same seed (`SplitMix64`).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
    pub(crate) fn some<'a>(&mut self, from: &[&'a str]) -> Vec<&'a str> {
        from.iter().copied().filter(|_| self.one_in(2)).collect()
    }
}

pub(crate) const GROUPS: [&str; 4] = ["analysts", "editors", "hr", "ops"];
pub(crate) const USERS: [&str; 3] = ["ana", "bob", "owen"];
pub(crate) const WORKLOADS: [&str; 2] = ["ci-build", "backup"];
pub(crate) const SERVERS: [&str; 3] = ["sales", "hr", "mail"];
pub(crate) const CLIENTS: [&str; 3] = ["chat", "code", "https://client.example/id.json"];
pub(crate) const SCOPES: [&str; 3] = ["tools", "sales:write", "admin"];
pub(crate) const KINDS: [&str; 5] = ["select", "insert", "update", "drop", "create"];
pub(crate) const TABLES: [&str; 4] = ["orders", "staff", "main.staff", "products"];
pub(crate) const LABELS: [&str; 3] = ["private", "untrusted", "secret"];
pub(crate) const ACTORS: [&str; 4] = ["assistant", "autonomous", "workload", "ci"];
pub(crate) const PROOFS: [&str; 5] = ["none", "secret", "key", "certificate", "dpop"];
pub(crate) const METHODS: [&str; 3] = ["pwd", "passkey", "oidc"];
pub(crate) const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
pub(crate) const NETWORKS: [&str; 4] = ["10.0.0.0/8", "10.1.2.3", "192.168.0.0/16", "fd00::/8"];
pub(crate) const URIS: [&str; 3] = ["logo", "file:///a b", "x/y"];

/// What a policy's scope lets its conditions say.
#[derive(Clone, Copy)]
struct Scope {
    /// Only one typed tool: its arguments may be read.
    arguments: bool,
    /// Only tools: SQL may be looked at.
    calls: bool,
}

/// One policy, without its id.
pub(crate) fn policy(dice: &mut Dice) -> String {
    let effect = if dice.below(10) < 6 { "permit" } else { "forbid" };
    let (action, scope) = action(dice);
    let principal = principal(dice);
    let resource = resource(dice, scope);
    let mut text = format!("{effect} ({principal}, {action}, {resource})");
    for _ in 0..dice.below(3) {
        let kind = if dice.one_in(3) { "unless" } else { "when" };
        text.push_str(&format!("\n{kind} {{ {} }}", condition(dice, scope, 3)));
    }
    text.push(';');
    text
}

fn principal(dice: &mut Dice) -> String {
    match dice.below(8) {
        0..=2 => "principal".to_owned(),
        3..=4 => format!("principal in Group::\"{}\"", dice.pick(&GROUPS)),
        5 => format!("principal == User::\"{}\"", dice.pick(&USERS)),
        6 => format!("principal is User in Group::\"{}\"", dice.pick(&GROUPS)),
        _ => match dice.below(3) {
            0 => "principal is Workload".to_owned(),
            1 => format!("principal == Workload::\"{}\"", dice.pick(&WORKLOADS)),
            _ => "principal is User".to_owned(),
        },
    }
}

fn action(dice: &mut Dice) -> (String, Scope) {
    let (any, calls) = (Scope { arguments: false, calls: false }, Scope { arguments: false, calls: true });
    let server = dice.pick(&SERVERS);
    match dice.below(9) {
        0..=1 => ("action".to_owned(), any),
        2..=4 => {
            let tool = dice.pick(&["read_query", "write_query"]);
            let scope = Scope { arguments: true, calls: true };
            (format!("action == Action::\"{server}/{tool}\""), scope)
        }
        5..=6 => {
            let group = dice.pick(&["call", "read", "write", "destructive", "open_world", "sales", "hr"]);
            (format!("action in Action::\"{group}\""), calls)
        }
        7 => {
            let one = dice.pick(&["read_resource", "list", "get_prompt", "disclose", "session"]);
            (format!("action == Action::\"{one}\""), any)
        }
        _ => {
            (format!("action in [Action::\"read\", Action::\"{server}/write_query\", Action::\"list\"]"), any)
        }
    }
}

fn resource(dice: &mut Dice, scope: Scope) -> String {
    let server = dice.pick(&SERVERS);
    let most = if scope.calls { 5 } else { 8 };
    match dice.below(most) {
        0..=1 => "resource".to_owned(),
        2 => format!("resource == Server::\"{server}\""),
        3 => format!("resource in Server::\"{server}\""),
        4 => format!("resource is Server in Server::\"{server}\""),
        5 => format!("resource == Resource::\"{server}/{}\"", dice.pick(&URIS)),
        6 if dice.one_in(3) => format!("resource in Table::\"{server}/staff\""),
        6 => format!("resource == Column::\"{server}/staff.{}\"", dice.pick(&["salary", "name"])),
        _ => format!("resource is Resource in Server::\"{server}\""),
    }
}

fn condition(dice: &mut Dice, scope: Scope, depth: u64) -> String {
    if depth > 0 && dice.one_in(2) {
        let (a, b) = (condition(dice, scope, depth - 1), condition(dice, scope, depth - 1));
        return match dice.below(5) {
            0..=1 => format!("({a} && {b})"),
            2 => format!("({a} || {b})"),
            3 => format!("!({a})"),
            _ => format!("(if {a} then {b} else {})", condition(dice, scope, depth - 1)),
        };
    }
    let range = if scope.arguments {
        22
    } else if scope.calls {
        16
    } else {
        14
    };
    match dice.below(range) {
        0 => format!("context.client == \"{}\"", dice.pick(&CLIENTS)),
        1 => format!("context.client like \"{}\"", dice.pick(&["c*", "https://*.example/*", "*", "*d*"])),
        2 => format!("{}.contains(context.actor)", set(&dice.some(&ACTORS))),
        3 => format!("context.scopes.{}({})", dice.pick(&["containsAll", "containsAny"]), {
            let some = dice.some(&SCOPES);
            set(if some.is_empty() { &SCOPES[..1] } else { &some })
        }),
        4 => format!("context.hour {} {}", dice.pick(&["<", "<=", ">", ">=", "==", "!="]), dice.below(24)),
        5 => {
            // May overflow, which fails.
            let big = dice.pick(&["1", "9223372036854775800", "9223372036854775807", "4611686018427387904"]);
            format!("context.hour {} {big} > {}", dice.pick(&["+", "*", "-"]), dice.below(30))
        }
        6 => format!("context.source.isInRange(ip(\"{}\"))", dice.pick(&NETWORKS)),
        7 => format!("context.source.{}()", dice.pick(&["isIpv4", "isIpv6", "isLoopback"])),
        8 => format!("context.now < datetime(\"2026-11-{:02}T12:00:00Z\")", 20 + dice.below(8)),
        9 => match dice.below(4) {
            0 => format!("context.sign_in.age_seconds <= {}", dice.below(1200)),
            1 => format!("context.sign_in.method == \"{}\"", dice.pick(&METHODS)),
            2 => "context.sign_in.amr.contains(\"otp\")".to_owned(),
            _ => "context.sign_in.acr == \"phr\"".to_owned(),
        },
        10 => format!("principal in Group::\"{}\"", dice.pick(&GROUPS)),
        11 => match dice.below(3) {
            0 => format!("principal.name like \"{}\"", dice.pick(&["a*", "*n*", "ci-*"])),
            1 => "principal is Workload".to_owned(),
            _ => format!("principal in [Group::\"{}\", Group::\"ops\"]", dice.pick(&GROUPS)),
        },
        12 => match dice.below(3) {
            0 => format!("resource in Server::\"{}\"", dice.pick(&SERVERS)),
            1 => "(resource is Server && resource.environment == \"production\")".to_owned(),
            _ => "(resource is Server && resource.owner == User::\"owen\")".to_owned(),
        },
        13 => past_and_present(dice),
        14..=15 => sql(dice),
        _ => arguments(dice),
    }
}

fn past_and_present(dice: &mut Dice) -> String {
    match dice.below(6) {
        4 => format!("context.labels.containsAll({})", {
            let some = dice.some(&LABELS);
            set(if some.is_empty() { &LABELS[..1] } else { &some })
        }),
        5 => format!(
            "context.counters.{}.calls_per_{} > {}",
            dice.pick(&["user", "client", "tool", "user_tool"]),
            dice.pick(&["minute", "hour", "day"]),
            dice.below(60)
        ),
        0 => format!("context.weekday == \"{}\"", dice.pick(&DAYS)),
        1 => format!("context.client_proof == \"{}\"", dice.pick(&PROOFS)),
        2 => format!("context.now.toTime() >= duration(\"{}h\")", dice.below(24)),
        _ => "(context has client_certificate && context.client_certificate.dns_names.contains(\"a\"))"
            .to_owned(),
    }
}

/// Whether its SQL was understood is asked first only now and then: otherwise the policy may fail.
fn sql(dice: &mut Dice) -> String {
    let guard = dice.pick(&["context has sql && context.sql.complete", "context has sql", "context has sql"]);
    let some = |dice: &mut Dice, from: &[&'static str]| {
        let some = dice.some(from);
        set(if some.is_empty() { &from[..1] } else { &some })
    };
    let asked = match dice.below(6) {
        5 => "context.sql.read_only".to_owned(),
        0 => format!("context.sql.kinds.containsAny({})", some(dice, &KINDS)),
        1 => format!("{}.containsAll(context.sql.kinds)", some(dice, &KINDS)),
        2 => format!("context.sql.reads.contains(\"{}\")", dice.pick(&TABLES)),
        3 => "context.sql.writes.isEmpty()".to_owned(),
        _ => format!("context.sql.kinds == {}", some(dice, &KINDS)),
    };
    format!("({guard} && {asked})")
}

fn arguments(dice: &mut Dice) -> String {
    match dice.below(7) {
        0 => format!(
            "(context.arguments has limit && context.arguments.limit {} {})",
            dice.pick(&["<", ">", "==", ">="]),
            dice.below(100)
        ),
        1 => {
            let test = dice.pick(&["lessThan", "greaterThanOrEqual"]);
            format!("(context.arguments has ratio && context.arguments.ratio.{test}(decimal(\"0.5\")))")
        }
        2 => format!(
            "(context.arguments has tags && context.arguments.tags.{})",
            dice.pick(&["contains(\"a\")", "isEmpty()", "containsAll([\"a\", \"b\"])"])
        ),
        3 => "(context.arguments has force && context.arguments.force)".to_owned(),
        4 => format!(
            "(context.arguments has options && context.arguments.options has deep && context.arguments.options.deep * {} > 3)",
            dice.pick(&["1", "2", "9223372036854775807"])
        ),
        5 => format!("context.arguments.sql like \"{}\"", dice.pick(&["*staff*", "SELECT*", "*"])),
        _ => "(context.arguments has limit || context.arguments has tags)".to_owned(),
    }
}

fn set(of: &[&str]) -> String {
    let quoted: Vec<String> = of.iter().map(|one| format!("\"{one}\"")).collect();
    // The type of an empty set is not known: one that no value is in stands for it.
    if quoted.is_empty() { "[\"(nothing)\"]".to_owned() } else { format!("[{}]", quoted.join(", ")) }
}
