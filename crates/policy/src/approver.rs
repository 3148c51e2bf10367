//! Who must approve: the words of `@approvable("…")`. Any number of people may have to; each is somebody else.

use portunus_core::id::{GroupName, UserName};
use portunus_core::limits;
use std::fmt;

/// What can be written, for whoever wrote something else.
pub(crate) const HINT: &str =
    "Write `owner`, `user NAME`, `group NAME` or `two of group NAME`, or several of them joined by `and`.";

/// The people whose yes is needed, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approver(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Owner,
    User(UserName),
    Group(GroupName),
    TwoOf(GroupName),
}

/// One yes that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot<'a> {
    Owner,
    User(&'a UserName),
    Group(&'a GroupName),
}

/// Somebody who says yes, as they are now.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// Their name.
    pub name: &'a str,
    /// Their groups.
    pub groups: &'a [GroupName],
    /// Administrators may stand in for anybody.
    pub administrator: bool,
}

/// Why a text names no approver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApproverError {
    /// Not the words that are known.
    #[error("it says nobody who could approve")]
    Words,
    /// Not a name of a user or group.
    #[error("it has a name that no user or group can have")]
    Name,
    /// The same twice.
    #[error("it names the same approver twice")]
    Twice,
    /// Too many.
    #[error("it needs more than {} people", limits::APPROVERS)]
    TooMany,
}

impl Approver {
    /// Reads `owner`, `user NAME`, `group NAME`, `two of group NAME`, and any of these joined by `and`.
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(text: &str) -> Result<Self, ApproverError> {
        let mut words = text.split_ascii_whitespace();
        let mut parts = Vec::new();
        loop {
            parts.push(part(&mut words)?);
            match words.next() {
                None => break,
                Some("and") => {}
                Some(_) => return Err(ApproverError::Words),
            }
        }
        // In one order, so that the same approvers are the same text.
        parts.sort_by_cached_key(ToString::to_string);
        let twice = |at: usize, part: &Part| parts.iter().take(at).any(|before| before.same_people(part));
        if parts.iter().enumerate().any(|(at, part)| twice(at, part)) {
            return Err(ApproverError::Twice);
        }
        let approver = Self(parts);
        if approver.slots().count() > limits::APPROVERS {
            return Err(ApproverError::TooMany);
        }
        Ok(approver)
    }

    /// How many people are needed.
    #[must_use]
    pub fn people(&self) -> usize {
        self.slots().count()
    }

    /// Whether the policy itself names this person for one of the yeses; administrators are not asked for here.
    #[must_use]
    pub fn names(&self, person: &Person<'_>, owner: &str) -> bool {
        self.slots().any(|slot| slot.is(person, owner))
    }

    /// Whether this person may decide.
    #[must_use]
    pub fn admits(&self, person: &Person<'_>, owner: &str) -> bool {
        person.administrator || self.names(person, owner)
    }

    /// Who is still missing when these people have said yes; each counts once, however often they are there. Empty: nobody.
    #[must_use]
    pub fn missing(&self, people: &[Person<'_>], owner: &str) -> Vec<String> {
        let mut unique: Vec<Person<'_>> = Vec::new();
        for person in people {
            if !unique.iter().any(|known| known.name.eq_ignore_ascii_case(person.name)) {
                unique.push(*person);
            }
        }
        let slots: Vec<Slot<'_>> = self.slots().collect();
        let left = fewest_left(&slots, &mut unique, owner);
        left.iter().map(ToString::to_string).collect()
    }

    /// The one user that it names, for asking policies beforehand what such a yes would change.
    pub(crate) fn one_user(&self) -> Option<&UserName> {
        match self.0.as_slice() {
            [Part::User(name)] => Some(name),
            _ => None,
        }
    }

    fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        self.0.iter().flat_map(Part::slots)
    }
}

/// The slots that stay open in the best assignment of people to slots. At most [`limits::APPROVERS`] slots, so that trying
/// all is quick; and a person who adds nothing is never recorded as having said yes.
fn fewest_left<'a>(slots: &[Slot<'a>], people: &mut Vec<Person<'_>>, owner: &str) -> Vec<Slot<'a>> {
    let Some((first, rest)) = slots.split_first() else { return Vec::new() };
    // Left open …
    let mut best = fewest_left(rest, people, owner);
    best.insert(0, *first);
    // … or filled by somebody.
    for at in 0..people.len() {
        let fills = people.get(at).is_some_and(|person| person.administrator || first.is(person, owner));
        if !fills {
            continue;
        }
        let person = people.remove(at);
        let left = fewest_left(rest, people, owner);
        people.insert(at, person);
        if left.len() < best.len() {
            best = left;
        }
    }
    best
}

fn part<'t>(words: &mut impl Iterator<Item = &'t str>) -> Result<Part, ApproverError> {
    let group = |word: Option<&str>| {
        GroupName::parse(word.ok_or(ApproverError::Words)?).map_err(|_| ApproverError::Name)
    };
    match words.next() {
        Some("owner") => Ok(Part::Owner),
        Some("user") => {
            let name = words.next().ok_or(ApproverError::Words)?;
            UserName::parse(name).map(Part::User).map_err(|_| ApproverError::Name)
        }
        Some("group") => group(words.next()).map(Part::Group),
        Some("two") if words.next() == Some("of") && words.next() == Some("group") => {
            group(words.next()).map(Part::TwoOf)
        }
        _ => Err(ApproverError::Words),
    }
}

