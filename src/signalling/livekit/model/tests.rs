//! Participants, rooms and tracks as clients see them.

use std::collections::BTreeMap;

use super::super::token;
use super::*;

pub fn participant_info() -> ParticipantInfo {
    ParticipantInfo {
        id: ParticipantId::new("PA_abcdefghijkl"),
        identity: Identity::new("alice"),
        name: "Alice".into(),
        metadata: "m".into(),
        attributes: BTreeMap::from([("a".into(), "b".into())]),
        state: ParticipantState::Active,
        joined_at_ms: 1_700_000_000_123,
        version: 7,
        grants: Grants {
            publish: true,
            publish_sources: vec![TrackSource::Camera],
            publish_data: true,
            subscribe: true,
            update_own_metadata: true,
            hidden: false,
            recorder: false,
            agent: false,
        },
        tracks: vec![],
        data_tracks: vec![],
        left: None,
        opaque: Bytes::new(),
    }
}

pub fn video_request() -> AddTrackRequest {
    let layer = |quality: proto::VideoQuality, width, height| VideoLayer {
        quality: quality.into(),
        width,
        height,
        bitrate: 1000 * width,
        ..Default::default()
    };
    use proto::VideoQuality::{High, Low, Medium};
    AddTrackRequest {
        cid: "cam".into(),
        name: "my camera".into(),
        r#type: proto::TrackType::Video.into(),
        source: proto::TrackSource::Camera.into(),
        width: 1280,
        height: 720,
        layers: vec![layer(Low, 320, 180), layer(Medium, 640, 360), layer(High, 1280, 720)],
        simulcast_codecs: vec![proto::SimulcastCodec { codec: "vp8".into(), cid: "cam".into(), ..Default::default() }],
        encryption: proto::encryption::Type::Gcm.into(),
        ..Default::default()
    }
}

pub fn track_info(request: &AddTrackRequest) -> TrackInfo {
    let announced = announcement(request).unwrap();
    TrackInfo {
        id: TrackId::new("TR_VCabcdefghij"),
        kind: announced.kind,
        source: announced.source,
        muted: announced.muted,
        mid: Some("3".into()),
        mime_type: if announced.kind == MediaKind::Video { "video/VP8" } else { "audio/opus" }.into(),
        simulcast: announced.layers.len() > 1,
        client_id: announced.client_id,
        version: 2,
        opaque: announced.opaque,
        backup: None,
    }
}

#[test]
fn a_participant_carries_what_its_client_said_to_others() {
    let claims = token::verify(&token::tests::token(token::tests::join_claims()), &token::tests::keys()).unwrap();
    let client = proto::ClientInfo { client_protocol: 2, capabilities: vec![2], ..Default::default() };
    let mut info = participant_info();
    info.opaque = participant_opaque(&claims, &client);
    info.tracks.push(track_info(&video_request()));
    let shown = participant(&info);
    assert_eq!((shown.client_protocol, shown.capabilities.as_slice()), (2, &[2][..]));
    assert_eq!(
        (shown.sid.as_str(), shown.identity.as_str(), shown.name.as_str()),
        ("PA_abcdefghijkl", "alice", "Alice")
    );
    assert_eq!((shown.joined_at, shown.joined_at_ms, shown.version), (1_700_000_000, 1_700_000_000_123, 7));
    assert_eq!(shown.state(), proto::participant_info::State::Active);
    assert_eq!(shown.attributes["a"], "b");
    assert!(shown.is_publisher);
    let permission = shown.permission.unwrap();
    assert!(permission.can_publish && permission.can_update_metadata && !permission.hidden);
    assert_eq!(permission.can_publish_sources, [proto::TrackSource::Camera as i32]);
    assert_eq!(shown.tracks.len(), 1);
}

#[test]
fn a_participant_of_another_adaptor_gets_defaults() {
    let mut info = participant_info();
    info.opaque = Bytes::from_static(b"\xff\xff not protobuf");
    info.left = Some(LeaveReason::DuplicateIdentity);
    info.state = ParticipantState::Disconnected;
    let shown = participant(&info);
    assert_eq!(shown.client_protocol, 0);
    assert_eq!(shown.disconnect_reason(), DisconnectReason::DuplicateIdentity);
    assert!(!shown.is_publisher);
}

