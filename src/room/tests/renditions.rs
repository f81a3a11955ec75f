//! A track in two codecs: who gets which, and what the publisher is told.

use super::super::demand::LOWERING_DELAY;
use super::*;
use crate::room::command::Follow;
use crate::room::event::CodecDemand;
use crate::room::renditions::BackupAnnouncement;

const HIGH: Option<Quality> = Some(Quality::High);

/// Anna publishes VP9 and would send VP8 too.
fn publish(world: &mut World, policy: BackupPolicy) -> TrackId {
    let backup = Some(BackupPlan { mime_type: "video/VP8", policy });
    world.command(ANNA, Command::Announce(Announcement { backup, ..camera("cam") }));
    world.offered(ANNA, vec![primary()]);
    let track = world.room.participant(ANNA).unwrap().publications[0].info.id.clone();
    flows(world, &track, Rendition::Primary);
    track
}

fn primary() -> OfferedTrack {
    OfferedTrack { mime_type: "video/VP9", ..section("0", "cam") }
}

/// Three in a room, one of whom publishes; what happened so far is forgotten.
fn room(policy: BackupPolicy) -> (World, TrackId) {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    world.join(CLEO, "cleo");
    let track = publish(&mut world, policy);
    assert_eq!(gets(&world, BERT), Some(Rendition::Primary));
    assert_eq!(told(&mut world), [(HIGH, None)]);
    (world, track)
}

fn flows(world: &mut World, track: &TrackId, rendition: Rendition) {
    world.room.flows(world.now, track, rendition);
    world.effects.extend(world.room.take_effects());
}

fn fail(world: &mut World, key: ParticipantKey, track: &TrackId, rendition: Rendition) {
    world.room.forwarding_failed(world.now, key, track, rendition);
    world.effects.extend(world.room.take_effects());
}

fn announce_backup(world: &mut World, track: &TrackId) {
    let layers = vec![Layer { quality: Quality::High, width: 640, height: 360 }];
    let announcement =
        BackupAnnouncement { track: track.clone(), client_id: "cam-vp8".into(), layers, opaque: Bytes::new() };
    world.command(ANNA, Command::AnnounceBackup(announcement));
}

fn publish_backup(world: &mut World, track: &TrackId) {
    announce_backup(world, track);
    world.offered(ANNA, vec![primary(), section("1", "cam-vp8")]);
}

/// What Anna was told is needed in each codec, since the last look.
fn told(world: &mut World) -> Vec<(Option<Quality>, Option<Quality>)> {
    let told = world.told(ANNA).into_iter().filter_map(|event| match event {
        Event::LayersWanted { codecs, .. } => {
            let [primary, backup] = codecs.as_slice() else { panic!("{codecs:?}") };
            let names = |demand: &CodecDemand, mime: &str| assert_eq!(demand.mime_type, mime);
            names(primary, "video/VP9");
            names(backup, "video/VP8");
            Some((primary.highest, backup.highest))
        }
        _ => None,
    });
    let told = told.collect();
    world.effects.retain(|effect| !matches!(effect, Effect::Tell { .. }));
    told
}

/// What a participant gets after all that happened.
fn gets(world: &World, key: ParticipantKey) -> Option<Rendition> {
    let mut gets = None;
    for effect in &world.effects {
        match effect {
            Effect::StartForwarding { subscriber, rendition, .. } if *subscriber == key => gets = Some(*rendition),
            Effect::StopForwarding { subscriber, .. } if *subscriber == key => gets = None,
            _ => {}
        }
    }
    gets
}

#[test]
fn the_backup_is_asked_for_when_somebody_needs_it_and_both_are_sent() {
    let (mut world, track) = room(BackupPolicy::Both);
    fail(&mut world, BERT, &track, Rendition::Primary);
    assert_eq!(gets(&world, BERT), None, "until it is there");
    assert_eq!(told(&mut world), [(HIGH, HIGH)]);
    publish_backup(&mut world, &track);
    assert_eq!(gets(&world, BERT), Some(Rendition::Backup));
    flows(&mut world, &track, Rendition::Backup);
    assert_eq!(gets(&world, CLEO), Some(Rendition::Primary));
    told(&mut world);
    world.wait(2 * LOWERING_DELAY);
    assert_eq!(told(&mut world), [], "both stay needed");

    // A newcomer with the same trouble is served at once; when both are gone the backup is not needed.
    fail(&mut world, CLEO, &track, Rendition::Primary);
    assert_eq!(gets(&world, CLEO), Some(Rendition::Backup));
    world.wait(LOWERING_DELAY);
    assert_eq!(told(&mut world), [(None, HIGH)]);
    for key in [BERT, CLEO] {
        world.command(key, Command::Want { tracks: vec![track.clone()], wanted: Wanted::NOTHING });
    }
    world.wait(LOWERING_DELAY);
    assert_eq!(told(&mut world), [(None, None)]);
    let failures = world.told(BERT).into_iter().filter(|event| matches!(event, Event::SubscriptionFailed { .. }));
    assert_eq!(failures.count(), 0);
}

