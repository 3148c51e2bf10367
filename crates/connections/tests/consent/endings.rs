//! Disconnecting.

use crate::world::{Next, World, ana, notes, permit, session, visitor};
use portunus_connections::{ConnectionError, inventory};
use portunus_core::document::{Connection, ConnectionState, TestOutcome};
use portunus_core::limits;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) const INVALID: &str = "{\"error\":\"invalid_grant\"}";

async fn disconnect(world: &World) -> Option<TestOutcome> {
    let seen = world.connections.disconnect(&notes(), &visitor(&ana(), &session())).await.unwrap();
    seen.map(|seen| seen.outcome)
}

fn nobody(_connection: &Connection) -> Option<String> {
    None
}

#[tokio::test]
async fn disconnecting_revokes_there_and_tries_what_was_revoked() {
    let world = World::new();
    world.connect().await;
    let bound = world.connections.bound(&notes(), &ana()).await.unwrap().unwrap();
    world.server.then(Next::Answer(400, INVALID.to_owned()));
    assert_eq!(disconnect(&world).await, Some(TestOutcome::Dead));
    let revoked: Vec<_> =
        world.server.sent_to("/revoke").iter().map(|seen| seen.form["token"].clone()).collect();
    assert_eq!(revoked, ["refresh-1", "access-1"]);
    assert!(matches!(world.connections.bound(&notes(), &ana()).await, Err(ConnectionError::Needed(_))));
    let late = world.connections.open(&permit("notes"), &bound).await;
    assert!(matches!(late, Err(ConnectionError::Needed(_))), "a call that was under way is stopped too");
    assert!(world.stored().await.sealed.is_none());
    let [over] = &inventory::list(&*world.store).await.unwrap()[..] else { panic!("not listed") };
    assert_eq!(
        (over.state.as_str(), over.tested.as_ref().unwrap().outcome),
        ("disconnected", TestOutcome::Dead)
    );
    assert_eq!(disconnect(&world).await, None);
    // Connected anew, the generations go on.
    assert_eq!(world.connect().await.generation, 2);
}

#[tokio::test]
async fn a_server_that_goes_on_taking_the_token_is_named() {
    let world = World::new();
    world.connect().await;
    assert_eq!(disconnect(&world).await, Some(TestOutcome::Alive));
    // What it gave for it was revoked as well.
    assert!(world.server.sent_to("/revoke").iter().any(|seen| seen.form["token"] == "refresh-2"));
    let world = World::new();
    world.connect().await;
    world.server.then(Next::Answer(400, "{\"error\":\"invalid_client\"}".to_owned()));
    assert_eq!(disconnect(&world).await, Some(TestOutcome::Unverifiable));
    assert!(matches!(world.stored().await.state, ConnectionState::Disconnected { .. }));
    // What was not seen dead can be ended once more, by an administrator.
    world.server.then(Next::Answer(400, INVALID.to_owned()));
    let again = world.connections.end("notes/ana", "admin", "").await.unwrap().unwrap();
    assert_eq!(again.outcome, TestOutcome::Dead);
    assert_eq!(world.connections.end("notes/ana", "admin", "").await.unwrap(), None);
}

#[tokio::test]
async fn a_browser_that_goes_away_in_the_middle_keeps_nothing_alive() {
    let world = World::new();
    world.connect().await;
    world.hold();
    let ending = world.connections.clone();
    let ends = tokio::spawn(async move { ending.disconnect(&notes(), &visitor(&ana(), &session())).await });
    world.until(|server| server.sent_to("/revoke").len() == 2).await;
    ends.abort();
    assert!(ends.await.unwrap_err().is_cancelled());
    world.server.then(Next::Answer(400, INVALID.to_owned()));
    world.server.gate.add_permits(1);
    while !matches!(world.stored().await.state, ConnectionState::Disconnected { .. }) {
        tokio::task::yield_now().await;
    }
    assert!(world.stored().await.is_proven_dead());
    assert_eq!(world.ledger.count("connection.disconnected"), 1);
}

