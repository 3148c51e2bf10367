//! `/approvals` and `/approvals/{id}`: what waits for the visitor's yes, and one call as a whole. Who asked sees their own
//! call too, may withdraw it, and can send the address to whoever decides. Everybody else finds nothing here.

use super::{ApprovalError, Said, asked_by, awaits, decide, may_see, missing, pending, person};
use crate::answer::{self, Answer, Refusal, moment, page as render};
use crate::input;
use crate::sign_in::{self, Visitor, Who};
use crate::state::State;
use askama::Template;
use axum::extract::{Path, Request, State as Shared};
use http::StatusCode;
use portunus_core::document::{Approval, ApprovalState, Client, Estimate, Ruling, SqlSummary, Through};
use portunus_core::id::{Id, ServerName};
use portunus_core::limits;
use portunus_core::store::load;
use portunus_core::time::Timestamp;
use portunus_oauth::config::Issuer;
use portunus_oauth::text;

const LIST: &str = "/approvals";
const PURPOSE: &str = "to see a call that waits for a person's yes.";
/// Characters of a client's name.
const NAME_CHARS: usize = 80;

#[derive(Template)]
#[template(path = "approvals.html")]
struct ListPage<'a> {
    site: &'a str,
    who: Who,
    waiting: Vec<Row>,
    own: Vec<Row>,
}

struct Row {
    id: String,
    user: String,
    tool: String,
    server: String,
    reason: String,
    until: String,
}

#[derive(Template)]
#[template(path = "approval.html")]
struct CallPage<'a> {
    site: &'a str,
    who: Who,
    notice: Option<Notice>,
    csrf: String,
    id: &'a str,
    user: &'a str,
    client: String,
    client_id: &'a str,
    server: String,
    environment: &'a str,
    tool: String,
    arguments: String,
    besides: Option<String>,
    statement: Option<String>,
    reason: &'a str,
    approver: &'a str,
    rulings: Vec<String>,
    missing: String,
    asked: String,
    until: String,
    facts: Option<Facts>,
    estimate: Option<String>,
    /// Waits for this visitor's yes.
    open: bool,
    /// Is the visitor's own, and waits.
    own: bool,
    /// Who would still have to say yes after the visitor.
    more: bool,
    reason_chars: usize,
}

struct Notice {
    text: String,
    bad: bool,
}

struct Facts {
    complete: bool,
    rows: Vec<(&'static str, String)>,
    left_out: usize,
}

/// `GET /approvals`
pub(crate) async fn list(Shared(state): Shared<State>, request: Request) -> Answer {
    let head = input::head(request);
    let visitor = sign_in::admit(&state, &head.headers, LIST, Some(PURPOSE)).await?;
    let issuer = state.issuer();
    let who = person(&visitor.signed_in.user);
    let all = pending(state.store(), state.now()).await.map_err(answer::store_trouble(&state))?;
    let rows = |keep: &dyn Fn(&Approval) -> bool| {
        all.iter().filter(|approval| keep(approval)).map(|approval| row(&issuer, approval)).collect()
    };
    let template = ListPage {
        site: answer::site(issuer.as_str()),
        who: visitor.who(),
        waiting: rows(&|approval| awaits(approval, &issuer, &who)),
        own: rows(&|approval| asked_by(approval, &who)),
    };
    Ok(render(StatusCode::OK, &template))
}

/// `GET /approvals/{id}`
pub(crate) async fn show(Shared(state): Shared<State>, Path(id): Path<String>, request: Request) -> Answer {
    let head = input::head(request);
    let id = Id::parse(&id).map_err(|_| nothing(&state))?;
    let visitor = sign_in::admit(&state, &head.headers, &address(&id), Some(PURPOSE)).await?;
    show_call(&state, &visitor, &id, None, StatusCode::OK).await
}

/// `POST /approvals/{id}`
pub(crate) async fn decide_on_page(
    Shared(state): Shared<State>,
    Path(id): Path<String>,
    request: Request,
) -> Answer {
    let (head, form) = input::page_form(&state, request).await?;
    let id = Id::parse(&id).map_err(|_| nothing(&state))?;
    let visitor = sign_in::admit(&state, &head.headers, &address(&id), Some(PURPOSE)).await?;
    visitor.check(&state, &form, &purpose(&id))?;
    let allow = match form.get("decision") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(answer::stale_form(&state)),
    };
    let reason = text::clean(form.get("reason").unwrap_or_default(), limits::APPROVAL_REASON_CHARS);
    let said = Said { allow, reason: reason.as_deref(), through: Through::Page };
    let who = person(&visitor.signed_in.user);
    let decided = decide(&state.ports(), &state.issuer(), &id, &who, &said).await;
    let (text, bad, status) = match decided {
        Ok(decided) => (done(&decided, &visitor), false, StatusCode::OK),
        Err(ApprovalError::Unknown) => return Err(nothing(&state)),
        Err(ApprovalError::Trouble(trouble)) => return Err(answer::trouble(&state, &trouble)),
        Err(error @ ApprovalError::Own) => (sentence(&error), true, StatusCode::FORBIDDEN),
        Err(error) => (sentence(&error), true, StatusCode::CONFLICT),
    };
    show_call(&state, &visitor, &id, Some(Notice { text, bad }), status).await
}

