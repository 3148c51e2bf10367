//! `approvals:` how calls that need a person's yes are asked about.

use super::duration;
use portunus_core::limits;
use portunus_core::secret::Secret;
use portunus_web::approvals::webhook::Webhook;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::{Host, Url};

/// How calls that need a person's yes are asked about.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalsFile {
    /// How long a call waits, and a yes stays good; 1m to 24h, default: 15m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// Another system that is told of each call that waits, and may decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookFile>,
}

/// A signed webhook (Standard Webhooks).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookFile {
    /// Where it is posted to: `https`, or `http` on this machine.
    pub url: String,
    /// The shared secret, `whsec_…` or one line of at least 24 characters.
    pub secret_file: PathBuf,
}

/// The same, checked.
#[derive(Debug, Clone)]
pub(crate) struct Approvals {
    /// Life of an approval.
    pub ttl: Duration,
    /// Where approvals are announced.
    webhook: Option<(Url, Secret<String>)>,
    /// The file that its secret was read from.
    pub file: Option<PathBuf>,
}

impl Approvals {
    /// The webhook, if there is one.
    pub(crate) fn webhook(&self) -> Option<Webhook> {
        // It was made once when the file was read.
        self.webhook.as_ref().and_then(|(url, secret)| Webhook::new(url.clone(), secret.expose()).ok())
    }
}

pub(super) fn read(file: Option<&ApprovalsFile>, base: &Path) -> Result<Approvals, String> {
    let ttl = file.and_then(|file| file.ttl.as_deref()).map(duration).transpose()?;
    let ttl = ttl.unwrap_or(limits::APPROVAL_TTL);
    let (shortest, longest) = limits::APPROVAL_TTLS;
    if !(shortest..=longest).contains(&ttl) {
        return Err(String::from("ttl: must be 1m to 24h"));
    }
    let Some(webhook) = file.and_then(|file| file.webhook.as_ref()) else {
        return Ok(Approvals { ttl, webhook: None, file: None });
    };
    let url = url(&webhook.url)?;
    let path = base.join(&webhook.secret_file);
    let secret = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let secret = Secret::new(secret);
    Webhook::new(url.clone(), secret.expose()).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Approvals { ttl, webhook: Some((url, secret)), file: Some(path) })
}

fn url(text: &str) -> Result<Url, String> {
    let bad = |why: &str| format!("webhook url `{text}` {why}");
    let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(bad("has no host")),
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && local) {
        return Err(bad("must begin with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(bad("must have no user, password or fragment: the secret is in secret_file"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, base: &Path) -> Result<Approvals, String> {
        let file: ApprovalsFile = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        read(Some(&file), base)
    }

    #[test]
    fn what_is_said_of_approvals_is_checked_when_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        std::fs::write(directory.path().join("short"), "secret\n").unwrap();
        let read = |text: &str| read_text(text, directory.path());
        assert_eq!(super::read(None, directory.path()).unwrap().ttl, limits::APPROVAL_TTL);
        assert_eq!(read("ttl: 10m").unwrap().ttl, Duration::from_secs(600));
        for url in ["https://chat.example.com/hook?team=1", "http://127.0.0.1:9000/x", "http://[::1]/"] {
            let approvals = read(&format!("webhook: {{ url: '{url}', secret_file: secret }}")).unwrap();
            assert_eq!(approvals.webhook().unwrap().url.as_str(), url);
            assert_eq!(approvals.file, Some(directory.path().join("secret")));
        }
        for (text, why) in [
            ("ttl: 59s", "1m to 24h"),
            ("ttl: 2d", "1m to 24h"),
            ("ttl: soon", "not a time"),
            ("webhook: { url: http://chat.example.com/, secret_file: secret }", "https://"),
            ("webhook: { url: ftp://127.0.0.1/, secret_file: secret }", "https://"),
            ("webhook: { url: 'https://a:b@x.test/', secret_file: secret }", "no user"),
            ("webhook: { url: nowhere, secret_file: secret }", "nowhere"),
            ("webhook: { url: https://x.test/, secret_file: none }", "none"),
            ("webhook: { url: https://x.test/, secret_file: short }", "24 to 128 bytes"),
            ("webhook: { url: https://x.test/ }", "secret_file"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