impl Part {
    fn same_people(&self, other: &Self) -> bool {
        self.slots().first() == other.slots().first()
    }
    fn slots(&self) -> Vec<Slot<'_>> {
        match self {
            Self::Owner => vec![Slot::Owner],
            Self::User(name) => vec![Slot::User(name)],
            Self::Group(name) => vec![Slot::Group(name)],
            Self::TwoOf(name) => vec![Slot::Group(name); 2],
        }
    }
}

impl Slot<'_> {
    fn is(self, person: &Person<'_>, owner: &str) -> bool {
        match self {
            Self::Owner => person.name == owner,
            Self::User(name) => person.name == name.as_str(),
            Self::Group(name) => person.groups.contains(name),
        }
    }
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join(" and "))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoOf(name) => write!(f, "two of group {name}"),
            part => part.slots().iter().try_for_each(|slot| slot.fmt(f)),
        }
    }
}

impl fmt::Display for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner => f.write_str("owner"),
            Self::User(name) => write!(f, "user {name}"),
            Self::Group(name) => write!(f, "group {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person<'a>(name: &'a str, groups: &'a [GroupName]) -> Person<'a> {
        Person { name, groups, administrator: name == "root" }
    }

    fn group(name: &str) -> GroupName {
        GroupName::parse(name).unwrap()
    }

    #[test]
    fn the_words_are_read_and_written_in_one_way() {
        for (text, canonical, people) in [
            ("owner", "owner", 1),
            ("  owner ", "owner", 1),
            ("user ana@example.com", "user ana@example.com", 1),
            ("group dba", "group dba", 1),
            ("group and", "group and", 1),
            ("two  of group dba", "two of group dba", 2),
            ("owner and group dba", "group dba and owner", 2),
            ("group dba and owner", "group dba and owner", 2),
            ("owner and two of group dba and user bo", "owner and two of group dba and user bo", 4),
        ] {
            let read = Approver::parse(text).unwrap();
            assert_eq!((read.to_string().as_str(), read.people()), (canonical, people), "{text}");
            assert_eq!(Approver::parse(canonical), Ok(read));
        }
    }

    #[test]
    fn what_names_nobody_is_no_approver() {
        use ApproverError::{Name, TooMany, Twice, Words};
        for (text, error) in [
            ("", Words),
            ("Owner", Words),
            ("security", Words),
            ("ask the boss", Words),
            ("user", Words),
            ("group", Words),
            ("two of dba", Words),
            ("two of group", Words),
            ("three of group dba", Words),
            ("owner or group dba", Words),
            ("owner and", Words),
            ("and owner", Words),
            ("owner, group dba", Words),
            ("user workload:ci", Name),
            ("user \u{e9}", Name),
            ("owner and owner", Twice),
            ("group dba and two of group dba", Twice),
            ("two of group a and two of group b and owner", TooMany),
        ] {
            assert_eq!(Approver::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn each_yes_is_of_somebody_else() {
        let dba = [group("dba")];
        let (ana, bo, olga) = (person("ana", &dba), person("bo", &dba), person("olga", &[]));
        let two = Approver::parse("two of group dba").unwrap();
        assert_eq!(two.missing(&[], "olga"), ["group dba", "group dba"]);
        assert_eq!(two.missing(&[ana], "olga"), ["group dba"]);
        assert_eq!(two.missing(&[ana, ana], "olga"), ["group dba"]);
        assert_eq!(
            two.missing(&[ana, person("ANA", &dba)], "olga"),
            ["group dba"],
            "one person, spelt twice"
        );
        assert_eq!(two.missing(&[ana, olga], "olga"), ["group dba"]);
        assert!(two.missing(&[ana, bo], "olga").is_empty());
        assert_eq!(
            two.missing(&[person("root", &[])], "olga").len(),
            1,
            "an administrator is one person too"
        );
        assert!(two.missing(&[person("root", &[]), bo], "olga").is_empty());
    }

    #[test]
    fn people_stand_where_they_are_needed() {
        let dba = [group("dba")];
        let both = Approver::parse("owner and group dba").unwrap();
        // The owner, who is in the group too, must not take the only place that the other could fill.
        let (owner, bo) = (person("olga", &dba), person("bo", &dba));
        assert!(both.missing(&[owner, bo], "olga").is_empty());
        assert!(both.missing(&[bo, owner], "olga").is_empty());
        assert_eq!(both.missing(&[bo, person("cy", &dba)], "olga"), ["owner"]);
        assert_eq!(both.missing(&[owner], "olga").len(), 1);
    }

    #[test]
    fn who_is_named_may_decide_and_administrators_may_too() {
        let dba = [group("dba")];
        let approver = Approver::parse("user ana and group dba").unwrap();
        for (who, named, admitted) in [
            (person("ana", &[]), true, true),
            (person("bo", &dba), true, true),
            (person("olga", &[]), false, false),
            (person("root", &[]), false, true),
        ] {
            assert_eq!((approver.names(&who, "olga"), approver.admits(&who, "olga")), (named, admitted));
        }
        assert!(Approver::parse("owner").unwrap().names(&person("olga", &[]), "olga"));
    }
}
