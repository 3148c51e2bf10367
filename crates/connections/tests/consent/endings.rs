//! Disconnecting.

use crate::world::{Next, World, ana, notes, permit, session, visitor};
use portunus_connections::ConnectionError;
use portunus_connections::ending::Revoked;
use portunus_connections::inventory;
use portunus_core::document::ConnectionState;

const INVALID: &str = "{\"error\":\"invalid_grant\"}";

async fn disconnect(world: &World) -> Option<Revoked> {
    world.connections.disconnect(&notes(), &visitor(&ana(), &session())).await.unwrap()
}

#[tokio::test]
async fn disconnecting_revokes_there_and_tries_what_was_revoked() {
    let world = World::new();
    world.connect().await;
    let bound = world.connections.bound(&notes(), &ana()).await.unwrap().unwrap();
    world.server.then(Next::Answer(400, INVALID.to_owned()));
    assert_eq!(disconnect(&world).await, Some(Revoked::Dead));
    let revoked: Vec<_> =
        world.server.sent_to("/revoke").iter().map(|seen| seen.form["token"].clone()).collect();
    assert_eq!(revoked, ["refresh-1", "access-1"]);
    assert!(matches!(world.connections.bound(&notes(), &ana()).await, Err(ConnectionError::Needed(_))));
    let late = world.connections.open(&permit("notes"), &bound).await;
    assert!(matches!(late, Err(ConnectionError::Needed(_))), "a call that was under way is stopped too");
    assert!(world.stored().await.sealed.is_none());
    assert_eq!(inventory::list(&*world.store).await.unwrap(), []);
    assert_eq!(disconnect(&world).await, None);
    // Connected anew, the generations go on.
    assert_eq!(world.connect().await.generation, 2);
}

#[tokio::test]
async fn a_server_that_goes_on_taking_the_token_is_named() {
    let world = World::new();
    world.connect().await;
    assert_eq!(disconnect(&world).await, Some(Revoked::Alive));
    // What it gave for it was revoked as well.
    assert!(world.server.sent_to("/revoke").iter().any(|seen| seen.form["token"] == "refresh-2"));
    let world = World::new();
    world.connect().await;
    world.server.then(Next::Lost);
    assert!(matches!(disconnect(&world).await, Some(Revoked::Unverifiable(_))));
    assert!(matches!(world.stored().await.state, ConnectionState::Disconnected { .. }));
}

#[tokio::test]
async fn tokens_that_arrive_after_disconnecting_are_revoked_and_not_kept() {
    let world = World::new();
    world.connect().await;
    world.expire();
    world.server.gate.forget_permits(usize::MAX >> 3);
    let slow = world.connections.clone();
    let call = tokio::spawn(async move { slow.bound(&notes(), &ana()).await });
    while world.server.refreshes() == 0 {
        tokio::task::yield_now().await;
    }
    // Two answers: for the renewal, and for the attempt with what was revoked.
    let ending = world.connections.clone();
    let ends = tokio::spawn(async move { ending.disconnect(&notes(), &visitor(&ana(), &session())).await });
    while world.stored().await.state != ConnectionState::Disconnecting {
        tokio::task::yield_now().await;
    }
    world.server.gate.add_permits(1);
    assert!(matches!(call.await.unwrap(), Err(ConnectionError::Needed(_))));
    world.server.then(Next::Answer(400, INVALID.to_owned()));
    world.server.gate.add_permits(1);
    assert_eq!(ends.await.unwrap().unwrap(), Some(Revoked::Dead));
    assert!(world.server.sent_to("/revoke").iter().any(|seen| seen.form["token"] == "refresh-2"));
    assert!(world.stored().await.sealed.is_none());
}

#[tokio::test]
async fn a_connection_is_listed_with_state_expiry_and_scopes() {
    let world = World::new();
    world.connect().await;
    let listed = inventory::list(&*world.store).await.unwrap();
    let [one] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((one.identity.as_str(), one.state.as_str()), ("connection:notes/ana", "connected"));
    assert_eq!((one.scopes.as_slice(), one.owner.as_str()), (&["read".to_owned()][..], "ana"));
    assert!(one.access_expires_at.is_some());
}
