//! What a room tells, as the messages a client reads. Pure: no clock, no I/O.

use livekit_protocol as proto;
use proto::leave_request::Action;
use proto::request_response::{Reason, Request};
use proto::signal_response::Message as Answer;
use proto::{DisconnectReason, LeaveRequest};

use super::{COMPATIBLE_VERSION, PROTOCOL, model};
use crate::room::event::{CodecDemand, Event, JoinedRoom, SubscriptionFailure, TrackPause};
use crate::room::model::*;

/// Seconds between a client's pings, and without an answer after which it gives the connection up.
pub(super) const PING_INTERVAL: i32 = 5;
pub(super) const PING_TIMEOUT: i32 = 15;

/// From this protocol on a leave says its action; before, only whether to reconnect.
const PROTOCOL_WITH_ACTION: i32 = 13;
/// From this protocol on a request with an id is answered also when it went well.
const PROTOCOL_WITH_OUTCOME: i32 = 15;
/// From this protocol on a client knows of a lost connection's quality.
pub(super) const PROTOCOL_WITH_LOST: i32 = 11;
/// What this server calls itself in the protocol: there is one node.
pub(super) const NODE: &str = "sfumato";

/// The messages for an event, in order. `Refused` has none: it is told before there is a connection.
pub(super) fn responses(event: Event, protocol: i32) -> Vec<Answer> {
    let answer = match event {
        Event::Joined(joined) => Answer::Join(proto::JoinResponse {
            other_participants: joined.others.iter().map(|info| model::participant(info)).collect(),
            ..join_without_others(&joined)
        }),
        Event::Refused(_) => return Vec::new(),
        // This protocol restarts ICE by an offer.
        Event::IceRestarted(_) => return Vec::new(),
        Event::Answer { id, sdp, tracks_by_mid } => Answer::Answer(proto::SessionDescription {
            r#type: "answer".to_owned(),
            sdp,
            id,
            mid_to_track_id: tracks_by_mid.into_iter().map(|(mid, track)| (mid, track.to_string())).collect(),
        }),
        // A client that reconnects would send the same offer again, and again.
        Event::OfferRefused { .. } => leave(DisconnectReason::JoinFailure, Action::Disconnect, protocol),
        Event::SectionsNeeded { audio, video } => {
            let (num_audios, num_videos) = (audio, video);
            Answer::MediaSectionsRequirement(proto::MediaSectionsRequirement { num_audios, num_videos })
        }
        Event::Participants(infos) => {
            let participants = infos.iter().map(|info| model::participant(info)).collect();
            Answer::Update(proto::ParticipantUpdate { participants })
        }
        Event::TrackAnnounced { client_id, track } => {
            Answer::TrackPublished(proto::TrackPublishedResponse { cid: client_id, track: Some(model::track(&track)) })
        }
        Event::AnnouncementRefused { client_id, reason } => {
            let request = proto::AddTrackRequest { cid: client_id, ..Default::default() };
            outcome(0, model::refusal(reason), Some(Request::AddTrack(request)))
        }
        Event::TrackEnded { track } => {
            Answer::TrackUnpublished(proto::TrackUnpublishedResponse { track_sid: track.to_string() })
        }
        Event::Muted { track, muted } => Answer::Mute(proto::MuteTrackRequest { sid: track.to_string(), muted }),
        Event::UpdateOutcome { request, outcome: Ok(()) } if protocol >= PROTOCOL_WITH_OUTCOME => {
            outcome(request, Reason::Ok, None)
        }
        Event::UpdateOutcome { outcome: Ok(()), .. } => return Vec::new(),
        Event::UpdateOutcome { request, outcome: Err(reason) } => outcome(request, model::refusal(reason), None),
        Event::Speakers(speakers) => Answer::SpeakersChanged(speakers_changed(&speakers)),
        Event::Quality(updates) => Answer::ConnectionQuality(connection_quality(&updates, protocol)),
        Event::Room(info) => room_update(&info),
        Event::FirstSubscriber { track } => {
            Answer::TrackSubscribed(proto::TrackSubscribed { track_sid: track.to_string() })
        }
        Event::LayersWanted { track, codecs } => Answer::SubscribedQualityUpdate(subscribed_quality(&track, &codecs)),
        Event::SubscriptionAllowed { publisher, track, allowed } => {
            let (participant_sid, track_sid) = (publisher.to_string(), track.to_string());
            Answer::SubscriptionPermissionUpdate(proto::SubscriptionPermissionUpdate {
                participant_sid,
                track_sid,
                allowed,
            })
        }
        Event::SubscriptionFailed { track, reason } => {
            let err = match reason {
                SubscriptionFailure::TrackNotFound => proto::SubscriptionError::SeTrackNotfound,
                SubscriptionFailure::CodecUnsupported => proto::SubscriptionError::SeCodecUnsupported,
            };
            Answer::SubscriptionResponse(proto::SubscriptionResponse { track_sid: track.to_string(), err: err.into() })
        }
        Event::TracksPaused(pauses) => {
            let stream_states = pauses.into_iter().map(stream_state).collect();
            Answer::StreamStateUpdate(proto::StreamStateUpdate { stream_states })
        }
        Event::DataTrackPublished { track } => {
            let info = Some(model::data_track(&track));
            Answer::PublishDataTrackResponse(proto::PublishDataTrackResponse { info })
        }
        Event::DataTrackRefused { handle, reason } => {
            let request = proto::PublishDataTrackRequest { pub_handle: handle.into(), ..Default::default() };
            outcome(0, model::refusal(reason), Some(Request::PublishDataTrack(request)))
        }
        Event::DataTrackUnpublished { track } => {
            let info = Some(model::data_track(&track));
            Answer::UnpublishDataTrackResponse(proto::UnpublishDataTrackResponse { info })
        }
        Event::DataTrackHandles(handles) => {
            let handle = |handle: crate::room::event::DataTrackHandle| {
                let track = proto::data_track_subscriber_handles::PublishedDataTrack {
                    publisher_identity: handle.publisher_identity.to_string(),
                    publisher_sid: handle.publisher.to_string(),
                    track_sid: handle.track.to_string(),
                };
                (u32::from(handle.handle), track)
            };
            let sub_handles = handles.into_iter().map(handle).collect();
            Answer::DataTrackSubscriberHandles(proto::DataTrackSubscriberHandles { sub_handles })
        }
        Event::Removed(reason) => return farewell(reason, protocol).into_iter().collect(),
    };
    vec![answer]
}

