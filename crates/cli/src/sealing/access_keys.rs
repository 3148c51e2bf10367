//! Access keys for AWS: from a file as the AWS tools have it, or from the environment.

use async_trait::async_trait;
use portunus_core::secret::Secret;
use portunus_vault::service::aws_kms::AccessKeySource;
use portunus_vault::service::sigv4::AccessKeys;
use portunus_vault::service::{ServiceError, secret_file};
use std::path::PathBuf;
use std::sync::Arc;

/// Of this file and section, or of the environment.
pub(crate) fn source(credentials: Option<(PathBuf, String)>) -> Arc<dyn AccessKeySource> {
    match credentials {
        Some((path, section)) => Arc::new(InFile { path, section }),
        None => Arc::new(InEnvironment),
    }
}

struct InFile {
    path: PathBuf,
    section: String,
}

struct InEnvironment;

#[async_trait]
impl AccessKeySource for InFile {
    async fn keys(&self) -> Result<AccessKeys, ServiceError> {
        let text = secret_file(&self.path)?;
        read(text.expose(), &self.section).ok_or_else(|| {
            let Self { path, section } = self;
            let wanted = "aws_access_key_id and aws_secret_access_key";
            ServiceError::NotReady(format!("{} has no {wanted} in [{section}]", path.display()))
        })
    }
}

#[async_trait]
impl AccessKeySource for InEnvironment {
    async fn keys(&self) -> Result<AccessKeys, ServiceError> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let keys = var("AWS_ACCESS_KEY_ID").zip(var("AWS_SECRET_ACCESS_KEY"));
        let (id, secret) = keys.ok_or_else(|| {
            ServiceError::NotReady(String::from(
                "there are no access keys for AWS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a `credentials_file`",
            ))
        })?;
        Ok(AccessKeys {
            id,
            secret: Secret::new(secret),
            session_token: var("AWS_SESSION_TOKEN").map(Secret::new),
        })
    }
}

/// The keys of one section of `name = value` lines.
fn read(text: &str, section: &str) -> Option<AccessKeys> {
    let (mut id, mut secret, mut session_token, mut inside) = (None, None, None, false);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim() == section;
        } else if inside && let Some((name, value)) = line.split_once('=') {
            let value = value.trim().to_owned();
            match name.trim() {
                "aws_access_key_id" => id = Some(value),
                "aws_secret_access_key" => secret = Some(Secret::new(value)),
                "aws_session_token" => session_token = Some(Secret::new(value)),
                _ => {}
            }
        }
    }
    Some(AccessKeys { id: id?, secret: secret?, session_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_the_named_section_are_read_and_no_others() {
        let text = "# mine\n[default]\naws_access_key_id = AKIA1\naws_secret_access_key=abc=/+\n\n\
                    [other]\naws_access_key_id=AKIA2\naws_secret_access_key = def\naws_session_token = tok\n[empty]\n";
        let default = read(text, "default").unwrap();
        assert_eq!((default.id.as_str(), default.secret.expose().as_str()), ("AKIA1", "abc=/+"));
        assert!(default.session_token.is_none());
        let other = read(text, "other").unwrap();
        assert_eq!((other.id.as_str(), other.session_token.unwrap().expose().as_str()), ("AKIA2", "tok"));
        assert!(read(text, "empty").is_none() && read(text, "none").is_none());
    }
}
