//! `portunus policy test`: the cases beside the policies, and what they leave untested.

use super::{Paint, load, yaml};
use crate::args::PolicyTest;
use crate::command::{Failure, Outcome, printable, table};
use crate::policies;
use crate::system::SystemClock;
use portunus_core::id::ServerName;
use portunus_core::time::Clock;
use portunus_policy::coverage::{Coverage, Covered, coverage};
use portunus_policy::testing::{Case, CaseResult, run_cases};

pub(crate) fn run(asked: &PolicyTest) -> Outcome {
    let (config, engine) = load(&asked.files)?;
    let mut cases: Vec<Case> = Vec::new();
    for path in policies::files(&config.policies, ".test.yaml").map_err(Failure::usage)? {
        cases.extend(yaml::<Vec<Case>>(&path)?);
    }
    if cases.is_empty() {
        return Err(Failure::Usage(format!(
            "no cases: put some into {}/NAME.test.yaml",
            config.policies.display()
        )));
    }
    let now = SystemClock.now();
    // A case sees the SQL among its arguments as the edge does.
    let sql = |server: &ServerName, tool: &str, arguments: &[u8]| {
        let entry = config.servers.iter().find(|entry| entry.server.name == *server);
        portunus_edge::facts::of_tool(Some(arguments), entry.and_then(|entry| entry.sql.get(tool)))
    };
    let results = run_cases(&engine, &cases, now, &sql);
    let covered = coverage(&engine, &cases, now, &sql);
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    if asked.files.json {
        let case = |r: &CaseResult| serde_json::json!({ "name": r.name, "failure": r.failure, "policies": r.policies });
        let coverage = serde_json::json!({ "percent": covered.percent(), "policies": covered.policies });
        let cases: Vec<_> = results.iter().map(case).collect();
        println!("{}", serde_json::json!({ "cases": cases, "coverage": coverage }));
    } else {
        print(&results, &covered, failed);
    }
    let least = usize::from(asked.min_coverage.unwrap_or(0));
    if failed > 0 {
        Err(Failure::Refused(format!("{failed} of {} cases failed", results.len())))
    } else if covered.percent() < least {
        let percent = covered.percent();
        Err(Failure::Refused(format!("the cases cover {percent} % of the policies, less than {least} %")))
    } else {
        Ok(())
    }
}

fn print(results: &[CaseResult], covered: &Coverage, failed: usize) {
    let paint = Paint::new(false);
    for result in results {
        match &result.failure {
            None => println!("{} {}", paint.green("✓"), printable(&result.name)),
            Some(failure) => {
                println!("{} {}: {}", paint.red("✗"), printable(&result.name), printable(failure))
            }
        }
    }
    println!("{} passed, {failed} failed", results.len() - failed);
    let header = ["POLICY", "WHERE", "EFFECT", "DECIDED", "NEARLY", "FAILED"];
    println!("\n{}", table(&header, covered.policies.iter().map(row).collect()));
    println!(
        "{} of {} policies decided a case: {} %",
        covered.decided,
        covered.policies.len(),
        covered.percent()
    );
    for policy in covered.policies.iter().filter(|policy| policy.decided == 0) {
        println!(
            "{} no case reaches {} ({}:{})",
            paint.yellow("!"),
            printable(&policy.id),
            policy.file,
            policy.line
        );
    }
}

fn row(policy: &Covered) -> Vec<String> {
    let number = |count: usize| if count == 0 { "–".to_owned() } else { count.to_string() };
    vec![
        policy.id.clone(),
        format!("{}:{}", policy.file, policy.line),
        policy.effect.to_owned(),
        number(policy.decided),
        number(policy.near_misses),
        number(policy.failed),
    ]
}
