//! Scenarios of a room: what participants are told, and what the shard is asked to do.

mod demand;
mod follow;
mod news;
mod renditions;
mod scale;

use std::sync::Arc;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::command::NoData;
use super::event::{RequestRefusal, SubscriptionFailure};
use super::publication::OfferedTrack;
use super::*;
use crate::negotiation::MediaKind;

/// A room, its clock, and all that it asked for so far.
struct World {
    room: Room,
    now: Instant,
    random: StdRng,
    effects: Vec<Effect>,
}

const ANNA: ParticipantKey = ParticipantKey(1);
const BERT: ParticipantKey = ParticipantKey(2);
const CLEO: ParticipantKey = ParticipantKey(3);

pub(crate) fn grants() -> Grants {
    Grants {
        publish: true,
        publish_sources: Vec::new(),
        publish_data: true,
        subscribe: true,
        update_own_metadata: true,
        hidden: false,
        recorder: false,
        agent: false,
    }
}

pub(crate) fn request(identity: &str, grants: Grants) -> JoinRequest {
    JoinRequest {
        room: RoomName::new("r"),
        identity: Identity::new(identity),
        name: String::new(),
        metadata: String::new(),
        attributes: BTreeMap::new(),
        grants,
        auto_subscribe: true,
        auto_subscribe_data: true,
        follow: None,
        offer: None,
        announcements: Vec::new(),
        opaque: Bytes::new(),
        data_protocol: Arc::new(NoData),
    }
}

fn camera(client_id: &str) -> Announcement {
    Announcement {
        client_id: client_id.to_owned(),
        kind: MediaKind::Video,
        source: TrackSource::Camera,
        muted: false,
        layers: Vec::new(),
        opaque: Bytes::new(),
        mime_type: None,
        backup: None,
    }
}

fn section(mid: &str, track_id: &str) -> OfferedTrack {
    OfferedTrack {
        mid: Mid::new(mid).unwrap(),
        kind: MediaKind::Video,
        track_id: track_id.to_owned(),
        mime_type: "video/VP8",
        simulcast: false,
    }
}

impl World {
    fn new() -> World {
        let now = Instant::now();
        let config = RoomConfig {
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            max_participants: 3,
        };
        let mut random = StdRng::seed_from_u64(7);
        let room = Room::new(RoomName::new("r"), config, Moment { now, unix_ms: 1_000 }, &mut random);
        World { room, now, random, effects: Vec::new() }
    }

    fn join_as(&mut self, key: ParticipantKey, request: &JoinRequest) -> Result<(), JoinError> {
        let at = Moment { now: self.now, unix_ms: 1_000 };
        let joined = self.room.join(at, key, request, &mut self.random);
        self.effects.extend(self.room.take_effects());
        joined
    }

    fn join(&mut self, key: ParticipantKey, identity: &str) {
        self.join_as(key, &request(identity, grants())).unwrap();
        self.room.connected(self.now, key);
        self.effects.extend(self.room.take_effects());
    }

    /// Lets time pass: what waits to be told is told.
    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.room.handle_timeout(self.now);
        self.effects.extend(self.room.take_effects());
    }

    fn command(&mut self, key: ParticipantKey, command: Command) {
        self.room.command(self.now, key, command, &mut self.random);
        self.effects.extend(self.room.take_effects());
    }

    fn offered(&mut self, key: ParticipantKey, offered: Vec<OfferedTrack>) {
        self.room.offered(self.now, key, offered);
        self.effects.extend(self.room.take_effects());
    }

    /// Announces and offers a camera; gives its id.
    fn publish(&mut self, key: ParticipantKey) -> TrackId {
        self.command(key, Command::Announce(camera("cam")));
        self.offered(key, vec![section("0", "cam")]);
        self.room.participant(key).unwrap().publications[0].info.id.clone()
    }

    fn told(&self, key: ParticipantKey) -> Vec<&Event> {
        let told = self.effects.iter().filter_map(|effect| match effect {
            Effect::Tell { to, event } if *to == key => Some(event),
            _ => None,
        });
        told.collect()
    }

    fn forwards_to(&self, key: ParticipantKey) -> bool {
        let mut forwards = false;
        for effect in &self.effects {
            match effect {
                Effect::StartForwarding { subscriber, .. } if *subscriber == key => forwards = true,
                Effect::StopForwarding { subscriber, .. } if *subscriber == key => forwards = false,
                _ => {}
            }
        }
        forwards
    }
}

