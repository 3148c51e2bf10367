//! `portunus`: the one binary.

#![forbid(unsafe_code)]

mod admin;
mod args;
mod command;
mod config;
mod connections;
mod control;
#[expect(clippy::indexing_slicing, reason = "serde_json answers null to a name that is not there")]
mod demo;
mod desk;
#[expect(clippy::indexing_slicing, reason = "serde_json answers null to a name that is not there")]
mod doctor;
mod evidence;
mod governance;
mod hardening;
mod health;
mod login;
mod node;
mod pins;
mod policies;
mod reload;
mod replay;
mod rotation;
mod sealing;
mod serving;
mod settings;
mod signals;
mod system;
mod telemetry;
mod tls;
mod upstreams;
mod usage;

use args::{Cli, Command, ConfigCommand};
use clap::{CommandFactory, Parser};
use command::{Failure, Outcome};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Wipes what is freed: buffers of libraries, which know nothing of secrets, held some of them.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<mimalloc::MiMalloc> =
    zeroizing_alloc::ZeroAlloc(mimalloc::MiMalloc);

fn main() -> ExitCode {
    // Between Portunus and a child process; nothing of what follows is for it.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == upstreams::GUARD) {
        return portunus_stdio::guard::run(upstreams::GUARD.as_ref(), &words.collect::<Vec<_>>());
    }
    hardening::forbid_core_dumps();
    let cli = Cli::parse();
    telemetry::start_logging(match &cli.command {
        Command::Serve(_) | Command::Connect(_) => "info",
        _ => "warn",
    });
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("portunus: the cryptographic library could not be set up");
        return ExitCode::from(2);
    }
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("portunus: {failure}");
            failure.exit_code()
        }
    }
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Policy(command) => command::policy::run(command),
        Command::Config(command) => configuration(command),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "portunus", &mut std::io::stdout());
            Ok(())
        }
        Command::Man => manual().map_err(Failure::refused),
        command => {
            // A thread that has hashed a password holds on to its 19 MiB for as long as it lives.
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .thread_keep_alive(Duration::from_secs(1))
                .build()
                .map_err(Failure::usage)?;
            runtime.block_on(run_async(command))
        }
    }
}

async fn run_async(command: Command) -> Outcome {
    match command {
        Command::Demo(demo) => demo::run(demo).await,
        Command::Serve(serve) => {
            let config = config::load(&serve.config).map_err(Failure::usage)?;
            let node = node::Node::start(config).await.map_err(Failure::usage)?;
            tracing::info!(https = %node.https, admin = ?node.admin, "serving");
            // systemd learns it, when there is one.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            signals::stop().await;
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
            tracing::info!("draining");
            node.stop().await;
            Ok(())
        }
        Command::Connect(connect) => command::connect::run(connect).await,
        Command::Sqlite(sqlite) => command::sqlite::run(sqlite).await,
        Command::Doctor(asked) => doctor::run(asked).await,
        Command::Cred(command) => command::cred::run(command).await,
        Command::Approve(command) => command::approve::approve(command).await,
        Command::Pin(command) => command::pin::run(command).await,
        Command::Grant(command) => command::admin::grant(command).await,
        Command::Client(command) => command::client::run(command).await,
        Command::Token(command) => command::admin::token(command).await,
        Command::Join(command) => command::admin::join(command).await,
        Command::User(command) => command::admin::user(command).await,
        Command::Kill(kill) => command::admin::kill(kill).await,
        Command::Audit(command) => command::audit::run(command).await,
        Command::Policy(_) | Command::Config(_) | Command::Completions { .. } | Command::Man => Ok(()),
    }
}

fn configuration(command: ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Check(file) => {
            let config = config::load(&file.config).map_err(Failure::usage)?;
            policies::load_beside(&config).map_err(Failure::usage)?;
            for entry in &config.servers {
                entry.tls.load().map_err(|e| Failure::Usage(format!("{}: {e}", entry.server.name)))?;
            }
            println!("{} is valid: {} servers", file.config.display(), config.servers.len());
            Ok(())
        }
        ConfigCommand::Schema => {
            let schema = schemars::schema_for!(config::file::File);
            println!("{}", serde_json::to_string_pretty(&schema).map_err(Failure::refused)?);
            Ok(())
        }
        ConfigCommand::Print(file) => {
            let config = config::load(&file.config).map_err(Failure::usage)?;
            println!("{config:#?}");
            Ok(())
        }
    }
}

fn manual() -> std::io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    std::io::stdout().write_all(&page)
}