#[test]
fn a_simulcast_camera_is_announced_low_to_high_and_shown_with_layers_and_codec() {
    let request = video_request();
    let announced = announcement(&request).unwrap();
    assert_eq!((announced.kind, announced.source), (MediaKind::Video, TrackSource::Camera));
    let sizes: Vec<_> = announced.layers.iter().map(|layer| (layer.quality, layer.width)).collect();
    assert_eq!(sizes, [(Quality::Low, 320), (Quality::Medium, 640), (Quality::High, 1280)]);

    let shown = track(&track_info(&request));
    assert_eq!((shown.sid.as_str(), shown.name.as_str()), ("TR_VCabcdefghij", "my camera"));
    assert_eq!((shown.width, shown.height, shown.mid.as_str()), (1280, 720, "3"));
    assert_eq!((shown.mime_type.as_str(), shown.stream.as_str()), ("video/VP8", "camera"));
    assert!(shown.simulcast);
    assert_eq!(shown.encryption(), proto::encryption::Type::Gcm);
    let rids: Vec<_> = shown.layers.iter().map(|layer| (layer.rid.as_str(), layer.spatial_layer)).collect();
    assert_eq!(rids, [("q", 0), ("h", 1), ("f", 2)]);
    assert_eq!(shown.codecs.len(), 1);
    let codec = &shown.codecs[0];
    assert_eq!((codec.mime_type.as_str(), codec.mid.as_str(), codec.cid.as_str()), ("video/VP8", "3", "cam"));
    assert_eq!(codec.video_layer_mode(), Mode::OneSpatialLayerPerStream);
    assert_eq!(codec.layers, shown.layers);
    assert_eq!(shown.version.unwrap().unix_micro, 2);
}

#[test]
fn the_codec_that_was_negotiated_is_shown_though_another_was_announced() {
    let mut request = video_request();
    request.simulcast_codecs[0].codec = "vp9".into();
    let shown = track(&track_info(&request));
    let codecs: Vec<_> = shown.codecs.iter().map(|codec| (codec.mime_type.as_str(), codec.mid.as_str())).collect();
    assert_eq!(codecs, [("video/VP8", "3"), ("video/VP9", "")]);
    assert_eq!(shown.codecs[1].video_layer_mode(), Mode::MultipleSpatialLayersPerStream);
}

#[test]
fn layers_of_a_codec_serve_where_the_track_has_none() {
    let mut request = video_request();
    request.simulcast_codecs[0].layers = std::mem::take(&mut request.layers);
    assert_eq!(announcement(&request).unwrap().layers.len(), 3);
    request.simulcast_codecs.clear();
    let layers = announcement(&request).unwrap().layers;
    assert_eq!(layers, [Layer { quality: Quality::High, width: 1280, height: 720 }]);
    (request.width, request.height) = (0, 0);
    assert!(announcement(&request).unwrap().layers.is_empty());
}

