//! Review campaigns: each live identity gets a reviewer who is not its owner; a no ends it, and so does silence.

use crate::identity::{Identity, IdentityKind};
use portunus_core::document::{Review, ReviewVerdict};
use portunus_core::id::{self, UserName};
use portunus_core::time::{Rng, Timestamp};
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;

/// Shortest and longest time that reviewers are given.
pub const TIME_TO_SAY: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(90 * 86_400));
/// Bytes of a reason.
const WHY_BYTES: usize = 1024;

/// Why a review was not opened, or a verdict not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// The name cannot be a campaign's.
    #[error("a campaign's name has 1 to 64 letters, digits, `-` and `.`, as in 2027-q1")]
    Name,
    /// Too little or too much time.
    #[error("reviewers get between 1 hour and 90 days")]
    Time,
    /// Nobody may review it.
    #[error("nobody may review {identity}: {owner} is its owner, and no other reviewer was named")]
    NobodyMay {
        /// The identity.
        identity: String,
        /// Its owner.
        owner: String,
    },
    /// It is somebody else's to say.
    #[error("this is for {0} to say")]
    NotYours(UserName),
    /// It was said already.
    #[error("this was said already, by {0}")]
    Said(UserName),
    /// The time is over.
    #[error("the time to say this was over at {0}")]
    Late(Timestamp),
    /// There must be a reason.
    #[error("give a reason, of 1 KiB at most")]
    Why,
}

/// Opens a campaign over every live credential, connector and administered client: each gets the next of the reviewers who is
/// not its owner.
///
/// # Errors
/// When the name or the time is not good, or nobody may review something.
pub fn open(
    campaign: &str,
    identities: &[Identity],
    reviewers: &[UserName],
    (now, time): (Timestamp, Duration),
    rng: &dyn Rng,
) -> Result<Vec<Review>, ReviewError> {
    let good = |c: u8| c.is_ascii_alphanumeric() || b"-.".contains(&c);
    if campaign.is_empty() || campaign.len() > 64 || !campaign.bytes().all(good) {
        return Err(ReviewError::Name);
    }
    if time < TIME_TO_SAY.0 || time > TIME_TO_SAY.1 {
        return Err(ReviewError::Time);
    }
    let reviewed: Vec<_> =
        identities.iter().filter(|identity| identity.standing.is_live() && is_reviewed(identity)).collect();
    let (mut turn, of) = (0, reviewed.len());
    reviewed
        .into_iter()
        .map(|identity| {
            let owner = identity.owner.as_deref().unwrap_or_default();
            let others = reviewers.iter().filter(|reviewer| !is_same(reviewer, owner));
            let others: Vec<_> = others.collect();
            let reviewer = others.get(turn % others.len().max(1)).ok_or_else(|| ReviewError::NobodyMay {
                identity: identity.id.clone(),
                owner: owner.to_owned(),
            })?;
            turn += 1;
            Ok(Review {
                id: id::mint("rvw", now, rng),
                campaign: campaign.to_owned(),
                identity: identity.id.clone(),
                owner: identity.owner.clone(),
                reviewer: (*reviewer).clone(),
                of,
                opened_at: now,
                due_at: now.plus(time),
                verdict: None,
                closed_at: None,
            })
        })
        .collect()
}

/// The reviews of campaigns that were opened to their end, and the others: of these not all were stored, and nobody sees them.
#[must_use]
pub fn whole(reviews: Vec<Review>) -> (Vec<Review>, Vec<Review>) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for review in &reviews {
        *count.entry(review.campaign.clone()).or_default() += 1;
    }
    reviews
        .into_iter()
        .partition(|review| count.get(&review.campaign).is_some_and(|count| *count >= review.of))
}

/// What somebody answers for, and can be ended.
fn is_reviewed(identity: &Identity) -> bool {
    match identity.kind {
        IdentityKind::Credential | IdentityKind::Connector => true,
        IdentityKind::Client => identity.owner.is_some(),
        _ => false,
    }
}

/// Owners are written by people: `Ana` is `ana`, and so is `ana@example.com` where that is her account's name.
fn is_same(user: &UserName, owner: &str) -> bool {
    user.as_str().eq_ignore_ascii_case(owner.trim())
}

/// What is signed.
#[derive(Debug, Clone, Serialize)]
pub struct Statement<'a> {
    /// Whose word this is: the edge's URL.
    pub iss: &'a str,
    /// Seconds since the epoch.
    pub iat: u64,
    /// The review.
    pub jti: &'a str,
    /// The campaign.
    pub campaign: &'a str,
    /// The identity.
    pub identity: &'a str,
    /// Its owner then.
    pub owner: Option<&'a str>,
    /// Who said it.
    pub reviewer: &'a str,
    /// Whether it is still wanted.
    pub keep: bool,
    /// Why.
    pub why: &'a str,
}

/// A review with what was said. `sign` makes a JWS of the statement.
///
/// # Errors
/// When it is not this user's to say, was said, is too late, or has no reason; nothing is signed then.
pub fn say(
    review: &Review,
    by: &UserName,
    (keep, why): (bool, &str),
    now: Timestamp,
    issuer: &str,
    sign: impl FnOnce(&Statement<'_>) -> String,
) -> Result<Review, ReviewError> {
    let owner = review.owner.as_deref().unwrap_or_default();
    if *by != review.reviewer || is_same(by, owner) {
        return Err(ReviewError::NotYours(review.reviewer.clone()));
    }
    if let Some(verdict) = &review.verdict {
        return Err(ReviewError::Said(verdict.by.clone()));
    }
    if review.due_at.is_past(now) || review.closed_at.is_some() {
        return Err(ReviewError::Late(review.due_at));
    }
    let why = why.trim();
    if why.is_empty() || why.len() > WHY_BYTES || why.chars().any(char::is_control) {
        return Err(ReviewError::Why);
    }
    let signed = sign(&Statement {
        iss: issuer,
        iat: now.as_secs(),
        jti: review.id.as_str(),
        campaign: &review.campaign,
        identity: &review.identity,
        owner: review.owner.as_deref(),
        reviewer: by.as_str(),
        keep,
        why,
    });
    let verdict = ReviewVerdict { keep, by: by.clone(), why: why.to_owned(), at: now, signed };
    Ok(Review { verdict: Some(verdict), ..review.clone() })
}

/// What is to be done about a review at `now`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet, or nothing any more.
    Nothing,
    /// It stays.
    Close,
    /// It is to be disabled, for this reason.
    Disable(String),
}

/// What follows from a review.
#[must_use]
pub fn due(review: &Review, now: Timestamp) -> Due {
    let Review { campaign, reviewer, due_at, .. } = review;
    match &review.verdict {
        _ if review.closed_at.is_some() => Due::Nothing,
        Some(verdict) if verdict.keep => Due::Close,
        Some(verdict) => {
            Due::Disable(format!("{} said in the review {campaign}: {}", verdict.by, verdict.why))
        }
        None if due_at.is_past(now) => {
            Due::Disable(format!("{reviewer} said nothing in the review {campaign} until {due_at}"))
        }
        None => Due::Nothing,
    }
}
