//! `login:` → who may sign in, and the identity providers.

use super::file;
use portunus_core::id::{GroupName, ServerName};
use portunus_core::secret::Secret;
use portunus_oauth::federation::provider::{Ends, Provider, Providers};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use url::Url;

/// The path that an only provider sends browsers back to; one of a list has its short name behind it.
const CALLBACK: &str = "/login/oidc/callback";
/// Bytes of a file with a client secret.
const SECRET_BYTES: usize = 4096;

/// How people sign in.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub local: bool,
    pub providers: Providers,
    /// The certificates to trust for a provider, by its short name.
    pub ca: HashMap<String, PathBuf>,
    /// Every file that was read, so that a change of it is seen.
    pub files: Vec<PathBuf>,
}

pub(super) fn read(file: &file::Login, base: &Path) -> Result<Login, String> {
    let (entries, alone): (&[file::OidcProvider], _) = match &file.oidc {
        None => (&[], true),
        Some(file::Oidc::One(one)) => (std::slice::from_ref(one.as_ref()), true),
        Some(file::Oidc::Several(several)) => (several, false),
    };
    if !file.local && entries.is_empty() {
        return Err(String::from("give `local: true` or `oidc:`: nobody could sign in otherwise"));
    }
    let (mut providers, mut ca, mut files) = (Vec::new(), HashMap::new(), Vec::new());
    for entry in entries {
        let provider = provider(entry, alone, base)?;
        files.extend(entry.client_secret_file.iter().chain(&entry.ca).map(|path| base.join(path)));
        ca.extend(entry.ca.iter().map(|path| (provider.id.clone(), base.join(path))));
        providers.push(provider);
    }
    let providers = Providers::new(providers).map_err(|error| error.to_string())?;
    Ok(Login { local: file.local, providers, ca, files })
}

fn provider(entry: &file::OidcProvider, alone: bool, base: &Path) -> Result<Provider, String> {
    let id = match &entry.id {
        None if alone => String::from("oidc"),
        None => return Err(format!("provider {} needs an `id:`, since there are several", entry.issuer)),
        Some(id) => {
            ServerName::parse(id).map_err(|_| format!("id `{id}` must be of a-z, 0-9 and `-`"))?.to_string()
        }
    };
    let callback = if entry.id.is_some() { format!("{CALLBACK}/{id}") } else { String::from(CALLBACK) };
    let backchannel_logout = match entry.backchannel_logout.as_deref() {
        None | Some("sessions") => Ends::Sessions,
        Some("grants") => Ends::Grants,
        Some(other) => return Err(format!("backchannel_logout `{other}` must be sessions or grants")),
    };
    let host = Url::parse(&entry.issuer).ok().and_then(|url| Some(url.host_str()?.to_owned()));
    let scopes = entry.scopes.clone().unwrap_or_else(|| vec![String::from("email"), String::from("profile")]);
    if let Some(bad) =
        scopes.iter().find(|scope| !scope.bytes().all(|b| b.is_ascii_graphic()) || scope.is_empty())
    {
        return Err(format!("scope `{bad}` must be one word"));
    }
    Ok(Provider {
        name: entry.name.clone().or(host).unwrap_or_else(|| id.clone()),
        id,
        issuer: entry.issuer.clone(),
        client_id: entry.client_id.clone(),
        client_secret: entry.client_secret_file.as_ref().map(|path| secret(&base.join(path))).transpose()?,
        scopes,
        groups_claim: entry.groups_claim.clone(),
        groups: entry.groups.as_deref().map(groups).transpose()?,
        user_claim: entry.user_claim.clone(),
        domains: entry.domains.clone(),
        backchannel_logout,
        callback,
    })
}

fn groups(names: &[String]) -> Result<Vec<GroupName>, String> {
    let parse = |name: &String| GroupName::parse(name).map_err(|error| format!("groups: `{name}`: {error}"));
    names.iter().map(parse).collect()
}

/// The one line of a file.
fn secret(path: &Path) -> Result<Secret<String>, String> {
    let cannot = |why: &str| format!("client_secret_file {}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| cannot(&error.to_string()))?;
    let text = Secret::new(text);
    let line = text.expose().trim();
    let sound = (1..=SECRET_BYTES).contains(&line.len()) && !line.contains(char::is_control);
    if sound { Ok(Secret::new(line.to_owned())) } else { Err(cannot("must hold one line of text")) }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, parse};
    use std::path::Path;

    fn parse_login(login: &str) -> Result<Config, String> {
        let text = format!(
            "public_url: https://tools.example.com\nlisten: {{ https: 0.0.0.0:443 }}\ntls: {{ local_ca: true }}\n\
             store: sqlite:portunus.db\nsealing_key: {{ file: sealing.key }}\npolicies: ./policies\nservers: []\nlogin:\n{login}"
        );
        parse(Path::new("/etc/portunus/portunus.yaml"), &text).map_err(|error| error.to_string())
    }

    #[test]
    fn one_provider_and_several_are_read() {
        let config =
            parse_login("  oidc: { issuer: https://login.example.com, client_id: x, groups_claim: groups }")
                .unwrap();
        assert!(!config.login.local);
        let [only] = config.login.providers.all() else { panic!() };
        assert_eq!(
            (only.name.as_str(), only.callback.as_str()),
            ("login.example.com", "/login/oidc/callback")
        );
        assert_eq!(only.scopes, ["email", "profile"]);
        let several = "  local: true
  oidc:
    - { id: corp, issuer: https://login.corp.example, client_id: x, domains: [corp.example], name: Corp, ca: corp.pem }
    - { id: rest, issuer: https://rest.example, client_id: y, scopes: [email, groups], backchannel_logout: grants }
";
        let config = parse_login(several).unwrap();
        let callbacks: Vec<_> = config.login.providers.all().iter().map(|p| p.callback.as_str()).collect();
        assert_eq!(callbacks, ["/login/oidc/callback/corp", "/login/oidc/callback/rest"]);
        assert_eq!(config.login.ca["corp"], Path::new("/etc/portunus/corp.pem"));
    }

    #[test]
    fn mistakes_are_named_with_what_to_do() {
        let one = |more: &str| format!("  oidc: {{ issuer: https://login.example.com, client_id: x{more} }}");
        for (login, wanted) in [
            ("  local: false".to_owned(), "nobody could sign in"),
            (one(", isuer: y"), "unknown field"),
            (one(", client_secret_file: /nowhere/secret"), "/nowhere/secret"),
            (one(", backchannel_logout: all"), "must be sessions or grants"),
            (one(", domains: [Example.com]"), "in lower case"),
            (one(", groups: ['a b']"), "groups: `a b`"),
            (one(", id: A"), "a-z, 0-9"),
            (one(", scopes: ['a b']"), "one word"),
            ("  oidc: { issuer: http://login.example.com, client_id: x }".to_owned(), "must be an https URL"),
            ("  oidc: [{ issuer: https://a.example, client_id: x }]".to_owned(), "needs an `id:`"),
            ("  oidc: https://login.example.com".to_owned(), "an identity provider, or a list"),
        ] {
            let error = parse_login(&login).expect_err(wanted);
            assert!(error.contains(wanted), "{error:?} should contain {wanted:?}");
        }
    }
}