#[test]
fn whoever_joins_is_told_of_the_others_and_they_of_it() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.wait(super::news::NEWS_INTERVAL);
    world.join_as(BERT, &request("bert", grants())).unwrap();
    world.wait(super::news::NEWS_INTERVAL);
    world.room.connected(world.now, BERT);
    world.wait(super::news::NEWS_INTERVAL);
    let Some(Event::Joined(joined)) = world.told(BERT).first().copied() else { panic!("not joined") };
    assert_eq!(joined.others.iter().map(|p| p.identity.as_str()).collect::<Vec<_>>(), ["anna"]);
    assert_eq!(joined.room.participants, 2);
    let seen = world.told(ANNA).into_iter().filter_map(|event| match event {
        Event::Participants(infos) => infos.iter().find(|p| p.identity.as_str() == "bert").map(|p| p.state),
        _ => None,
    });
    assert_eq!(seen.collect::<Vec<_>>(), [ParticipantState::Joined, ParticipantState::Active]);
}

#[test]
fn a_track_is_shown_and_forwarded_only_once_its_section_is_matched() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    world.effects.clear();
    world.command(ANNA, Command::Announce(camera("cam")));
    assert!(matches!(world.told(ANNA)[..], [Event::TrackAnnounced { .. }]));
    assert!(world.told(BERT).is_empty() && !world.forwards_to(BERT));
    world.offered(ANNA, vec![section("0", "cam")]);
    assert!(world.forwards_to(BERT));
    let news = world
        .effects
        .iter()
        .position(|e| matches!(e, Effect::Tell { to, event: Event::Participants(_) } if *to == BERT));
    let start = world.effects.iter().position(|e| matches!(e, Effect::StartForwarding { .. }));
    assert!(news < start, "a subscriber hears of a track before it gets it");
    assert!(world.told(ANNA).iter().any(|event| matches!(event, Event::FirstSubscriber { .. })));
}

#[test]
fn media_that_comes_before_its_announcement_waits_and_a_renamed_track_is_matched_by_kind() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.offered(ANNA, vec![section("0", "{firefox-made-this-up}")]);
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::StartSource { .. })));
    world.command(ANNA, Command::Announce(camera("cam")));
    assert!(world.effects.iter().any(|effect| matches!(effect, Effect::StartSource { .. })));
}

#[test]
fn a_section_that_goes_ends_its_track_for_everybody() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    let track = world.publish(ANNA);
    world.offered(ANNA, Vec::new());
    assert!(!world.forwards_to(BERT));
    assert!(world.effects.contains(&Effect::StopSource { publisher: ANNA, track, rendition: Rendition::Primary }));
    let Some(Event::Participants(infos)) = world.told(BERT).last().copied() else { panic!("not told") };
    assert!(infos[0].tracks.is_empty());
}

#[test]
fn a_token_that_does_not_allow_a_source_does_not_publish_it() {
    let mut world = World::new();
    let microphone_only = Grants { publish_sources: vec![TrackSource::Microphone], ..grants() };
    world.join_as(ANNA, &request("anna", microphone_only)).unwrap();
    world.command(ANNA, Command::Announce(camera("cam")));
    let refused = Event::AnnouncementRefused { client_id: "cam".to_owned(), reason: RequestRefusal::NotAllowed };
    assert!(world.told(ANNA).contains(&&refused));
}

