//! What a client says, as commands to its room or as an answer at once. Pure: no clock, no I/O.
//!
//! Not served: `answer` (this side never offers), `trickle` (ICE-lite needs no candidates of the peer), `sync_state` (there
//! is no resume), `simulate`, `update_layers` (the session description says it).

use std::collections::BTreeMap;

use livekit_protocol as proto;
use prost::Message as _;
use proto::request_response::{Reason, Request};
use proto::signal_request::Message as Said;
use proto::signal_response::Message as Answer;

use super::model;
use crate::limits;
use crate::room::command::{Command, Offer};
use crate::room::model::*;

/// Longest name of a data track, characters.
const DATA_TRACK_NAME_CHARS: usize = 256;

/// What follows from a message.
#[derive(Debug, PartialEq)]
pub(super) enum Reaction {
    Command(Command),
    Answer(Answer),
}

/// The participant's own tracks as it announced them, for messages that change a part of an announcement.
pub(super) type OwnTracks = BTreeMap<TrackId, proto::AddTrackRequest>;

/// `unix_ms` is the time to tell in answers to pings.
#[allow(deprecated)] // `update_layers` is: old clients may send it.
pub(super) fn react(said: Said, own: &mut OwnTracks, unix_ms: i64) -> Vec<Reaction> {
    match said {
        Said::Offer(offer) => vec![command(Command::Offer(Offer { id: offer.id, sdp: offer.sdp }))],
        Said::AddTrack(request) => vec![add_track(request)],
        Said::Mute(mute) => {
            vec![command(Command::SetMuted { track: TrackId::new(&mute.sid), muted: mute.muted })]
        }
        Said::Subscription(update) => subscription(update),
        Said::TrackSetting(settings) => vec![track_setting(settings)],
        Said::SubscriptionPermission(permission) => vec![command(Command::SetAudience(audience(permission)))],
        Said::UpdateMetadata(update) => vec![update_self(update)],
        Said::UpdateAudioTrack(update) => {
            let (id, features) = (update.track_sid.clone(), update.features.clone());
            let request = Request::UpdateAudioTrack(update);
            vec![update_track(&id, own, request, |announced| announced.audio_features = features)]
        }
        Said::UpdateVideoTrack(update) => {
            let (id, width, height) = (update.track_sid.clone(), update.width, update.height);
            let request = Request::UpdateVideoTrack(update);
            vec![update_track(&id, own, request, |announced| (announced.width, announced.height) = (width, height))]
        }
        Said::PublishDataTrackRequest(request) => vec![publish_data_track(request)],
        Said::UnpublishDataTrackRequest(request) => vec![unpublish_data_track(request)],
        Said::UpdateDataSubscription(update) => data_subscription(update),
        Said::StoreDataBlobRequest(request) => vec![unsupported(request.request_id)],
        Said::GetDataBlobRequest(request) => vec![unsupported(request.request_id)],
        Said::Ping(_) => vec![Reaction::Answer(Answer::Pong(unix_ms))],
        Said::PingReq(ping) => {
            let pong = proto::Pong { last_ping_timestamp: ping.timestamp, timestamp: unix_ms };
            vec![Reaction::Answer(Answer::PongResp(pong))]
        }
        Said::Leave(_) => vec![command(Command::Leave(LeaveReason::ClientLeft))],
        Said::Answer(_) | Said::Trickle(_) | Said::SyncState(_) | Said::Simulate(_) | Said::UpdateLayers(_) => Vec::new(),
    }
}

fn command(command: Command) -> Reaction {
    Reaction::Command(command)
}

/// A refusal that needs no room to decide.
fn refuse(request_id: u32, reason: Reason, message: &str, request: Option<Request>) -> Reaction {
    let response = proto::RequestResponse { request_id, reason: reason.into(), message: message.to_owned(), request };
    Reaction::Answer(Answer::RequestResponse(response))
}

fn unsupported(request_id: u32) -> Reaction {
    refuse(request_id, Reason::UnsupportedType, "data blobs are not supported", None)
}

fn add_track(request: proto::AddTrackRequest) -> Reaction {
    // A further codec of a published track names that track; no client is ever told to send one.
    let announcement = if request.sid.is_empty() { model::announcement(&request) } else { None };
    match announcement {
        Some(announcement) => command(Command::Announce(announcement)),
        None => {
            let message = "neither an audio nor a video track of its own";
            refuse(0, Reason::UnsupportedType, message, Some(Request::AddTrack(request)))
        }
    }
}

fn track_ids(sids: impl IntoIterator<Item = String>) -> Vec<TrackId> {
    sids.into_iter().take(limits::SIGNAL_NAMES).map(|sid| TrackId::new(&sid)).collect()
}

fn subscription(update: proto::UpdateSubscription) -> Vec<Reaction> {
    let by_participant = update.participant_tracks.into_iter().flat_map(|tracks| tracks.track_sids);
    let tracks = track_ids(update.track_sids.into_iter().chain(by_participant));
    match tracks.is_empty() {
        true => Vec::new(),
        false => vec![command(Command::Subscribe { tracks, subscribe: update.subscribe })],
    }
}

fn track_setting(settings: proto::UpdateTrackSettings) -> Reaction {
    let wanted = if settings.disabled {
        Wanted::Nothing
    } else if settings.width > 0 || settings.height > 0 {
        Wanted::Size { width: settings.width, height: settings.height }
    } else {
        model::quality(settings.quality()).map_or(Wanted::Nothing, Wanted::Quality)
    };
    command(Command::Want { tracks: track_ids(settings.track_sids), wanted })
}

