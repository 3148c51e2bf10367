//! The user's own page.

use crate::app::{App, Browser};
use http::StatusCode;
use portunus_core::digest::sha256;
use portunus_core::document::{Approval, ApprovalState};
use portunus_core::id::{ClientId, Id, ServerName, UserName};
use portunus_core::limits;
use portunus_core::store::{Batch, Store, load};
use portunus_core::time::Clock;

pub(crate) const APPROVAL: &str = "apr_00000000000000000000000000";

pub(crate) async fn ask_for_approval(app: &App) {
    let approval = Approval {
        id: Id::parse(APPROVAL).unwrap(),
        binding: sha256(&[b"call"]),
        user: UserName::parse("ana").unwrap(),
        client_id: ClientId::parse(&app.client).unwrap(),
        server: ServerName::parse("sales").unwrap(),
        tool: "write_query".to_owned(),
        arguments: "{\"sql\":\"DELETE FROM orders --\u{202e}<script>\"}".to_owned(),
        reason: "writes need a yes".to_owned(),
        state: ApprovalState::Pending,
        decided_by: None,
        created_at: app.clock.now(),
        expires_at: app.clock.now().plus(limits::APPROVAL_TTL),
    };
    app.store.commit(Batch::new().upsert(&approval)).await.unwrap();
}

async fn approval(app: &App) -> Approval {
    load::<Approval>(&*app.store, APPROVAL).await.unwrap().unwrap().value
}

#[tokio::test]
async fn users_see_and_revoke_their_own_grants_and_nobody_elses() {
    let app = App::new().await;
    let (ana, _) = app.tokens("ana").await;
    let (olga, _) = app.tokens("olga").await;
    let mut browser = Browser::of(&app);
    browser.sign_in("ana").await;
    let page = browser.get("/console/").await;
    assert!(
        page.body.contains("https://tools.example.com/sales/mcp") && !page.body.contains("Latest grants")
    );
    assert!(page.body.contains("ana &#60;i&#62;") && !page.body.contains("<b>"), "escaped: {}", page.body);
    let csrf = page.field("csrf");
    let own = page.field("grant");
    let foreign = {
        let mut browser = Browser::of(&app);
        browser.sign_in("olga").await;
        let all = browser.get("/console/").await.body;
        let ids = all
            .split("name=\"grant\" value=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned());
        ids.into_iter().find(|id| *id != own).unwrap()
    };
    for nothing in [foreign.as_str(), "grt_00000000000000000000000000", "x", ""] {
        let reply = browser.post("/console/grants", &[("csrf", &csrf), ("grant", nothing)]).await;
        assert!(reply.body.contains("There is no such grant."), "{}", reply.body);
    }
    assert!(app.is_good(&ana).await && app.is_good(&olga).await);
    browser.post("/console/grants", &[("csrf", &csrf), ("grant", &own)]).await;
    assert!(!app.is_good(&ana).await && app.is_good(&olga).await);
    let again = browser.post("/console/grants", &[("csrf", &csrf), ("grant", &own)]).await;
    assert!(again.body.contains("revoked already"));
    assert!(again.body.contains("Nothing yet."), "{}", again.body);
}

#[tokio::test]
async fn an_administrator_can_revoke_anyones_grant() {
    let app = App::new().await;
    let (ana, _) = app.tokens("ana").await;
    let mut browser = Browser::of(&app);
    browser.sign_in("olga").await;
    let page = browser.get("/console/").await;
    assert!(page.body.contains("Latest grants of everyone"));
    let fields = [("csrf", page.field("csrf")), ("grant", page.field("grant"))];
    browser.post("/console/grants", &fields.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    assert!(!app.is_good(&ana).await);
    let revoked = app.ledger.events().into_iter().find(|event| event.action == "grant.revoked").unwrap();
    assert_eq!((revoked.by.as_str(), revoked.detail["user"].as_str()), ("olga", "ana"));
}

#[tokio::test]
async fn administrators_decide_about_waiting_calls_once() {
    let app = App::new().await;
    ask_for_approval(&app).await;
    app.tokens("ana").await; // with a grant, her page has the console's proof on it
    let mut ana = Browser::of(&app);
    ana.sign_in("ana").await;
    let page = ana.get("/console/").await;
    assert!(!page.body.contains("waiting for a yes"));
    let fields = [("csrf", page.field("csrf")), ("approval", APPROVAL.into()), ("decision", "allow".into())];
    let fields = fields.each_ref().map(|(name, value): &(&str, String)| (*name, value.as_str()));
    let refused = ana.post("/console/approvals", &fields).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.body.contains("Only administrators"), "{}", refused.body);
    assert_eq!(approval(&app).await.state, ApprovalState::Pending);

    let mut olga = Browser::of(&app);
    olga.sign_in("olga").await;
    let page = olga.get("/console/").await;
    assert!(page.body.contains("DELETE FROM orders --\\u{202e}&#60;script&#62;"), "{}", page.body);
    let csrf = page.field("csrf");
    let fields = [("csrf", csrf.as_str()), ("approval", APPROVAL), ("decision", "allow")];
    let reply = olga.post("/console/approvals", &fields).await;
    assert!(reply.body.contains("Allowed, once."), "{}", reply.body);
    let decided = approval(&app).await;
    assert_eq!((decided.state, decided.decided_by.as_deref()), (ApprovalState::Allowed, Some("olga")));
    assert!(olga.post("/console/approvals", &fields).await.body.contains("decided already"));
    assert_eq!(app.ledger.count("approval.allowed"), 1);

    ask_for_approval(&app).await;
    let own = Approval { user: UserName::parse("olga").unwrap(), ..approval(&app).await };
    app.store.commit(Batch::new().upsert(&own)).await.unwrap();
    assert!(olga.post("/console/approvals", &fields).await.body.contains("somebody else must allow"));
    assert_eq!(approval(&app).await.state, ApprovalState::Pending);

    ask_for_approval(&app).await;
    app.clock.advance(limits::APPROVAL_TTL);
    assert!(olga.post("/console/approvals", &fields).await.body.contains("has expired"));
    assert_eq!(approval(&app).await.state, ApprovalState::Pending);
}
