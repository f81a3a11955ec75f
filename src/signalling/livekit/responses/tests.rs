//! Each event of a room and what the client reads.

use super::super::model::tests::{participant_info, track_info, video_request};
use super::*;
use crate::room::event::{CodecDemand, DataTrackHandle, RequestRefusal, TrackPause};
use crate::room::shared::Shared;

pub fn room_info() -> RoomInfo {
    RoomInfo {
        id: RoomId::new("RM_abcdefghijkl"),
        name: RoomName::new("den"),
        metadata: "rm".into(),
        created_at_ms: 1_700_000_000_500,
        participants: 2,
        publishers: 1,
        empty_timeout: 300,
        departure_timeout: 20,
        max_participants: 5,
    }
}

pub fn joined() -> Event {
    Event::Joined(Box::new(JoinedRoom {
        room: Shared::new(room_info()),
        participant: Shared::new(participant_info()),
        others: vec![Shared::new(ParticipantInfo {
            identity: Identity::new("bob"),
            tracks: vec![track_info(&video_request())],
            ..participant_info()
        })],
        publish_codecs: vec!["video/VP8", "audio/opus"],
    }))
}

/// The one message that follows.
fn told(event: Event) -> Answer {
    told_to(event, PROTOCOL)
}

fn told_to(event: Event, protocol: i32) -> Answer {
    let messages: Result<[Answer; 1], _> = responses(event, protocol).try_into();
    messages.map(|[message]| message).unwrap_or_else(|messages| panic!("{messages:?}"))
}

fn track() -> TrackId {
    TrackId::new("TR_a")
}

#[test]
fn joining_tells_all_that_clients_depend_on() {
    let Answer::Join(join) = told(joined()) else { panic!() };
    let room = join.room.unwrap();
    assert_eq!((room.sid.as_str(), room.name.as_str(), room.creation_time), ("RM_abcdefghijkl", "den", 1_700_000_000));
    assert_eq!((room.creation_time_ms, room.num_participants, room.max_participants), (1_700_000_000_500, 2, 5));
    assert_eq!(join.participant.unwrap().identity, "alice");
    assert_eq!(join.other_participants[0].tracks[0].sid, "TR_VCabcdefghij");
    let server = join.server_info.unwrap();
    assert_eq!((server.version.as_str(), server.protocol, server.node_id.as_str()), ("1.13.0", 17, "sfumato"));
    assert_eq!(join.server_version, "1.13.0");
    // Three numbers: some clients parse it, and give up where they cannot.
    assert_eq!(COMPATIBLE_VERSION.split('.').filter(|part| part.parse::<u32>().is_ok()).count(), 3);
    assert_eq!((join.ping_interval, join.ping_timeout), (5, 15));
    assert!(!join.subscriber_primary && join.fast_publish && join.ice_servers.is_empty());
    let configuration = join.client_configuration.unwrap();
    assert_eq!(configuration.resume_connection(), proto::ClientConfigSetting::Disabled);
    assert_eq!(join.sif_trailer.len(), 16);
    let codecs: Vec<_> = join.enabled_publish_codecs.iter().map(|codec| codec.mime.as_str()).collect();
    assert_eq!(codecs, ["video/VP8", "audio/opus"]);
}

