//! The room's nouns as protocol messages, and back.
//!
//! `opaque` bytes are this adaptor's own: a participant's is an encoded `ParticipantInfo` that holds what only clients read
//! (protocol, capabilities, kind); a track's is its encoded `AddTrackRequest`, a data track's its encoded
//! `PublishDataTrackRequest`. A participant of another adaptor has none, and gets defaults.

use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message;
use proto::participant_info::{Kind, KindDetail};
use proto::video_layer::Mode;
use proto::{AddTrackRequest, DisconnectReason, PublishDataTrackRequest, VideoLayer};

use super::token::Claims;
use crate::negotiation::MediaKind;
use crate::room::PUBLISH_CODECS;
use crate::room::event::RequestRefusal;
use crate::room::model::*;
use crate::room::renditions::BackupAnnouncement;

/// Rids of simulcast encodings, low to high, as clients name them.
const RIDS: [&str; 3] = ["q", "h", "f"];

// ---- participants ----

/// What others should know of a participant's client.
pub(super) fn participant_opaque(claims: &Claims, client: &proto::ClientInfo) -> Bytes {
    let info = proto::ParticipantInfo {
        client_protocol: client.client_protocol,
        capabilities: client.capabilities.clone(),
        kind: Kind::from_str_name(&claims.kind.to_uppercase()).unwrap_or(Kind::Standard).into(),
        kind_details: claims.kind_details.iter().filter_map(|detail| kind_detail(detail)).collect(),
        permission: Some(proto::ParticipantPermission {
            can_subscribe_metrics: claims.subscribe_metrics,
            ..Default::default()
        }),
        ..Default::default()
    };
    info.encode_to_vec().into()
}

/// A detail that this version of the protocol does not know is left out.
fn kind_detail(name: &str) -> Option<i32> {
    KindDetail::from_str_name(&name.to_uppercase()).map(Into::into)
}

pub(super) fn participant(info: &ParticipantInfo) -> proto::ParticipantInfo {
    let own = proto::ParticipantInfo::decode(info.opaque.as_ref()).unwrap_or_default();
    let metrics = own.permission.as_ref().is_some_and(|permission| permission.can_subscribe_metrics);
    proto::ParticipantInfo {
        sid: info.id.to_string(),
        identity: info.identity.to_string(),
        name: info.name.clone(),
        metadata: info.metadata.clone(),
        attributes: info.attributes.clone().into_iter().collect(),
        state: participant_state(info.state).into(),
        joined_at: info.joined_at_ms / 1000,
        joined_at_ms: info.joined_at_ms,
        version: info.version,
        permission: Some(permission(&info.grants, metrics)),
        is_publisher: !info.tracks.is_empty() || !info.data_tracks.is_empty(),
        tracks: info.tracks.iter().map(track).collect(),
        data_tracks: info.data_tracks.iter().map(data_track).collect(),
        disconnect_reason: info.left.map_or(DisconnectReason::UnknownReason, disconnect_reason).into(),
        ..own
    }
}

fn participant_state(state: ParticipantState) -> proto::participant_info::State {
    use proto::participant_info::State;
    match state {
        ParticipantState::Joining => State::Joining,
        ParticipantState::Joined => State::Joined,
        ParticipantState::Active => State::Active,
        ParticipantState::Disconnected => State::Disconnected,
    }
}

#[allow(deprecated)] // Clients still read `recorder` and `agent`.
fn permission(grants: &Grants, can_subscribe_metrics: bool) -> proto::ParticipantPermission {
    proto::ParticipantPermission {
        can_subscribe: grants.subscribe,
        can_publish: grants.publish,
        can_publish_data: grants.publish_data,
        can_publish_sources: grants.publish_sources.iter().map(|source| source_to_proto(*source).into()).collect(),
        hidden: grants.hidden,
        recorder: grants.recorder,
        can_update_metadata: grants.update_own_metadata,
        agent: grants.agent,
        can_subscribe_metrics,
        can_manage_agent_session: false,
    }
}

pub(super) fn disconnect_reason(reason: LeaveReason) -> DisconnectReason {
    match reason {
        LeaveReason::ClientLeft => DisconnectReason::ClientInitiated,
        LeaveReason::DuplicateIdentity => DisconnectReason::DuplicateIdentity,
        LeaveReason::ServerShutdown => DisconnectReason::ServerShutdown,
        LeaveReason::Removed => DisconnectReason::ParticipantRemoved,
        LeaveReason::RoomClosed => DisconnectReason::RoomClosed,
        LeaveReason::SignallingLost | LeaveReason::TooSlow => DisconnectReason::SignalClose,
        LeaveReason::TransportFailed => DisconnectReason::ConnectionTimeout,
        LeaveReason::ProtocolError => DisconnectReason::UnknownReason,
    }
}

