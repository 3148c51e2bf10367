//! What a secret, the host it goes to and the header it goes in must look like.

use http::HeaderName;
use portunus_core::document::{CredentialKind, RotationPlan};
use portunus_core::limits::{CREDENTIAL_HOSTS, CREDENTIAL_SCOPES, CREDENTIAL_TEXT_BYTES, SECRET_BYTES};
use portunus_core::secret::Secret;
use std::net::Ipv6Addr;

/// Headers whose meaning belongs to the connection, to the message or to Portunus: a credential in one of these would
/// change what was decided.
const RESERVED: [&str; 17] = [
    "accept",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
/// Families of headers that belong to the protocol and to Portunus.
const RESERVED_PREFIXES: [&str; 4] = ["mcp-", "portunus-", "x-forwarded-", "sec-"];

/// Variables that make a program run other code than its own, or find it elsewhere.
const DANGEROUS_VARIABLES: [&str; 37] = [
    "PATH",
    "HOME",
    "SHELL",
    "IFS",
    "ENV",
    "PS4",
    "PROMPT_COMMAND",
    "BASH_ENV",
    "SHELLOPTS",
    "BASHOPTS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PYTHONSTARTUP",
    "PYTHONPATH",
    "PYTHONHOME",
    "PERL5OPT",
    "PERL5LIB",
    "PERL5DB",
    "RUBYOPT",
    "RUBYLIB",
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "DOTNET_STARTUP_HOOKS",
    "GCONV_PATH",
    "OPENSSL_CONF",
    "EDITOR",
    "PAGER",
    "GIT_ASKPASS",
    "GIT_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_PAGER",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
];
/// Families of such variables.
const DANGEROUS_FAMILIES: [&str; 5] = ["LD_", "DYLD_", "BASH_FUNC_", "GIT_CONFIG", "XDG_"];

/// The secret without the line end that an editor leaves at the end of a file, fit for a header value of this kind.
pub(crate) fn secret(
    kind: &CredentialKind,
    given: &Secret<Vec<u8>>,
) -> Result<Secret<Vec<u8>>, &'static str> {
    let given = given.expose().as_slice();
    let trimmed = given.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
    let secret = given.get(..trimmed).unwrap_or_default();
    if secret.is_empty() {
        return Err("it is empty");
    }
    if secret.len() > SECRET_BYTES {
        return Err("it has more than 8 KiB");
    }
    match kind {
        CredentialKind::ClientCertificate => return pem(secret),
        CredentialKind::Ssh(_) => return ssh_key(secret),
        _ => {}
    }
    let spaces = !matches!(kind, CredentialKind::Bearer);
    if !secret.iter().all(|byte| byte.is_ascii_graphic() || (spaces && *byte == b' ')) {
        return Err(
            "it has a byte that is not visible ASCII; if it is binary, give it as its vendor writes it",
        );
    }
    if secret.first() == Some(&b' ') || secret.last() == Some(&b' ') {
        return Err("it starts or ends with a space");
    }
    if kind == &CredentialKind::Bearer
        && secret.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"bearer:"))
    {
        return Err("it starts with `Bearer:`; give the token alone");
    }
    Ok(Secret::new(secret.to_vec()))
}

/// A chain and its key, as text; what is in it is read where it is used.
fn pem(secret: &[u8]) -> Result<Secret<Vec<u8>>, &'static str> {
    let text = std::str::from_utf8(secret).map_err(|_| "it is not PEM")?;
    if !text.contains("-----BEGIN CERTIFICATE-----") || !text.contains("PRIVATE KEY-----") {
        return Err("it must hold a certificate and its private key, both PEM");
    }
    Ok(Secret::new(secret.to_vec()))
}

/// The same of an OpenSSH private key and its certificate.
fn ssh_key(secret: &[u8]) -> Result<Secret<Vec<u8>>, &'static str> {
    let text = std::str::from_utf8(secret).map_err(|_| "it is no text")?;
    if !text.trim_start().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
        return Err("it must be an OpenSSH private key without a passphrase, of the kind Ed25519");
    }
    // A last line without an end is no private key to OpenSSH.
    Ok(Secret::new([secret, b"\n"].concat()))
}

