//! `portunus doctor`: replays a client's handshake against any MCP server, step by step, and says which step fails, why,
//! and how to mend it.
//!
//! | module | holds |
//! |---|---|
//! | `walk` | the way of the examination, top to bottom |
//! | `profile` | what each client does and insists on |
//! | `report`, `show` | findings; for programs and for people |
//! | `door` | reaching the server, and knocking without a token |
//! | `discovery`, `metadata`, `challenge` | finding the documents; judging them (pure) |
//! | `register`, `authorize`, `token`, `sign_in` | the OAuth dance |
//! | `call`, `message`, `tools` | the first call in the client's era, and the tools |
//! | `fetch` | bounded HTTP that private networks are safe from |

mod authorize;
mod call;
mod challenge;
mod discovery;
mod door;
pub(crate) mod fetch;
mod message;
mod metadata;
pub(crate) mod profile;
mod register;
mod report;
mod show;
mod sign_in;
mod token;
mod tools;
mod walk;

use crate::args::Doctor;
use crate::command::{Failure, Outcome};
use crate::system::{SystemClock, SystemRng};
use portunus_core::secret::Secret;
use std::io::{IsTerminal, Write};
use url::Url;
use walk::{Patient, Progress, Source, Walk};

/// Examines; fails when the client would.
pub(crate) async fn run(doctor: Doctor) -> Outcome {
    let url = Url::parse(&doctor.url).ok().filter(Url::has_host);
    let url = url.ok_or_else(|| {
        Failure::Usage(format!("{:?} is not a URL like https://tools.example.com/sales/mcp", doctor.url))
    })?;
    let profile = doctor.client.profile();
    let fetcher = fetch::Fetcher::new(doctor.ca.as_deref(), profile.patience).map_err(Failure::Usage)?;
    let source = match &doctor.token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            let text = text.map_err(|e| Failure::Usage(format!("--token-file {}: {e}", file.display())))?;
            Source::Given(Secret::new(text.trim().to_owned()))
        }
        None if doctor.sign_in => Source::SignIn,
        None => Source::None,
    };
    let (rng, clock, style) = (SystemRng, SystemClock, show::Style::of_output());
    let progress = !doctor.json && std::io::stderr().is_terminal();
    let watch = |event: Progress<'_>| match event {
        Progress::Begins(name) if progress => {
            eprint!("… {name}");
            let _ = std::io::stderr().flush();
        }
        Progress::Done(step) => {
            if progress {
                eprint!("\r\u{1b}[K");
            }
            if !doctor.json {
                print!("{}", show::step(step, style));
            }
        }
        Progress::Begins(_) => {}
    };
    if !doctor.json {
        println!("{} as {}\n", report::line(&doctor.url), profile.title);
    }
    let patient = Patient { typed: doctor.url.clone(), url, profile, fetcher, rng: &rng };
    let walk = Walk { patient, source, clock: &clock, watch: &watch, steps: Vec::new() };
    let report = walk.walk().await;
    if doctor.json {
        println!("{}", serde_json::to_string(&report).map_err(Failure::refused)?);
    } else {
        println!("{}", show::verdict(&report, profile.title, style));
    }
    if report.failed() {
        let at = report.stopped_at.map_or_else(String::new, |at| format!(" at “{at}”"));
        return Err(Failure::Refused(format!("{} fails{at}", report::line(&doctor.url))));
    }
    Ok(())
}