// ---- rooms ----

pub(super) fn room(info: &RoomInfo) -> proto::Room {
    proto::Room {
        sid: info.id.to_string(),
        name: info.name.to_string(),
        metadata: info.metadata.clone(),
        creation_time: info.created_at_ms / 1000,
        creation_time_ms: info.created_at_ms,
        empty_timeout: info.empty_timeout,
        departure_timeout: info.departure_timeout,
        max_participants: info.max_participants,
        num_participants: info.participants,
        num_publishers: info.publishers,
        ..Default::default()
    }
}

// ---- tracks ----

/// A track as its publisher announced it, or `None` for one that is neither audio nor video.
pub(super) fn announcement(request: &AddTrackRequest) -> Option<Announcement> {
    let kind = match request.r#type() {
        proto::TrackType::Audio => MediaKind::Audio,
        proto::TrackType::Video => MediaKind::Video,
        proto::TrackType::Data => return None,
    };
    Some(Announcement {
        client_id: request.cid.clone(),
        kind,
        source: source_from_proto(request.source()),
        muted: request.muted,
        layers: if kind == MediaKind::Video { announced_layers(request) } else { Vec::new() },
        opaque: request.encode_to_vec().into(),
        mime_type: video_codecs(request, kind).next().and_then(known_codec),
        backup: backup_plan(request, kind),
    })
}

/// The second codec that a client names is one it would send, if it is one of those that are forwarded.
fn backup_plan(request: &AddTrackRequest, kind: MediaKind) -> Option<BackupPlan> {
    let mut named = video_codecs(request, kind);
    let (primary, backup) = (named.next()?, named.next()?);
    let policy = match request.backup_codec_policy() {
        proto::BackupCodecPolicy::PreferRegression => BackupPolicy::PreferBackup,
        proto::BackupCodecPolicy::Simulcast => BackupPolicy::Both,
        proto::BackupCodecPolicy::Regression => BackupPolicy::BackupAlone,
    };
    let known = known_codec(backup).filter(|known| !known.eq_ignore_ascii_case(&primary));
    known.map(|mime_type| BackupPlan { mime_type, policy })
}

/// MIME types of the video codecs a client names, the one it prefers first.
fn video_codecs(request: &AddTrackRequest, kind: MediaKind) -> impl Iterator<Item = String> {
    let named =
        request.simulcast_codecs.iter().filter(move |codec| kind == MediaKind::Video && !codec.codec.is_empty());
    named.map(move |codec| mime_type(kind, &codec.codec))
}

/// One of those that are forwarded.
fn known_codec(mime_type: String) -> Option<&'static str> {
    PUBLISH_CODECS.into_iter().find(|known| known.eq_ignore_ascii_case(&mime_type))
}

/// A track of the client's in a further codec, or `None` where it is no video.
pub(super) fn backup_announcement(request: &AddTrackRequest) -> Option<BackupAnnouncement> {
    let is_video = request.r#type() == proto::TrackType::Video;
    is_video.then(|| BackupAnnouncement {
        track: TrackId::new(&request.sid),
        client_id: request.cid.clone(),
        layers: announced_layers(request),
        opaque: request.encode_to_vec().into(),
    })
}

/// Low to high. Without layers the track has one, of its own size.
fn announced_layers(request: &AddTrackRequest) -> Vec<Layer> {
    let of_codec = request.simulcast_codecs.first().map(|codec| codec.layers.as_slice()).unwrap_or_default();
    let given = if request.layers.is_empty() { of_codec } else { &request.layers };
    let mut layers: Vec<Layer> = given
        .iter()
        .filter_map(|layer| {
            Some(Layer { quality: quality(layer.quality())?, width: layer.width, height: layer.height })
        })
        .collect();
    layers.sort_by_key(|layer| layer.quality);
    layers.dedup_by_key(|layer| layer.quality);
    if layers.is_empty() && request.width > 0 && request.height > 0 {
        layers.push(Layer { quality: Quality::High, width: request.width, height: request.height });
    }
    layers
}

/// `None` for off.
pub(super) fn quality(quality: proto::VideoQuality) -> Option<Quality> {
    match quality {
        proto::VideoQuality::Low => Some(Quality::Low),
        proto::VideoQuality::Medium => Some(Quality::Medium),
        proto::VideoQuality::High => Some(Quality::High),
        proto::VideoQuality::Off => None,
    }
}

