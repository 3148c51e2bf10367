//! The page where people decide about waiting calls.

use crate::app::{App, Browser, ISSUER, Reply};
use http::StatusCode;
use portunus_core::digest::sha256;
use portunus_core::document::{Approval, ApprovalState, Estimate, SqlSummary, Through};
use portunus_core::id::{ClientId, GroupName, Id, ServerName, UserName};
use portunus_core::limits;
use portunus_core::record::{Ledger, Receipt, Record};
use portunus_core::store::{Batch, Store, load};
use portunus_core::testing::CountingRng;
use portunus_core::time::Clock;
use portunus_oauth::config::Issuer;
use portunus_oauth::csrf;
use portunus_oauth::ports::Ports;
use portunus_policy::Person;
use portunus_web::approvals::{ApprovalError, Said, decide, expire};
use std::task::{Context, Waker};
use std::time::Duration;
use url::Url;

pub(crate) const APPROVAL: &str = "apr_00000000000000000000000000";
const PAGE: &str = "/approvals/apr_00000000000000000000000000";
const OWNER: &str = "olga@example.com";

pub(crate) async fn ask_for_approval(app: &App) {
    ask(app, "owner", "ana").await;
}

/// `user` made a call that `approver` must approve.
pub(crate) async fn ask(app: &App, approver: &str, user: &str) {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let approval = Approval {
        id: Id::parse(APPROVAL).unwrap(),
        binding: sha256(&[b"call"]),
        user: UserName::parse(user).unwrap(),
        client_id: ClientId::parse(&app.client).unwrap(),
        server: ServerName::parse("sales").unwrap(),
        tool: "write_query".to_owned(),
        arguments: "{\"sql\":\"DELETE FROM orders --\u{202e}<script>alert(1)</script>\"}".to_owned(),
        besides: Some("{\"_meta\":{\"acme/force\":\"\u{202e}<b>\"}}".to_owned()),
        reason: "writes need a yes".to_owned(),
        approver: approver.to_owned(),
        sql: Some(SqlSummary {
            complete: false,
            kinds: names(&["delete"]),
            reads: names(&[]),
            writes: names(&["orders", "<img src=x>"]),
            columns: names(&[]),
            functions: names(&[]),
            left_out: 3,
        }),
        estimate: Some(Estimate::RowsChanged(12)),
        state: ApprovalState::Pending,
        rulings: Vec::new(),
        decided_by: None,
        created_at: app.clock.now(),
        expires_at: app.clock.now().plus(limits::APPROVAL_TTL),
    };
    app.store.commit(Batch::new().upsert(&approval)).await.unwrap();
}

pub(crate) async fn approval(app: &App) -> Approval {
    load::<Approval>(&*app.store, APPROVAL).await.unwrap().unwrap().value
}

pub(crate) async fn add(app: &App, name: &str, groups: &[&str]) {
    app.add_user(name, false).await;
    let groups = groups.iter().map(|group| GroupName::parse(group).unwrap()).collect();
    app.set_user(name, |user| user.groups = groups).await;
}

async fn signed_in<'a>(app: &'a App, name: &str) -> Browser<'a> {
    let mut browser = Browser::of(app);
    browser.sign_in(name).await;
    browser
}

/// Decides with the proof that the page would have on it, whether or not there is such a page for this visitor.
async fn say(browser: &mut Browser<'_>, decision: &str, reason: &str) -> Reply {
    let proof = csrf::proof(&browser.cookies["__Host-portunus"], &format!("approval {APPROVAL}"));
    browser.post(PAGE, &[("csrf", &proof), ("decision", decision), ("reason", reason)]).await
}

