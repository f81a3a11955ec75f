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
    Answer(Box<Answer>),
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
        Said::Ping(_) => vec![answer(Answer::Pong(unix_ms))],
        Said::PingReq(ping) => {
            let pong = proto::Pong { last_ping_timestamp: ping.timestamp, timestamp: unix_ms };
            vec![answer(Answer::PongResp(pong))]
        }
        Said::Leave(_) => vec![command(Command::Leave(LeaveReason::ClientLeft))],
        Said::Answer(_) | Said::Trickle(_) | Said::SyncState(_) | Said::Simulate(_) | Said::UpdateLayers(_) => {
            Vec::new()
        }
    }
}

fn command(command: Command) -> Reaction {
    Reaction::Command(command)
}

fn answer(answer: Answer) -> Reaction {
    Reaction::Answer(Box::new(answer))
}

/// A refusal that needs no room to decide.
fn refuse(request_id: u32, reason: Reason, message: &str, request: Option<Request>) -> Reaction {
    let response = proto::RequestResponse { request_id, reason: reason.into(), message: message.to_owned(), request };
    answer(Answer::RequestResponse(response))
}

fn unsupported(request_id: u32) -> Reaction {
    refuse(request_id, Reason::UnsupportedType, "data blobs are not supported", None)
}

fn add_track(request: proto::AddTrackRequest) -> Reaction {
    // A further codec of a published track names that track.
    let announced = match request.sid.is_empty() {
        true => model::announcement(&request).map(Command::Announce),
        false => model::backup_announcement(&request).map(Command::AnnounceBackup),
    };
    match announced {
        Some(announced) => command(announced),
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
    let picture = if settings.disabled {
        Picture::Nothing
    } else if settings.width > 0 || settings.height > 0 {
        Picture::Size { width: settings.width, height: settings.height }
    } else {
        model::quality(settings.quality()).map_or(Picture::Nothing, Picture::Quality)
    };
    let wanted = Wanted { picture, frame_rate: Some(settings.fps).filter(|rate| *rate > 0) };
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
mod tests;
