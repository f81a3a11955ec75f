//! What publishers are told of the layers of their tracks that anybody needs, and when.

use super::super::demand::LOWERING_DELAY;
use super::*;
use crate::room::command::Follow;
use crate::room::event::CodecDemand;

const LAYERS: [Layer; 3] = [
    Layer { quality: Quality::Low, width: 320, height: 180 },
    Layer { quality: Quality::Medium, width: 640, height: 360 },
    Layer { quality: Quality::High, width: 1280, height: 720 },
];

/// What Anna was told of her camera since the last look: the highest quality needed, each time.
fn told(world: &mut World) -> Vec<Option<Quality>> {
    let told = world.told(ANNA).into_iter().filter_map(|event| match event {
        Event::LayersWanted { codecs, .. } => {
            let [CodecDemand { mime_type, highest }] = codecs.as_slice() else { panic!("{codecs:?}") };
            assert_eq!(mime_type, "video/VP8");
            Some(*highest)
        }
        _ => None,
    });
    let told = told.collect();
    world.effects.clear();
    told
}

/// Anna publishes a camera in three layers, and Bert watches it.
fn watched() -> (World, TrackId) {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    let track = publish(&mut world);
    assert_eq!(told(&mut world), [Some(Quality::High)], "once somebody watches");
    (world, track)
}

fn publish(world: &mut World) -> TrackId {
    world.command(ANNA, Command::Announce(Announcement { layers: LAYERS.to_vec(), ..camera("cam") }));
    world.offered(ANNA, vec![section("0", "cam")]);
    let track = world.room.participant(ANNA).unwrap().publications[0].info.id.clone();
    flows(world, &track);
    track
}

fn flows(world: &mut World, track: &TrackId) {
    world.room.flows(world.now, track, Rendition::Primary);
    world.effects.extend(world.room.take_effects());
}

fn want(world: &mut World, key: ParticipantKey, track: &TrackId, wanted: Wanted) {
    world.command(key, Command::Want { tracks: vec![track.clone()], wanted });
}

fn leave(world: &mut World, key: ParticipantKey) {
    world.room.leave(world.now, key, LeaveReason::ClientLeft);
    world.effects.extend(world.room.take_effects());
}

/// Lets a lowering fall due; asserts that it did not before.
fn lowered(world: &mut World) -> Vec<Option<Quality>> {
    world.wait(LOWERING_DELAY - Duration::from_millis(1));
    assert_eq!(told(world), [], "too early");
    assert!(world.room.poll_timeout() <= world.now + Duration::from_millis(1), "the room asks to be called");
    world.wait(Duration::from_millis(1));
    told(world)
}

const LOW: Wanted = Wanted::quality(Quality::Low);
const MEDIUM: Wanted = Wanted::quality(Quality::Medium);
const HIGH: Wanted = Wanted::quality(Quality::High);

#[test]
fn less_is_told_after_it_was_enough_for_long_and_more_at_once() {
    let (mut world, track) = watched();
    want(&mut world, BERT, &track, LOW);
    assert_eq!(lowered(&mut world), [Some(Quality::Low)]);
    want(&mut world, BERT, &track, Wanted::size(600, 340));
    assert_eq!(told(&mut world), [Some(Quality::Medium)]);
    want(&mut world, BERT, &track, HIGH);
    assert_eq!(told(&mut world), [Some(Quality::High)]);
    world.wait(2 * LOWERING_DELAY);
    assert_eq!(told(&mut world), [], "nothing changes");
}

#[test]
fn what_was_needed_again_meanwhile_is_kept() {
    let (mut world, track) = watched();
    want(&mut world, BERT, &track, LOW);
    world.wait(LOWERING_DELAY / 2);
    want(&mut world, BERT, &track, HIGH);
    world.wait(2 * LOWERING_DELAY);
    assert_eq!(told(&mut world), [], "the lowering was called off");

    want(&mut world, BERT, &track, LOW);
    world.wait(LOWERING_DELAY - Duration::from_secs(2));
    want(&mut world, BERT, &track, MEDIUM);
    world.wait(Duration::from_secs(1));
    want(&mut world, BERT, &track, LOW);
    world.wait(Duration::from_secs(1));
    assert_eq!(told(&mut world), [Some(Quality::Medium)], "the most of the last seconds");
    assert_eq!(lowered(&mut world), [Some(Quality::Low)]);
}

#[test]
fn the_highest_of_all_subscribers_counts_until_it_goes() {
    let (mut world, track) = watched();
    want(&mut world, BERT, &track, LOW);
    world.join(CLEO, "cleo");
    world.wait(2 * LOWERING_DELAY);
    assert_eq!(told(&mut world), [], "Cleo needs all");
    leave(&mut world, CLEO);
    assert_eq!(lowered(&mut world), [Some(Quality::Low)]);
}