pub(super) fn join_without_others(joined: &JoinedRoom) -> proto::JoinResponse {
    proto::JoinResponse {
        room: Some(model::room(&joined.room)),
        participant: Some(model::participant(&joined.participant)),
        server_version: COMPATIBLE_VERSION.to_owned(),
        server_info: Some(proto::ServerInfo {
            edition: proto::server_info::Edition::Standard.into(),
            version: COMPATIBLE_VERSION.to_owned(),
            protocol: PROTOCOL,
            node_id: NODE.to_owned(),
            ..Default::default()
        }),
        // The answer holds every candidate; there is no relay.
        ice_servers: Vec::new(),
        subscriber_primary: false,
        client_configuration: Some(proto::ClientConfiguration {
            // A client that tried would only lose time.
            resume_connection: proto::ClientConfigSetting::Disabled.into(),
            ..Default::default()
        }),
        ping_interval: PING_INTERVAL,
        ping_timeout: PING_TIMEOUT,
        // Marks frames of the server's own under end-to-end encryption. It sends none: no frame may carry the mark.
        sif_trailer: rand::random::<[u8; 16]>().to_vec(),
        enabled_publish_codecs: joined
            .publish_codecs
            .iter()
            .map(|mime| proto::Codec { mime: (*mime).to_owned(), fmtp_line: String::new() })
            .collect(),
        fast_publish: joined.participant.grants.publish,
        ..Default::default()
    }
}

/// Every quality is named, those that were not announced too: a client takes a single encoding for the lowest, whatever
/// quality it announced it as.
#[allow(deprecated)] // Older clients read the first codec's qualities alone.
fn subscribed_quality(track: &TrackId, codecs: &[CodecDemand]) -> proto::SubscribedQualityUpdate {
    let codec = |demand: &CodecDemand| proto::SubscribedCodec {
        codec: model::codec_name(&demand.mime_type),
        qualities: [Quality::Low, Quality::Medium, Quality::High]
            .map(|quality| proto::SubscribedQuality {
                quality: model::quality_to_proto(quality).into(),
                enabled: Some(quality) <= demand.highest,
            })
            .into(),
    };
    let subscribed_codecs: Vec<_> = codecs.iter().map(codec).collect();
    proto::SubscribedQualityUpdate {
        track_sid: track.to_string(),
        subscribed_qualities: subscribed_codecs.first().map(|codec| codec.qualities.clone()).unwrap_or_default(),
        subscribed_codecs,
    }
}

