//! Followers: whom they watch, and when that changes.

use super::*;
use crate::room::command::Follow;

const VP8: (MediaKind, &str) = (MediaKind::Video, "video/VP8");
const H264: (MediaKind, &str) = (MediaKind::Video, "video/H264");

/// Joins Cleo as a follower that reads these codecs.
fn follow(world: &mut World, publisher: Option<&str>, reads: &[(MediaKind, &'static str)]) {
    let follow = Some(Follow { publisher: publisher.map(Identity::new) });
    let hidden = Grants { hidden: true, publish: false, ..grants() };
    world.join_as(CLEO, &JoinRequest { follow, ..request("cleo", hidden) }).unwrap();
    world.room.receives(world.now, CLEO, reads.to_vec());
    world.effects.extend(world.room.take_effects());
}

/// Publishes a track of one kind and codec in a section of its own, beside those before.
fn publish(
    world: &mut World,
    key: ParticipantKey,
    name: &str,
    source: TrackSource,
    mime_type: &'static str,
) -> TrackId {
    let kind = if mime_type.starts_with("audio") { MediaKind::Audio } else { MediaKind::Video };
    world.command(key, Command::Announce(Announcement { kind, source, ..camera(name) }));
    let participant = world.room.participant(key).unwrap();
    let mut offered = participant.offered.clone();
    offered.push(OfferedTrack { kind, mime_type, ..section(name, name) });
    world.offered(key, offered);
    world.room.participant(key).unwrap().publications.last().unwrap().info.id.clone()
}

fn leave(world: &mut World, key: ParticipantKey) {
    world.room.leave(world.now, key, LeaveReason::ClientLeft);
    world.effects.extend(world.room.take_effects());
}

/// What Cleo gets, oldest first; panics when a second track of a kind starts before the first stops.
fn watched(world: &World) -> Vec<&TrackId> {
    let mut watched: Vec<&TrackId> = Vec::new();
    for effect in &world.effects {
        match effect {
            Effect::StartForwarding { subscriber: CLEO, track, .. } => watched.push(track),
            Effect::StopForwarding { subscriber: CLEO, track } => watched.retain(|one| *one != track),
            _ => {}
        }
        assert!(watched.len() <= 2, "one of each kind: {watched:?}");
    }
    watched
}

#[test]
fn whoever_publishes_first_is_watched_and_the_next_once_it_is_gone() {
    let mut world = World::new();
    follow(&mut world, None, &[VP8]);
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    assert!(watched(&world).is_empty());
    // Bert joined later, and publishes first.
    let berts = publish(&mut world, BERT, "b", TrackSource::Camera, "video/VP8");
    let annas = publish(&mut world, ANNA, "a", TrackSource::Camera, "video/VP8");
    assert_eq!(watched(&world), [&berts]);
    world.effects.clear();
    leave(&mut world, BERT);
    assert_eq!(watched(&world), [&annas]);
    let order: Vec<_> = world
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::StopForwarding { subscriber: CLEO, .. } => Some("stop"),
            Effect::StartForwarding { subscriber: CLEO, .. } => Some("start"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["stop", "start"]);

    // Who comes back is last, and nobody's coming changes what is watched.
    world.join(BERT, "bert");
    publish(&mut world, BERT, "b", TrackSource::Camera, "video/VP8");
    assert_eq!(watched(&world), [&annas]);
    world.offered(ANNA, Vec::new());
    let berts = world.room.participant(BERT).unwrap().publications[0].info.id.clone();
    assert_eq!(watched(&world), [&berts], "who stops publishing is left as well");
    leave(&mut world, BERT);
    assert!(watched(&world).is_empty());
}

#[test]
fn one_that_can_be_read_goes_before_one_that_cannot() {
    let mut world = World::new();
    follow(&mut world, None, &[H264]);
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    let annas = publish(&mut world, ANNA, "a", TrackSource::Camera, "video/VP8");
    assert_eq!(watched(&world), [&annas], "it may change to a codec that can be");
    let berts = publish(&mut world, BERT, "b", TrackSource::Camera, "video/H264");
    assert_eq!(watched(&world), [&berts]);
    leave(&mut world, BERT);
    assert_eq!(watched(&world), [&annas]);
}

#[test]
fn a_named_publisher_is_waited_for() {
    let mut world = World::new();
    follow(&mut world, Some("bert"), &[VP8]);
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    publish(&mut world, ANNA, "a", TrackSource::Camera, "video/VP8");
    assert!(watched(&world).is_empty());
    let berts = publish(&mut world, BERT, "b", TrackSource::Camera, "video/VP8");
    assert_eq!(watched(&world), [&berts]);
    leave(&mut world, BERT);
    assert!(watched(&world).is_empty());
}

#[test]
fn one_track_of_each_kind_it_reads_is_watched_and_a_person_rather_than_a_screen() {
    let mut world = World::new();
    follow(&mut world, None, &[VP8, (MediaKind::Audio, "audio/opus")]);
    world.join(ANNA, "anna");
    let screen = publish(&mut world, ANNA, "s", TrackSource::ScreenShare, "video/VP8");
    assert_eq!(watched(&world), [&screen]);
    let camera = publish(&mut world, ANNA, "c", TrackSource::Camera, "video/VP8");
    assert_eq!(watched(&world), [&camera]);
    let microphone = publish(&mut world, ANNA, "m", TrackSource::Microphone, "audio/opus");
    assert_eq!(watched(&world), [&camera, &microphone]);

    let mut world = World::new();
    follow(&mut world, None, &[(MediaKind::Audio, "audio/opus")]);
    world.join(ANNA, "anna");
    publish(&mut world, ANNA, "c", TrackSource::Camera, "video/VP8");
    assert!(watched(&world).is_empty(), "without a section for video");
}

#[test]
fn a_follower_is_told_to_nobody_and_an_audience_shuts_it_out() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    follow(&mut world, None, &[VP8]);
    assert!(!world.told(ANNA).iter().any(|event| format!("{event:?}").contains("cleo")));
    let annas = publish(&mut world, ANNA, "a", TrackSource::Camera, "video/VP8");
    let berts = publish(&mut world, BERT, "b", TrackSource::Camera, "video/VP8");
    assert_eq!(watched(&world), [&annas]);
    world.command(ANNA, Command::SetAudience(Audience::Only(Vec::new())));
    assert_eq!(watched(&world), [&berts]);
    // Let in again, it stays where it is.
    world.command(ANNA, Command::SetAudience(Audience::Everyone));
    assert_eq!(watched(&world), [&berts]);
}

#[test]
fn a_hidden_publisher_is_not_followed() {
    let mut world = World::new();
    follow(&mut world, None, &[VP8]);
    world.join_as(ANNA, &request("anna", Grants { hidden: true, ..grants() })).unwrap();
    publish(&mut world, ANNA, "a", TrackSource::Camera, "video/VP8");
    assert!(watched(&world).is_empty());
}
