//! The administrators' page of clients.

use crate::app::{App, Browser};
use http::StatusCode;
use portunus_core::document::{Client, Standing};
use portunus_core::store::load;

async fn standing(app: &App) -> Standing {
    load::<Client>(&*app.store, &app.client).await.unwrap().unwrap().value.standing
}

#[tokio::test]
async fn only_an_administrator_decides_about_clients_and_a_block_ends_what_they_have() {
    let app = App::new().await;
    let (access, _) = app.tokens("ana").await;
    let mut ana = Browser::of(&app);
    ana.sign_in("ana").await;
    assert_eq!(ana.get("/console/clients").await.status, StatusCode::FORBIDDEN);
    assert!(!ana.get("/console/").await.body.contains("/console/clients"));
    let own = ana.get("/console/").await.field("csrf");
    let fields = [("csrf", own.as_str()), ("client", app.client.as_str()), ("decision", "block")];
    assert_eq!(ana.post("/console/clients", &fields).await.status, StatusCode::FORBIDDEN);
    assert_eq!(standing(&app).await, Standing::Undecided);

    let mut olga = Browser::of(&app);
    olga.sign_in("olga").await;
    assert!(olga.get("/console/").await.body.contains("/console/clients"));
    let page = olga.get("/console/clients").await;
    assert!(page.body.contains(&app.client), "{}", page.body);
    let csrf = page.field("csrf");
    for nothing in ["cli_unknown", "", "\""] {
        let fields = [("csrf", csrf.as_str()), ("client", nothing), ("decision", "block")];
        let body = olga.post("/console/clients", &fields).await.body;
        assert!(body.contains("no client") || body.contains("no such client"), "{body}");
    }
    let decide = |decision: &'static str| {
        [("csrf", csrf.clone()), ("client", app.client.clone()), ("decision", decision.to_owned())]
    };
    let mut send = async |decision: &'static str| {
        let fields = decide(decision);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        olga.post("/console/clients", &fields).await
    };
    send("neither").await;
    assert_eq!(standing(&app).await, Standing::Undecided);
    assert!(app.is_good(&access).await);
    assert!(send("block").await.body.contains("Blocked."));
    assert_eq!(standing(&app).await, Standing::Blocked);
    assert!(!app.is_good(&access).await);
    assert_eq!(
        ana.get(&format!("/oauth/authorize?{}", app.query(&[]))).await.status,
        StatusCode::BAD_REQUEST
    );
    assert!(send("approve").await.body.contains("Approved."));
    assert_eq!(ana.consent_page().await.status, StatusCode::OK);
    let by: Vec<_> =
        app.ledger.events().into_iter().filter(|e| e.action.starts_with("client.b")).map(|e| e.by).collect();
    assert_eq!(by, ["olga"]);
}
