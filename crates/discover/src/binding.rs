//! How the edge could give a secret to its server instead of the client: as a header, a parameter or a variable.

use crate::args::Role;
use crate::recognise::{self, Spot, Why};
use crate::{reference, url};
use portunus_core::document::CredentialKind;
use portunus_core::secret::Secret;

/// How the edge would hold a secret.
#[derive(Debug, Clone)]
pub struct Binding {
    /// How it is presented.
    pub kind: CredentialKind,
    /// What is presented: of `Basic` the password, of a variable all of its value.
    pub secret: Secret<String>,
}

pub(crate) fn environment(name: &str, text: &str) -> Binding {
    Binding { kind: CredentialKind::Environment(name.to_owned()), secret: Secret::new(text.to_owned()) }
}

/// How a header's secret is presented, when the secret is all that is behind its scheme.
pub(crate) fn header(name: &str, text: &str, spot: &Spot) -> Option<Binding> {
    let range = recognise::behind_scheme(text);
    let secret = text.get(range.clone())?;
    if spot.range != range || !reference::find(text).is_empty() {
        return None;
    }
    let scheme = text.get(..range.start)?.trim();
    if name.eq_ignore_ascii_case("authorization") && scheme.eq_ignore_ascii_case("bearer") {
        return Some(Binding { kind: CredentialKind::Bearer, secret: Secret::new(secret.to_owned()) });
    }
    if name.eq_ignore_ascii_case("authorization") && scheme.eq_ignore_ascii_case("basic") {
        let decoded = Secret::new(data_encoding::BASE64.decode(secret.as_bytes()).ok()?);
        let (user, password) = std::str::from_utf8(decoded.expose()).ok()?.split_once(':')?;
        let kind = CredentialKind::Basic(user.to_owned());
        return Some(Binding { kind, secret: Secret::new(password.to_owned()) });
    }
    let kind = CredentialKind::Header(name.to_ascii_lowercase());
    Some(Binding { kind, secret: Secret::new(text.trim().to_owned()) })
}

/// How a URL's secret is presented.
pub(crate) fn address(text: &str, spot: &Spot) -> Option<Binding> {
    let secret = text.get(spot.range.clone())?;
    match spot.why {
        Why::Query => {
            let name = url::parameter_before(text, spot.range.start)?;
            let pair = format!("{name}={secret}");
            let (name, secret) = ::url::form_urlencoded::parse(pair.as_bytes()).next()?;
            let kind = CredentialKind::Query(name.into_owned());
            Some(Binding { kind, secret: Secret::new(secret.into_owned()) })
        }
        // An escaped password would have to be unescaped as the client does.
        Why::UserInfo if !secret.contains('%') => {
            let user = url::user_before(text, spot.range.start).filter(|user| !user.contains('%'))?;
            let kind = CredentialKind::Basic(user.to_owned());
            Some(Binding { kind, secret: Secret::new(secret.to_owned()) })
        }
        _ => None,
    }
}

/// How a secret on a command line is given, in words and for the edge.
pub(crate) fn given(role: &Role, text: &str, spot: &Spot) -> (String, Option<Binding>) {
    match role {
        Role::Header(name) => {
            let value = text.find([':', '=']).map_or(0, |colon| colon + 1);
            let value = if text.starts_with("--") {
                text.get(value..)
                    .and_then(|rest| rest.find([':', '=']))
                    .map_or(value, |colon| value + colon + 1)
            } else {
                value
            };
            let rest = text.get(value..).unwrap_or_default();
            let inner = spot.range.start.checked_sub(value).map(|start| start..start + spot.range.len());
            let binding = inner.and_then(|range| header(name, rest, &Spot { range, why: spot.why }));
            (format!("header {name}"), binding)
        }
        Role::Environment(name) => {
            let value = text.rfind(&format!("{name}=")).map_or(0, |at| at + name.len() + 1);
            let value = text.get(value..).unwrap_or_default();
            let whole = reference::find(value).is_empty();
            (format!("variable {name}"), whole.then(|| environment(name, value)))
        }
        Role::Flag(name) => (name.clone(), None),
        Role::Within => (String::new(), None),
    }
}