#[tokio::test]
async fn a_process_that_died_between_revocation_and_commit_is_taken_up_by_the_sweep() {
    let world = World::new();
    world.connect().await;
    world.hold();
    let mortal = world.mortal();
    let ends = tokio::spawn(async move { mortal.disconnect(&notes(), &visitor(&ana(), &session())).await });
    world.until(|server| server.sent_to("/revoke").len() == 2).await;
    ends.abort();
    let _ = ends.await;
    assert!(matches!(world.stored().await.state, ConnectionState::Disconnecting { .. }));
    assert!(matches!(world.connections.bound(&notes(), &ana()).await, Err(ConnectionError::Needed(_))));
    // The next process.
    world.server.gate.add_permits(2);
    world.server.then(Next::Answer(400, INVALID.to_owned()));
    assert_eq!(world.second().sweep(nobody).await.unwrap(), 0);
    assert!(world.stored().await.is_proven_dead() && world.stored().await.sealed.is_none());
    assert_eq!(world.ledger.count("connection.disconnecting"), 1);
    assert_eq!(world.ledger.count("connection.disconnected"), 1);
    let asked = world.server.sent_to("/revoke").len();
    world.second().sweep(nobody).await.unwrap();
    assert_eq!(world.server.sent_to("/revoke").len(), asked, "what is over is left alone");
}

#[tokio::test]
async fn an_authorization_server_that_does_not_answer_is_asked_again_for_a_day() {
    let world = World::new();
    world.connect().await;
    world.server.unreachable.store(true, Ordering::Relaxed);
    assert_eq!(disconnect(&world).await, Some(TestOutcome::Unverifiable));
    assert!(matches!(world.stored().await.state, ConnectionState::Disconnecting { .. }));
    let asked = world.server.sent_to("/revoke").len();
    disconnect(&world).await;
    assert_eq!(world.server.sent_to("/revoke").len(), asked, "a click asks nobody again within the pause");
    world.clock.advance(Duration::from_secs(60));
    world.connections.sweep(nobody).await.unwrap();
    assert_eq!(world.ledger.count("connection.disconnected"), 0);
    world.server.unreachable.store(false, Ordering::Relaxed);
    world.server.then(Next::Answer(400, INVALID.to_owned()));
    world.connections.sweep(nobody).await.unwrap();
    assert!(world.stored().await.is_proven_dead());

    let world = World::new();
    world.connect().await;
    world.server.unreachable.store(true, Ordering::Relaxed);
    disconnect(&world).await;
    world.clock.advance(limits::ENDING_TRIED);
    world.connections.sweep(nobody).await.unwrap();
    let over = world.stored().await;
    assert!(matches!(over.state, ConnectionState::Disconnected { .. }));
    assert_eq!(over.tested.unwrap().outcome, TestOutcome::Unverifiable);
    assert!(over.sealed.is_some(), "it can be ended once more");
}

#[tokio::test]
async fn what_a_removed_server_was_connected_with_is_revoked_where_it_was_made() {
    for restarts in [false, true] {
        let world = World::new();
        world.connect().await;
        world.connections.replace(Vec::new());
        let process = if restarts { world.second() } else { world.connections.clone() };
        world.server.then(Next::Answer(400, INVALID.to_owned()));
        let gone = |connection: &Connection| {
            process.of(&connection.server).is_none().then(|| "its server is gone".to_owned())
        };
        assert_eq!(process.sweep(gone).await.unwrap(), 1);
        let revoked: Vec<_> = world
            .server
            .sent_to("/revoke")
            .iter()
            .map(|seen| (seen.form["token"].clone(), seen.named))
            .collect();
        // Nothing names the authorization server any more: it is only reached at a public address.
        assert_eq!(revoked, [("refresh-1".to_owned(), false), ("access-1".to_owned(), false)]);
        assert!(world.stored().await.is_proven_dead());
        assert_eq!(process.sweep(gone).await.unwrap(), 0, "once");
    }
}

#[tokio::test]
async fn tokens_that_arrive_after_disconnecting_are_revoked_and_not_kept() {
    let world = World::new();
    world.connect().await;
    world.expire();
    world.hold();
    let slow = world.connections.clone();
    let call = tokio::spawn(async move { slow.bound(&notes(), &ana()).await });
    while world.server.refreshes() == 0 {
        tokio::task::yield_now().await;
    }
    // Two answers: for the renewal, and for the attempt with what was revoked.
    let ending = world.connections.clone();
    let ends = tokio::spawn(async move { ending.disconnect(&notes(), &visitor(&ana(), &session())).await });
    while !world.stored().await.state.is_ended() {
        tokio::task::yield_now().await;
    }
    world.server.gate.add_permits(1);
    assert!(matches!(call.await.unwrap(), Err(ConnectionError::Needed(_))));
    assert_eq!(world.stored().await.generation, 2, "they are kept sealed until they are ended");
    // The attempts with what was known first, and with what came.
    world.server.then(Next::Answer(400, INVALID.to_owned()));
    world.server.then(Next::Answer(400, INVALID.to_owned()));
    world.server.gate.add_permits(2);
    let seen = ends.await.unwrap().unwrap().unwrap();
    assert_eq!((seen.outcome, seen.version), (TestOutcome::Dead, 2));
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