#[test]
fn the_announcements_of_one_participant_are_bounded() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    for index in 0..=limits::TRACKS_PER_PARTICIPANT {
        world.command(ANNA, Command::Announce(camera(&index.to_string())));
    }
    let refused = world
        .told(ANNA)
        .into_iter()
        .filter(|event| matches!(event, Event::AnnouncementRefused { reason: RequestRefusal::LimitExceeded, .. }));
    assert_eq!(refused.count(), 1);
}

#[test]
fn a_token_that_may_not_subscribe_receives_nothing() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join_as(BERT, &request("bert", Grants { subscribe: false, ..grants() })).unwrap();
    let track = world.publish(ANNA);
    world.command(BERT, Command::Subscribe { tracks: vec![track], subscribe: true });
    assert!(!world.forwards_to(BERT));
}

#[test]
fn an_audience_shuts_out_and_lets_in_again_and_recorders_are_exempt() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    world.join_as(CLEO, &request("cleo", Grants { recorder: true, hidden: true, ..grants() })).unwrap();
    let track = world.publish(ANNA);
    assert!(world.forwards_to(BERT) && world.forwards_to(CLEO));
    world.command(ANNA, Command::SetAudience(Audience::Only(Vec::new())));
    assert!(!world.forwards_to(BERT) && world.forwards_to(CLEO));
    let rule = AudienceRule { identity: Some(Identity::new("bert")), participant: None, tracks: None };
    world.command(ANNA, Command::SetAudience(Audience::Only(vec![rule])));
    assert!(world.forwards_to(BERT));
    let told: Vec<bool> = world
        .told(BERT)
        .into_iter()
        .filter_map(|event| match event {
            Event::SubscriptionAllowed { track: about, allowed, .. } if *about == track => Some(*allowed),
            _ => None,
        })
        .collect();
    assert_eq!(told, [false, true]);
}

#[test]
fn an_unsubscribed_track_stays_unsubscribed_and_can_be_wanted_again() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    let track = world.publish(ANNA);
    world.command(BERT, Command::Subscribe { tracks: vec![track.clone()], subscribe: false });
    assert!(!world.forwards_to(BERT));
    world.command(ANNA, Command::SetAudience(Audience::Everyone));
    assert!(!world.forwards_to(BERT));
    world.command(BERT, Command::Subscribe { tracks: vec![track], subscribe: true });
    assert!(world.forwards_to(BERT));
}

#[test]
fn a_wish_for_a_track_that_never_comes_is_given_up() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    let track = TrackId::new("TR_nowhere");
    world.command(ANNA, Command::Subscribe { tracks: vec![track.clone()], subscribe: true });
    world.now += Duration::from_secs(14);
    world.room.handle_timeout(world.now);
    assert!(
        world
            .room
            .take_effects()
            .iter()
            .all(|e| !matches!(e, Effect::Tell { event: Event::SubscriptionFailed { .. }, .. }))
    );
    world.now += Duration::from_secs(1);
    world.room.handle_timeout(world.now);
    let failed = Event::SubscriptionFailed { track, reason: SubscriptionFailure::TrackNotFound };
    assert!(world.room.take_effects().contains(&Effect::Tell { to: ANNA, event: failed }));
}

#[test]
fn wishes_for_unknown_tracks_are_bounded() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    let tracks = (0..=limits::PENDING_SUBSCRIPTIONS).map(|index| TrackId::new(&format!("TR_{index}"))).collect();
    world.command(ANNA, Command::Subscribe { tracks, subscribe: true });
    let failed = world.told(ANNA).into_iter().filter(|event| matches!(event, Event::SubscriptionFailed { .. }));
    assert_eq!(failed.count(), 1);
}

#[test]
fn the_same_identity_again_puts_the_older_one_out() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "anna");
    assert_eq!(world.told(ANNA).last(), Some(&&Event::Removed(LeaveReason::DuplicateIdentity)));
    assert!(world.effects.contains(&Effect::Close { participant: ANNA }));
    assert!(world.room.participant(ANNA).is_none() && world.room.participant(BERT).is_some());
}

