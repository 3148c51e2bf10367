//! A human's yes: asked for, used once, for exactly one call.

use crate::support::World;
use portunus_core::limits;
use serde_json::json;

#[tokio::test]
async fn an_approval_is_good_for_one_call_with_the_same_arguments() {
    let world = World::new().await;
    let asked = world.call("change", json!({ "careful": 1 })).await;
    assert_eq!(asked.code(), -32011);
    let id = asked.body["error"]["data"]["approval"].as_str().unwrap().to_owned();
    let again = world.call("change", json!({ "careful": 1 })).await;
    assert_eq!(again.body["error"]["data"]["approval"], id.as_str(), "asking twice asks for one yes");

    world.approve(&id).await;
    let other = world.call("change", json!({ "careful": 2 })).await;
    assert_eq!(other.code(), -32011, "other arguments need their own yes");
    assert_eq!(world.sent(), 0);
    let calls = (0..8).map(|_| world.call("change", json!({ "careful": 1 })));
    let answers = futures_util::future::join_all(calls).await;
    let admitted = answers.iter().filter(|answer| answer.body["result"].is_object()).count();
    assert_eq!((admitted, world.sent()), (1, 1), "of many at once, one uses it");
}

#[tokio::test]
async fn a_user_can_have_only_so_many_calls_waiting() {
    let world = World::new().await;
    for n in 0..limits::APPROVALS_PER_USER {
        assert_eq!(world.call("change", json!({ "careful": n })).await.code(), -32011);
    }
    assert_eq!(world.call("change", json!({ "careful": "one more" })).await.code(), -32010);
    world.clock.advance(limits::APPROVAL_TTL);
    assert_eq!(
        world.call("change", json!({ "careful": "later" })).await.status,
        401,
        "the token has expired too"
    );
}
