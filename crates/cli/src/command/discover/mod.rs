//! `portunus cred discover`: servers and secrets that nobody registered, and the way of one of them under the edge.
//!
//! | module | holds |
//! |---|---|
//! | [`files`] | which files are read, within bounds |
//! | [`processes`] | running programs that look like servers (Linux) |
//! | [`openbao`] | what is in a KV engine |
//! | [`fingerprint`] | names for secrets: the edge's, or of this run alone |
//! | [`inventory`] | everything found, under names |
//! | [`show`] | a table or JSON, without any secret |
//! | [`import`] | a secret becomes a credential, its entry goes to the edge |
//! | [`backup`] | what a file was before, and the way back |
//! | [`replace`] | the only place that writes a user's file |

mod backup;
mod files;
mod fingerprint;
mod import;
mod inventory;
mod openbao;
mod processes;
mod replace;
mod show;

use super::{Failure, Outcome};
use crate::args::{CredDiscover, System};
use backup::Backups;
use fingerprint::Fingerprinter;
use inventory::Inventory;
use portunus_discover::Os;
use std::path::{Path, PathBuf};

pub(crate) async fn run(asked: CredDiscover) -> Outcome {
    let home = home(&asked)?;
    let backups = Backups::at(asked.backups.clone().unwrap_or_else(|| backups_of(&asked, &home)));
    if let Some(name) = &asked.undo {
        return backups.undo(name, &asked.admin);
    }
    if let Some(name) = &asked.forget {
        return backups.forget(name, &asked.admin);
    }
    let mut inventory = search(&asked, &home).await?;
    let fingerprinter = Fingerprinter::choose(&asked.admin).await;
    inventory.name_secrets(&fingerprinter).await.map_err(Failure::refused)?;
    match &asked.import {
        None => {
            show::print(&inventory, fingerprinter.source(), asked.admin.json);
            Ok(())
        }
        Some(name) => import::run(&inventory, &asked, name, &home, &backups).await,
    }
}

async fn search(asked: &CredDiscover, home: &Path) -> Result<Inventory, Failure> {
    let os = match asked.os {
        Some(System::Linux) => Os::Linux,
        Some(System::Mac) => Os::Mac,
        Some(System::Windows) => Os::Windows,
        None => Os::current(),
    };
    let mut inventory = Inventory::default();
    files::read_all(asked, home, os, &mut inventory);
    if asked.processes {
        processes::look(&mut inventory)?;
    }
    if let Some(url) = &asked.openbao {
        openbao::look(asked, url, &mut inventory).await?;
    }
    Ok(inventory)
}

fn home(asked: &CredDiscover) -> Result<PathBuf, Failure> {
    let given = asked.home.clone().or_else(|| std::env::var_os("HOME").map(PathBuf::from));
    let home = given.ok_or_else(|| Failure::Usage(String::from("HOME is not set: say --home DIR")))?;
    if home.is_dir() {
        return Ok(home);
    }
    Err(Failure::Usage(format!("--home {}: it is not a directory", home.display())))
}

/// `$XDG_STATE_HOME/portunus/discover`, by default below `.local/state` of the home that is searched.
fn backups_of(asked: &CredDiscover, home: &Path) -> PathBuf {
    let set = std::env::var_os("XDG_STATE_HOME").filter(|_| asked.home.is_none()).map(PathBuf::from);
    set.unwrap_or_else(|| home.join(".local/state")).join("portunus/discover")
}