#[tokio::test]
async fn who_must_approve_sees_the_whole_call_and_decides_once() {
    let app = App::new().await;
    add(&app, OWNER, &[]).await;
    ask_for_approval(&app).await;
    let mut owner = signed_in(&app, OWNER).await;
    let console = owner.get("/console/").await;
    assert!(console.body.contains("<strong>1</strong> for you to decide"), "{}", console.body);
    let list = owner.get("/approvals").await;
    assert!(list.body.contains(PAGE), "{}", list.body);
    let page = owner.get(PAGE).await;
    for seen in [
        "ana",
        "Inspector",
        &app.client,
        "Sales database",
        "write_query",
        "writes need a yes",
        "{&#34;sql&#34;:&#34;DELETE FROM orders --\\u{202e}&#60;script&#62;alert(1)&#60;/script&#62;&#34;}",
        "{&#34;_meta&#34;:{&#34;acme/force&#34;:&#34;\\u{202e}&#60;b&#62;&#34;}}",
        "12 rows. It was tried out",
        "it may do more than is listed",
        "orders, &#60;img src=x&#62;",
        "3 more names are not listed",
        "exactly this call",
        "still missing: owner",
    ] {
        assert!(page.body.contains(seen), "{seen}: {}", page.body);
    }
    assert!(!page.body.contains("<script") && !page.body.contains("<img src=x"), "{}", page.body);
    let csrf = page.field("csrf");
    let fields = [("csrf", csrf.as_str()), ("decision", "allow"), ("reason", "")];
    let reply = owner.post(PAGE, &fields).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.body.contains("Allowed, once.") && !reply.body.contains("Allow once"), "{}", reply.body);
    let decided = approval(&app).await;
    assert_eq!((decided.state, decided.decided_by.as_deref()), (ApprovalState::Allowed, Some(OWNER)));
    assert_eq!((decided.rulings.len(), decided.rulings[0].through), (1, Through::Page));
    assert!(!decided.rulings[0].as_administrator);
    for decision in ["allow", "deny"] {
        let again = owner.post(PAGE, &[("csrf", &csrf), ("decision", decision)]).await;
        assert_eq!(again.status, StatusCode::CONFLICT);
        assert!(again.body.contains("This was decided already."), "{}", again.body);
    }
    assert_eq!(approval(&app).await, decided);
    let event = app.ledger.events().into_iter().find(|event| event.action == "approval.allowed").unwrap();
    assert_eq!((event.by.as_str(), event.detail["through"].as_str()), (OWNER, "page"));
    assert_eq!((app.ledger.count("approval.allowed"), app.ledger.count("approval.denied")), (1, 0));
}

#[tokio::test]
async fn who_is_not_asked_finds_nothing_and_changes_nothing() {
    let app = App::new().await;
    add(&app, "bo", &["analysts"]).await;
    add(&app, "cy", &["dba"]).await;
    ask(&app, "owner and user dee", "ana").await;
    for name in ["bo", "cy"] {
        let mut other = signed_in(&app, name).await;
        assert_eq!(other.get(PAGE).await.status, StatusCode::NOT_FOUND);
        assert!(!other.get("/approvals").await.body.contains(APPROVAL));
        assert!(!other.get("/console/").await.body.contains("waiting for a yes"));
        for decision in ["allow", "deny"] {
            let reply = say(&mut other, decision, "").await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{}", reply.body);
            assert!(!reply.body.contains("DELETE"), "{}", reply.body);
        }
    }
    for path in ["/approvals/x", "/approvals/apr_11111111111111111111111111"] {
        assert_eq!(signed_in(&app, "olga").await.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(approval(&app).await.rulings, []);
}

/// A ledger in which, before somebody's yes is recorded, somebody else decides.
struct Overtaken<'a>(&'a App);

impl Ledger for Overtaken<'_> {
    fn append(&self, record: Record) -> Receipt {
        let Self(app) = self;
        if matches!(&record, Record::Event(event) if event.action == "approval.allowing") {
            let denied = async {
                let found = load::<Approval>(&*app.store, APPROVAL).await.unwrap().unwrap();
                let denied = Approval { state: ApprovalState::Denied, ..found.value };
                app.store.commit(Batch::new().update(&denied, found.version)).await.unwrap();
            };
            // The store in memory never waits.
            let done = std::pin::pin!(denied).poll(&mut Context::from_waker(Waker::noop()));
            assert!(done.is_ready());
        }
        app.ledger.append(record)
    }
}

