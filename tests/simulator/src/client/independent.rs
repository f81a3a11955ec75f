//! A client that is none of ours: the sans-IO peer connection of webrtc-rs, watching one video. Its ICE, DTLS, SRTP, requests
//! for lost packets and RTX are another's work; here it is only asked what it received.
//!
//! What always holds: its keys and numbers are its own random ones, so that a world it is in gives no trace to compare.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use rtc::interceptor::Registry;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine};
use rtc::peer_connection::message::RTCMessage;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp_transceiver::rtp_sender::{RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use sfumato_load::client::format;
use sfumato_load::client::format::Kind;
use sfumato_load::client::payload::stamp;

pub struct Independent {
    connection: RTCPeerConnection,
    /// Video packets by their unwrapped number, and whether their payload is a publisher's.
    received: BTreeMap<i64, bool>,
    pub again: u64,
    newest: Option<i64>,
    pub faults: Vec<String>,
}

impl Independent {
    /// Connected to nothing yet; it will watch from this address.
    pub fn new(now: Instant, address: SocketAddr) -> Result<Independent, Error> {
        let mut media = MediaEngine::default();
        for codec in [vp8(), rtx()] {
            media.register_codec(codec, RtpCodecKind::Video)?;
        }
        let registry = register_default_interceptors(Registry::new(), &mut media)?;
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::new().build())
            .with_media_engine(media)
            .with_interceptor_registry(registry)
            .build(now)?;
        let direction = RTCRtpTransceiverDirection::Recvonly;
        let init = RTCRtpTransceiverInit { direction, ..Default::default() };
        connection.add_transceiver_from_kind(RtpCodecKind::Video, Some(init))?;
        let base_config = CandidateConfig {
            network: "udp".to_owned(),
            address: address.ip().to_string(),
            port: address.port(),
            component: 1,
            ..Default::default()
        };
        let candidate = CandidateHostConfig { base_config, ..Default::default() }.new_candidate_host()?;
        connection.add_local_candidate(RTCIceCandidate::from(&candidate).to_json()?)?;
        Ok(Independent { connection, received: BTreeMap::new(), again: 0, newest: None, faults: Vec::new() })
    }

    pub fn offer(&mut self, now: Instant) -> Result<String, Error> {
        let offer = self.connection.create_offer(None)?;
        let sdp = offer.sdp.clone();
        self.connection.set_local_description(now, offer)?;
        Ok(sdp)
    }

    pub fn answered(&mut self, now: Instant, sdp: &str) {
        let answer = RTCSessionDescription::answer(sdp.to_owned());
        let applied = answer.and_then(|answer| self.connection.set_remote_description(now, answer));
        self.note(applied);
    }

    pub fn handle(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let transport =
            TransportContext { local_addr: to, peer_addr: from, ecn: None, transport_protocol: TransportProtocol::UDP };
        let message = BytesMut::from(datagram);
        // What it cannot read of a datagram is for its own counters.
        let _ = self.connection.handle_read(TaggedBytesMut { now, transport, message });
        self.read();
    }

    pub fn due(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    pub fn on_timeout(&mut self, now: Instant) {
        let handled = self.connection.handle_timeout(now);
        self.note(handled);
        self.read();
    }

    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.connection.poll_write().map(|write| write.message.to_vec())
    }

    /// Packets from the first to the newest that it never got, those of the last `tail` left out: they may be under way.
    pub fn missing(&self, tail: i64) -> i64 {
        let Some((first, _)) = self.received.first_key_value() else { return i64::MAX };
        let end = self.newest.unwrap_or_default() - tail;
        (*first..end).filter(|number| !self.received.contains_key(number)).count() as i64
    }

    pub fn packets(&self) -> usize {
        self.received.len()
    }

    pub fn damaged(&self) -> usize {
        self.received.values().filter(|intact| !**intact).count()
    }

    fn read(&mut self) {
        while self.connection.poll_event().is_some() {}
        while let Some(tagged) = self.connection.poll_read() {
            let RTCMessage::RtpPacket(_, packet) = tagged.message else { continue };
            let newest = self.newest.unwrap_or(i64::from(packet.header.sequence_number));
            let number = newest + i64::from(packet.header.sequence_number.wrapping_sub(newest as u16) as i16);
            self.newest = Some(newest.max(number));
            let intact = stamp(Kind::Video, &packet.payload).is_some();
            self.again += u64::from(self.received.insert(number, intact).is_some());
        }
    }

    fn note(&mut self, outcome: Result<(), Error>) {
        self.faults.extend(outcome.err().map(|error| error.to_string()));
    }
}

fn codec(mime_type: &str, payload_type: u8, sdp_fmtp_line: String, feedback: &[(&str, &str)]) -> RTCRtpCodecParameters {
    let feedback = feedback
        .iter()
        .map(|(typ, parameter)| RTCPFeedback { typ: (*typ).to_owned(), parameter: (*parameter).to_owned() });
    let rtp_codec = RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate: format::VP8_CLOCK,
        channels: 0,
        sdp_fmtp_line,
        rtcp_feedback: feedback.collect(),
    };
    RTCRtpCodecParameters { rtp_codec, payload_type }
}

fn vp8() -> RTCRtpCodecParameters {
    codec(MIME_TYPE_VP8, format::VP8.0, String::new(), &[("nack", ""), ("nack", "pli"), ("ccm", "fir")])
}

fn rtx() -> RTCRtpCodecParameters {
    codec(MIME_TYPE_RTX, format::RTX.0, format!("apt={}", format::VP8.0), &[])
}