pub(super) fn quality_to_proto(quality: Quality) -> proto::VideoQuality {
    match quality {
        Quality::Low => proto::VideoQuality::Low,
        Quality::Medium => proto::VideoQuality::Medium,
        Quality::High => proto::VideoQuality::High,
    }
}

#[allow(deprecated)] // Clients still read the fields that newer ones replace.
pub(super) fn track(info: &TrackInfo) -> proto::TrackInfo {
    let request = AddTrackRequest::decode(info.opaque.as_ref()).unwrap_or_default();
    let kind = match info.kind {
        MediaKind::Audio => proto::TrackType::Audio,
        MediaKind::Video => proto::TrackType::Video,
    };
    let codecs = codecs(info, &request);
    let layers = codecs.first().map(|codec| codec.layers.clone()).unwrap_or_default();
    proto::TrackInfo {
        sid: info.id.to_string(),
        r#type: kind.into(),
        name: request.name.clone(),
        muted: info.muted,
        width: request.width,
        height: request.height,
        simulcast: info.simulcast,
        disable_dtx: request.disable_dtx,
        source: source_to_proto(info.source).into(),
        layers,
        mime_type: info.mime_type.clone(),
        mid: info.mid.clone().unwrap_or_default(),
        codecs,
        stereo: request.stereo,
        disable_red: request.disable_red,
        encryption: request.encryption,
        stream: stream(info.source, &request.stream),
        // Its order is all that clients use.
        version: Some(proto::TimedVersion { unix_micro: info.version.into(), ticks: 0 }),
        audio_features: audio_features(&request),
        backup_codec_policy: request.backup_codec_policy,
        packet_trailer_features: request.packet_trailer_features,
    }
}

/// The group of tracks that play in step.
fn stream(source: TrackSource, named: &str) -> String {
    let inferred = match source {
        TrackSource::Camera | TrackSource::Microphone => "camera",
        TrackSource::ScreenShare | TrackSource::ScreenShareAudio => "screen",
        TrackSource::Unknown => "unknown",
    };
    if named.is_empty() { inferred.to_owned() } else { named.to_owned() }
}

/// With what older clients say in fields of their own.
#[allow(deprecated)]
fn audio_features(request: &AddTrackRequest) -> Vec<i32> {
    use proto::AudioTrackFeature::{TfNoDtx, TfStereo};
    let mut features = request.audio_features.clone();
    for (set, feature) in [(request.stereo, TfStereo), (request.disable_dtx, TfNoDtx)] {
        if set && !features.contains(&feature.into()) {
            features.push(feature.into());
        }
    }
    features
}

/// The announced codecs, the negotiated one with its section; without announced ones, the negotiated one alone.
fn codecs(info: &TrackInfo, request: &AddTrackRequest) -> Vec<proto::SimulcastCodecInfo> {
    let mid = || info.mid.clone().unwrap_or_default();
    let announced = request.simulcast_codecs.iter().filter(|codec| !codec.codec.is_empty());
    let mut codecs: Vec<_> = announced
        .map(|codec| {
            let mime_type = mime_type(info.kind, &codec.codec);
            let negotiated = mime_type.eq_ignore_ascii_case(&info.mime_type);
            let backup = info.backup.as_ref().filter(|backup| mime_type.eq_ignore_ascii_case(backup.mime_type));
            let given = if codec.layers.is_empty() { &request.layers } else { &codec.layers };
            let backup_mid = backup.and_then(|backup| backup.mid.clone());
            proto::SimulcastCodecInfo {
                mid: if negotiated { mid() } else { backup_mid.unwrap_or_default() },
                cid: backup.map_or_else(|| codec.cid.clone(), |backup| backup.client_id.clone()),
                layers: backup.map_or_else(|| layers(given), |backup| backup_layers(backup)),
                video_layer_mode: layer_mode(info.kind, &mime_type, codec.video_layer_mode()).into(),
                mime_type,
                sdp_cid: String::new(),
            }
        })
        .collect();
    let negotiated = codecs.iter().any(|codec| codec.mime_type.eq_ignore_ascii_case(&info.mime_type));
    if codecs.is_empty() || !(negotiated || info.mime_type.is_empty()) {
        // What the session settled on comes first, though the client announced another.
        let codec = proto::SimulcastCodecInfo {
            mime_type: info.mime_type.clone(),
            mid: mid(),
            cid: info.client_id.clone(),
            layers: layers(&request.layers),
            video_layer_mode: layer_mode(info.kind, &info.mime_type, Mode::Unused).into(),
            sdp_cid: String::new(),
        };
        codecs.insert(0, codec);
    }
    codecs
}