#[test]
fn an_answer_has_the_offers_id_and_the_tracks_by_section() {
    let tracks_by_mid = vec![("1".to_owned(), track())];
    let Answer::Answer(answer) = told(Event::Answer { id: 3, sdp: "v=0".into(), tracks_by_mid }) else { panic!() };
    assert_eq!((answer.r#type.as_str(), answer.id, answer.sdp.as_str()), ("answer", 3, "v=0"));
    assert_eq!(answer.mid_to_track_id["1"], "TR_a");
}

#[test]
fn tracks_that_are_paused_for_bandwidth_are_told_with_their_publisher() {
    let pause = |paused| TrackPause { publisher: ParticipantId::new("PA_b"), track: track(), paused };
    let told = told(Event::TracksPaused(vec![pause(true), pause(false)]));
    let Answer::StreamStateUpdate(update) = told else { panic!() };
    let named = |state: &proto::StreamStateInfo| (state.participant_sid == "PA_b", state.track_sid == "TR_a");
    assert!(update.stream_states.iter().map(named).all(|named| named == (true, true)));
    let states: Vec<_> = update.stream_states.iter().map(proto::StreamStateInfo::state).collect();
    assert_eq!(states, [proto::StreamState::Paused, proto::StreamState::Active]);
}

#[test]
fn leaving_tells_the_reason_and_what_to_do() {
    use DisconnectReason as Why;
    let left = |event, protocol| match told_to(event, protocol) {
        Answer::Leave(leave) => (leave.reason(), leave.action(), leave.can_reconnect),
        other => panic!("{other:?}"),
    };
    for (reason, why, action) in [
        (LeaveReason::DuplicateIdentity, Why::DuplicateIdentity, Action::Disconnect),
        (LeaveReason::ServerShutdown, Why::ServerShutdown, Action::Reconnect),
        (LeaveReason::Removed, Why::ParticipantRemoved, Action::Disconnect),
        (LeaveReason::RoomClosed, Why::RoomClosed, Action::Disconnect),
        (LeaveReason::TransportFailed, Why::ConnectionTimeout, Action::Reconnect),
        (LeaveReason::ProtocolError, Why::UnknownReason, Action::Disconnect),
        (LeaveReason::TooSlow, Why::SignalClose, Action::Reconnect),
    ] {
        assert_eq!(left(Event::Removed(reason), 17), (why, action, false), "{reason:?}");
        assert_eq!(left(Event::Removed(reason), 12).2, action == Action::Reconnect, "{reason:?}");
    }
    for reason in [LeaveReason::ClientLeft, LeaveReason::SignallingLost] {
        assert!(responses(Event::Removed(reason), 17).is_empty());
    }
    // A refused offer must not send the client into a loop of joining anew.
    let refused = Event::OfferRefused { id: 1, reason: "no codec".into() };
    assert_eq!(left(refused, 17), (Why::JoinFailure, Action::Disconnect, false));
}

#[test]
fn tracks_of_ones_own_are_told_by_what_happens_to_them() {
    let announced = Event::TrackAnnounced { client_id: "cam".into(), track: track_info(&video_request()).into() };
    let Answer::TrackPublished(published) = told(announced) else { panic!() };
    assert_eq!((published.cid.as_str(), published.track.unwrap().sid.as_str()), ("cam", "TR_VCabcdefghij"));
    let Answer::TrackUnpublished(ended) = told(Event::TrackEnded { track: track() }) else { panic!() };
    assert_eq!(ended.track_sid, "TR_a");
    let Answer::Mute(mute) = told(Event::Muted { track: track(), muted: true }) else { panic!() };
    assert_eq!((mute.sid.as_str(), mute.muted), ("TR_a", true));
    let Answer::TrackSubscribed(first) = told(Event::FirstSubscriber { track: track() }) else { panic!() };
    assert_eq!(first.track_sid, "TR_a");
}

#[test]
fn refusals_name_the_request() {
    for (reason, expected) in [
        (RequestRefusal::NotAllowed, Reason::NotAllowed),
        (RequestRefusal::NotFound, Reason::NotFound),
        (RequestRefusal::LimitExceeded, Reason::LimitExceeded),
        (RequestRefusal::Duplicate, Reason::DuplicateHandle),
        (RequestRefusal::Unsupported, Reason::UnsupportedType),
        (RequestRefusal::Invalid, Reason::InvalidRequest),
    ] {
        let refused = Event::AnnouncementRefused { client_id: "cam".into(), reason };
        let Answer::RequestResponse(response) = told(refused) else { panic!() };
        assert_eq!(response.reason(), expected);
        assert!(!response.message.is_empty());
        assert!(matches!(response.request, Some(Request::AddTrack(request)) if request.cid == "cam"));
        let refused = Event::DataTrackRefused { handle: 9, reason };
        let Answer::RequestResponse(response) = told(refused) else { panic!() };
        assert!(matches!(response.request, Some(Request::PublishDataTrack(request)) if request.pub_handle == 9));
    }
}

#[test]
fn outcomes_of_updates_are_told_to_those_who_know_them() {
    let fine = Event::UpdateOutcome { request: 4, outcome: Ok(()) };
    assert!(responses(fine.clone(), 14).is_empty());
    let Answer::RequestResponse(response) = told_to(fine, 15) else { panic!() };
    assert_eq!((response.request_id, response.reason()), (4, Reason::Ok));
    let bad = Event::UpdateOutcome { request: 4, outcome: Err(RequestRefusal::NotAllowed) };
    let Answer::RequestResponse(response) = told_to(bad, 9) else { panic!() };
    assert_eq!((response.request_id, response.reason()), (4, Reason::NotAllowed));
}

#[test]
fn speakers_and_quality_are_told_by_participant() {
    let participant = ParticipantId::new("PA_x");
    let speaker = Speaker { participant: participant.clone(), level: 0.5, active: true };
    let Answer::SpeakersChanged(changed) = told(Event::Speakers(Shared::new(vec![speaker]))) else { panic!() };
    assert_eq!(
        (changed.speakers[0].sid.as_str(), changed.speakers[0].level, changed.speakers[0].active),
        ("PA_x", 0.5, true)
    );
    let event = |quality| Event::Quality(Shared::new(vec![(participant.clone(), quality)]));
    let quality = |quality, protocol| match told_to(event(quality), protocol) {
        Answer::ConnectionQuality(update) => (update.updates[0].quality(), update.updates[0].score),
        other => panic!("{other:?}"),
    };
    assert_eq!(quality(ConnectionQuality::Excellent, 17), (proto::ConnectionQuality::Excellent, 5.0));
    assert_eq!(quality(ConnectionQuality::Good, 17).0, proto::ConnectionQuality::Good);
    assert_eq!(quality(ConnectionQuality::Poor, 17).0, proto::ConnectionQuality::Poor);
    assert_eq!(quality(ConnectionQuality::Lost, 17).0, proto::ConnectionQuality::Lost);
    assert_eq!(quality(ConnectionQuality::Lost, 10).0, proto::ConnectionQuality::Poor);
}

#[test]
fn participants_room_and_sections_are_told() {
    let news = Event::Participants(Shared::new(vec![Shared::new(participant_info())]));
    let Answer::Update(update) = told(news) else { panic!() };
    assert_eq!(update.participants[0].sid, "PA_abcdefghijkl");
    let Answer::RoomUpdate(update) = told(Event::Room(Shared::new(room_info()))) else { panic!() };
    assert_eq!(update.room.unwrap().metadata, "rm");
    let needed = Event::SectionsNeeded { audio: 1, video: 2 };
    let Answer::MediaSectionsRequirement(needed) = told(needed) else { panic!() };
    assert_eq!((needed.num_audios, needed.num_videos), (1, 2));
}

#[test]
fn subscriptions_are_told_when_forbidden_or_failed() {
    let publisher = ParticipantId::new("PA_x");
    let forbidden = Event::SubscriptionAllowed { publisher, track: track(), allowed: false };
    let Answer::SubscriptionPermissionUpdate(update) = told(forbidden) else { panic!() };
    assert_eq!((update.participant_sid.as_str(), update.track_sid.as_str(), update.allowed), ("PA_x", "TR_a", false));
    for (reason, expected) in [
        (SubscriptionFailure::TrackNotFound, proto::SubscriptionError::SeTrackNotfound),
        (SubscriptionFailure::CodecUnsupported, proto::SubscriptionError::SeCodecUnsupported),
    ] {
        let Answer::SubscriptionResponse(response) = told(Event::SubscriptionFailed { track: track(), reason }) else {
            panic!()
        };
        assert_eq!((response.track_sid.as_str(), response.err()), ("TR_a", expected));
    }
}

#[test]
fn data_tracks_are_told_with_handles() {
    let info = DataTrackInfo { id: TrackId::new("DTR_a"), handle: 3, name: "pose".into(), opaque: Default::default() };
    let Answer::PublishDataTrackResponse(published) = told(Event::DataTrackPublished { track: info.clone().into() })
    else {
        panic!()
    };
    assert_eq!(published.info.unwrap().sid, "DTR_a");
    let Answer::UnpublishDataTrackResponse(ended) = told(Event::DataTrackUnpublished { track: info.into() }) else {
        panic!()
    };
    assert_eq!(ended.info.unwrap().pub_handle, 3);
    let handle = DataTrackHandle {
        handle: 8,
        publisher: ParticipantId::new("PA_x"),
        publisher_identity: Identity::new("bob"),
        track: TrackId::new("DTR_a"),
    };
    let Answer::DataTrackSubscriberHandles(handles) = told(Event::DataTrackHandles(vec![handle])) else { panic!() };
    let named = &handles.sub_handles[&8];
    assert_eq!(
        (named.publisher_identity.as_str(), named.publisher_sid.as_str(), named.track_sid.as_str()),
        ("bob", "PA_x", "DTR_a")
    );
}

#[test]
fn a_refused_join_has_no_message() {
    assert!(responses(Event::Refused(JoinError::RoomFull), PROTOCOL).is_empty());
}

#[test]
#[allow(deprecated)]
fn what_is_needed_of_a_track_is_told_by_codec_and_quality() {
    let demand = |mime: &str, highest| CodecDemand { mime_type: mime.to_owned(), highest };
    let codecs = vec![demand("video/VP9", Some(Quality::Medium)), demand("video/VP8", None)];
    let Answer::SubscribedQualityUpdate(update) = told(Event::LayersWanted { track: track(), codecs }) else {
        panic!()
    };
    let enabled = |qualities: &[proto::SubscribedQuality]| -> Vec<_> {
        qualities.iter().map(|quality| (quality.quality(), quality.enabled)).collect()
    };
    let named = |flags: [bool; 3]| {
        [proto::VideoQuality::Low, proto::VideoQuality::Medium, proto::VideoQuality::High].into_iter().zip(flags)
    };
    let [vp9, vp8] = update.subscribed_codecs.as_slice() else { panic!("{update:?}") };
    assert_eq!((update.track_sid.as_str(), vp9.codec.as_str(), vp8.codec.as_str()), ("TR_a", "vp9", "vp8"));
    assert_eq!(enabled(&vp9.qualities), named([true, true, false]).collect::<Vec<_>>());
    assert_eq!(enabled(&vp8.qualities), named([false; 3]).collect::<Vec<_>>());
    assert_eq!(update.subscribed_qualities, vp9.qualities, "for older clients");
}
