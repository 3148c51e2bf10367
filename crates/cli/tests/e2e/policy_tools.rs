//! `portunus policy …` as people and builds use it: from a configuration, without a running edge.

use crate::app::BINARY;
use portunus_core::id::{ClientId, GroupName, Id, ServerName, UserName};
use portunus_core::record::{Circumstances, Intent, Ledger, Record, Verdict};
use portunus_core::secret::Secret;
use portunus_core::server::Actor;
use portunus_core::time::Timestamp;
use portunus_ledger::checkpoint::SigningKey;
use portunus_ledger::{FileLedger, Options};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CONFIG: &str = "public_url: https://localhost:8443
listen: { https: '127.0.0.1:0', admin: '127.0.0.1:0' }
tls: { local_ca: true }
store: sqlite:portunus.db
sealing_key: { file: sealing.key }
login: { local: true }
policies: ./policies
servers:
  - { name: sales, title: Sales, owner: olga@example.com, purpose: questions, environment: development, upstream: tunnel, tools: sql }
";

const POLICIES: &str = r#"@id("read")
permit (principal in Group::"analysts", action in Action::"read", resource == Server::"sales");
@id("salary")
forbid (principal, action == Action::"disclose", resource == Column::"sales/staff.salary") unless { principal in Group::"hr" };
"#;

const CASES: &str = "- { name: reads, user: ana, groups: [analysts], server: sales, tool: read_query, arguments: { sql: SELECT 1 }, expect: permit }\n";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.path("policies")).unwrap();
        std::fs::write(place.path("portunus.yaml"), CONFIG).unwrap();
        std::fs::write(place.path("policies/main.cedar"), POLICIES).unwrap();
        std::fs::write(place.path("policies/main.test.yaml"), CASES).unwrap();
        place
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.current_dir(self.0.path()).arg("policy").args(arguments).env_remove("CVC5");
        command.output().unwrap()
    }
    /// What it prints, when it ends with this status.
    fn says(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        text
    }
}

