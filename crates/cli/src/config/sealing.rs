//! `sealing_key:` → where the sealing key comes from.

use super::file;
use std::path::{Path, PathBuf};
use url::{Host, Url};

/// Where the sealing key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SealingKey {
    File(PathBuf),
    Systemd(String),
    Openbao(Openbao),
    AwsKms(AwsKms),
}

/// A key of a transit engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Openbao {
    pub address: String,
    pub mount: String,
    pub key: String,
    pub namespace: Option<String>,
    pub token_file: PathBuf,
    pub ca: Option<PathBuf>,
}

/// A key of AWS KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AwsKms {
    pub key_id: String,
    pub region: String,
    pub endpoint: String,
    /// File and section; `None`: the environment.
    pub credentials: Option<(PathBuf, String)>,
    pub ca: Option<PathBuf>,
}

/// Checks `sealing_key:`; the error says what to write instead.
pub(super) fn read(given: &file::SealingKey, base: &Path) -> Result<SealingKey, String> {
    match (&given.file, &given.systemd, &given.openbao, &given.aws_kms) {
        (Some(file), None, None, None) => Ok(SealingKey::File(absolute(&base.join(file)))),
        (None, Some(name), None, None) => systemd(name),
        (None, None, Some(bao), None) => openbao(bao, base).map(SealingKey::Openbao),
        (None, None, None, Some(kms)) => aws_kms(kms, base).map(SealingKey::AwsKms),
        _ => Err(String::from("give one of `file`, `systemd`, `openbao` or `aws_kms`")),
    }
}

/// It is remembered in the store, and must mean the same wherever the edge is started from.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// systemd.exec(5): a credential's name is a file name.
fn systemd(name: &str) -> Result<SealingKey, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    if name.is_empty() || name.len() > 255 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(format!(
            "systemd `{name}` must be the name of a credential: letters, digits, `.`, `-`, `_`, `@`"
        ));
    }
    Ok(SealingKey::Systemd(name.to_owned()))
}

fn openbao(given: &file::Openbao, base: &Path) -> Result<Openbao, String> {
    let mount = given.mount.as_deref().unwrap_or("transit").trim_matches('/');
    Ok(Openbao {
        address: address("openbao address", &given.address)?,
        mount: path_part("openbao mount", mount, true)?,
        key: path_part("openbao key", &given.key, false)?,
        namespace: given
            .namespace
            .as_deref()
            .map(|name| path_part("openbao namespace", name.trim_matches('/'), true))
            .transpose()?,
        token_file: base.join(&given.token_file),
        ca: given.ca.as_ref().map(|ca| base.join(ca)),
    })
}

fn aws_kms(given: &file::AwsKms, base: &Path) -> Result<AwsKms, String> {
    let region = &given.region;
    if region.is_empty() || !region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    {
        return Err(format!("aws_kms region `{region}` must be a region such as eu-central-1"));
    }
    if given.key_id.is_empty() || !given.key_id.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!("aws_kms key_id `{}` must be a key's id, ARN or alias", given.key_id));
    }
    if given.profile.is_some() && given.credentials_file.is_none() {
        return Err(String::from("aws_kms profile is a section of credentials_file: give that too"));
    }
    let own = format!("https://kms.{region}.amazonaws.com");
    let section = || given.profile.clone().unwrap_or_else(|| String::from("default"));
    Ok(AwsKms {
        key_id: given.key_id.clone(),
        region: region.clone(),
        endpoint: address("aws_kms endpoint", given.endpoint.as_deref().unwrap_or(&own))?,
        credentials: given.credentials_file.as_ref().map(|file| (base.join(file), section())),
        ca: given.ca.as_ref().map(|ca| base.join(ca)),
    })
}

/// An origin: `https`, or `http` to this machine.
fn address(what: &str, text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| format!("{what} `{text}` is not a URL: {error}"))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let bare =
        url.path() == "/" && url.query().is_none() && url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        "https" if bare && url.host().is_some() => {}
        "http" if bare && local => {}
        _ => {
            return Err(format!(
                "{what} `{text}` must be https://HOST[:PORT] and nothing more; http only to this machine"
            ));
        }
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn path_part(what: &str, text: &str, slashes: bool) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || (slashes && c == '/');
    let steps = text.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if steps || text.len() > 255 || !text.chars().all(plain) {
        return Err(format!("{what} `{text}` must be a name of letters, digits, `.`, `-` and `_`"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Result<SealingKey, String> {
        let file: file::SealingKey = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        read(&file, Path::new("/etc/portunus"))
    }

    #[test]
    fn each_source_is_read_with_paths_relative_to_the_file() {
        assert_eq!(parse("{ file: a.key }").unwrap(), SealingKey::File(PathBuf::from("/etc/portunus/a.key")));
        assert_eq!(
            parse("{ systemd: portunus.key }").unwrap(),
            SealingKey::Systemd("portunus.key".to_owned())
        );
        let SealingKey::Openbao(bao) =
            parse("{ openbao: { address: 'https://bao.internal:8200/', key: portunus, token_file: token } }")
                .unwrap()
        else {
            panic!("no openbao")
        };
        assert_eq!((bao.address.as_str(), bao.mount.as_str()), ("https://bao.internal:8200", "transit"));
        assert_eq!(bao.token_file, PathBuf::from("/etc/portunus/token"));
        let SealingKey::AwsKms(kms) =
            parse("{ aws_kms: { key_id: alias/p, region: eu-central-1 } }").unwrap()
        else {
            panic!("no aws_kms")
        };
        assert_eq!(kms.endpoint, "https://kms.eu-central-1.amazonaws.com");
        assert_eq!(kms.credentials, None);
    }

    #[test]
    fn anything_else_is_refused() {
        for yaml in [
            "{}",
            "{ file: a, systemd: b }",
            "{ systemd: '' }",
            "{ systemd: ../../etc/shadow }",
            "{ systemd: .. }",
            "{ openbao: { address: 'http://bao.internal', key: k, token_file: t } }",
            "{ openbao: { address: 'https://bao.internal/v1', key: k, token_file: t } }",
            "{ openbao: { address: 'https://bao.internal?x=y', key: k, token_file: t } }",
            "{ openbao: { address: 'https://user@bao.internal', key: k, token_file: t } }",
            "{ openbao: { address: 'ftp://bao.internal', key: k, token_file: t } }",
            "{ openbao: { address: 'https://bao.internal', key: ../sys/seal, token_file: t } }",
            "{ openbao: { address: 'https://bao.internal', key: 'a/b', token_file: t } }",
            "{ openbao: { address: 'https://bao.internal', key: 'a b', token_file: t } }",
            "{ openbao: { address: 'https://bao.internal', mount: 'a/../sys', key: k, token_file: t } }",
            "{ openbao: { address: 'https://bao.internal', key: k } }",
            "{ openbao: { address: 'https://bao.internal', key: k, token: hvs.secret } }",
            "{ aws_kms: { key_id: '', region: eu-central-1 } }",
            "{ aws_kms: { key_id: k, region: '' } }",
            "{ aws_kms: { key_id: k, region: evil.example/ } }",
            "{ aws_kms: { key_id: k, region: eu-central-1, endpoint: 'http://kms.internal' } }",
            "{ aws_kms: { key_id: k, region: eu-central-1, profile: p } }",
        ] {
            assert!(parse(yaml).is_err(), "{yaml}");
        }
        assert!(parse("{ openbao: { address: 'http://127.0.0.1:8200', key: k, token_file: t } }").is_ok());
    }
}
