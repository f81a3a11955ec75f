//! What is told of the others, when, and in which order.

use super::*;
use crate::room::news::NEWS_INTERVAL;

/// Identities and states in the news of a participant, message by message.
fn news(world: &World, key: ParticipantKey) -> Vec<Vec<(String, ParticipantState)>> {
    let told = world.told(key).into_iter().filter_map(|event| match event {
        Event::Participants(infos) => Some(infos.iter().map(|info| (info.identity.to_string(), info.state)).collect()),
        _ => None,
    });
    told.collect()
}

/// A room in which Anna is, and everything has been told.
fn with_anna() -> World {
    let mut world = World::new();
    world.room.config.max_participants = 0;
    world.join(ANNA, "anna");
    world.wait(NEWS_INTERVAL * 2);
    world.effects.clear();
    world
}

#[test]
fn in_a_quiet_room_a_change_is_told_at_once_and_in_a_busy_one_after_a_moment() {
    let mut world = with_anna();
    world.join_as(BERT, &request("bert", grants())).unwrap();
    assert_eq!(news(&world, ANNA).len(), 1);
    world.join_as(CLEO, &request("cleo", grants())).unwrap();
    assert_eq!(news(&world, ANNA).len(), 1);
    assert_eq!(world.room.poll_timeout(), world.now + NEWS_INTERVAL);
    world.wait(NEWS_INTERVAL);
    assert_eq!(news(&world, ANNA).len(), 2);
}

#[test]
fn several_changes_of_one_participant_are_told_as_the_last() {
    let mut world = with_anna();
    world.join_as(BERT, &request("bert", grants())).unwrap();
    world.effects.clear();
    world.room.connected(world.now, BERT);
    let named = |name: &str| Command::UpdateSelf {
        request: 1,
        name: Some(name.to_owned()),
        metadata: None,
        attributes: BTreeMap::new(),
    };
    world.command(BERT, named("B"));
    world.command(BERT, named("Bert"));
    world.wait(NEWS_INTERVAL);
    let Some(Event::Participants(infos)) = world.told(ANNA).last().copied() else { panic!("not told") };
    assert_eq!(news(&world, ANNA), [[("bert".to_owned(), ParticipantState::Active)]]);
    assert_eq!((infos[0].name.as_str(), infos[0].version), ("Bert", 4));
}

#[test]
fn a_new_track_takes_all_that_waits_with_it() {
    let mut world = with_anna();
    world.join(BERT, "bert");
    world.effects.clear();
    world.publish(BERT);
    let Some(Event::Participants(infos)) = world.told(ANNA).last().copied() else { panic!("not told") };
    assert_eq!(infos[0].tracks.len(), 1);
    assert!(world.room.news.due().is_none());
}

#[test]
fn the_end_of_a_stay_is_told_before_the_next_of_the_same_identity_and_never_to_those_who_came_after_it() {
    let mut world = with_anna();
    world.join(BERT, "bert");
    world.wait(NEWS_INTERVAL);
    world.wait(NEWS_INTERVAL);
    world.effects.clear();
    // Something that makes the room busy; then Bert joins anew, and another one after him.
    world.join_as(ParticipantKey(9), &request("zoe", grants())).unwrap();
    let [again, last] = [ParticipantKey(4), ParticipantKey(5)];
    world.join_as(again, &request("bert", grants())).unwrap();
    world.join_as(last, &request("last", grants())).unwrap();
    world.wait(NEWS_INTERVAL);
    let told = |name: &str, state| (name.to_owned(), state);
    use ParticipantState::{Disconnected, Joined};
    let all = vec![told("bert", Disconnected), told("bert", Joined), told("last", Joined)];
    assert_eq!(news(&world, ANNA).last(), Some(&all));
    assert_eq!(news(&world, again), [&all[1..]]);
    assert_eq!(news(&world, last), [&all[2..]]);
}

#[test]
fn whoever_connects_before_it_was_told_of_is_told_of_at_once() {
    let mut world = with_anna();
    world.join_as(BERT, &request("bert", grants())).unwrap();
    world.join_as(CLEO, &request("cleo", grants())).unwrap();
    world.effects.clear();
    world.room.connected(world.now, CLEO);
    world.wait(Duration::ZERO);
    // Her data may arrive now.
    assert_eq!(news(&world, ANNA), [[("cleo".to_owned(), ParticipantState::Active)]]);
}

#[test]
fn a_place_taken_again_has_nothing_of_who_was_there_before() {
    let mut world = with_anna();
    world.join(BERT, "bert");
    world.room.leave(world.now, BERT, LeaveReason::ClientLeft);
    world.join_as(BERT, &request("cleo", grants())).unwrap();
    world.wait(NEWS_INTERVAL);
    let last = news(&world, ANNA).pop().unwrap();
    use ParticipantState::{Disconnected, Joined};
    assert_eq!(last, [("bert".to_owned(), Disconnected), ("cleo".to_owned(), Joined)]);
    assert_eq!(world.room.info().participants, 2);
}

#[test]
fn the_counts_of_a_room_follow_who_is_visible_and_who_publishes() {
    let mut world = with_anna();
    world.join_as(BERT, &request("bert", Grants { hidden: true, ..grants() })).unwrap();
    world.join(CLEO, "cleo");
    let counts = |world: &World| (world.room.info().participants, world.room.info().publishers);
    assert_eq!(counts(&world), (2, 0));
    world.publish(CLEO);
    world.publish(ANNA);
    assert_eq!(counts(&world), (2, 2));
    world.offered(ANNA, Vec::new());
    assert_eq!(counts(&world), (2, 1));
    world.room.leave(world.now, CLEO, LeaveReason::ClientLeft);
    world.room.leave(world.now, BERT, LeaveReason::ClientLeft);
    assert_eq!(counts(&world), (1, 0));
}

#[test]
fn nothing_follows_the_farewell_and_news_is_told_to_those_who_stay() {
    let mut world = with_anna();
    world.join(BERT, "bert");
    world.join(CLEO, "cleo");
    // What waits falls due with the leaving itself.
    world.now += NEWS_INTERVAL * 2;
    world.effects.clear();
    world.command(BERT, Command::Leave(LeaveReason::ClientLeft));
    assert_eq!(world.told(BERT), [&Event::Removed(LeaveReason::ClientLeft)]);
    let told = news(&world, CLEO).pop().unwrap();
    assert!(told.contains(&("bert".to_owned(), ParticipantState::Disconnected)));
}