#[tokio::test]
async fn a_yes_that_comes_too_late_is_not_recorded_as_having_allowed_anything() {
    let app = App::new().await;
    ask_for_approval(&app).await;
    let issuer = Issuer::new(&Url::parse(ISSUER).unwrap(), Vec::new()).unwrap();
    let (ledger, rng) = (Overtaken(&app), CountingRng::default());
    let ports = Ports { store: &*app.store, ledger: &ledger, rng: &rng, now: app.clock.now() };
    let olga = Person { name: "olga", groups: &[], administrator: true };
    let said = Said { allow: true, reason: None, through: Through::Page };
    let id = Id::parse(APPROVAL).unwrap();
    assert_eq!(decide(&ports, &issuer, &id, &olga, &said).await, Err(ApprovalError::Decided));
    assert_eq!(approval(&app).await.state, ApprovalState::Denied);
    assert_eq!((app.ledger.count("approval.allowing"), app.ledger.count("approval.allowed")), (1, 0));
    // What cannot be recorded does not count.
    ask_for_approval(&app).await;
    app.ledger.set_failing(true);
    let ports = Ports { ledger: &*app.ledger, ..ports };
    assert!(decide(&ports, &issuer, &id, &olga, &said).await.is_err());
    assert_eq!(approval(&app).await.state, ApprovalState::Pending);
}

#[tokio::test]
async fn what_nobody_decides_about_in_time_is_recorded_once() {
    let app = App::new().await;
    ask_for_approval(&app).await;
    app.clock.advance(limits::APPROVAL_TTL + Duration::from_secs(1));
    assert_eq!(expire(&app.state).await.unwrap(), 0, "a decision may be under way");
    app.clock.advance(limits::APPROVAL_SETTLES);
    app.ledger.set_failing(true);
    assert!(expire(&app.state).await.is_err());
    app.ledger.set_failing(false);
    // It is still there to be recorded.
    assert_eq!(app.store.purge(app.clock.now(), 1000).await.unwrap(), 0);
    assert_eq!((expire(&app.state).await.unwrap(), expire(&app.state).await.unwrap()), (1, 0));
    assert_eq!(
        (app.ledger.count("approval.expired"), approval(&app).await.state),
        (1, ApprovalState::Expired)
    );
    let event = app.ledger.events().into_iter().find(|event| event.action == "approval.expired").unwrap();
    assert_eq!((event.subject.as_str(), event.detail["user"].as_str()), (APPROVAL, "ana"));
    let page = signed_in(&app, "olga").await.get(PAGE).await;
    assert!(page.body.contains("This has expired") && !page.body.contains("Allow once"), "{}", page.body);
    app.clock.advance(limits::APPROVAL_KEPT);
    assert_eq!(app.store.purge(app.clock.now(), 1000).await.unwrap(), 1);
    // What was decided is not said to have run out.
    ask_for_approval(&app).await;
    let found = load::<Approval>(&*app.store, APPROVAL).await.unwrap().unwrap();
    let allowed = Approval { state: ApprovalState::Allowed, ..found.value };
    app.store.commit(Batch::new().update(&allowed, found.version)).await.unwrap();
    app.clock.advance(limits::APPROVAL_TTL * 2);
    assert_eq!(expire(&app.state).await.unwrap(), 0);
}

#[tokio::test]
async fn nobody_allows_their_own_call_but_may_withdraw_it() {
    let app = App::new().await;
    // Olga is an administrator, the owner's name is hers too, and she asked, whatever client she used.
    for (approver, user) in [("owner", "olga"), ("group dba", "cy"), ("user cy", "cy"), ("owner", "OLGA")] {
        add(&app, "cy", &["dba"]).await;
        ask(&app, approver, user).await;
        let mut browser = signed_in(&app, &user.to_ascii_lowercase()).await;
        let page = browser.get(PAGE).await;
        assert!(page.body.contains("This is your own call"), "{}", page.body);
        assert!(!page.body.contains("Allow once") && page.body.contains("Withdraw this call"));
        assert!(browser.get("/approvals").await.body.contains("Your own"));
        let reply = say(&mut browser, "allow", "").await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
        assert!(reply.body.contains("Somebody else must allow your own call."), "{}", reply.body);
        assert_eq!(approval(&app).await.state, ApprovalState::Pending);
        assert!(say(&mut browser, "deny", "").await.body.contains("Withdrawn."));
        assert_eq!(approval(&app).await.state, ApprovalState::Denied);
    }
    assert_eq!(app.ledger.count("approval.allowed"), 0);
}

