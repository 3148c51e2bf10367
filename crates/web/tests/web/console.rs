//! The user's own page.

use crate::app::{App, Browser};

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
