//! Refreshing: once, whoever asks; and however it ends, nothing is lost in silence.

use crate::world::{ISSUER, Next, World, ana, notes, tokens};
use futures_util::future::join_all;
use portunus_connections::ConnectionError;
use portunus_core::document::{Connection, ConnectionState};
use portunus_core::limits;
use portunus_core::store::{Batch, Store, load};
use std::time::Duration;

fn is_needed<T>(result: &Result<T, ConnectionError>) -> bool {
    matches!(result, Err(ConnectionError::Needed(_)))
}

fn is_unavailable<T>(result: &Result<T, ConnectionError>) -> bool {
    matches!(result, Err(ConnectionError::Unavailable { .. }))
}

#[tokio::test]
async fn two_hundred_calls_of_two_processes_at_the_end_make_one_refresh() {
    let world = World::new();
    world.connect().await;
    world.expire();
    let (user, server, second) = (ana(), notes(), world.second());
    let calls = (0..200).map(|call| {
        let connections = if call % 2 == 0 { &world.connections } else { &second };
        connections.bound(&server, &user)
    });
    for bound in join_all(calls).await {
        assert_eq!(bound.unwrap().unwrap().used().generation, 2);
    }
    assert_eq!(world.server.refreshes(), 1);
    assert_eq!(world.ledger.count("connection.refreshing"), 1);
    assert_eq!(world.ledger.count("connection.refreshed"), 1);
    // And the next time with the new refresh token.
    world.expire();
    world.connections.bound(&server, &user).await.unwrap();
    let sent: Vec<String> =
        world.server.sent_to("/token").iter().filter_map(|s| s.form.get("refresh_token").cloned()).collect();
    assert_eq!(sent, ["refresh-1", "refresh-2"]);
}

#[tokio::test]
async fn a_connection_is_renewed_before_its_end_and_used_until_then() {
    let world = World::new();
    world.connect().await;
    let (user, server) = (ana(), notes());
    world
        .clock
        .advance(Duration::from_secs(crate::world::LIFE) - limits::REFRESH_AHEAD - Duration::from_secs(1));
    assert_eq!(world.connections.bound(&server, &user).await.unwrap().unwrap().used().generation, 1);
    assert_eq!(world.server.refreshes(), 0);
    // Ahead of its end it goes on when it cannot be renewed.
    world.clock.advance(Duration::from_secs(2));
    world.server.then(Next::Unsent);
    assert_eq!(world.connections.bound(&server, &user).await.unwrap().unwrap().used().generation, 1);
    // Then a pause, after which it is tried again.
    assert_eq!(world.connections.bound(&server, &user).await.unwrap().unwrap().used().generation, 1);
    assert_eq!(world.server.refreshes(), 1, "nobody is asked again within the pause");
    world.clock.advance(limits::REFRESH_PAUSE);
    assert_eq!(world.connections.bound(&server, &user).await.unwrap().unwrap().used().generation, 2);
}

