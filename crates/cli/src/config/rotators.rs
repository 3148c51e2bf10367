//! `rotators:` plug-ins that change secrets. They are named here and nowhere else, so that whoever can write to the store
//! cannot have a program run.

use super::duration;
use portunus_core::limits;
use portunus_vault::rotation::Origin;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// A plug-in: a program or a webhook.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotatorFile {
    /// The program, an absolute path, and its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    /// Where it is asked instead: `https`, or `http` on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Who makes new secrets.
    #[serde(default)]
    pub secret: Maker,
    /// Longest time for one answer; 1s to 45s, default: 15s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// Who makes new secrets.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Maker {
    /// Portunus: 43 random characters.
    #[default]
    Ours,
    /// The plug-in, or who is behind it.
    Theirs,
}

/// The same, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plugin {
    pub name: String,
    pub way: Way,
    pub origin: Origin,
    pub timeout: Duration,
}

/// How a plug-in is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    Exec { program: PathBuf, arguments: Vec<String> },
    Webhook { url: Url, host: String },
}

/// Longest time that leaves a step room for the rest.
const LONGEST: Duration = Duration::from_secs(45);

pub(super) fn read(files: &BTreeMap<String, RotatorFile>) -> Result<Vec<Plugin>, String> {
    files.iter().map(|(name, file)| plugin(name, file).map_err(|why| format!("{name}: {why}"))).collect()
}

fn plugin(name: &str, file: &RotatorFile) -> Result<Plugin, String> {
    let label = !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !label {
        return Err(String::from("the name must be 1 to 63 of a-z, 0-9 and `-`"));
    }
    let timeout = file.timeout.as_deref().map(duration).transpose()?;
    let timeout = timeout.unwrap_or(limits::ROTATION_REQUEST_TIMEOUT);
    if !(Duration::from_secs(1)..=LONGEST).contains(&timeout) {
        return Err(String::from("timeout: must be 1s to 45s"));
    }
    let way = match (&file.exec, &file.webhook) {
        (Some(words), None) => exec(words)?,
        (None, Some(url)) => {
            let (url, host) = portunus_rotate::http::address(url).map_err(|why| format!("webhook: {why}"))?;
            Way::Webhook { url, host }
        }
        _ => return Err(String::from("give either `exec` or `webhook`")),
    };
    let origin = match file.secret {
        Maker::Ours => Origin::Ours,
        Maker::Theirs => Origin::Theirs,
    };
    Ok(Plugin { name: name.to_owned(), way, origin, timeout })
}

fn exec(words: &[String]) -> Result<Way, String> {
    let [program, arguments @ ..] = words else { return Err(String::from("exec: names no program")) };
    let program = PathBuf::from(program);
    portunus_rotate::exec::check(&program).map_err(|error| format!("exec: {error}"))?;
    Ok(Way::Exec { program, arguments: arguments.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Plugin>, String> {
        let files: BTreeMap<String, RotatorFile> =
            serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        read(&files)
    }

    #[test]
    fn a_plug_in_is_checked_when_the_configuration_is_read() {
        let plugins = read_text("keys: { exec: [/bin/sh, -x], secret: theirs }").unwrap();
        let way = Way::Exec { program: "/bin/sh".into(), arguments: vec!["-x".to_owned()] };
        let timeout = limits::ROTATION_REQUEST_TIMEOUT;
        assert_eq!(plugins, [Plugin { name: "keys".to_owned(), way, origin: Origin::Theirs, timeout }]);
        for (text, why) in [
            ("keys: {}", "either `exec` or `webhook`"),
            ("keys: { exec: [/bin/sh], webhook: 'https://x.test/' }", "either `exec` or `webhook`"),
            ("keys: { exec: [] }", "names no program"),
            ("keys: { exec: [bin/sh] }", "absolute"),
            ("keys: { exec: [/nowhere/at/all] }", "/nowhere/at/all"),
            ("keys: { webhook: 'http://x.test/' }", "https://"),
            ("keys: { webhook: 'https://a:b@x.test/' }", "no user"),
            ("keys: { exec: [/bin/sh], timeout: 46s }", "1s to 45s"),
            ("'a b': { exec: [/bin/sh] }", "the name"),
            ("keys: { exec: [/bin/sh], shell: true }", "shell"),
        ] {
            let told = read_text(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