#[tokio::test]
async fn an_administrator_stands_in_and_it_is_recorded_as_that() {
    let app = App::new().await;
    ask_for_approval(&app).await;
    let mut olga = signed_in(&app, "olga").await;
    assert!(say(&mut olga, "allow", "owner is away").await.body.contains("Allowed, once."));
    let decided = approval(&app).await;
    assert!(decided.rulings[0].as_administrator);
    let event = app.ledger.events().into_iter().find(|event| event.action == "approval.allowed").unwrap();
    assert_eq!(
        (event.detail["as"].as_str(), event.detail["reason"].as_str()),
        ("administrator", "owner is away")
    );
}

#[tokio::test]
async fn two_of_a_group_are_two_people_who_are_in_it_when_it_counts() {
    let app = App::new().await;
    for name in ["bo", "cy"] {
        add(&app, name, &["dba"]).await;
    }
    add(&app, OWNER, &[]).await;
    ask(&app, "two of group dba", "ana").await;
    assert_eq!(signed_in(&app, OWNER).await.get(PAGE).await.status, StatusCode::NOT_FOUND);
    let mut bo = signed_in(&app, "bo").await;
    assert!(bo.get(PAGE).await.body.contains("somebody else must say yes too. Then"));
    assert!(say(&mut bo, "allow", "").await.body.contains("Your yes is noted."));
    assert_eq!(approval(&app).await.state, ApprovalState::Pending);
    let twice = say(&mut bo, "allow", "").await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    assert!(twice.body.contains("You have said yes already"), "{}", twice.body);
    assert!(!bo.get("/approvals").await.body.contains(APPROVAL), "it does not wait for bo any more");
    // Bo leaves: one yes is missing again, and cy's alone is not enough.
    app.set_user("bo", |user| user.groups.clear()).await;
    let mut cy = signed_in(&app, "cy").await;
    assert!(say(&mut cy, "allow", "").await.body.contains("Your yes is noted."));
    assert_eq!(approval(&app).await.state, ApprovalState::Pending);
    add(&app, "dee", &["dba"]).await;
    assert!(say(&mut signed_in(&app, "dee").await, "allow", "").await.body.contains("Allowed, once."));
    let decided = approval(&app).await;
    assert_eq!((decided.state, decided.rulings.len()), (ApprovalState::Allowed, 3));
    assert_eq!((app.ledger.count("approval.agreed"), app.ledger.count("approval.allowed")), (2, 1));
}

#[tokio::test]
async fn the_socket_is_one_person_too() {
    let app = App::new().await;
    add(&app, "bo", &["dba"]).await;
    ask(&app, "two of group dba", "ana").await;
    let allow = format!("/approvals/{APPROVAL}/allow");
    let allow = || app.admin(http::Method::POST, &allow, serde_json::json!({ "reason": "urgent" }));
    let first = allow().await.json();
    assert_eq!(
        (&first["state"], &first["missing"]),
        (&serde_json::json!("pending"), &serde_json::json!(["group dba"]))
    );
    assert_eq!(allow().await.status, StatusCode::CONFLICT);
    assert!(say(&mut signed_in(&app, "bo").await, "allow", "").await.body.contains("Allowed, once."));
    let decided = approval(&app).await;
    let [local, bo] = decided.rulings.as_slice() else { panic!("{decided:?}") };
    assert_eq!((local.by.as_str(), local.through, local.as_administrator), ("admin", Through::Socket, true));
    assert_eq!((bo.by.as_str(), bo.as_administrator), ("bo", false));
}