#[test]
fn of_a_track_that_nobody_shows_nothing_is_needed() {
    let nobody: [fn(&mut World, &TrackId); 4] = [
        |world, track| {
            world.command(BERT, Command::Subscribe { tracks: vec![track.clone()], subscribe: false });
        },
        |world, track| want(world, BERT, track, Wanted::NOTHING),
        |world, _| leave(world, BERT),
        |world, _| world.command(ANNA, Command::SetAudience(Audience::Only(Vec::new()))),
    ];
    for end in nobody {
        let (mut world, track) = watched();
        end(&mut world, &track);
        assert_eq!(lowered(&mut world), [None]);
        world.join(CLEO, "cleo");
        world.command(ANNA, Command::SetAudience(Audience::Everyone));
        assert_eq!(told(&mut world), [Some(Quality::High)], "somebody watches again");
    }
}

#[test]
fn one_who_cannot_decode_it_needs_nothing_of_it() {
    let (mut world, track) = watched();
    world.room.forwarding_failed(world.now, BERT, &track, Rendition::Primary);
    assert_eq!(lowered(&mut world), [None]);
}

#[test]
fn a_track_that_nobody_ever_watched_is_paused_too() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    publish(&mut world);
    assert_eq!(lowered(&mut world), [None]);
}

#[test]
fn nothing_is_told_of_a_muted_track_and_what_stands_when_it_is_heard_again() {
    let (mut world, track) = watched();
    let mute = |muted| Command::SetMuted { track: track.clone(), muted };
    want(&mut world, BERT, &track, LOW);
    world.command(ANNA, mute(true));
    world.wait(2 * LOWERING_DELAY);
    assert_eq!(told(&mut world), []);
    world.command(ANNA, mute(false));
    assert_eq!(lowered(&mut world), [Some(Quality::Low)]);
    world.command(ANNA, mute(true));
    want(&mut world, BERT, &track, HIGH);
    assert_eq!(told(&mut world), []);
    world.command(ANNA, mute(false));
    assert_eq!(told(&mut world), [Some(Quality::High)]);
}

#[test]
fn nothing_is_told_before_the_media_flows() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    world.command(ANNA, Command::Announce(Announcement { layers: LAYERS.to_vec(), ..camera("cam") }));
    world.offered(ANNA, vec![section("0", "cam")]);
    let track = world.room.participant(ANNA).unwrap().publications[0].info.id.clone();
    want(&mut world, BERT, &track, LOW);
    world.wait(2 * LOWERING_DELAY);
    assert_eq!(told(&mut world), []);
    flows(&mut world, &track);
    assert_eq!(told(&mut world), [Some(Quality::High)], "as it is: less only after it was enough for long");
    assert_eq!(lowered(&mut world), [Some(Quality::Low)]);
}

#[test]
fn whoever_negotiates_anew_is_told_again_what_to_leave_out() {
    let (mut world, track) = watched();
    world.offered(ANNA, vec![section("0", "cam")]);
    assert_eq!(told(&mut world), [], "nothing is left out");
    want(&mut world, BERT, &track, LOW);
    assert_eq!(lowered(&mut world), [Some(Quality::Low)]);
    world.offered(ANNA, vec![section("0", "cam")]);
    assert_eq!(told(&mut world), [Some(Quality::Low)]);
}

#[test]
fn nothing_is_told_of_a_track_that_ended() {
    let (mut world, track) = watched();
    want(&mut world, BERT, &track, LOW);
    world.offered(ANNA, Vec::new());
    world.wait(2 * LOWERING_DELAY);
    assert_eq!(told(&mut world), []);
}

#[test]
fn a_microphone_has_no_layers() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    world.command(ANNA, Command::Announce(Announcement { kind: MediaKind::Audio, ..camera("mic") }));
    world.offered(ANNA, vec![OfferedTrack { kind: MediaKind::Audio, mime_type: "audio/opus", ..section("0", "mic") }]);
    let track = world.room.participant(ANNA).unwrap().publications[0].info.id.clone();
    flows(&mut world, &track);
    world.wait(2 * LOWERING_DELAY);
    assert_eq!(told(&mut world), []);
}

#[test]
fn a_follower_counts_like_anybody() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    publish(&mut world);
    assert_eq!(lowered(&mut world), [None]);
    let hidden = Grants { hidden: true, publish: false, ..grants() };
    let follow = Some(Follow { publisher: None });
    world.join_as(CLEO, &JoinRequest { follow, ..request("cleo", hidden) }).unwrap();
    world.room.receives(world.now, CLEO, vec![(MediaKind::Video, "video/VP8")]);
    world.effects.extend(world.room.take_effects());
    assert_eq!(told(&mut world), [Some(Quality::High)]);
}