#[tokio::test]
async fn what_became_of_the_refresh_token_decides_what_the_connection_is_then() {
    let error = |code: &str| format!("{{\"error\":\"{code}\"}}");
    // What the token endpoint does; whether its user must come.
    let cases = [
        (Next::Unsent, false),
        (Next::Answer(429, String::new()), false),
        (Next::Answer(503, "busy".to_owned()), false),
        (Next::Answer(401, error("invalid_client")), false),
        (Next::Answer(400, error("invalid_target")), false),
        (Next::Answer(400, error("invalid_grant")), true),
        (Next::Lost, true),
        (Next::Answer(500, "broken".to_owned()), true),
        (Next::Answer(502, String::new()), true),
        (Next::Answer(200, "{\"access_token\":\"x\"}".to_owned()), true),
        (Next::Answer(400, "<html>".to_owned()), true),
    ];
    for (number, (next, ends)) in cases.into_iter().enumerate() {
        let world = World::new();
        world.connect().await;
        world.expire();
        world.server.then(next);
        let bound = world.connections.bound(&notes(), &ana()).await;
        assert_eq!(is_needed(&bound), ends, "case {number}: {bound:?}");
        assert_eq!(is_unavailable(&bound), !ends, "case {number}: {bound:?}");
        assert_eq!(world.needs_consent().await, ends, "case {number}");
        assert_eq!(world.stored().await.generation, 1);
        world.clock.advance(limits::REFRESH_PAUSE);
        let later = world.connections.bound(&notes(), &ana()).await;
        assert_eq!(later.is_ok(), !ends, "case {number}: a token that may be spent is never sent again");
        assert_eq!(world.server.refreshes(), if ends { 1 } else { 2 }, "case {number}");
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_known_to_be_good_more_than_once_survives_an_answer_that_was_lost() {
    let world = World::new();
    world.connect().await;
    world.expire();
    let same = tokens(2).replace("refresh-2", "refresh-1");
    world.server.then(Next::Answer(200, same));
    assert_eq!(world.connections.bound(&notes(), &ana()).await.unwrap().unwrap().used().generation, 2);
    assert!(!world.stored().await.one_time);
    world.expire();
    world.server.then(Next::Lost);
    assert!(is_unavailable(&world.connections.bound(&notes(), &ana()).await));
    world.clock.advance(limits::REFRESH_PAUSE);
    assert_eq!(world.connections.bound(&notes(), &ana()).await.unwrap().unwrap().used().generation, 3);
}

#[tokio::test]
async fn a_process_that_died_between_answer_and_commit_leaves_needs_consent_and_no_second_use() {
    let world = World::new();
    world.connect().await;
    world.expire();
    // The first process never comes back from the token endpoint.
    world.server.gate.forget_permits(usize::MAX >> 3);
    let dies = world.connections.clone();
    let call = tokio::spawn(async move { dies.bound(&notes(), &ana()).await });
    while world.server.refreshes() == 0 {
        tokio::task::yield_now().await;
    }
    let claimed = world.stored().await;
    let ConnectionState::Refreshing { until, .. } = claimed.state else { panic!("{claimed:?}") };
    let second = world.second();
    let bound = second.bound(&notes(), &ana()).await;
    assert!(is_needed(&bound), "{bound:?}");
    assert!(until.is_past(world.now()), "it was waited for until the end of the turn");
    assert!(world.needs_consent().await);
    assert_eq!(world.server.refreshes(), 1, "the token was not sent a second time");
    assert_eq!(world.ledger.count("connection.needs_consent"), 1);
    call.abort();
}

/// Where the authorization server was seen to hand the same refresh token back, a process that died has used nothing up.
#[tokio::test]
async fn a_process_that_died_with_a_token_that_is_good_more_than_once_costs_its_user_nothing() {
    for still_good in [true, false] {
        let world = World::new();
        world.connect().await;
        world.expire();
        world.server.then(Next::Answer(200, tokens(2).replace("refresh-2", "refresh-1")));
        assert!(world.connections.bound(&notes(), &ana()).await.is_ok());
        world.expire();
        world.hold();
        let mortal = world.mortal();
        let call = tokio::spawn(async move { mortal.bound(&notes(), &ana()).await });
        world.until(|server| server.refreshes() == 2).await;
        call.abort();
        let _ = call.await;
        let ConnectionState::Refreshing { until, .. } = world.stored().await.state else {
            panic!("no claim")
        };
        world.server.gate.add_permits(2);
        if !still_good {
            world.server.then(Next::Answer(400, crate::endings::INVALID.to_owned()));
        }
        let bound = world.second().bound(&notes(), &ana()).await;
        assert!(until.is_past(world.now()), "its turn was waited for");
        assert_eq!(bound.is_ok(), still_good, "{bound:?}");
        assert_eq!(world.needs_consent().await, !still_good);
        assert_eq!(world.server.refreshes(), 3, "it was tried once");
    }
}

#[tokio::test]
async fn tokens_that_come_after_the_turn_is_over_are_still_taken() {
    let world = World::new();
    world.connect().await;
    world.expire();
    world.server.gate.forget_permits(usize::MAX >> 3);
    let slow = world.connections.clone();
    let call = tokio::spawn(async move { slow.bound(&notes(), &ana()).await });
    while world.server.refreshes() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(is_needed(&world.second().bound(&notes(), &ana()).await));
    assert!(world.needs_consent().await);
    world.server.gate.add_permits(1);
    assert_eq!(call.await.unwrap().unwrap().unwrap().used().generation, 2);
    let stored = world.stored().await;
    assert_eq!((stored.state, stored.generation), (ConnectionState::Connected, 2));
}

#[tokio::test]
async fn a_caller_that_hangs_up_loses_nothing() {
    let world = World::new();
    world.connect().await;
    world.expire();
    world.server.gate.forget_permits(usize::MAX >> 3);
    let hangs_up = world.connections.clone();
    let call = tokio::spawn(async move { hangs_up.bound(&notes(), &ana()).await });
    while world.server.refreshes() == 0 {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    world.server.gate.add_permits(1);
    assert_eq!(world.connections.bound(&notes(), &ana()).await.unwrap().unwrap().used().generation, 2);
    assert_eq!(world.server.refreshes(), 1);
}

#[tokio::test]
async fn a_loser_of_the_compare_and_swap_leaves_the_winner_its_tokens() {
    let world = World::new();
    world.connect().await;
    world.expire();
    world.server.gate.forget_permits(usize::MAX >> 3);
    let slow = world.connections.clone();
    let call = tokio::spawn(async move { slow.bound(&notes(), &ana()).await });
    while world.server.refreshes() == 0 {
        tokio::task::yield_now().await;
    }
    // Meanwhile another process stores what a new consent gave.
    let claimed = load::<Connection>(&*world.store, "notes/ana").await.unwrap().unwrap();
    let winner = Connection {
        generation: claimed.value.generation + 1,
        state: ConnectionState::Connected,
        sealed: Some("sealed by the winner".to_owned()),
        ..claimed.value
    };
    world.store.commit(Batch::new().update(&winner, claimed.version)).await.unwrap();
    world.server.gate.add_permits(1);
    assert_eq!(call.await.unwrap().unwrap().unwrap().used().generation, 2);
    assert_eq!(world.stored().await, winner, "what the winner stored stands");
    assert!(world.server.sent_to("/revoke").is_empty(), "revoking ours could end the winner's too");
}

#[tokio::test]
async fn a_renewal_that_cannot_be_recorded_is_not_sent() {
    let world = World::new();
    world.connect().await;
    world.expire();
    world.ledger.set_failing(true);
    assert!(matches!(world.connections.bound(&notes(), &ana()).await, Err(ConnectionError::Ledger(_))));
    assert_eq!(world.server.refreshes(), 0);
    assert_eq!(world.stored().await.state, ConnectionState::Connected, "the turn was given back");
    world.ledger.set_failing(false);
    world.clock.advance(limits::REFRESH_PAUSE);
    assert!(world.connections.bound(&notes(), &ana()).await.is_ok());
}

#[tokio::test]
async fn without_a_refresh_token_its_user_must_come_when_it_ends() {
    let world = World::new();
    world.server.then(Next::Answer(200, tokens(1).replace("\"refresh_token\":\"refresh-1\",", "")));
    world.connect().await;
    assert!(world.connections.bound(&notes(), &ana()).await.is_ok());
    world.expire();
    assert!(is_needed(&world.connections.bound(&notes(), &ana()).await));
    assert_eq!(world.server.refreshes(), 0);
    assert!(world.needs_consent().await);
    // The same page makes it good again; the generations go on.
    let again = world.connect().await;
    assert_eq!((again.generation, again.issuer.as_str()), (2, ISSUER));
    assert!(world.connections.bound(&notes(), &ana()).await.is_ok());
}
