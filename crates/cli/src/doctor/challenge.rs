//! `WWW-Authenticate`, read as RFC 9110 section 11.6.1 writes it.

use std::collections::BTreeMap;

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// In lower case.
    pub scheme: String,
    /// Names in lower case.
    pub parameters: BTreeMap<String, String>,
}

impl Challenge {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

/// All challenges of one header's value; `None` when it is not well formed.
pub(crate) fn parse(value: &str) -> Option<Vec<Challenge>> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = value.trim_start();
    while !rest.is_empty() {
        let (word, after) = token(rest)?;
        let after = after.trim_start();
        if let Some(quoted) = after.strip_prefix('=').filter(|_| !found.is_empty()) {
            let (text, after) = text(quoted.trim_start())?;
            let name = word.to_ascii_lowercase();
            // Of two with one name, nobody can say which counts.
            if found.last_mut()?.parameters.insert(name, text).is_some() {
                return None;
            }
            rest = next(after)?;
        } else {
            let parameters = BTreeMap::new();
            found.push(Challenge { scheme: word.to_ascii_lowercase(), parameters });
            rest = after.strip_prefix(',').unwrap_or(after).trim_start();
        }
    }
    (!found.is_empty()).then_some(found)
}

/// What follows a parameter: the end, or a comma and more.
fn next(after: &str) -> Option<&str> {
    let after = after.trim_start();
    if after.is_empty() { Some(after) } else { after.strip_prefix(',').map(str::trim_start) }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    (!word.is_empty()).then_some((word, rest))
}

fn text(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(word, rest)| (word.to_owned(), rest));
    };
    let mut read = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((read, quoted.get(at + 1..)?)),
            '\\' => read.push(letters.next()?.1),
            _ => read.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_with_their_quoting() {
        let read = parse(r#"Bearer error="invalid_token", scope="a b", resource_metadata="https://x/y?a,b""#);
        let read = read.unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].get("scope"), Some("a b"));
        assert_eq!(read[0].get("resource_metadata"), Some("https://x/y?a,b"));
        let read = parse(r#"Basic realm="say \"hi\"", DPoP algs="ES256",bearer Error=x"#).unwrap();
        let schemes: Vec<&str> = read.iter().map(|c| c.scheme.as_str()).collect();
        assert_eq!(schemes, ["basic", "dpop", "bearer"]);
        assert_eq!(read[0].get("realm"), Some("say \"hi\""));
        assert_eq!(read[2].get("error"), Some("x"));
        assert_eq!(parse("Bearer").unwrap()[0].parameters.len(), 0);
        assert_eq!(parse("Negotiate, Bearer").unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_well_formed_is_not_guessed() {
        for bad in [
            "",
            " ",
            "=x",
            "Bearer a=\"open",
            "Bearer a=b c=d",
            "Bearer a=b, a=c",
            "Bearer \u{e9}=1",
            "Bearer a=\"x\"y",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
