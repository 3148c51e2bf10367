//! `/reviews`: what the visitor is to review, each identity with who owns it, and the two answers. Whoever is no reviewer finds
//! an empty page.

use crate::answer::{self, Answer, moment, page as render};
use crate::emergencies;
use crate::input;
use crate::sign_in::{self, Visitor, Who};
use crate::state::State;
use askama::Template;
use axum::extract::{Request, State as Shared};
use http::StatusCode;
use portunus_core::document::Review;
use portunus_core::id::Id;
use portunus_core::record::{Event, Record};
use portunus_core::store::{Batch, StoreError, Versioned, list_all, load};
use portunus_governance::review::{ReviewError, say, whole};
use portunus_oauth::ports::Trouble;
use portunus_oauth::text;
use std::collections::BTreeMap;

const HERE: &str = "/reviews";
const PURPOSE: &str = "to say which identities are still wanted.";

#[derive(Template)]
#[template(path = "reviews.html")]
struct ReviewsPage<'a> {
    site: &'a str,
    who: Who,
    notice: Option<Notice>,
    csrf: String,
    open: Vec<Row>,
    said: Vec<Row>,
    /// With credentials that the visitor reviews.
    emergencies: Vec<emergencies::Row>,
}

struct Notice {
    text: String,
    bad: bool,
}

struct Row {
    id: String,
    identity: String,
    campaign: String,
    owner: String,
    until: String,
    verdict: String,
}

/// `GET /reviews`
pub(crate) async fn page(Shared(state): Shared<State>, request: Request) -> Answer {
    let head = input::head(request);
    let visitor = sign_in::admit(&state, &head.headers, HERE, Some(PURPOSE)).await?;
    show(&state, &visitor, None, StatusCode::OK).await
}

/// `POST /reviews`
pub(crate) async fn answer(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let visitor = sign_in::admit(&state, &head.headers, HERE, Some(PURPOSE)).await?;
    visitor.check(&state, &form, HERE)?;
    let keep = match form.get("verdict") {
        Some("keep") => true,
        Some("end") => false,
        _ => return Err(answer::stale_form(&state)),
    };
    let id = form.get("review").and_then(|id| Id::parse(id).ok());
    let id = id.ok_or_else(|| answer::stale_form(&state))?;
    let why = form.get("why").unwrap_or_default();
    let (notice, status) = match decide(&state, &visitor, &id, (keep, why)).await {
        Ok(review) => {
            let text = if keep {
                format!("{} stays.", review.identity)
            } else {
                format!("{} will be disabled within a minute.", review.identity)
            };
            (Notice { text, bad: false }, StatusCode::OK)
        }
        Err(Refused::Review(error)) => {
            (Notice { text: sentence(&error.to_string()), bad: true }, StatusCode::CONFLICT)
        }
        Err(Refused::Gone) => {
            let text = String::from("There is no such review, or somebody changed it in this moment.");
            (Notice { text, bad: true }, StatusCode::CONFLICT)
        }
        Err(Refused::Trouble(trouble)) => return Err(answer::trouble(&state, &trouble)),
    };
    show(&state, &visitor, Some(notice), status).await
}

enum Refused {
    Review(ReviewError),
    Gone,
    Trouble(Trouble),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict { .. } => Self::Gone,
            other => Self::Trouble(other.into()),
        }
    }
}

/// Signed, recorded, then stored.
async fn decide(
    state: &State,
    visitor: &Visitor,
    id: &Id,
    (keep, why): (bool, &str),
) -> Result<Review, Refused> {
    let found = load::<Review>(state.store(), id.as_str()).await?;
    let Versioned { value: review, version } = found.ok_or(Refused::Gone)?;
    let campaign = list_all::<Review>(state.store(), Some(&review.campaign)).await?;
    if campaign.len() < review.of {
        return Err(Refused::Gone);
    }
    let (by, now, issuer) = (&visitor.signed_in.user.name, state.now(), state.issuer());
    let said = say(&review, by, (keep, why), now, issuer.as_str(), |statement| state.sign(statement))
        .map_err(Refused::Review)?;
    let verdict = said.verdict.as_ref().ok_or(Refused::Gone)?;
    let detail = BTreeMap::from([
        ("campaign".to_owned(), said.campaign.clone()),
        ("identity".to_owned(), said.identity.clone()),
        ("keep".to_owned(), verdict.keep.to_string()),
        ("why".to_owned(), verdict.why.clone()),
        ("signed".to_owned(), verdict.signed.clone()),
    ]);
    let event = Event {
        at: now,
        by: by.to_string(),
        action: String::from("review.said"),
        subject: said.id.to_string(),
        detail,
    };
    state
        .ports()
        .ledger
        .append(Record::Event(event))
        .await
        .map_err(|error| Refused::Trouble(error.into()))?;
    state.store().commit(Batch::new().update(&said, version)).await?;
    Ok(said)
}

async fn show(state: &State, visitor: &Visitor, notice: Option<Notice>, status: StatusCode) -> Answer {
    let issuer = state.issuer();
    let mine = &visitor.signed_in.user.name;
    let all = list_all::<Review>(state.store(), None).await.map_err(answer::store_trouble(state))?;
    let (all, _cut_off) = whole(all.into_iter().map(|review| review.value).collect());
    let own: Vec<_> = all.iter().filter(|review| review.reviewer == *mine).collect();
    let reviewed: Vec<&str> = own.iter().map(|review| review.identity.as_str()).collect();
    let emergencies =
        emergencies::of_identities(state, &reviewed).await.map_err(answer::store_trouble(state))?;
    let (open, said): (Vec<_>, Vec<_>) = own.into_iter().partition(|review| {
        review.verdict.is_none() && review.closed_at.is_none() && !review.due_at.is_past(state.now())
    });
    let template = ReviewsPage {
        site: answer::site(issuer.as_str()),
        who: visitor.who(),
        notice,
        csrf: visitor.proof(HERE),
        open: open.into_iter().map(row).collect(),
        said: said.into_iter().rev().take(100).map(row).collect(),
        emergencies,
    };
    Ok(render(status, &template))
}

fn row(review: &Review) -> Row {
    let verdict = match &review.verdict {
        Some(verdict) if verdict.keep => format!("stays: {}", verdict.why),
        Some(verdict) => format!("ended: {}", verdict.why),
        None => String::from("nothing was said in time: ended"),
    };
    Row {
        id: review.id.to_string(),
        identity: text::reveal(&review.identity),
        campaign: review.campaign.clone(),
        owner: review.owner.as_deref().map(text::reveal).unwrap_or_default(),
        until: moment(review.due_at),
        verdict,
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
