//! `/emergencies`: asking, allowing, ending. Whoever is no approver sees their own only.

use super::{StepError, ask, end, say};
use crate::answer::{self, Answer, moment, page as render};
use crate::input;
use crate::sign_in::{self, Visitor, Who};
use crate::state::State;
use askama::Template;
use axum::extract::{Request, State as Shared};
use http::StatusCode;
use portunus_core::document::{Emergency, User};
use portunus_core::id::{GroupName, Id, ServerName};
use portunus_core::limits::{APPROVAL_REASON_CHARS, EMERGENCY_LIFE, EMERGENCY_REASON_BYTES};
use portunus_core::store::{StoreError, list_all};
use portunus_governance::emergency::{Asked, asked_by, may_allow};
use portunus_oauth::form::Form;
use portunus_oauth::text;
use std::time::Duration;

const HERE: &str = "/emergencies";
const PURPOSE: &str = "to ask for access in an emergency, or to allow it.";

#[derive(Template)]
#[template(path = "emergencies.html")]
struct Page<'a> {
    site: &'a str,
    who: Who,
    notice: Option<Notice>,
    csrf: String,
    /// Who allows what is asked for here; `None`: nothing can be.
    approvers: Option<String>,
    servers: Vec<(String, String)>,
    waiting: Vec<Row>,
    open: Vec<Row>,
    past: Vec<Row>,
    longest_minutes: u64,
    reason_bytes: usize,
    said_chars: usize,
}

struct Notice {
    text: String,
    bad: bool,
}

/// One emergency, for people.
pub(crate) struct Row {
    id: String,
    pub(crate) user: String,
    pub(crate) server: String,
    pub(crate) reason: String,
    pub(crate) standing: &'static str,
    pub(crate) about: String,
}

/// `GET /emergencies`
pub(crate) async fn show(Shared(state): Shared<State>, request: Request) -> Answer {
    let head = input::head(request);
    let visitor = sign_in::admit(&state, &head.headers, HERE, Some(PURPOSE)).await?;
    page(&state, &visitor, None, StatusCode::OK).await
}

/// `POST /emergencies`
pub(crate) async fn act(Shared(state): Shared<State>, request: Request) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let visitor = sign_in::admit(&state, &head.headers, HERE, Some(PURPOSE)).await?;
    visitor.check(&state, &form, HERE)?;
    let done = match form.get("act") {
        Some("ask") => asked(&state, &visitor, &form).await,
        Some("allow") => ruled(&state, &visitor, &form, true).await,
        Some("deny") => ruled(&state, &visitor, &form, false).await,
        Some("end") => ended(&state, &visitor, &form).await,
        _ => return Err(answer::stale_form(&state)),
    };
    let (notice, status) = match done {
        Ok(text) => (Notice { text, bad: false }, StatusCode::OK),
        Err(StepError::Trouble(trouble)) => return Err(answer::trouble(&state, &trouble)),
        Err(StepError::Gone) => {
            let text = String::from("There is no such emergency, or somebody changed it in this moment.");
            (Notice { text, bad: true }, StatusCode::CONFLICT)
        }
        Err(StepError::Refused(why)) => {
            (Notice { text: sentence(&why.to_string()), bad: true }, StatusCode::CONFLICT)
        }
    };
    page(&state, &visitor, Some(notice), status).await
}

async fn asked(state: &State, visitor: &Visitor, form: &Form) -> Result<String, StepError> {
    let name = form.get("server").and_then(|name| ServerName::parse(name).ok()).ok_or(StepError::Gone)?;
    let issuer = state.issuer();
    let server = issuer.server(&name).ok_or(StepError::Gone)?;
    let minutes: u64 = form.get("minutes").and_then(|text| text.parse().ok()).unwrap_or(0);
    let asked = Asked {
        user: visitor.signed_in.user.name.clone(),
        server: name,
        credential: server.credential.clone(),
        reason: form.get("why").unwrap_or_default().to_owned(),
        time: Duration::from_secs(minutes.saturating_mul(60)),
    };
    let new = ask(&state.ports(), asked, state.emergency_approvers().as_deref()).await?;
    Ok(format!("Asked. Two of {} must say yes until {}.", new.approvers, moment(new.answer_by)))
}

async fn ruled(state: &State, visitor: &Visitor, form: &Form, allow: bool) -> Result<String, StepError> {
    let said = text::clean(form.get("why").unwrap_or_default(), APPROVAL_REASON_CHARS);
    let by = &visitor.signed_in.user;
    let ruled = say(&state.ports(), &id(form)?, by, (allow, said.as_deref())).await?;
    Ok(match (allow, ruled.until) {
        (false, _) => String::from("Denied."),
        (true, None) => String::from("Your yes is noted. Somebody else must say yes too."),
        (true, Some(until)) => {
            format!("{} has access to {} until {}.", ruled.user, ruled.server, moment(until))
        }
    })
}