fn audience(permission: proto::SubscriptionPermission) -> Audience {
    if permission.all_participants {
        return Audience::Everyone;
    }
    let rules = permission.track_permissions.into_iter().take(limits::SIGNAL_NAMES);
    let named = |text: String| Some(text).filter(|text| !text.is_empty());
    Audience::Only(
        rules
            .map(|rule| AudienceRule {
                identity: named(rule.participant_identity).map(|identity| Identity::new(&identity)),
                participant: named(rule.participant_sid).map(|id| ParticipantId::new(&id)),
                tracks: if rule.all_tracks { None } else { Some(track_ids(rule.track_sids)) },
            })
            .collect(),
    )
}

/// An empty text means no change: the message cannot say otherwise.
fn update_self(update: proto::UpdateParticipantMetadata) -> Reaction {
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    command(Command::UpdateSelf {
        request: update.request_id,
        name: given(update.name),
        metadata: given(update.metadata),
        attributes: update.attributes.into_iter().collect(),
    })
}

fn update_track(
    id: &str,
    own: &mut OwnTracks,
    request: Request,
    change: impl FnOnce(&mut proto::AddTrackRequest),
) -> Reaction {
    let track = TrackId::new(id);
    let Some(announced) = own.get_mut(&track) else {
        return refuse(0, Reason::NotFound, "no such track of this participant", Some(request));
    };
    change(announced);
    command(Command::UpdateTrack { track, opaque: announced.encode_to_vec().into() })
}

fn publish_data_track(request: proto::PublishDataTrackRequest) -> Reaction {
    let handle = u16::try_from(request.pub_handle).ok().filter(|handle| *handle > 0);
    let name_fits = (1..=DATA_TRACK_NAME_CHARS).contains(&request.name.chars().count());
    match handle {
        Some(handle) if name_fits => {
            let opaque = request.encode_to_vec().into();
            command(Command::PublishDataTrack { handle, name: request.name, opaque })
        }
        Some(_) => {
            let message = "a data track's name has 1 to 256 characters";
            refuse(0, Reason::InvalidName, message, Some(Request::PublishDataTrack(request)))
        }
        None => {
            let message = "a data track's handle is from 1 to 65535";
            refuse(0, Reason::InvalidHandle, message, Some(Request::PublishDataTrack(request)))
        }
    }
}

fn unpublish_data_track(request: proto::UnpublishDataTrackRequest) -> Reaction {
    match u16::try_from(request.pub_handle) {
        Ok(handle) => command(Command::UnpublishDataTrack { handle }),
        Err(_) => {
            let message = "a data track's handle is from 1 to 65535";
            refuse(0, Reason::InvalidHandle, message, Some(Request::UnpublishDataTrack(request)))
        }
    }
}

fn data_subscription(update: proto::UpdateDataSubscription) -> Vec<Reaction> {
    let updates = update.updates.into_iter().take(limits::SIGNAL_NAMES);
    updates
        .map(|update| {
            let track = TrackId::new(&update.track_sid);
            command(Command::SubscribeDataTrack { track, subscribe: update.subscribe })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::video_request;
    use super::*;

    const UNIX_MS: i64 = 1_700_000_000_321;

    fn reactions(said: Said) -> Vec<Reaction> {
        react(said, &mut OwnTracks::new(), UNIX_MS)
    }

    /// The one command that follows.
    fn commanded(said: Said) -> Command {
        match reactions(said).try_into() {
            Ok([Reaction::Command(command)]) => command,
            other => panic!("{other:?}"),
        }
    }

    fn refused(said: Said) -> (Reason, Option<Request>) {
        match reactions(said).try_into() {
            Ok([Reaction::Answer(Answer::RequestResponse(response))]) => (response.reason(), response.request),
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
    fn a_track_is_announced_and_a_second_codec_of_one_refused() {
        let Command::Announce(announced) = commanded(Said::AddTrack(video_request())) else { panic!() };
        assert_eq!((announced.client_id.as_str(), announced.layers.len()), ("cam", 3));
        let backup = proto::AddTrackRequest { sid: "TR_x".into(), ..video_request() };
        let (reason, request) = refused(Said::AddTrack(backup));
        assert_eq!(reason, Reason::UnsupportedType);
        assert!(matches!(request, Some(Request::AddTrack(request)) if request.cid == "cam"));
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
        assert_eq!(wanted(sized.clone()), Wanted::Size { width: 640, height: 360 });
        assert_eq!(wanted(proto::UpdateTrackSettings { disabled: true, ..sized }), Wanted::Nothing);
        for (quality, expected) in [
            (0, Wanted::Quality(Quality::Low)),
            (1, Wanted::Quality(Quality::Medium)),
            (2, Wanted::Quality(Quality::High)),
            (3, Wanted::Nothing),
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
            AudienceRule {
                identity: None,
                participant: Some(ParticipantId::new("PA_x")),
                tracks: Some(tracks(&["TR_a"])),
            },
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
        assert_eq!(reactions(Said::Ping(1)), [Reaction::Answer(Answer::Pong(UNIX_MS))]);
        let pong = proto::Pong { last_ping_timestamp: 77, timestamp: UNIX_MS };
        let ping = proto::Ping { timestamp: 77, rtt: 3 };
        assert_eq!(reactions(Said::PingReq(ping)), [Reaction::Answer(Answer::PongResp(pong))]);
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
}
