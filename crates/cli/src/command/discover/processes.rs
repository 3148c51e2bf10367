//! Running programs that look like MCP servers over stdio, and the secrets on their command lines and in their
//! environments. Linux: other systems show no process's environment to others.

use super::inventory::Inventory;
use crate::command::Failure;

#[cfg(not(target_os = "linux"))]
pub(super) fn look(_inventory: &mut Inventory) -> Result<(), Failure> {
    Err(Failure::Usage(String::from("--processes works on Linux only")))
}

#[cfg(target_os = "linux")]
pub(super) fn look(inventory: &mut Inventory) -> Result<(), Failure> {
    linux::look(inventory)
}

#[cfg(target_os = "linux")]
mod linux {
    use super::super::inventory::Elsewhere;
    use super::{Failure, Inventory};
    use portunus_core::limits::{DISCOVER_PROCESS_BYTES, DISCOVER_PROCESSES};
    use portunus_core::secret::Secret;
    use portunus_discover::process;
    use std::io::Read;
    use std::path::{Path, PathBuf};

    pub(super) fn look(inventory: &mut Inventory) -> Result<(), Failure> {
        let entries =
            std::fs::read_dir("/proc").map_err(|error| Failure::Usage(format!("/proc: {error}")))?;
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let own = std::process::id();
        for pid in numbers.filter(|pid| *pid != own).take(DISCOVER_PROCESSES) {
            let directory = PathBuf::from(format!("/proc/{pid}"));
            // One that has ended meanwhile is none.
            let Some(words) = read(&directory.join("cmdline")).map(|bytes| texts(bytes.expose())) else {
                continue;
            };
            if !process::looks_like_server(&words) || !is_piped(&directory) {
                continue;
            }
            let name = program(&words);
            let environment = match read(&directory.join("environ")) {
                Some(bytes) => pairs(texts(bytes.expose())),
                None => {
                    let place = format!("process {pid} {name}");
                    inventory
                        .problems
                        .push((place, String::from("its environment cannot be read: it is another user's")));
                    Vec::new()
                }
            };
            let given = process::given(&words, &environment);
            let secrets = given.into_iter().map(|given| (given.at, given.why, given.secret)).collect();
            let name = format!("{pid} {name}");
            inventory.elsewhere.push(Elsewhere { source: "process", name, pid: Some(pid), secrets });
        }
        Ok(())
    }

    /// The program, and the first word behind it that is no flag and names a package or script.
    fn program(words: &[String]) -> String {
        let file = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
        words.first().map_or_else(String::new, |word| file(word))
    }

    /// Whether its standard input and output are what a client would hold the other ends of.
    fn is_piped(directory: &Path) -> bool {
        [0, 1].iter().all(|number| {
            let target = std::fs::read_link(directory.join(format!("fd/{number}"))).unwrap_or_default();
            let target = target.to_string_lossy();
            target.starts_with("pipe:") || target.starts_with("socket:")
        })
    }

    fn read(path: &Path) -> Option<Secret<Vec<u8>>> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).ok()?;
        let read = file.take(DISCOVER_PROCESS_BYTES).read_to_end(&mut bytes);
        let bytes = Secret::new(bytes);
        read.ok().map(|_| bytes)
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
        parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
    }

    fn pairs(texts: Vec<String>) -> Vec<(String, String)> {
        let pairs = texts.into_iter().filter_map(|text| {
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        pairs.collect()
    }
}