/// By whoever asked, whoever may allow, and administrators.
async fn ended(state: &State, visitor: &Visitor, form: &Form) -> Result<String, StepError> {
    let id = id(form)?;
    let user = &visitor.signed_in.user;
    let all = list_all::<Emergency>(state.store(), None).await?;
    let seen = all.iter().any(|one| one.value.id == id && may_end(&one.value, user));
    if !seen {
        return Err(StepError::Gone);
    }
    let ended = end(&state.ports(), &id, user.name.as_str(), "ended by hand").await?;
    Ok(format!("Ended. What {} still has open at {} is closed within moments.", ended.user, ended.server))
}

fn may_end(emergency: &Emergency, user: &User) -> bool {
    asked_by(emergency, &user.name) || may_allow(emergency, user) || user.administrator
}

fn id(form: &Form) -> Result<Id, StepError> {
    form.get("emergency").and_then(|id| Id::parse(id).ok()).ok_or(StepError::Gone)
}

async fn page(state: &State, visitor: &Visitor, notice: Option<Notice>, status: StatusCode) -> Answer {
    let issuer = state.issuer();
    let (now, user) = (state.now(), &visitor.signed_in.user);
    let approvers = state.emergency_approvers();
    let all = seen_by(state, user, approvers.as_deref()).await.map_err(answer::store_trouble(state))?;
    let said =
        |one: &Emergency| one.rulings.iter().any(|ruling| ruling.by.eq_ignore_ascii_case(user.name.as_str()));
    let waits = |one: &&Emergency| one.is_waiting(now) && may_allow(one, user) && !said(one);
    let is_open = |one: &&Emergency| (one.is_waiting(now) || one.is_active(now)) && !waits(one);
    let rows = |keep: &dyn Fn(&&Emergency) -> bool| -> Vec<Row> {
        all.iter().filter(keep).map(|one| row(state, one)).collect()
    };
    let template = Page {
        site: answer::site(issuer.as_str()),
        who: visitor.who(),
        notice,
        csrf: visitor.proof(HERE),
        approvers: approvers.map(|group| group.to_string()),
        servers: issuer.servers().iter().map(|one| (one.name.to_string(), one.title.clone())).collect(),
        waiting: rows(&waits),
        open: rows(&is_open),
        past: rows(&|one| !one.is_waiting(now) && !one.is_active(now)).into_iter().take(100).collect(),
        longest_minutes: EMERGENCY_LIFE.1.as_secs() / 60,
        reason_bytes: EMERGENCY_REASON_BYTES,
        said_chars: APPROVAL_REASON_CHARS,
    };
    Ok(render(status, &template))
}

/// Those that somebody may see, the newest first.
async fn seen_by(
    state: &State,
    user: &User,
    approvers: Option<&GroupName>,
) -> Result<Vec<Emergency>, StoreError> {
    let all = list_all::<Emergency>(state.store(), None).await?.into_iter().map(|one| one.value);
    let every = user.administrator || approvers.is_some_and(|group| user.groups.contains(group));
    let mut seen: Vec<_> = all
        .filter(|one| every || asked_by(one, &user.name) || user.groups.contains(&one.approvers))
        .collect();
    seen.reverse();
    Ok(seen)
}

/// Emergencies with credentials of these identities (`credential:NAME`), for whoever reviews those.
pub(crate) async fn of_identities(state: &State, identities: &[&str]) -> Result<Vec<Row>, StoreError> {
    let all = list_all::<Emergency>(state.store(), None).await?;
    let concerned = all.iter().rev().map(|one| &one.value).filter(|one| {
        one.credential
            .as_ref()
            .is_some_and(|name| identities.contains(&format!("credential:{name}").as_str()))
    });
    Ok(concerned.take(100).map(|one| row(state, one)).collect())
}

fn row(state: &State, one: &Emergency) -> Row {
    let mut about = vec![format!("asked {}", moment(one.asked_at))];
    about.extend(one.rulings.iter().map(|ruling| {
        let word = if ruling.allow { "yes" } else { "no" };
        let why = ruling.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{} said {word}{why}", ruling.by)
    }));
    match (&one.ended, one.until) {
        (Some(ended), _) => about.push(format!("ended {} by {}: {}", moment(ended.at), ended.by, ended.why)),
        (None, Some(until)) => about.push(format!("until {}", moment(until))),
        (None, None) => about.push(format!("to be answered until {}", moment(one.answer_by))),
    }
    let issuer = state.issuer();
    Row {
        id: one.id.to_string(),
        user: one.user.to_string(),
        server: issuer
            .server(&one.server)
            .map_or_else(|| one.server.to_string(), |server| server.title.clone()),
        reason: text::reveal(&one.reason),
        standing: one.standing(state.now()),
        about: about.join(" · "),
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}
