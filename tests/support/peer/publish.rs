//! What a peer publishes: one audio and one video track of synthetic media.
//!
//! What always holds: video starts with a keyframe and has another only when asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use livekit_protocol::{AddTrackRequest, TrackSource, TrackType};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use webrtc::media_stream::MediaStreamTrack;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};
use webrtc::peer_connection::PeerConnection;
use webrtc::rtp_transceiver::RTCRtpTransceiverDirection;

use super::interceptor::is_keyframe_request;
use super::transceiver;
use crate::support::media::{self, KEYFRAME_PACKETS, Numbering, OPUS_STEP, VP8_STEP, Vp8Packet};

pub const AUDIO_CID: &str = "synthetic-microphone";
pub const VIDEO_CID: &str = "synthetic-camera";

const AUDIO_SSRC: u32 = 0x0a0d_0001;
const VIDEO_SSRC: u32 = 0x0b0e_0001;
const RTX_SSRC: u32 = 0x0b0e_0002;
const AUDIO_EVERY: Duration = Duration::from_millis(20);
const VIDEO_EVERY: Duration = Duration::from_millis(33);

/// Adds both tracks to the connection, video with a stream of retransmissions where `rtx`, and starts to send once it is connected.
/// Requests for keyframes are counted.
pub async fn tracks(
    connection: &dyn PeerConnection,
    connected: &watch::Sender<bool>,
    keyframe_requests: &Arc<AtomicU32>,
    rtx: bool,
) -> [JoinHandle<()>; 3] {
    let (audio, video) = (local_track(false, false), local_track(true, rtx));
    for track in [&audio, &video] {
        let track = Arc::clone(track) as Arc<dyn TrackLocal>;
        let init = transceiver(RTCRtpTransceiverDirection::Sendonly);
        connection.add_transceiver_from_track(track, init).await.expect("a track can be added");
    }
    let wanted = Arc::new(AtomicBool::new(true));
    [
        tokio::spawn(send_audio(connected.subscribe(), audio)),
        tokio::spawn(listen(Arc::clone(&video), Arc::clone(&wanted), Arc::clone(keyframe_requests))),
        tokio::spawn(send_video(connected.subscribe(), video, wanted)),
    ]
}

/// What announces both tracks.
pub fn announcements() -> [AddTrackRequest; 2] {
    [
        add_track(AUDIO_CID, TrackType::Audio, TrackSource::Microphone),
        add_track(VIDEO_CID, TrackType::Video, TrackSource::Camera),
    ]
}

fn local_track(video: bool, rtx: bool) -> Arc<TrackLocalStaticRTP> {
    let (id, kind, ssrc, codec) = match video {
        true => (VIDEO_CID, RtpCodecKind::Video, VIDEO_SSRC, vp8()),
        false => (AUDIO_CID, RtpCodecKind::Audio, AUDIO_SSRC, opus()),
    };
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            rtx: rtx.then_some(RTCRtpRtxParameters { ssrc: RTX_SSRC }),
            ..Default::default()
        },
        codec,
        ..Default::default()
    };
    let track = MediaStreamTrack::new("synthetic".into(), id.into(), id.to_owned(), kind, vec![coding]);
    Arc::new(TrackLocalStaticRTP::new(track))
}

fn add_track(cid: &str, kind: TrackType, source: TrackSource) -> AddTrackRequest {
    AddTrackRequest {
        cid: cid.to_owned(),
        name: cid.to_owned(),
        r#type: kind.into(),
        source: source.into(),
        ..Default::default()
    }
}

pub fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "audio/opus".to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
        rtcp_feedback: Vec::new(),
    }
}

pub fn vp8() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "video/VP8".to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: String::new(),
        rtcp_feedback: Vec::new(),
    }
}

/// Repairs VP8.
pub fn rtx() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "video/rtx".to_owned(),
        sdp_fmtp_line: format!("apt={}", media::VP8_PAYLOAD_TYPE),
        ..vp8()
    }
}

async fn send_audio(mut connected: watch::Receiver<bool>, track: Arc<TrackLocalStaticRTP>) {
    let mut numbering = Numbering::new(AUDIO_SSRC, media::OPUS_PAYLOAD_TYPE);
    let mut ticks = tokio::time::interval(AUDIO_EVERY);
    let _ = connected.wait_for(|connected| *connected).await;
    for index in 0.. {
        ticks.tick().await;
        let packet = numbering.packet(false, media::opus_payload(index));
        if track.write_rtp(packet).await.is_err() {
            break;
        }
        numbering.advance(OPUS_STEP);
    }
}

/// Sends a keyframe at first and whenever one is `wanted`, else small pictures.
async fn send_video(mut connected: watch::Receiver<bool>, track: Arc<TrackLocalStaticRTP>, wanted: Arc<AtomicBool>) {
    let mut numbering = Numbering::new(VIDEO_SSRC, media::VP8_PAYLOAD_TYPE);
    let mut ticks = tokio::time::interval(VIDEO_EVERY);
    let _ = connected.wait_for(|connected| *connected).await;
    // Both wrap within the first second.
    let (mut picture_id, mut tl0_picture) = (0x7ff0u16, 0xf0u8);
    let mut index = 0;
    loop {
        ticks.tick().await;
        let keyframe = wanted.swap(false, SeqCst);
        let parts = if keyframe { KEYFRAME_PACKETS } else { 1 };
        for part in 0..parts {
            let payload = Vp8Packet { index, keyframe, part };
            let payload = payload.payload(picture_id, tl0_picture);
            let packet = numbering.packet(part + 1 == parts, payload);
            if track.write_rtp(packet).await.is_err() {
                return;
            }
            index += 1;
        }
        numbering.advance(VP8_STEP);
        picture_id = (picture_id + 1) & 0x7fff;
        tl0_picture = tl0_picture.wrapping_add(1);
    }
}

/// Counts the keyframe requests that reach the publisher, and has each answered.
async fn listen(track: Arc<TrackLocalStaticRTP>, wanted: Arc<AtomicBool>, requests: Arc<AtomicU32>) {
    while let Some(TrackLocalEvent::OnRtcpPacket(packets)) = track.poll().await {
        let count = packets.iter().filter(|packet| is_keyframe_request(&***packet)).count();
        requests.fetch_add(count as u32, SeqCst);
        wanted.fetch_or(count > 0, SeqCst);
    }
}