/// The hosts, each as [`host`] wants it, without repetition.
pub(crate) fn hosts(given: &[String]) -> Result<Vec<String>, &'static str> {
    if given.is_empty() {
        return Err("there must be one at least");
    }
    if given.len() > CREDENTIAL_HOSTS {
        return Err("there are more than 16");
    }
    let mut hosts = given.iter().map(|given| host(given)).collect::<Result<Vec<_>, _>>()?;
    hosts.sort_unstable();
    hosts.dedup();
    Ok(hosts)
}

/// The host in lower case: a DNS name, an IPv4 address or an IPv6 address in brackets, and a port if there is one.
pub(crate) fn host(given: &str) -> Result<String, &'static str> {
    const FORM: &str = "it must be `name` or `name:port`, as in api.example.com or [fd00::1]:8443";
    let text = given.to_ascii_lowercase();
    let end = if text.starts_with('[') { text.find(']').map_or(0, |end| end + 1) } else { text.len() };
    let (name, port) = match text.get(end..).unwrap_or_default() {
        "" if end == text.len() && !text.starts_with('[') => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text.as_str(), None),
        },
        "" => (text.as_str(), None),
        rest => (text.get(..end).unwrap_or_default(), Some(rest.strip_prefix(':').ok_or(FORM)?)),
    };
    let port_fits = port
        .is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port));
    if port_fits && (is_ipv6(name) || is_name(name)) { Ok(text) } else { Err(FORM) }
}

/// Whether what the kind names can carry a credential.
pub(crate) fn kind(kind: &CredentialKind) -> Result<(), &'static str> {
    match kind {
        CredentialKind::Bearer | CredentialKind::Header(_) => header(kind).map(drop),
        CredentialKind::ClientCertificate => Ok(()),
        CredentialKind::Basic(user) => {
            let good =
                !user.is_empty() && user.bytes().all(|b| (b.is_ascii_graphic() && b != b':') || b == b' ');
            good.then_some(()).ok_or("the user's name must be visible ASCII without a colon")
        }
        CredentialKind::Query(name) => {
            let good = is_word(name, b"_-.");
            good.then_some(()).ok_or("the parameter's name must be letters, digits, `_`, `-` and `.`")
        }
        CredentialKind::Environment(name) => {
            let good = is_word(name, b"_") && !name.starts_with(|c: char| c.is_ascii_digit());
            if !good {
                return Err("the variable's name must be letters, digits and `_`");
            }
            let upper = name.to_ascii_uppercase();
            let loads_code = DANGEROUS_VARIABLES.contains(&upper.as_str())
                || DANGEROUS_FAMILIES.iter().any(|family| upper.starts_with(family));
            if loads_code { Err("this variable says what code a program runs") } else { Ok(()) }
        }
        CredentialKind::Postgres(role) => {
            let good = !role.is_empty() && role.len() <= 63 && !role.chars().any(char::is_control);
            good.then_some(()).ok_or("the role must have 1 to 63 bytes, without control characters")
        }
        CredentialKind::Ssh(user) => {
            let good = user.len() <= 32
                && user.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
            good.then_some(())
                .ok_or("the user must be 1 to 32 letters, digits, `_`, `-` and `.`, a letter first")
        }
        CredentialKind::Rotator(account) => {
            let good = account.len() <= 128 && !account.chars().any(char::is_control);
            good.then_some(()).ok_or("the account must have at most 128 bytes, without control characters")
        }
    }
}

/// The header that a credential of this kind goes in.
pub(crate) fn header(kind: &CredentialKind) -> Result<HeaderName, &'static str> {
    let CredentialKind::Header(name) = kind else { return Ok(http::header::AUTHORIZATION) };
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "it is no header name")?;
    let text = header.as_str();
    if RESERVED.contains(&text) || RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        return Err("this header belongs to the protocol and cannot carry a credential");
    }
    Ok(header)
}