#[test]
fn a_hidden_participant_is_seen_by_nobody_but_itself() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.effects.clear();
    world.join_as(BERT, &request("bert", Grants { hidden: true, ..grants() })).unwrap();
    world.room.connected(world.now, BERT);
    world.effects.extend(world.room.take_effects());
    assert!(world.told(ANNA).is_empty());
    assert_eq!(world.room.info().participants, 1);
    world.join(CLEO, "cleo");
    let Some(Event::Joined(joined)) = world.told(CLEO).first().copied() else { panic!("not joined") };
    assert_eq!(joined.others.len(), 1);
}

#[test]
fn a_hidden_participants_track_is_forwarded_to_nobody() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join_as(BERT, &request("bert", Grants { hidden: true, ..grants() })).unwrap();
    world.publish(BERT);
    assert!(!world.forwards_to(ANNA));
}

#[test]
fn wishes_about_tracks_that_exist_need_no_place_among_the_unknown() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    let unknown = (0..limits::PENDING_SUBSCRIPTIONS).map(|index| TrackId::new(&format!("TR_{index}"))).collect();
    world.command(BERT, Command::Subscribe { tracks: unknown, subscribe: true });
    let track = world.publish(ANNA);
    world.command(BERT, Command::Want { tracks: vec![track.clone()], wanted: Wanted::NOTHING });
    assert!(world.effects.contains(&Effect::SetWanted { subscriber: BERT, track, wanted: Wanted::NOTHING }));
}

#[test]
fn another_track_in_the_same_section_is_another_publication() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    let first = world.publish(ANNA);
    world.command(ANNA, Command::Announce(camera("cam2")));
    world.offered(ANNA, vec![section("0", "cam2")]);
    let tracks = &world.room.participant(ANNA).unwrap().info.tracks;
    assert_eq!(tracks.len(), 1);
    assert_ne!(tracks[0].id, first);
    assert!(world.effects.contains(&Effect::StopSource {
        publisher: ANNA,
        track: first,
        rendition: Rendition::Primary
    }));
}

#[test]
fn a_full_room_refuses() {
    let mut world = World::new();
    for (key, identity) in [(ANNA, "anna"), (BERT, "bert"), (CLEO, "cleo")] {
        world.join(key, identity);
    }
    assert_eq!(world.join_as(ParticipantKey(4), &request("dora", grants())), Err(JoinError::RoomFull));
}

#[test]
fn own_metadata_needs_a_grant_and_keeps_its_bounds() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join_as(BERT, &request("bert", Grants { update_own_metadata: false, ..grants() })).unwrap();
    let update = |request, metadata: String| Command::UpdateSelf {
        request,
        name: None,
        metadata: Some(metadata),
        attributes: BTreeMap::from([("mood".to_owned(), "good".to_owned())]),
    };
    world.command(ANNA, update(1, "m".to_owned()));
    world.command(ANNA, update(2, "m".repeat(limits::METADATA_BYTES + 1)));
    world.command(BERT, update(3, "m".to_owned()));
    let outcomes: Vec<_> = [ANNA, BERT]
        .into_iter()
        .flat_map(|key| world.told(key))
        .filter_map(|event| match event {
            Event::UpdateOutcome { request, outcome } => Some((*request, *outcome)),
            _ => None,
        })
        .collect();
    let expected = [(1, Ok(())), (2, Err(RequestRefusal::LimitExceeded)), (3, Err(RequestRefusal::NotAllowed))];
    assert_eq!(outcomes, expected);
    assert_eq!(world.room.participant(ANNA).unwrap().info.attributes["mood"], "good");
}

