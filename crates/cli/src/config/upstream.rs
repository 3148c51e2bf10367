//! Where a server is: the `upstream:` of its configuration, and the words of `connect … -- PROGRAM`.

use super::file;
use crate::tls::UpstreamTls;
use portunus_core::secret::Secret;
use portunus_core::server::{Per, Program, Upstream};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use url::Url;

/// Checks an `upstream:`; paths are relative to `base`.
pub(super) fn read(upstream: &file::Upstream, base: &Path) -> Result<(Upstream, UpstreamTls), String> {
    let place = match upstream {
        file::Upstream::Word(word) if word == "tunnel" => {
            return Ok((Upstream::Tunnel, UpstreamTls::default()));
        }
        file::Upstream::Word(word) => {
            return Err(format!("upstream `{word}` must be `tunnel`, {{ url: … }} or {{ command: … }}"));
        }
        file::Upstream::Place(place) => place,
    };
    let file = |path: &Option<PathBuf>| path.as_ref().map(|path| base.join(path));
    let tls = UpstreamTls::new(file(&place.ca), file(&place.client_cert), file(&place.client_key))
        .map_err(|e| format!("upstream: {e}"))?;
    match (&place.url, &place.command) {
        (Some(url), None) => {
            let foreign =
                [("env", !place.env.is_empty()), ("cwd", place.cwd.is_some()), ("per", place.per.is_some())];
            if let Some((key, _)) = foreign.iter().find(|(_, given)| *given) {
                return Err(format!("upstream: `{key}` belongs to `command`, not to `url`"));
            }
            let url = Url::parse(url).map_err(|e| format!("upstream url `{url}`: {e}"))?;
            if url.scheme() != "https" && !tls.is_plain() {
                return Err(format!("upstream: `ca` and `client_cert` need an https URL, not `{url}`"));
            }
            Ok((Upstream::Http(url), tls))
        }
        (None, Some(_)) if !tls.is_plain() => {
            Err(String::from("upstream: `ca` and `client_cert` belong to `url`, not to `command`"))
        }
        (None, Some(command)) => {
            let directory = place.cwd.as_ref().map_or_else(|| base.to_owned(), |cwd| base.join(cwd));
            let program = program(command, &place.env, &directory, place.per.as_deref())?;
            Ok((Upstream::Program(program), tls))
        }
        _ => Err(String::from("upstream: give either `url` or `command`")),
    }
}

/// Checks a program.
pub(crate) fn program(
    command: &[String],
    environment: &BTreeMap<String, String>,
    directory: &Path,
    per: Option<&str>,
) -> Result<Program, String> {
    if command.first().is_none_or(String::is_empty) {
        return Err(String::from(
            "upstream `command` needs the name of a program, such as [npx, some-server]",
        ));
    }
    if command.iter().chain(environment.values()).any(|text| text.contains('\0')) {
        return Err(String::from("upstream: neither words of `command` nor values of `env` may hold a NUL"));
    }
    if let Some(name) = environment.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        return Err(format!("upstream: `{name}` in `env` cannot be the name of a variable"));
    }
    let per = match per {
        None | Some("server") => Per::Server,
        Some("caller") => Per::Caller,
        Some(other) => return Err(format!("upstream: `per: {other}` must be `caller` or `server`")),
    };
    // An empty path is the present directory everywhere but in `chdir`.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    Ok(Program {
        command: command.to_vec(),
        environment: environment
            .iter()
            .map(|(name, value)| (name.clone(), Secret::new(value.clone())))
            .collect(),
        directory: directory.to_owned(),
        per,
    })
}