fn done(decided: &Approval, visitor: &Visitor) -> String {
    match decided.state {
        ApprovalState::Allowed => format!("Allowed, once. {} can make this call now.", decided.user),
        ApprovalState::Pending => String::from("Your yes is noted. Somebody else must say yes too."),
        _ if asked_by(decided, &person(&visitor.signed_in.user)) => {
            String::from("Withdrawn. Nothing was sent.")
        }
        _ => String::from("Denied. Nothing was sent, and the client is told so when it asks again."),
    }
}

fn sentence(error: &ApprovalError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

/// A form made for one call is good for no other one.
fn purpose(id: &Id) -> String {
    format!("approval {id}")
}

fn address(id: &Id) -> String {
    format!("{LIST}/{id}")
}

/// One that is not there, or not for this visitor.
fn nothing(state: &State) -> Refusal {
    let text = "It may have expired, or it is for somebody else to decide.";
    let hint = Some("What waits for your yes is at /approvals.");
    answer::message(state, StatusCode::NOT_FOUND, "There is no such call waiting", text, hint)
}

async fn show_call(
    state: &State,
    visitor: &Visitor,
    id: &Id,
    notice: Option<Notice>,
    status: StatusCode,
) -> Answer {
    let issuer = state.issuer();
    let trouble = answer::store_trouble(state);
    let who = person(&visitor.signed_in.user);
    let found = load::<Approval>(state.store(), id.as_str()).await.map_err(&trouble)?;
    let found = found.map(|found| found.value).filter(|approval| may_see(approval, &issuer, &who));
    let Some(approval) = found else { return Err(nothing(state)) };
    let missing = missing(state.store(), &issuer, &approval).await.map_err(&trouble)?;
    let client = load::<Client>(state.store(), approval.client_id.as_str()).await.map_err(&trouble)?;
    let waits = approval.state == ApprovalState::Pending && !approval.expires_at.is_past(state.now());
    let open = waits && awaits(&approval, &issuer, &who);
    let own = asked_by(&approval, &who);
    let notice = notice.or_else(|| (!waits || !open).then(|| standing(&approval, state.now(), own)));
    let template = CallPage {
        site: answer::site(issuer.as_str()),
        who: visitor.who(),
        notice,
        csrf: visitor.proof(&purpose(id)),
        id: approval.id.as_str(),
        user: approval.user.as_str(),
        client: client
            .and_then(|client| text::clean(&client.value.name, NAME_CHARS))
            .unwrap_or_else(|| String::from("a client that is gone")),
        client_id: approval.client_id.as_str(),
        server: title(&issuer, &approval.server),
        environment: issuer.server(&approval.server).map_or("", |server| server.environment.as_str()),
        tool: text::reveal(&approval.tool),
        // What is approved must be what is seen: invisible and reordering characters are written out.
        arguments: text::reveal(&approval.arguments),
        besides: approval.besides.as_deref().map(text::reveal),
        statement: statement(&approval.arguments),
        reason: &approval.reason,
        approver: &approval.approver,
        rulings: approval.rulings.iter().map(ruling).collect(),
        missing: missing.join(", "),
        asked: moment(approval.created_at),
        until: moment(approval.expires_at),
        facts: approval.sql.as_ref().map(facts),
        // Who asks learns nothing of it: it would tell of rows that they may not read.
        estimate: approval.estimate.as_ref().filter(|_| !own).map(estimate),
        open,
        own: own && waits,
        more: missing.len() > 1,
        reason_chars: limits::APPROVAL_REASON_CHARS,
    };
    Ok(render(status, &template))
}

fn standing(approval: &Approval, now: Timestamp, own: bool) -> Notice {
    let text = match approval.state {
        _ if approval.state != ApprovalState::Used && approval.expires_at.is_past(now) => {
            "This has expired; nothing was sent. The call must be made again."
        }
        ApprovalState::Pending if own => {
            "This is your own call. Somebody else decides about it: send them the address of this page."
        }
        ApprovalState::Pending => "You have said yes. Somebody else must say yes too.",
        ApprovalState::Allowed => "This is allowed, and was not used yet.",
        ApprovalState::Denied => "This was denied. Nothing was sent.",
        ApprovalState::Used => "This was allowed, and the call was made.",
        ApprovalState::Expired => "Nobody decided in time; nothing was sent. The call must be made again.",
    };
    Notice { text: text.to_owned(), bad: false }
}

fn ruling(ruling: &Ruling) -> String {
    let Ruling { by, allow, through, as_administrator, reason, at } = ruling;
    let word = if *allow { "yes" } else { "no" };
    let role = if *as_administrator { ", as an administrator" } else { "" };
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{by} said {word}{role} ({}, {}){reason}", through.word(), moment(*at))
}

/// The SQL among the arguments as a person reads it, with its lines.
fn statement(arguments: &str) -> Option<String> {
    let arguments: serde_json::Value = serde_json::from_str(arguments).ok()?;
    let named = |name: &&String| ["sql", "query", "statement"].contains(&&*name.to_ascii_lowercase());
    let mut found = arguments.as_object()?.iter().filter(|(name, _)| named(name));
    // Of two, one would be a decoy: the arguments as a whole show both.
    let (_, statement) = found.next().filter(|_| found.next().is_none())?;
    statement.as_str().map(text::reveal)
}

fn estimate(estimate: &Estimate) -> String {
    match estimate {
        Estimate::RowsChanged(1) => String::from("1 row. It was tried out and rolled back."),
        Estimate::RowsChanged(rows) => format!("{rows} rows. It was tried out and rolled back."),
        Estimate::Unknown(why) => format!("Not known: {why}."),
    }
}

fn facts(sql: &SqlSummary) -> Facts {
    let rows = [
        ("Statements", &sql.kinds),
        ("Changes tables", &sql.writes),
        ("Reads tables", &sql.reads),
        ("Names columns", &sql.columns),
        ("Calls functions", &sql.functions),
    ];
    let rows = rows.into_iter().filter(|(_, names)| !names.is_empty());
    let rows = rows.map(|(what, names)| (what, text::reveal(&names.join(", ")))).collect();
    Facts { complete: sql.complete, rows, left_out: sql.left_out }
}

fn row(issuer: &Issuer, approval: &Approval) -> Row {
    Row {
        id: approval.id.to_string(),
        user: approval.user.to_string(),
        tool: text::reveal(&approval.tool),
        server: title(issuer, &approval.server),
        reason: approval.reason.clone(),
        until: moment(approval.expires_at),
    }
}

fn title(issuer: &Issuer, server: &ServerName) -> String {
    issuer.server(server).map_or_else(|| server.to_string(), |server| server.title.clone())
}