/// The layers a backup was announced with.
fn backup_layers(backup: &BackupInfo) -> Vec<VideoLayer> {
    let request = AddTrackRequest::decode(backup.opaque.as_ref()).unwrap_or_default();
    let of_codec = request.simulcast_codecs.first().map(|codec| codec.layers.as_slice()).unwrap_or_default();
    layers(if of_codec.is_empty() { &request.layers } else { of_codec })
}

/// `vp8` as `video/VP8`, in the registry's spelling.
fn mime_type(kind: MediaKind, codec: &str) -> String {
    if codec.contains('/') {
        return codec.to_owned();
    }
    let (top, subtype) = match kind {
        MediaKind::Audio => ("audio", codec.to_lowercase()),
        MediaKind::Video => ("video", codec.to_uppercase()),
    };
    format!("{top}/{subtype}")
}

/// `video/VP8` as `vp8`.
pub(super) fn codec_name(mime_type: &str) -> String {
    mime_type.rsplit('/').next().unwrap_or_default().to_lowercase()
}

/// Where the client does not say: scalable codecs carry all layers in one stream.
fn layer_mode(kind: MediaKind, mime_type: &str, said: Mode) -> Mode {
    match (kind, said) {
        (MediaKind::Audio, _) => Mode::Unused,
        (MediaKind::Video, Mode::Unused) => match mime_type.to_uppercase().as_str() {
            "VIDEO/VP9" | "VIDEO/AV1" => Mode::MultipleSpatialLayersPerStream,
            _ => Mode::OneSpatialLayerPerStream,
        },
        (MediaKind::Video, said) => said,
    }
}

/// With spatial layer and rid by order, low to high.
fn layers(given: &[VideoLayer]) -> Vec<VideoLayer> {
    let mut layers = given.to_vec();
    layers.sort_by_key(|layer| layer.quality);
    for (index, (layer, rid)) in layers.iter_mut().zip(RIDS).enumerate() {
        layer.spatial_layer = i32::try_from(index).unwrap_or(0);
        if layer.rid.is_empty() {
            layer.rid = rid.to_owned();
        }
    }
    layers
}

pub(super) fn source_to_proto(source: TrackSource) -> proto::TrackSource {
    match source {
        TrackSource::Unknown => proto::TrackSource::Unknown,
        TrackSource::Camera => proto::TrackSource::Camera,
        TrackSource::Microphone => proto::TrackSource::Microphone,
        TrackSource::ScreenShare => proto::TrackSource::ScreenShare,
        TrackSource::ScreenShareAudio => proto::TrackSource::ScreenShareAudio,
    }
}

fn source_from_proto(source: proto::TrackSource) -> TrackSource {
    match source {
        proto::TrackSource::Unknown => TrackSource::Unknown,
        proto::TrackSource::Camera => TrackSource::Camera,
        proto::TrackSource::Microphone => TrackSource::Microphone,
        proto::TrackSource::ScreenShare => TrackSource::ScreenShare,
        proto::TrackSource::ScreenShareAudio => TrackSource::ScreenShareAudio,
    }
}

pub(super) fn data_track(info: &DataTrackInfo) -> proto::DataTrackInfo {
    let request = PublishDataTrackRequest::decode(info.opaque.as_ref()).unwrap_or_default();
    proto::DataTrackInfo {
        pub_handle: info.handle.into(),
        sid: info.id.to_string(),
        name: info.name.clone(),
        encryption: request.encryption,
        frame_encoding: request.frame_encoding,
        schema: request.schema,
    }
}

// ---- refusals ----

pub(super) fn refusal(reason: RequestRefusal) -> proto::request_response::Reason {
    use proto::request_response::Reason;
    match reason {
        RequestRefusal::NotAllowed => Reason::NotAllowed,
        RequestRefusal::NotFound => Reason::NotFound,
        RequestRefusal::LimitExceeded => Reason::LimitExceeded,
        RequestRefusal::Duplicate => Reason::DuplicateHandle,
        RequestRefusal::Unsupported => Reason::UnsupportedType,
        RequestRefusal::Invalid => Reason::InvalidRequest,
    }
}

#[cfg(test)]
#[allow(deprecated)]
pub(super) mod tests;