#[test]
fn old_audio_flags_are_shown_as_features_too() {
    let request = AddTrackRequest {
        cid: "mic".into(),
        r#type: proto::TrackType::Audio.into(),
        source: proto::TrackSource::Microphone.into(),
        stereo: true,
        disable_dtx: true,
        disable_red: true,
        audio_features: vec![
            proto::AudioTrackFeature::TfStereo.into(),
            proto::AudioTrackFeature::TfNoiseSuppression.into(),
        ],
        ..Default::default()
    };
    let shown = track(&track_info(&request));
    assert_eq!(shown.audio_features, [0, 4, 1]);
    assert!(shown.stereo && shown.disable_dtx && shown.disable_red);
    assert_eq!(shown.codecs[0].mime_type, "audio/opus");
    assert_eq!(shown.codecs[0].video_layer_mode(), Mode::Unused);
    assert!(announcement(&AddTrackRequest { r#type: proto::TrackType::Data.into(), ..request }).is_none());
}

#[test]
fn a_data_track_keeps_its_schema() {
    let request = PublishDataTrackRequest {
        pub_handle: 9,
        name: "pose".into(),
        schema: Some(proto::DataTrackSchemaId { name: "s".into(), ..Default::default() }),
        ..Default::default()
    };
    let info = DataTrackInfo {
        id: TrackId::new("DTR_abc"),
        handle: 9,
        name: "pose".into(),
        opaque: request.encode_to_vec().into(),
    };
    let shown = data_track(&info);
    assert_eq!((shown.pub_handle, shown.sid.as_str(), shown.name.as_str()), (9, "DTR_abc", "pose"));
    assert_eq!(shown.schema.unwrap().name, "s");
}

/// A client that prefers VP9 and would send VP8 to those who need it.
fn with_backup(policy: proto::BackupCodecPolicy) -> AddTrackRequest {
    let codec =
        |name: &str, cid: &str| proto::SimulcastCodec { codec: name.into(), cid: cid.into(), ..Default::default() };
    AddTrackRequest {
        simulcast_codecs: vec![codec("vp9", "cam"), codec("vp8", "")],
        backup_codec_policy: policy.into(),
        ..video_request()
    }
}

#[test]
fn a_second_codec_is_a_plan_with_a_policy() {
    use proto::BackupCodecPolicy::{PreferRegression, Regression, Simulcast};
    for (policy, expected) in [
        (PreferRegression, BackupPolicy::PreferBackup),
        (Simulcast, BackupPolicy::Both),
        (Regression, BackupPolicy::BackupAlone),
    ] {
        let plan = announcement(&with_backup(policy)).unwrap().backup;
        assert_eq!(plan, Some(BackupPlan { mime_type: "video/VP8", policy: expected }));
    }
    assert_eq!(announcement(&video_request()).unwrap().backup, None);
    assert_eq!(announcement(&video_request()).unwrap().mime_type, Some("video/VP8"));
    assert_eq!(announcement(&with_backup(Simulcast)).unwrap().mime_type, Some("video/VP9"));
    for (primary, backup) in [("vp9", "theora"), ("vp8", "VP8"), ("vp9", "")] {
        let mut request = with_backup(Simulcast);
        request.simulcast_codecs[0].codec = primary.into();
        request.simulcast_codecs[1].codec = backup.into();
        assert_eq!(announcement(&request).unwrap().backup, None, "{primary}, {backup}");
    }
    let audio = AddTrackRequest { r#type: proto::TrackType::Audio.into(), ..with_backup(Simulcast) };
    assert_eq!(announcement(&audio).unwrap().backup, None);
}

#[test]
fn a_track_lists_both_codecs_with_their_sections() {
    let request = with_backup(proto::BackupCodecPolicy::Simulcast);
    let mut info = TrackInfo { mime_type: "video/VP9".into(), ..track_info(&request) };
    let listed = |info: &TrackInfo| -> Vec<(String, String, String, usize)> {
        let codecs = track(info).codecs.into_iter();
        codecs.map(|codec| (codec.mime_type, codec.mid, codec.cid, codec.layers.len())).collect()
    };
    let row = |mime: &str, mid: &str, cid: &str, layers| (mime.into(), mid.into(), cid.into(), layers);
    let primary = row("video/VP9", "3", "cam", 3);
    assert_eq!(listed(&info), [primary.clone(), row("video/VP8", "", "", 3)]);
    let mut announced = AddTrackRequest { sid: info.id.to_string(), cid: "cam2".into(), ..video_request() };
    announced.layers.truncate(2);
    info.backup = Some(Box::new(BackupInfo {
        client_id: "cam2".into(),
        mime_type: "video/VP8",
        mid: Some("5".into()),
        opaque: announced.encode_to_vec().into(),
    }));
    assert_eq!(listed(&info), [primary, row("video/VP8", "5", "cam2", 2)]);
}