#[test]
fn tests_say_which_policies_they_leave_untested() {
    let place = Place::new();
    let text = place.says(0, &["test"]);
    assert!(
        text.contains("1 of 2 policies decided a case: 50 %") && text.contains("no case reaches salary"),
        "{text}"
    );
    assert!(place.says(1, &["test", "--min-coverage", "51"]).contains("less than 51 %"));
    std::fs::write(
        place.path("policies/more.test.yaml"),
        "- { name: c, user: eve, server: sales, column: staff.salary, expect: refuse }\n",
    )
    .unwrap();
    let json = place.says(0, &["test", "--json", "--min-coverage", "100"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["coverage"]["percent"], 100);
}

#[test]
fn an_explanation_says_what_would_help() {
    let place = Place::new();
    let call = [
        "explain",
        "--user",
        "eve",
        "--server",
        "sales",
        "--tool",
        "read_query",
        "--arguments",
        r#"{"sql":"SELECT 1"}"#,
    ];
    let text = place.says(0, &call);
    assert!(text.starts_with("refused") && text.contains("→ to a member of group analysts"), "{text}");
    let json = place.says(0, &[&call[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["suggestions"][0]["changes"][0]["kind"], "group");
}

#[test]
fn a_changed_cell_of_the_matrix_fails_until_it_is_accepted() {
    let place = Place::new();
    place.says(0, &["matrix", "--golden", "matrix.txt", "--update"]);
    assert!(place.says(0, &["matrix", "--golden", "matrix.txt"]).contains("as in matrix.txt"));
    let wider = format!(
        "{POLICIES}permit (principal in Group::\"hr\", action == Action::\"sales/list_tables\", resource);"
    );
    std::fs::write(place.path("policies/main.cedar"), wider).unwrap();
    let text = place.says(1, &["matrix", "--golden", "matrix.txt"]);
    assert!(
        text.contains("group hr")
            && text.contains("call sales/list_tables")
            && text.contains("1 cells differ"),
        "{text}"
    );
    for (format, part) in [
        ("html", "<td class=\"permit\">"),
        ("markdown", "| --- |"),
        ("csv", "principal,server"),
        ("table", "✓"),
    ] {
        let text = place.says(0, &["matrix", "--format", format]);
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn templates_are_written_once_and_pass_their_tests() {
    let place = Place::new();
    let init = ["init", "read-only", "--server", "sales", "--group", "staff", "--out", "policies"];
    place.says(0, &init);
    assert!(place.says(0, &["test"]).contains("0 failed"));
    assert!(place.says(2, &init).contains("nothing was written"));
    assert!(place.says(0, &["schema"]).contains("action \"sales/read_query\""));
}

fn record(
    ledger: &FileLedger,
    number: u64,
    verdict: Verdict,
    arguments: &str,
    circumstances: Option<Circumstances>,
) {
    let receipt = ledger.append(Record::Intent(Box::new(Intent {
        at: now(),
        decision: Id::parse(&format!("dec_{number:026}")).unwrap(),
        verdict,
        server: ServerName::parse("sales").unwrap(),
        method: "tools/call".into(),
        target: Some("read_query".into()),
        user: UserName::parse("ana").unwrap(),
        client: ClientId::parse("chat").unwrap(),
        grant: Id::parse(&format!("grt_{number:026}")).unwrap(),
        arguments_digest: None,
        arguments: Some(arguments.to_owned()),
        policies: vec!["read".into()],
        reason: None,
        approval: None,
        credential: None,
        connection: None,
        trace: None,
        circumstances,
    })));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(receipt).unwrap();
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_secs(since.as_secs())
}

fn analyst() -> Circumstances {
    Circumstances {
        groups: vec![GroupName::parse("analysts").unwrap()],
        scopes: Vec::new(),
        actor: Actor::Assistant,
        sign_in: portunus_core::caller::SignIn::new("pwd", now()),
        proof: "none".into(),
        certificate: false,
        source: "127.0.0.1".parse().unwrap(),
        environment: "development".into(),
        era: "modern".into(),
        emergency: None,
    }
}

fn ledger(dir: &Path) -> FileLedger {
    let key = SigningKey::new("test.example/ledger", &Secret::new([7; 32])).unwrap();
    FileLedger::open(Options::new(dir, key)).unwrap()
}

#[test]
fn recorded_calls_are_decided_again_and_what_flips_is_shown() {
    let place = Place::new();
    {
        let ledger = ledger(&place.path("ledger"));
        record(&ledger, 1, Verdict::Permit, r#"{"sql":"SELECT name FROM products"}"#, Some(analyst()));
        record(&ledger, 2, Verdict::Permit, r#"{"sql":"SELECT * FROM staff"}"#, Some(analyst()));
        record(&ledger, 3, Verdict::Permit, r#"{"sql":"hmac-sha256:00"}"#, Some(analyst()));
        record(&ledger, 4, Verdict::Permit, r#"{"sql":"SELECT 1"}"#, None);
    }
    std::fs::create_dir(place.path("next")).unwrap();
    let staff = format!(
        "{POLICIES}@id(\"no-staff\") forbid (principal, action in Action::\"call\", resource) when {{ context has sql && context.sql.reads.contains(\"staff\") }};"
    );
    std::fs::write(place.path("next/main.cedar"), staff).unwrap();
    let replay = ["replay", "--policies", "next", "--since", "1d", "--html", "flips.html"];
    let text = place.says(0, &replay);
    assert!(text.contains("4 recorded calls") && text.contains("no-staff"), "{text}");
    let json = place.says(0, &[&replay[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (name, count) in [("same", 1), ("flipped", 1), ("unknown", 2)] {
        assert_eq!(json[name], count, "{name}: {json}");
    }
    for name in ["sql", "groups"] {
        assert_eq!(json["missing"][name], 1, "{name}: {json}");
    }
    assert!(std::fs::read_to_string(place.path("flips.html")).unwrap().contains("<svg role=\"img\""));
    assert!(place.says(2, &["replay", "--ledger", "nowhere"]).contains("there is no ledger"));
}

#[test]
fn properties_are_proven_or_broken_by_a_request() {
    let place = Place::new();
    let claim = "- { name: salaries are for hr, never: { unless_group: hr, action: disclose, resource: 'Column::\"sales/staff.salary\"' } }\n";
    std::fs::write(place.path("policies/main.proofs.yaml"), claim).unwrap();
    assert!(place.says(2, &["prove", "--solver", "/nonexistent"]).contains("Get cvc5 1.3.1"));
    if std::env::var_os("PORTUNUS_SKIP_CLIENTS").is_some() {
        return;
    }
    let solver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients/cvc5");
    let prove = ["prove", "--solver", solver.to_str().unwrap()];
    assert!(place.says(0, &prove).contains("1 proven, 0 broken, 0 unknown"));
    std::fs::write(place.path("policies/main.cedar"), POLICIES.replace("\"hr\"", "\"managers\"")).unwrap();
    let text = place.says(1, &prove);
    assert!(
        text.contains("principal") && text.contains("managers") && text.contains("evaluated again"),
        "{text}"
    );
}