fn stream_state(pause: TrackPause) -> proto::StreamStateInfo {
    let state = if pause.paused { proto::StreamState::Paused } else { proto::StreamState::Active };
    proto::StreamStateInfo {
        participant_sid: pause.publisher.to_string(),
        track_sid: pause.track.to_string(),
        state: state.into(),
    }
}

fn outcome(request_id: u32, reason: Reason, request: Option<Request>) -> Answer {
    let message = match reason {
        Reason::Ok => "",
        Reason::NotFound => "not found",
        Reason::NotAllowed => "not allowed",
        Reason::LimitExceeded => "limit exceeded",
        Reason::DuplicateHandle => "handle or name is taken",
        Reason::UnsupportedType => "not supported",
        _ => "invalid request",
    };
    let message = message.to_owned();
    Answer::RequestResponse(proto::RequestResponse { request_id, reason: reason.into(), message, request })
}

pub(super) fn room_update(info: &RoomInfo) -> Answer {
    Answer::RoomUpdate(proto::RoomUpdate { room: Some(model::room(info)) })
}

pub(super) fn speakers_changed(speakers: &[Speaker]) -> proto::SpeakersChanged {
    let speaker = |speaker: &Speaker| {
        let (level, active) = (speaker.level, speaker.active);
        proto::SpeakerInfo { sid: speaker.participant.to_string(), level, active }
    };
    proto::SpeakersChanged { speakers: speakers.iter().map(speaker).collect() }
}

pub(super) fn connection_quality(
    updates: &[(ParticipantId, ConnectionQuality)],
    protocol: i32,
) -> proto::ConnectionQualityUpdate {
    let info = |(participant, quality): &(ParticipantId, ConnectionQuality)| {
        // The score is the mean opinion score that each stands for, 1 to 5.
        let (quality, score) = match quality {
            ConnectionQuality::Excellent => (proto::ConnectionQuality::Excellent, 5.0),
            ConnectionQuality::Good => (proto::ConnectionQuality::Good, 3.5),
            ConnectionQuality::Poor => (proto::ConnectionQuality::Poor, 2.0),
            ConnectionQuality::Lost if protocol < PROTOCOL_WITH_LOST => (proto::ConnectionQuality::Poor, 1.0),
            ConnectionQuality::Lost => (proto::ConnectionQuality::Lost, 1.0),
        };
        proto::ConnectionQualityInfo { participant_sid: participant.to_string(), quality: quality.into(), score }
    };
    proto::ConnectionQualityUpdate { updates: updates.iter().map(info).collect() }
}

/// The last message, or none where nobody waits for it.
fn farewell(reason: LeaveReason, protocol: i32) -> Option<Answer> {
    let action = match reason {
        LeaveReason::ClientLeft | LeaveReason::SignallingLost => return None,
        LeaveReason::ServerShutdown | LeaveReason::TransportFailed | LeaveReason::TooSlow => Action::Reconnect,
        LeaveReason::DuplicateIdentity
        | LeaveReason::Removed
        | LeaveReason::RoomClosed
        | LeaveReason::ProtocolError => Action::Disconnect,
    };
    Some(leave(model::disconnect_reason(reason), action, protocol))
}

/// The answer to a client that wants to resume: it is not known (any more), and should join anew.
pub(super) fn no_resume(protocol: i32) -> Answer {
    leave(DisconnectReason::StateMismatch, Action::Reconnect, protocol)
}

/// `reason` as a client that breaks a rule is told it.
pub(super) fn leave(reason: DisconnectReason, action: Action, protocol: i32) -> Answer {
    let can_reconnect = protocol < PROTOCOL_WITH_ACTION && action != Action::Disconnect;
    Answer::Leave(LeaveRequest { can_reconnect, reason: reason.into(), action: action.into(), regions: None })
}

#[cfg(test)]
pub(super) mod tests;