/// A word such as `production` or `github`.
pub(crate) fn label(given: Option<&str>) -> Result<(), &'static str> {
    let good = given.is_none_or(|word| word.len() <= 64 && is_word(word, b"_-."));
    good.then_some(()).ok_or("it must be 1 to 64 letters, digits, `_`, `-` and `.`")
}

/// Scopes as RFC 6749 section 3.3 writes them.
pub(crate) fn scopes(given: &[String]) -> Result<(), &'static str> {
    if given.len() > CREDENTIAL_SCOPES {
        return Err("there are more than 64");
    }
    let good = |scope: &String| {
        (1..=256).contains(&scope.len())
            && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    given
        .iter()
        .all(good)
        .then_some(())
        .ok_or("a scope is visible ASCII without quote and backslash, at most 256 bytes")
}

/// A rotator's name, and a span that is no shorter than a minute and no longer than ten years.
pub(crate) fn rotation(plan: &RotationPlan) -> Result<(), &'static str> {
    if plan.method.len() > 64 || !is_word(&plan.method, b"_-") {
        return Err("the method must be 1 to 64 letters, digits, `_` and `-`");
    }
    if plan.every_seconds.is_some_and(|every| !(60..=315_360_000).contains(&every)) {
        return Err("the span between rotations must be 1 minute to 10 years");
    }
    Ok(())
}

fn is_word(text: &str, besides: &[u8]) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || besides.contains(&b))
}

/// A line of text for people: without control characters, so that it cannot forge what a terminal or a page shows.
pub(crate) fn text(given: &str) -> Result<(), &'static str> {
    if given.len() > CREDENTIAL_TEXT_BYTES {
        return Err("it has more than 1 KiB");
    }
    if given.chars().any(|c| {
        c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
    }) {
        return Err("it has control characters");
    }
    Ok(())
}

fn is_ipv6(name: &str) -> bool {
    name.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address))
}