#[test]
fn with_regression_everybody_gets_the_backup_once_its_media_is_there() {
    for policy in [BackupPolicy::PreferBackup, BackupPolicy::BackupAlone] {
        let (mut world, track) = room(policy);
        fail(&mut world, BERT, &track, Rendition::Primary);
        assert_eq!(told(&mut world), [(HIGH, HIGH)]);
        publish_backup(&mut world, &track);
        assert_eq!(gets(&world, CLEO), Some(Rendition::Primary), "the picture goes on");
        flows(&mut world, &track, Rendition::Backup);
        assert_eq!((gets(&world, BERT), gets(&world, CLEO)), (Some(Rendition::Backup), Some(Rendition::Backup)));
        told(&mut world);
        world.wait(LOWERING_DELAY);
        assert_eq!(told(&mut world), [(None, HIGH)], "the primary is off");

        // Who comes later gets the backup too, and Bert's leaving does not change codecs again.
        world.room.leave(world.now, BERT, LeaveReason::ClientLeft);
        world.join(BERT, "bert");
        assert_eq!(gets(&world, BERT), Some(Rendition::Backup));
        world.wait(2 * LOWERING_DELAY);
        assert_eq!(told(&mut world), []);
    }
}

#[test]
fn one_who_can_decode_the_primary_alone_keeps_it_unless_the_backup_is_to_be_alone() {
    let (mut world, track) = room(BackupPolicy::PreferBackup);
    fail(&mut world, BERT, &track, Rendition::Primary);
    publish_backup(&mut world, &track);
    flows(&mut world, &track, Rendition::Backup);
    fail(&mut world, CLEO, &track, Rendition::Backup);
    assert_eq!(gets(&world, CLEO), Some(Rendition::Primary));
    told(&mut world);
    world.wait(2 * LOWERING_DELAY);
    assert_eq!(told(&mut world), [], "both are needed");

    let (mut world, track) = room(BackupPolicy::BackupAlone);
    fail(&mut world, BERT, &track, Rendition::Primary);
    publish_backup(&mut world, &track);
    flows(&mut world, &track, Rendition::Backup);
    fail(&mut world, CLEO, &track, Rendition::Backup);
    let failed = Event::SubscriptionFailed { track, reason: SubscriptionFailure::CodecUnsupported };
    assert!(gets(&world, CLEO).is_none() && world.told(CLEO).contains(&&failed));
}

#[test]
fn one_who_can_decode_neither_is_told_so() {
    let (mut world, track) = room(BackupPolicy::Both);
    fail(&mut world, BERT, &track, Rendition::Primary);
    publish_backup(&mut world, &track);
    fail(&mut world, BERT, &track, Rendition::Backup);
    let failed = Event::SubscriptionFailed { track, reason: SubscriptionFailure::CodecUnsupported };
    assert!(gets(&world, BERT).is_none() && world.told(BERT).contains(&&failed));
    world.effects.clear();
    world.wait(LOWERING_DELAY);
    assert_eq!(told(&mut world), [(HIGH, None)]);
}

#[test]
fn a_failure_that_was_overtaken_changes_nothing() {
    let (mut world, track) = room(BackupPolicy::Both);
    fail(&mut world, BERT, &track, Rendition::Primary);
    publish_backup(&mut world, &track);
    told(&mut world);
    let before = world.effects.clone();
    fail(&mut world, BERT, &track, Rendition::Primary);
    fail(&mut world, CLEO, &track, Rendition::Backup);
    world.command(BERT, Command::Subscribe { tracks: vec![track.clone()], subscribe: false });
    world.effects.truncate(before.len());
    assert_eq!(world.effects, before);
    fail(&mut world, BERT, &track, Rendition::Backup);
    assert!(world.told(BERT).is_empty(), "not even subscribed any more");
}

#[test]
fn a_backup_that_ends_gives_its_viewers_back_to_the_primary() {
    let (mut world, track) = room(BackupPolicy::PreferBackup);
    fail(&mut world, BERT, &track, Rendition::Primary);
    publish_backup(&mut world, &track);
    flows(&mut world, &track, Rendition::Backup);
    world.offered(ANNA, vec![primary()]);
    assert_eq!((gets(&world, BERT), gets(&world, CLEO)), (None, Some(Rendition::Primary)));
    let stop = |rendition| Effect::StopSource { publisher: ANNA, track: track.clone(), rendition };
    assert!(world.effects.contains(&stop(Rendition::Backup)) && !world.effects.contains(&stop(Rendition::Primary)));
    assert_eq!(told(&mut world).last(), Some(&(HIGH, HIGH)), "Bert still needs it");
    // It comes back, and ends with the track.
    publish_backup(&mut world, &track);
    assert_eq!(gets(&world, BERT), Some(Rendition::Backup));
    world.offered(ANNA, Vec::new());
    assert_eq!((gets(&world, BERT), gets(&world, CLEO)), (None, None));
    let stops = world.effects.iter().filter(|effect| matches!(effect, Effect::StopSource { .. }));
    assert_eq!(stops.count(), 3);
}

