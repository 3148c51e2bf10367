//! What an approval is good for: one exact call, of one caller, under one version of the policies.

use portunus_core::digest::{Digest, sha256};
use portunus_core::id::{ClientId, ServerName, UserName};

/// The call an approval is for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Who asked.
    pub user: &'a UserName,
    /// Through which client.
    pub client: &'a ClientId,
    /// Of which server.
    pub server: &'a ServerName,
    /// Which tool.
    pub tool: &'a str,
    /// The exact bytes of the arguments.
    pub arguments: Option<&'a [u8]>,
    /// What else of the call reaches the server, as one canonical text.
    pub besides: Option<&'a str>,
    /// Who must approve.
    pub approver: &'a str,
    /// The policy version, which covers the tool's groups too.
    pub version: &'a Digest,
}

/// The digest that ties an approval to its call. Every part goes in with its length before it, so that no two calls have
/// the same digest because a border between parts moved.
#[must_use]
pub fn binding(subject: &Subject<'_>) -> Digest {
    let Subject { user, client, server, tool, arguments, besides, approver, version } = *subject;
    digest(
        b"portunus approval 2",
        &[
            user.as_str().as_bytes(),
            client.as_str().as_bytes(),
            server.as_str().as_bytes(),
            tool.as_bytes(),
            if arguments.is_some() { b"with" } else { b"without" },
            arguments.unwrap_or_default(),
            besides.unwrap_or_default().as_bytes(),
            approver.as_bytes(),
            &version.0,
        ],
    )
}

/// The digest of parts that cannot be confused with other parts, nor with those of another purpose.
pub(crate) fn digest(purpose: &[u8], parts: &[&[u8]]) -> Digest {
    let mut bytes = purpose.to_vec();
    for part in parts {
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend(*part);
    }
    sha256(&[&bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_changes_with_each_part_of_the_call() {
        let version = sha256(&[b"v"]);
        let (user, other_user) = (UserName::parse("ana").unwrap(), UserName::parse("an").unwrap());
        let (client, other_client) = (ClientId::parse("c").unwrap(), ClientId::parse("ac").unwrap());
        let (server, other_server) =
            (ServerName::parse("sales").unwrap(), ServerName::parse("sale").unwrap());
        let call = Subject {
            user: &user,
            client: &client,
            server: &server,
            tool: "write",
            arguments: Some(b"{}"),
            besides: None,
            approver: "owner",
            version: &version,
        };
        let changed = [
            call,
            Subject { user: &other_user, ..call },
            Subject { client: &other_client, ..call },
            // "ana"+"c" and "an"+"ac" are the same text end to end.
            Subject { user: &other_user, client: &other_client, ..call },
            Subject { server: &other_server, ..call },
            Subject { tool: "writ", ..call },
            Subject { arguments: Some(b"{ }"), ..call },
            Subject { arguments: Some(b""), ..call },
            Subject { arguments: None, ..call },
            Subject { besides: Some("{}"), ..call },
            Subject { besides: Some(r#"{"task":{}}"#), ..call },
            Subject { approver: "security", ..call },
            Subject { version: &sha256(&[b"w"]), ..call },
        ];
        let bindings: std::collections::BTreeSet<Digest> = changed.iter().map(binding).collect();
        assert_eq!(bindings.len(), changed.len());
        assert_eq!(binding(&call), binding(&call.clone()));
    }
}