#[tokio::test]
async fn a_yes_that_is_not_missing_is_not_taken() {
    let app = App::new().await;
    for name in ["bo", "cy"] {
        add(&app, name, &["dba"]).await;
    }
    ask(&app, "owner and group dba", "ana").await;
    say(&mut signed_in(&app, "bo").await, "allow", "").await;
    let reply = say(&mut signed_in(&app, "cy").await, "allow", "").await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    assert!(reply.body.contains("not the one that is missing: owner"), "{}", reply.body);
    assert_eq!(approval(&app).await.rulings.len(), 1);
}

#[tokio::test]
async fn a_no_ends_it_and_its_reason_is_kept() {
    let app = App::new().await;
    for name in ["bo", "cy"] {
        add(&app, name, &["dba"]).await;
    }
    ask(&app, "two of group dba", "ana").await;
    say(&mut signed_in(&app, "bo").await, "allow", "").await;
    let mut cy = signed_in(&app, "cy").await;
    let reply = say(&mut cy, "deny", "not\u{202e} before  the audit").await;
    assert!(reply.body.contains("Denied. Nothing was sent"), "{}", reply.body);
    let denied = approval(&app).await;
    assert_eq!(denied.state, ApprovalState::Denied);
    assert_eq!(denied.rulings[1].reason.as_deref(), Some("not before the audit"));
    assert_eq!(say(&mut cy, "allow", "").await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_has_expired_or_cannot_be_recorded_is_not_decided() {
    let app = App::new().await;
    add(&app, OWNER, &[]).await;
    ask_for_approval(&app).await;
    let mut owner = signed_in(&app, OWNER).await;
    app.ledger.set_failing(true);
    assert_eq!(say(&mut owner, "allow", "").await.status, StatusCode::SERVICE_UNAVAILABLE);
    app.ledger.set_failing(false);
    assert_eq!(approval(&app).await.state, ApprovalState::Pending);
    app.clock.advance(limits::APPROVAL_TTL);
    let late = say(&mut owner, "allow", "").await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert!(late.body.contains("This has expired"), "{}", late.body);
    assert_eq!(approval(&app).await.state, ApprovalState::Pending);
    assert!(!owner.get("/approvals").await.body.contains(APPROVAL));
}

#[tokio::test]
async fn a_form_for_one_call_is_good_for_no_other_and_no_other_site() {
    let app = App::new().await;
    add(&app, OWNER, &[]).await;
    ask_for_approval(&app).await;
    let mut owner = signed_in(&app, OWNER).await;
    let cookie = owner.cookies["__Host-portunus"].clone();
    for purpose in ["console", "approval apr_11111111111111111111111111", "logout", "approval "] {
        let proof = csrf::proof(&cookie, purpose);
        let reply = owner.post(PAGE, &[("csrf", &proof), ("decision", "allow")]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{purpose}");
    }
    let proof = csrf::proof(&cookie, &format!("approval {APPROVAL}"));
    let mut foreign = crate::app::form(PAGE, &[("csrf", &proof), ("decision", "allow")]);
    foreign.headers_mut().insert("origin", "https://evil.test".parse().unwrap());
    assert_eq!(owner.send(foreign).await.status, StatusCode::FORBIDDEN);
    for decision in ["", "maybe"] {
        let reply = owner.post(PAGE, &[("csrf", &proof), ("decision", decision)]).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(approval(&app).await.rulings, []);
}

#[tokio::test]
async fn a_link_to_a_call_leads_through_the_sign_in_and_back() {
    let app = App::new().await;
    add(&app, OWNER, &[]).await;
    ask_for_approval(&app).await;
    let mut browser = Browser::of(&app);
    let page = browser.get(PAGE).await;
    assert!(!page.body.contains("DELETE") && page.body.contains("waits for a person"), "{}", page.body);
    let reply = browser.try_sign_in(PAGE, OWNER, crate::app::PASSWORD).await;
    assert_eq!((reply.status, reply.location()), (StatusCode::SEE_OTHER, PAGE));
    assert!(browser.get(PAGE).await.body.contains("Allow once"));
}