#[test]
fn a_data_track_gets_a_handle_of_its_own_at_each_subscriber() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    world.join(CLEO, "cleo");
    for key in [ANNA, BERT] {
        world.command(key, Command::PublishDataTrack { handle: 9, name: "d".to_owned(), opaque: Bytes::new() });
    }
    assert_eq!(world.room.data_track_recipients(ANNA, 9), [(BERT, 1), (CLEO, 1)]);
    assert_eq!(world.room.data_track_recipients(BERT, 9), [(ANNA, 1), (CLEO, 2)]);
    world.command(ANNA, Command::UnpublishDataTrack { handle: 9 });
    assert!(world.room.data_track_recipients(ANNA, 9).is_empty());
    assert_eq!(world.room.data_track_recipients(BERT, 9), [(ANNA, 1), (CLEO, 2)]);
}

#[test]
fn the_data_tracks_of_one_participant_are_bounded_and_told_apart() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    for handle in 1..=limits::DATA_TRACKS as u16 + 1 {
        let publish = |handle, name: String| Command::PublishDataTrack { handle, name, opaque: Bytes::new() };
        world.command(ANNA, publish(handle, handle.to_string()));
        world.command(ANNA, publish(1, "again".to_owned()));
        world.command(ANNA, publish(0, "zero".to_owned()));
    }
    let refused = |wanted| {
        let told = world.told(ANNA);
        let of_kind = |event: &&&Event| matches!(event, Event::DataTrackRefused { reason, .. } if *reason == wanted);
        told.iter().filter(of_kind).count()
    };
    assert_eq!(refused(RequestRefusal::LimitExceeded), 1);
    assert_eq!(refused(RequestRefusal::Duplicate), limits::DATA_TRACKS + 1);
    assert_eq!(refused(RequestRefusal::Invalid), limits::DATA_TRACKS + 1);
}

#[test]
fn no_room_outgrows_the_servers_own_bound() {
    let mut world = World::new();
    world.room.config.max_participants = 0;
    for index in 0..limits::ROOM_PARTICIPANTS {
        // Hidden, so that nobody is told of anybody and the test stays small.
        let request = request(&index.to_string(), Grants { hidden: true, ..grants() });
        assert_eq!(world.join_as(ParticipantKey(index), &request), Ok(()));
        world.effects.clear();
    }
    let late = ParticipantKey(limits::ROOM_PARTICIPANTS);
    assert_eq!(world.join_as(late, &request("late", grants())), Err(JoinError::RoomFull));
}

#[test]
fn an_empty_room_outlives_its_last_participant_by_the_departure_timeout() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.room.leave(world.now, ANNA, LeaveReason::ClientLeft);
    world.now += Duration::from_secs(19);
    assert!(!world.room.handle_timeout(world.now).close);
    world.now += Duration::from_secs(1);
    assert!(world.room.handle_timeout(world.now).close);
}

#[test]
fn speakers_and_quality_are_told_to_those_who_receive_them() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    world.join_as(CLEO, &request("cleo", Grants { subscribe: false, ..grants() })).unwrap();
    world.publish(ANNA);
    world.effects.clear();
    world.room.levels_measured(&[speakers::MeasuredLevel { participant: ANNA, level: 0.5 }]);
    world.room.networks_measured(&[quality::MeasuredNetwork { participant: ANNA, loss: 0.0, round_trip_time: None }]);
    world.effects.extend(world.room.take_effects());
    for (key, count) in [(ANNA, 2), (BERT, 2), (CLEO, 0)] {
        assert_eq!(world.told(key).len(), count, "{key:?}");
    }
}

#[test]
fn nothing_of_what_one_who_left_waited_for_comes_to_the_next_in_its_place() {
    let mut world = World::new();
    world.join(ANNA, "anna");
    world.join(BERT, "bert");
    world.command(BERT, Command::Subscribe { tracks: vec![TrackId::new("TR_nowhere")], subscribe: true });
    world.room.leave(world.now, BERT, LeaveReason::ClientLeft);
    world.join(BERT, "cleo");
    world.effects.clear();
    world.wait(Duration::from_secs(20));
    let told = [ANNA, BERT].into_iter().flat_map(|key| world.told(key));
    assert!(told.into_iter().all(|event| !matches!(event, Event::SubscriptionFailed { .. })));
}
