//! Each message of a client and what follows from it.

use super::super::model::tests::video_request;
use super::*;

const UNIX_MS: i64 = 1_700_000_000_321;

fn reactions(said: Said) -> Vec<Reaction> {
    react(said, &mut OwnTracks::new(), UNIX_MS)
}

/// The one command that follows.
fn commanded(said: Said) -> Command {
    match <[Reaction; 1]>::try_from(reactions(said)) {
        Ok([Reaction::Command(command)]) => command,
        other => panic!("{other:?}"),
    }
}

fn refused(said: Said) -> (Reason, Option<Request>) {
    match <[Reaction; 1]>::try_from(reactions(said)) {
        Ok([Reaction::Answer(told)]) => match *told {
            Answer::RequestResponse(response) => (response.reason(), response.request),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn tracks(names: &[&str]) -> Vec<TrackId> {
    names.iter().map(|name| TrackId::new(name)).collect()
}

#[test]
fn an_offer_keeps_its_id() {
    let offer = proto::SessionDescription { r#type: "offer".into(), sdp: "v=0".into(), id: 4, ..Default::default() };
    assert_eq!(commanded(Said::Offer(offer)), Command::Offer(Offer { id: 4, sdp: "v=0".into() }));
}

#[test]
fn a_track_is_announced_and_a_second_codec_of_one_as_its_backup() {
    let Command::Announce(announced) = commanded(Said::AddTrack(video_request())) else { panic!() };
    assert_eq!((announced.client_id.as_str(), announced.layers.len()), ("cam", 3));
    let backup = proto::AddTrackRequest { sid: "TR_x".into(), cid: "cam2".into(), ..video_request() };
    let Command::AnnounceBackup(announced) = commanded(Said::AddTrack(backup.clone())) else { panic!() };
    assert_eq!((announced.track.as_str(), announced.client_id.as_str()), ("TR_x", "cam2"));
    assert_eq!(announced.layers.len(), 3);
    assert_eq!(proto::AddTrackRequest::decode(announced.opaque.as_ref()).unwrap(), backup);
    let audio = proto::AddTrackRequest { r#type: proto::TrackType::Audio.into(), ..backup };
    let (reason, request) = refused(Said::AddTrack(audio));
    assert_eq!(reason, Reason::UnsupportedType);
    assert!(matches!(request, Some(Request::AddTrack(request)) if request.cid == "cam2"));
}

#[test]
fn muting_names_the_track() {
    let mute = proto::MuteTrackRequest { sid: "TR_a".into(), muted: true };
    assert_eq!(commanded(Said::Mute(mute)), Command::SetMuted { track: TrackId::new("TR_a"), muted: true });
}

#[test]
fn subscriptions_by_track_and_by_participant_become_one_list() {
    let update = proto::UpdateSubscription {
        track_sids: vec!["TR_a".into()],
        subscribe: true,
        participant_tracks: vec![proto::ParticipantTracks {
            participant_sid: "PA_x".into(),
            track_sids: vec!["TR_b".into(), "TR_c".into()],
        }],
    };
    let expected = Command::Subscribe { tracks: tracks(&["TR_a", "TR_b", "TR_c"]), subscribe: true };
    assert_eq!(commanded(Said::Subscription(update)), expected);
    assert!(reactions(Said::Subscription(proto::UpdateSubscription::default())).is_empty());
}

#[test]
fn names_beyond_the_bound_are_ignored() {
    let update = proto::UpdateSubscription {
        track_sids: vec!["TR_a".into(); limits::SIGNAL_NAMES + 10],
        subscribe: true,
        participant_tracks: vec![],
    };
    let Command::Subscribe { tracks, .. } = commanded(Said::Subscription(update)) else { panic!() };
    assert_eq!(tracks.len(), limits::SIGNAL_NAMES);
}

#[test]
fn track_settings_become_what_is_wanted() {
    let base = proto::UpdateTrackSettings { track_sids: vec!["TR_a".into()], ..Default::default() };
    let wanted = |settings| match commanded(Said::TrackSetting(settings)) {
        Command::Want { tracks: named, wanted } => {
            assert_eq!(named, tracks(&["TR_a"]));
            wanted
        }
        other => panic!("{other:?}"),
    };
    let sized = proto::UpdateTrackSettings { width: 640, height: 360, quality: 2, ..base.clone() };
    assert_eq!(wanted(sized.clone()), Wanted::size(640, 360));
    let slow = proto::UpdateTrackSettings { fps: 15, ..sized.clone() };
    assert_eq!(wanted(slow), Wanted { frame_rate: Some(15), ..Wanted::size(640, 360) });
    assert_eq!(wanted(proto::UpdateTrackSettings { disabled: true, ..sized }), Wanted::NOTHING);
    for (quality, expected) in [
        (0, Wanted::quality(Quality::Low)),
        (1, Wanted::quality(Quality::Medium)),
        (2, Wanted::quality(Quality::High)),
        (3, Wanted::NOTHING),
    ] {
        assert_eq!(wanted(proto::UpdateTrackSettings { quality, ..base.clone() }), expected);
    }
}

#[test]
fn permissions_become_an_audience() {
    let everyone = proto::SubscriptionPermission { all_participants: true, ..Default::default() };
    assert_eq!(commanded(Said::SubscriptionPermission(everyone)), Command::SetAudience(Audience::Everyone));
    let some = proto::SubscriptionPermission {
        all_participants: false,
        track_permissions: vec![
            proto::TrackPermission { participant_identity: "bob".into(), all_tracks: true, ..Default::default() },
            proto::TrackPermission {
                participant_sid: "PA_x".into(),
                track_sids: vec!["TR_a".into()],
                ..Default::default()
            },
        ],
    };
    let expected = Audience::Only(vec![
        AudienceRule { identity: Some(Identity::new("bob")), participant: None, tracks: None },
        AudienceRule { identity: None, participant: Some(ParticipantId::new("PA_x")), tracks: Some(tracks(&["TR_a"])) },
    ]);
    assert_eq!(commanded(Said::SubscriptionPermission(some)), Command::SetAudience(expected));
    let nobody = proto::SubscriptionPermission::default();
    assert_eq!(commanded(Said::SubscriptionPermission(nobody)), Command::SetAudience(Audience::Only(vec![])));
}

#[test]
fn metadata_updates_leave_what_is_empty() {
    let update = proto::UpdateParticipantMetadata {
        name: "Al".into(),
        attributes: [("k".to_owned(), String::new())].into(),
        request_id: 5,
        ..Default::default()
    };
    let expected = Command::UpdateSelf {
        request: 5,
        name: Some("Al".into()),
        metadata: None,
        attributes: [("k".to_owned(), String::new())].into(),
    };
    assert_eq!(commanded(Said::UpdateMetadata(update)), expected);
}

#[test]
fn an_own_tracks_features_and_size_change_within_its_announcement() {
    let id = TrackId::new("TR_a");
    let mut own = OwnTracks::from([(id.clone(), video_request())]);
    let features = proto::UpdateLocalAudioTrack { track_sid: "TR_a".into(), features: vec![4] };
    let size = proto::UpdateLocalVideoTrack { track_sid: "TR_a".into(), width: 10, height: 20 };
    react(Said::UpdateAudioTrack(features), &mut own, UNIX_MS);
    let reactions = react(Said::UpdateVideoTrack(size), &mut own, UNIX_MS);
    let [Reaction::Command(Command::UpdateTrack { track, opaque })] = reactions.as_slice() else { panic!() };
    let changed = proto::AddTrackRequest::decode(opaque.as_ref()).unwrap();
    assert_eq!(track, &id);
    assert_eq!((changed.width, changed.height, changed.audio_features.as_slice()), (10, 20, &[4][..]));
    assert_eq!(changed.layers, video_request().layers);
    let unknown = proto::UpdateLocalAudioTrack { track_sid: "TR_b".into(), features: vec![] };
    assert_eq!(refused(Said::UpdateAudioTrack(unknown)).0, Reason::NotFound);
}

#[test]
fn data_tracks_need_a_handle_and_a_name() {
    let good = proto::PublishDataTrackRequest { pub_handle: 65_535, name: "pose".into(), ..Default::default() };
    let Command::PublishDataTrack { handle, name, opaque } = commanded(Said::PublishDataTrackRequest(good.clone()))
    else {
        panic!()
    };
    assert_eq!((handle, name.as_str()), (65_535, "pose"));
    assert_eq!(proto::PublishDataTrackRequest::decode(opaque.as_ref()).unwrap(), good);
    for (pub_handle, name, reason) in [
        (0, "a".to_owned(), Reason::InvalidHandle),
        (65_536, "a".to_owned(), Reason::InvalidHandle),
        (1, String::new(), Reason::InvalidName),
        (1, "ä".repeat(257), Reason::InvalidName),
    ] {
        let request = proto::PublishDataTrackRequest { pub_handle, name, ..Default::default() };
        let (given, echoed) = refused(Said::PublishDataTrackRequest(request.clone()));
        assert_eq!((given, echoed), (reason, Some(Request::PublishDataTrack(request))));
    }
    let unpublish = |pub_handle| Said::UnpublishDataTrackRequest(proto::UnpublishDataTrackRequest { pub_handle });
    assert_eq!(commanded(unpublish(7)), Command::UnpublishDataTrack { handle: 7 });
    assert_eq!(refused(unpublish(70_000)).0, Reason::InvalidHandle);
}

#[test]
fn data_subscriptions_go_one_by_one() {
    let update = |sid: &str, subscribe| proto::update_data_subscription::Update {
        track_sid: sid.into(),
        subscribe,
        ..Default::default()
    };
    let said = proto::UpdateDataSubscription { updates: vec![update("DTR_a", true), update("DTR_b", false)] };
    let expected = [("DTR_a", true), ("DTR_b", false)].map(|(track, subscribe)| {
        Reaction::Command(Command::SubscribeDataTrack { track: TrackId::new(track), subscribe })
    });
    assert_eq!(reactions(Said::UpdateDataSubscription(said)), expected);
}

#[test]
fn pings_are_answered_with_the_time() {
    assert_eq!(reactions(Said::Ping(1)), [answer(Answer::Pong(UNIX_MS))]);
    let pong = proto::Pong { last_ping_timestamp: 77, timestamp: UNIX_MS };
    let ping = proto::Ping { timestamp: 77, rtt: 3 };
    assert_eq!(reactions(Said::PingReq(ping)), [answer(Answer::PongResp(pong))]);
}

#[test]
fn leaving_leaves_and_data_blobs_are_unsupported() {
    assert_eq!(commanded(Said::Leave(proto::LeaveRequest::default())), Command::Leave(LeaveReason::ClientLeft));
    let store = proto::StoreDataBlobRequest { request_id: 8, blob: None };
    assert_eq!(refused(Said::StoreDataBlobRequest(store)).0, Reason::UnsupportedType);
    let get = proto::GetDataBlobRequest { request_id: 9, ..Default::default() };
    assert_eq!(refused(Said::GetDataBlobRequest(get)).0, Reason::UnsupportedType);
}

#[test]
fn what_is_not_served_is_passed_over() {
    for said in [
        Said::Trickle(proto::TrickleRequest { candidate_init: "not json".into(), ..Default::default() }),
        Said::Answer(proto::SessionDescription::default()),
        Said::SyncState(proto::SyncState::default()),
        Said::Simulate(proto::SimulateScenario::default()),
    ] {
        assert!(reactions(said).is_empty());
    }
}
