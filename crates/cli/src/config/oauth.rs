//! Servers that are used with an account elsewhere: the `oauth` of a server's `credential`.

use super::file;
use portunus_connections::{Configured, Whose};
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_core::server::Upstream;
use std::path::{Path, PathBuf};
use url::{Host, Url};

/// How a server is connected to.
#[derive(Debug, Clone)]
pub(crate) struct Oauth {
    pub whose: Whose,
    pub issuer: Option<String>,
    pub resource: Option<String>,
    pub scopes: Vec<String>,
    pub more_scopes: Vec<String>,
    pub client: Option<Configured>,
    pub signs: bool,
    /// The file that the client's secret was read from.
    pub file: Option<PathBuf>,
}

/// Checks an `oauth`; paths are relative to `base`.
pub(super) fn read(oauth: &file::Oauth, upstream: &Upstream, base: &Path) -> Result<Oauth, String> {
    let Upstream::Http(url) = upstream else {
        return Err(String::from("credential: `oauth` is for servers with an `upstream: { url: … }`"));
    };
    if !is_safe(url) {
        return Err(format!("credential: `oauth` needs an https upstream, not `{url}`"));
    }
    let whose = match oauth.per.as_str() {
        "user" => Whose::User,
        "shared" => Whose::Shared,
        other => return Err(format!("credential: `per: {other}` must be `user` or `shared`")),
    };
    if let Some(issuer) = &oauth.issuer {
        let sound = Url::parse(issuer).is_ok_and(|url| {
            is_safe(&url) && url.query().is_none() && url.fragment().is_none() && url.username().is_empty()
        });
        if !sound {
            return Err(format!("credential: issuer `{issuer}` must be an https URL without query"));
        }
    }
    if let Some(resource) = &oauth.resource {
        let same = Url::parse(resource).is_ok_and(|resource| resource.origin() == url.origin());
        if !same {
            return Err(format!(
                "credential: resource `{resource}` must be on the same host as the upstream"
            ));
        }
    }
    let client = client(oauth, base)?;
    let signs = match oauth.client_auth.as_deref() {
        None => false,
        Some("private_key_jwt") if oauth.client_secret_file.is_none() => true,
        Some("private_key_jwt") => {
            return Err(String::from(
                "credential: `client_auth: private_key_jwt` has no `client_secret_file`",
            ));
        }
        Some(other) => return Err(format!("credential: `client_auth: {other}` must be `private_key_jwt`")),
    };
    let file = oauth.client_secret_file.as_ref().map(|file| base.join(file));
    let (scopes, more_scopes) = (scopes(&oauth.scopes)?, scopes(&oauth.more_scopes)?);
    Ok(Oauth {
        whose,
        issuer: oauth.issuer.clone(),
        resource: oauth.resource.clone(),
        scopes,
        more_scopes,
        client,
        signs,
        file,
    })
}

fn client(oauth: &file::Oauth, base: &Path) -> Result<Option<Configured>, String> {
    let Some(id) = &oauth.client_id else {
        return match &oauth.client_secret_file {
            None => Ok(None),
            Some(_) => Err(String::from("credential: `client_secret_file` needs `client_id`")),
        };
    };
    let secret = match &oauth.client_secret_file {
        None => None,
        Some(file) => {
            let path = base.join(file);
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let secret = Secret::new(text.trim_end_matches(['\r', '\n']).to_owned());
            if secret.expose().is_empty() {
                return Err(format!("{} is empty", path.display()));
            }
            Some(secret)
        }
    };
    Ok(Some(Configured { id: id.clone(), secret }))
}

/// Scopes of somebody else (RFC 6749 section 3.3).
fn scopes(texts: &[String]) -> Result<Vec<String>, String> {
    if texts.len() > limits::CREDENTIAL_SCOPES {
        return Err(format!("credential: more than {} scopes", limits::CREDENTIAL_SCOPES));
    }
    for scope in texts {
        let visible = scope.bytes().all(|b| matches!(b, b'!' | b'#'..=b'[' | b']'..=b'~'));
        if !visible || scope.is_empty() || scope.len() > limits::SCOPE_BYTES {
            return Err(format!("credential: `{}` is not a scope", scope.escape_debug()));
        }
    }
    Ok(texts.to_vec())
}

/// `https`, or `http` to this machine.
fn is_safe(url: &Url) -> bool {
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && local)
}
