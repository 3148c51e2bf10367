//! `portunus policy prove`: properties for every possible request, by a solver.

use super::{Paint, engine, yaml};
use crate::args::PolicyProve;
use crate::command::{Failure, Outcome, printable};
use crate::config::{self, Config, duration};
use crate::policies;
use portunus_prove::property::{Claim, Than};
use portunus_prove::{Checked, Property, ProveError, Prover, Verdict, World};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

pub(crate) fn run(asked: &PolicyProve) -> Outcome {
    let config = config::load(&asked.files.config).map_err(Failure::usage)?;
    let timeout = duration(&asked.timeout).map_err(|error| Failure::Usage(format!("--timeout: {error}")))?;
    let properties = properties(asked, &config)?;
    let world = world(&config, &config.policies)?;
    let solver = asked.solver.clone().unwrap_or_else(|| PathBuf::from("cvc5"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::usage)?;
    let mut total = Total::default();
    let mut rows = Vec::new();
    runtime.block_on(async {
        let mut prover = Prover::new(solver, timeout).await.map_err(Failure::usage)?;
        for property in &properties {
            let than = match &property.claim {
                Claim::Narrows(Than { than }) | Claim::Equivalent(Than { than }) => {
                    Some(self::world(&config, &config.policies.join(than))?)
                }
                _ => None,
            };
            let checked = prover
                .check(property, &world, than.as_ref(), &mut |at, of, what| progress(at, of, what))
                .await;
            clear();
            let checked = checked.map_err(|error| match error {
                ProveError::Property(why) => Failure::Usage(format!("{}: {why}", property.name)),
                error @ ProveError::NoSolver { .. } => Failure::usage(error),
            })?;
            total.count(&checked);
            if asked.files.json {
                rows.push(serde_json::json!({ "property": property.name, "checked": checked }));
            } else {
                print(property, &checked);
            }
        }
        Ok::<(), Failure>(())
    })?;
    if asked.files.json {
        println!("{}", serde_json::Value::from(rows));
    } else {
        println!("\n{} proven, {} broken, {} unknown", total.proven, total.broken, total.unknown);
    }
    if total.broken + total.unknown == 0 {
        Ok(())
    } else {
        Err(Failure::Refused(format!(
            "{} properties are broken, {} are unknown",
            total.broken, total.unknown
        )))
    }
}

/// The properties beside the policies; or the one that the command line states.
fn properties(asked: &PolicyProve, config: &Config) -> Result<Vec<Property>, Failure> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(Failure::usage);
    if let Some(path) = &asked.narrows {
        let name = format!("nothing is permitted that {} does not permit", path.display());
        return Ok(vec![Property { name, claim: Claim::Narrows(Than { than: absolute(path)? }) }]);
    }
    if let Some(path) = &asked.equivalent {
        let name = format!("exactly the same is permitted as by {}", path.display());
        return Ok(vec![Property { name, claim: Claim::Equivalent(Than { than: absolute(path)? }) }]);
    }
    let mut all = Vec::new();
    for path in policies::files(&config.policies, ".proofs.yaml").map_err(Failure::usage)? {
        all.extend(yaml::<Vec<Property>>(&path)?);
    }
    if all.is_empty() {
        let directory = config.policies.display();
        return Err(Failure::Usage(format!(
            "nothing to prove: put properties into {directory}/NAME.proofs.yaml"
        )));
    }
    Ok(all)
}

/// The policies of a directory, over the configuration's servers.
fn world(config: &Config, directory: &Path) -> Result<World, Failure> {
    let config = Config { policies: directory.to_owned(), ..config.clone() };
    World::new(
        &engine(&config)?,
        &policies::servers(&config, &policies::lock_beside(&config).map_err(Failure::usage)?),
    )
    .map_err(Failure::refused)
}

/// How many properties came to what.
#[derive(Default)]
struct Total {
    proven: usize,
    broken: usize,
    unknown: usize,
}

impl Total {
    fn count(&mut self, checked: &[Checked]) {
        let any = |wanted: fn(&Verdict) -> bool| checked.iter().any(|one| wanted(&one.verdict));
        if any(|verdict| matches!(verdict, Verdict::Broken(_))) {
            self.broken += 1;
        } else if any(|verdict| matches!(verdict, Verdict::Unknown(_))) {
            self.unknown += 1;
        } else {
            self.proven += 1;
        }
    }
}

fn print(property: &Property, checked: &[Checked]) {
    let paint = Paint::new(false);
    let name = printable(&property.name);
    let proven = checked.iter().filter(|one| one.verdict == Verdict::Proven).count();
    let all = checked.len();
    let broken = checked.iter().find_map(|one| match &one.verdict {
        Verdict::Broken(example) => Some((one, example)),
        _ => None,
    });
    if let Some((one, example)) = broken {
        println!("{} {name}", paint.red("✗"));
        println!("  broken for {}:", printable(&one.environment));
        example.to_string().lines().for_each(|line| println!("    {}", printable(line)));
        return;
    }
    if proven == all {
        println!(
            "{} {name}  {}",
            paint.green("✓"),
            paint.dim(&format!("(proven for {all} kinds of request)"))
        );
        return;
    }
    println!("{} {name}: proven for {proven} of {all} kinds of request", paint.yellow("?"));
    for one in checked {
        if let Verdict::Unknown(why) = &one.verdict {
            println!("  unknown for {}: {}", printable(&one.environment), printable(why));
        }
    }
}

/// What is being asked, on a line of its own that is overwritten.
fn progress(at: usize, of: usize, what: &str) {
    if std::io::stderr().is_terminal() {
        let what: String = printable(what).chars().take(60).collect();
        eprint!("\r\x1b[K{at}/{of} {what}");
        let _ = std::io::stderr().flush();
    }
}

fn clear() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}
