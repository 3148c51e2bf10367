//! What a server's `WWW-Authenticate` says (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9728 section 5.1).

/// A `Bearer` challenge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Why the request was refused.
    pub error: Option<String>,
    /// Scopes that would do.
    pub scope: Vec<String>,
    /// Where the server's metadata is.
    pub resource_metadata: Option<String>,
}

impl Challenge {
    /// The first `Bearer` challenge among those of a header; `None` when there is none that can be read.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut found: Option<Self> = None;
        for (scheme, name, value) in (Parameters { rest: header, scheme: String::new() }) {
            if !scheme.eq_ignore_ascii_case("bearer") {
                if found.is_some() {
                    break;
                }
                continue;
            }
            let challenge = found.get_or_insert_default();
            match name.to_ascii_lowercase().as_str() {
                "error" => challenge.error = Some(value),
                "scope" => {
                    challenge.scope = value.split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect()
                }
                "resource_metadata" => challenge.resource_metadata = Some(value),
                _ => {}
            }
        }
        found
    }
}

/// The parameters of all challenges, each with its scheme. A scheme without parameters is one with an empty name.
struct Parameters<'a> {
    rest: &'a str,
    scheme: String,
}

impl Iterator for Parameters<'_> {
    type Item = (String, String, String);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
            if self.rest.is_empty() {
                return None;
            }
            let word = token(&mut self.rest)?;
            let after = self.rest.trim_start_matches([' ', '\t']);
            if let Some(value) = after.strip_prefix('=').filter(|_| !self.scheme.is_empty()) {
                self.rest = value.trim_start_matches([' ', '\t']);
                let value = value_of(&mut self.rest)?;
                return Some((self.scheme.clone(), word, value));
            }
            self.scheme = word;
            // Nothing follows, or the next challenge: the scheme alone.
            if after.is_empty() || after.starts_with(',') {
                return Some((self.scheme.clone(), String::new(), String::new()));
            }
        }
    }
}

fn token(rest: &mut &str) -> Option<String> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = rest.find(|c| !is_token(c)).unwrap_or(rest.len());
    let (word, after) = rest.split_at_checked(end).filter(|(word, _)| !word.is_empty())?;
    *rest = after;
    Some(word.to_owned())
}

fn value_of(rest: &mut &str) -> Option<String> {
    let Some(quoted) = rest.strip_prefix('"') else { return token(rest) };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                *rest = quoted.get(at + 1..)?;
                return Some(value);
            }
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_challenge_is_found_among_others() {
        let metadata = "https://a.example/.well-known/oauth-protected-resource/mcp";
        let header = format!(
            "Basic realm=\"a, Bearer error=x\", Bearer error=\"insufficient_scope\", scope=\"read  write\",resource_metadata=\"{metadata}\", DPoP algs=\"ES256\", error=\"other\""
        );
        let found = Challenge::parse(&header).unwrap();
        assert_eq!(found.error.as_deref(), Some("insufficient_scope"));
        assert_eq!(found.scope, ["read", "write"]);
        assert_eq!(found.resource_metadata.as_deref(), Some(metadata));
        assert_eq!(Challenge::parse("Bearer"), Some(Challenge::default()));
        assert_eq!(
            Challenge::parse("bearer error=invalid_token").unwrap().error.as_deref(),
            Some("invalid_token")
        );
        assert_eq!(Challenge::parse("Basic, Bearer").unwrap(), Challenge::default());
    }

    #[test]
    fn what_is_no_challenge_is_none() {
        for text in ["", ",,", "Basic realm=\"Bearer\"", "\"", "=", "Basic \u{e9}", "é"] {
            assert_eq!(Challenge::parse(text), None, "{text:?}");
        }
        // A text that breaks off gives what came before it.
        let broken = Challenge::parse("Bearer error=\"invalid_token\", scope=\"a").unwrap();
        assert_eq!(broken.error.as_deref(), Some("invalid_token"));
        assert!(broken.scope.is_empty());
    }
}
