//! `portunus policy init`: a template's policies and their tests, as files to start from.

use crate::args::PolicyInit;
use crate::command::{Failure, Outcome};
use portunus_core::id::{GroupName, ServerName};
use portunus_policy::defaults::templates;
use std::io::Write;
use std::path::Path;

pub(crate) fn run(asked: &PolicyInit) -> Outcome {
    let server = ServerName::parse(&asked.server).map_err(Failure::usage)?;
    let group = GroupName::parse(&asked.group).map_err(Failure::usage)?;
    let found = templates::find(&asked.template)
        .ok_or_else(|| Failure::Usage(format!("there is no template `{}`", asked.template)))?;
    let stem = format!("{server}-{}", asked.template);
    let files = [(".cedar", found.policies), (".test.yaml", found.tests)];
    let files = files.map(|(ending, text)| (asked.out.join(format!("{stem}{ending}")), text));
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(Failure::Usage(format!("{} is there already; nothing was written", path.display())));
    }
    for (path, text) in &files {
        write(path, &templates::fill(text, &server, &group))
            .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
        println!("wrote {}", path.display());
    }
    println!("Try them: portunus policy test -c portunus.yaml");
    Ok(())
}

/// Writes a new file; never over another.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::File::create_new(path)?.write_all(text.as_bytes())
}