fn is_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Secret<Vec<u8>> {
        Secret::new(bytes.to_vec())
    }

    #[test]
    fn a_secret_loses_its_line_end_and_nothing_else() {
        let header = CredentialKind::Header("x-api-key".to_owned());
        for (kind, given, wanted) in [
            (&CredentialKind::Bearer, b"abc".as_slice(), b"abc".as_slice()),
            (&CredentialKind::Bearer, b"abc\n", b"abc"),
            (&CredentialKind::Bearer, b"a=b/c+d.e~f_g-h:i\r\n\n", b"a=b/c+d.e~f_g-h:i"),
            (&header, b"Basic YTpi\n", b"Basic YTpi"),
        ] {
            assert_eq!(secret(kind, &of(given)).unwrap().expose(), wanted);
        }
        assert!(secret(&header, &of(&[b'x'; SECRET_BYTES])).is_ok());
    }

    #[test]
    fn a_secret_that_could_split_a_header_or_is_not_text_is_refused() {
        let header = CredentialKind::Header("x-api-key".to_owned());
        for given in [
            b"".as_slice(),
            b"\n",
            b"a\nX-Injected: 1",
            b"a\rb",
            b"a\0b",
            b"a\tb",
            b" a",
            b"a ",
            "\u{e9}".as_bytes(),
            b"\x7f",
            &[b'x'; SECRET_BYTES + 1],
        ] {
            assert!(secret(&header, &of(given)).is_err(), "{given:?}");
            assert!(secret(&CredentialKind::Bearer, &of(given)).is_err(), "{given:?}");
        }
        assert!(secret(&CredentialKind::Bearer, &of(b"Bearer abc")).is_err());
        assert!(secret(&CredentialKind::Bearer, &of(b"bearer:abc")).is_err());
    }

    #[test]
    fn hosts_are_one_name_or_address_with_at_most_a_port() {
        for (given, wanted) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com:8443", "api.example.com:8443"),
            ("localhost:1", "localhost:1"),
            ("127.0.0.1:65535", "127.0.0.1:65535"),
            ("[::1]", "[::1]"),
            ("[fd00::1]:8443", "[fd00::1]:8443"),
            ("my_service", "my_service"),
        ] {
            assert_eq!(host(given).as_deref(), Ok(wanted));
        }
        for given in [
            "",
            ":80",
            "a:",
            "a:0",
            "a:080",
            "a:+80",
            "a:65536",
            "a:b",
            "a:1:2",
            "a/b",
            "https://a",
            "a@b",
            "u:p@b",
            "a b",
            "*.a.example",
            "a..b",
            ".a",
            "a.",
            "-a",
            "a-",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:",
            "[0:0::1]",
            "[a]",
            "[]",
            "a#b",
            "a?b",
            "\u{e9}.example",
            "a\n",
            "a%2eb",
            "a\\b",
            &"a".repeat(64),
            &"a.".repeat(140),
        ] {
            assert!(host(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn headers_that_belong_to_the_message_cannot_carry_a_credential() {
        let of = |name: &str| header(&CredentialKind::Header(name.to_owned()));
        assert_eq!(header(&CredentialKind::Bearer).unwrap(), "authorization");
        for (given, wanted) in
            [("X-Api-Key", "x-api-key"), ("authorization", "authorization"), ("cookie", "cookie")]
        {
            assert_eq!(of(given).unwrap(), wanted);
        }
        for given in RESERVED {
            assert!(of(given).is_err(), "{given}");
        }
        for given in [
            "Host",
            "Mcp-Method",
            "mcp-param-x",
            "Portunus-Assertion",
            "X-Forwarded-For",
            "",
            "a b",
            "a:b",
            "a\r\nb",
        ] {
            assert!(of(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn a_program_is_not_given_a_variable_that_says_what_code_it_runs() {
        let of = |name: &str| kind(&CredentialKind::Environment(name.to_owned()));
        for good in ["API_KEY", "GITHUB_TOKEN", "PGPASSWORD", "_x", "PATHS", "NODE_AUTH_TOKEN"] {
            assert_eq!(of(good), Ok(()), "{good}");
        }
        for bad in DANGEROUS_VARIABLES {
            assert!(of(bad).is_err() && of(&bad.to_ascii_lowercase()).is_err(), "{bad}");
        }
        for bad in ["LD_PRELOAD", "ld_preload", "DYLD_INSERT_LIBRARIES", "GIT_CONFIG_COUNT", "BASH_FUNC_ls"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        for bad in ["", "1A", "A=B", "A B", "A\0", "A\nB", "\u{c4}", "A-B", "BASH_FUNC_ls%%"] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_password_cannot_end_a_variable_a_header_or_a_line() {
        let kinds = [
            CredentialKind::Basic("ana".to_owned()),
            CredentialKind::Query("key".to_owned()),
            CredentialKind::Environment("TOKEN".to_owned()),
            CredentialKind::Postgres("reader".to_owned()),
        ];
        for kind in kinds {
            for bad in [b"a\r\nX: 1".as_slice(), b"a\0b", b"a\nb", b"a\tb", b"\xff"] {
                assert!(secret(&kind, &of(bad)).is_err(), "{kind:?} {bad:?}");
            }
            assert!(secret(&kind, &of(b"p&a=s%s#w?o/r d")).is_ok(), "{kind:?}");
        }
    }

    #[test]
    fn text_for_people_cannot_forge_a_screen() {
        assert!(text("Ana Müller <ana@example.com>").is_ok());
        for given in [
            "a\nb",
            "\u{1b}[2J",
            "a\u{202e}b",
            "a\u{2066}b",
            "\u{9b}2J",
            &"x".repeat(CREDENTIAL_TEXT_BYTES + 1),
        ] {
            assert!(text(given).is_err(), "{given:?}");
        }
    }
}