#[test]
fn both_renditions_are_one_track_to_others() {
    let (mut world, track) = room(BackupPolicy::Both);
    fail(&mut world, BERT, &track, Rendition::Primary);
    world.effects.clear();
    announce_backup(&mut world, &track);
    let Some(Event::TrackAnnounced { client_id, track: info }) = world.told(ANNA).first().copied() else { panic!() };
    assert_eq!((client_id.as_str(), &info.id), ("cam-vp8", &track));
    world.offered(ANNA, vec![primary(), section("1", "renamed")]);
    let tracks = &world.room.participant(ANNA).unwrap().info.tracks;
    let [shown] = tracks.as_slice() else { panic!("{tracks:?}") };
    let backup = shown.backup.as_ref().unwrap();
    assert_eq!((shown.mid.as_deref(), backup.mid.as_deref()), (Some("0"), Some("1")));
    world.command(ANNA, Command::SetMuted { track, muted: true });
    assert!(world.room.participant(ANNA).unwrap().info.tracks[0].muted);
}

#[test]
fn a_backup_of_nothing_or_of_a_track_without_one_is_refused() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    let plain = world.publish(ANNA);
    let refused = |world: &mut World, track: &TrackId| {
        announce_backup(world, track);
        let mut reasons = world.told(ANNA).into_iter().filter_map(|event| match event {
            Event::AnnouncementRefused { reason, .. } => Some(*reason),
            _ => None,
        });
        reasons.next_back()
    };
    assert_eq!(refused(&mut world, &TrackId::new("TR_none")), Some(RequestRefusal::NotFound));
    assert_eq!(refused(&mut world, &plain), Some(RequestRefusal::Unsupported));
    let (mut world, track) = room(BackupPolicy::Both);
    publish_backup(&mut world, &track);
    assert_eq!(refused(&mut world, &track), Some(RequestRefusal::Duplicate));
    let long = BackupAnnouncement {
        track,
        client_id: "c".repeat(limits::NAME_BYTES + 1),
        layers: Vec::new(),
        opaque: Bytes::new(),
    };
    world.command(ANNA, Command::AnnounceBackup(long));
    let invalid = |event: &&Event| matches!(event, Event::AnnouncementRefused { reason: RequestRefusal::Invalid, .. });
    assert!(world.told(ANNA).iter().any(invalid));
}

#[test]
fn of_two_tracks_that_wait_a_renamed_section_is_first_a_primarys() {
    let (mut world, track) = room(BackupPolicy::Both);
    announce_backup(&mut world, &track);
    world.command(ANNA, Command::Announce(Announcement { source: TrackSource::ScreenShare, ..camera("screen") }));
    world.offered(ANNA, vec![primary(), section("1", "renamed"), section("2", "renamed too")]);
    let publications = &world.room.participant(ANNA).unwrap().publications;
    let mids: Vec<_> =
        publications.iter().map(|p| (p.info.mid.clone(), p.backup.as_ref().and_then(|b| b.mid))).collect();
    assert_eq!(mids, [(Some("0".into()), Mid::new("2")), (Some("1".into()), None)]);
}

#[test]
fn a_follower_that_reads_the_backup_alone_needs_no_failure_to_get_it() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    let track = publish(&mut world, BackupPolicy::Both);
    let hidden = Grants { hidden: true, publish: false, ..grants() };
    let follow = Some(Follow { publisher: None });
    world.join_as(CLEO, &JoinRequest { follow, ..request("cleo", hidden) }).unwrap();
    world.room.receives(world.now, CLEO, vec![(MediaKind::Video, "video/VP8")]);
    world.effects.extend(world.room.take_effects());
    assert_eq!(gets(&world, CLEO), None);
    assert_eq!(told(&mut world), [(HIGH, HIGH)]);
    world.wait(LOWERING_DELAY);
    assert_eq!(told(&mut world), [(None, HIGH)]);
    publish_backup(&mut world, &track);
    assert_eq!(gets(&world, CLEO), Some(Rendition::Backup));
}

#[test]
fn a_subscriber_that_comes_when_the_backup_flows_already_regresses_the_others_at_once() {
    let (mut world, track) = room(BackupPolicy::PreferBackup);
    // Bert turns away before the backup is there, and needs it again later.
    fail(&mut world, BERT, &track, Rendition::Primary);
    world.command(BERT, Command::Subscribe { tracks: vec![track.clone()], subscribe: false });
    publish_backup(&mut world, &track);
    flows(&mut world, &track, Rendition::Backup);
    assert_eq!(gets(&world, CLEO), Some(Rendition::Primary));
    world.command(BERT, Command::Subscribe { tracks: vec![track.clone()], subscribe: true });
    fail(&mut world, BERT, &track, Rendition::Primary);
    assert_eq!((gets(&world, BERT), gets(&world, CLEO)), (Some(Rendition::Backup), Some(Rendition::Backup)));
}
