//! Emergencies (break-glass): asked for with a reason, allowed by two others, over after an hour at most. An emergency permits
//! nothing by itself: it is something that policies can look at.

use portunus_core::document::{Emergency, EmergencyEnd, Ruling, Through, User};
use portunus_core::id::{self, CredentialName, GroupName, ServerName, UserName};
use portunus_core::limits::{EMERGENCIES_PER_USER, EMERGENCY_ANSWER, EMERGENCY_LIFE, EMERGENCY_REASON_BYTES};
use portunus_core::time::{Rng, Timestamp};
use std::time::Duration;

/// How many others must say yes.
pub const APPROVERS: usize = 2;

/// Why an emergency was not asked for, allowed or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmergencyError {
    /// Nobody could allow it.
    #[error(
        "no emergencies can be asked for here: the configuration names no `governance.emergency_approvers`"
    )]
    Nobody,
    /// There must be a reason.
    #[error("give a reason, of 1 KiB at most, on one line")]
    Reason,
    /// Too short or too long.
    #[error("an emergency lasts between 1 and {} minutes", EMERGENCY_LIFE.1.as_secs() / 60)]
    Time,
    /// It is there already, or there are too many.
    #[error("you have asked for this already, or for too much at once; see what is open")]
    Open,
    /// One's own.
    #[error("two others must allow what you ask for")]
    Own,
    /// Not one of those who may.
    #[error("this is for the members of {0} to say")]
    NotYours(GroupName),
    /// The same person twice.
    #[error("you have said yes already; somebody else must too")]
    Twice,
    /// It is over, or was decided.
    #[error("this is over, or was decided already")]
    Over,
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who.
    pub user: UserName,
    /// For which server.
    pub server: ServerName,
    /// The credential that its calls carry.
    pub credential: Option<CredentialName>,
    /// Why.
    pub reason: String,
    /// For how long.
    pub time: Duration,
}

/// A new emergency, which nobody has allowed yet. `own` are those that this user asked for before.
///
/// # Errors
/// When nobody may allow it, or the reason, the time or the number of open ones is not good.
pub fn ask(
    asked: Asked,
    approvers: Option<&GroupName>,
    own: &[Emergency],
    now: Timestamp,
    rng: &dyn Rng,
) -> Result<Emergency, EmergencyError> {
    let Asked { user, server, credential, reason, time } = asked;
    let approvers = approvers.ok_or(EmergencyError::Nobody)?;
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > EMERGENCY_REASON_BYTES || reason.chars().any(char::is_control) {
        return Err(EmergencyError::Reason);
    }
    if time < EMERGENCY_LIFE.0 || time > EMERGENCY_LIFE.1 {
        return Err(EmergencyError::Time);
    }
    let open: Vec<_> = own.iter().filter(|one| one.is_waiting(now) || one.is_active(now)).collect();
    if open.len() >= EMERGENCIES_PER_USER || open.iter().any(|one| one.server == server) {
        return Err(EmergencyError::Open);
    }
    Ok(Emergency {
        id: id::mint("emg", now, rng),
        user,
        server,
        credential,
        reason: reason.to_owned(),
        seconds: time.as_secs(),
        approvers: approvers.clone(),
        asked_at: now,
        answer_by: now.plus(EMERGENCY_ANSWER),
        rulings: Vec::new(),
        allowed_at: None,
        until: None,
        ended: None,
        closed_at: None,
    })
}

/// Whether this user is one of those who may allow it.
#[must_use]
pub fn may_allow(emergency: &Emergency, user: &User) -> bool {
    user.disabled_at.is_none()
        && user.groups.contains(&emergency.approvers)
        && !asked_by(emergency, &user.name)
}

/// Whether it is this user's own.
#[must_use]
pub fn asked_by(emergency: &Emergency, user: &UserName) -> bool {
    same(emergency.user.as_str(), user.as_str())
}

/// Two spellings that differ in case alone are one person's.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// An emergency with what somebody says of it. The second yes starts it; a no ends it, and so does whoever asked. `others` are the
/// accounts of those who said yes before, as they are now: who was disabled or left the group since has no say any more.
///
/// # Errors
/// When it is not this user's to say, they said so already, or it is too late.
pub fn say(
    emergency: &Emergency,
    by: &User,
    (allow, reason): (bool, Option<&str>),
    others: &[User],
    now: Timestamp,
) -> Result<Emergency, EmergencyError> {
    let own = asked_by(emergency, &by.name);
    if !emergency.is_waiting(now) {
        return Err(EmergencyError::Over);
    }
    if own && allow {
        return Err(EmergencyError::Own);
    }
    if !own && !may_allow(emergency, by) {
        return Err(EmergencyError::NotYours(emergency.approvers.clone()));
    }
    if allow && emergency.rulings.iter().any(|ruling| same(&ruling.by, by.name.as_str())) {
        return Err(EmergencyError::Twice);
    }
    let mut said = emergency.clone();
    said.rulings.push(Ruling {
        by: by.name.to_string(),
        allow,
        through: Through::Page,
        as_administrator: false,
        reason: reason.map(str::to_owned),
        at: now,
    });
    if !allow {
        let why = reason.unwrap_or(if own { "it was withdrawn" } else { "it was denied" });
        said.ended = Some(EmergencyEnd { at: now, by: by.name.to_string(), why: why.to_owned() });
    } else if standing_yes(&said, others) >= APPROVERS - 1 {
        let (_, longest) = EMERGENCY_LIFE;
        said.allowed_at = Some(now);
        said.until = Some(now.plus(Duration::from_secs(emergency.seconds).min(longest)));
    }
    Ok(said)
}

/// How many of those who said yes before the last one could say so now.
fn standing_yes(said: &Emergency, others: &[User]) -> usize {
    let (_, before) =
        said.rulings.split_last().map_or((None, &[][..]), |(last, before)| (Some(last), before));
    let counts = |ruling: &&Ruling| {
        ruling.allow && others.iter().any(|user| user.name.as_str() == ruling.by && may_allow(said, user))
    };
    before.iter().filter(counts).count()
}

/// An active emergency, or one that waits, ended by hand.
///
/// # Errors
/// When it is over.
pub fn end(emergency: &Emergency, by: &str, why: &str, now: Timestamp) -> Result<Emergency, EmergencyError> {
    if !emergency.is_active(now) && !emergency.is_waiting(now) {
        return Err(EmergencyError::Over);
    }
    let ended = Some(EmergencyEnd { at: now, by: by.to_owned(), why: why.to_owned() });
    Ok(Emergency { ended, ..emergency.clone() })
}

/// What is to be done about an emergency at `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet, or nothing any more.
    Nothing,
    /// Its time is over: it ends, in these words.
    End(&'static str),
    /// It ended: what was open through it is to be closed.
    Close,
}

/// What follows from an emergency.
#[must_use]
pub fn due(emergency: &Emergency, now: Timestamp) -> Due {
    match (&emergency.ended, emergency.allowed_at) {
        _ if emergency.closed_at.is_some() || emergency.is_active(now) || emergency.is_waiting(now) => {
            Due::Nothing
        }
        (None, Some(_)) => Due::End("its time is over"),
        (None, None) => Due::End("nobody allowed it in time"),
        (Some(_), _) => Due::Close,
    }
}
