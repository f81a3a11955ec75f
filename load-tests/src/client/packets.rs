//! RTP as a client receives it: counted by its clear header, a sample decrypted and its delay taken.
//!
//! What always holds: a stream begins only after keys exist; what does not authenticate tells no delay.

use std::time::Duration;

use sfumato::congestion::feedback::ArrivalLog;
use sfumato::wire::rtp::Header;

use super::format::{self, Kind};
use super::payload;
use super::receive::{Arrival, ReceiveStream};
use super::{Client, Shared};
use crate::time::Now;

/// Streams whose packets are decrypted; the server's SRTP, which is shared, keeps state for 64 of a peer.
const VERIFIED_STREAMS: usize = 60;
/// Streams one client counts; more are unexpected.
const STREAMS: usize = 4_096;

impl Client {
    pub(super) fn on_rtp(&mut self, now: Now, arrived: Option<Duration>, packet: &mut [u8], shared: &mut Shared) {
        let totals = &mut shared.totals;
        let Ok(header) = Header::parse(packet) else {
            totals.unexpected += 1;
            return;
        };
        totals.packets += 1;
        totals.bytes += packet.len() as u64;
        self.note_arrival(now, &header, packet);
        let totals = &mut shared.totals;
        let Some(kind) = Kind::of(header.payload_type) else {
            let counter =
                if header.payload_type == format::RTX { &mut totals.retransmissions } else { &mut totals.unexpected };
            *counter += 1;
            return;
        };
        match kind {
            Kind::Audio => totals.audio_packets += 1,
            Kind::Video => totals.video_packets += 1,
        }
        let Some(place) = self.place(now, &header, kind, shared) else { return };
        let Some(stream) = self.streams.get_mut(place) else { return };
        let since_start = now.instant.saturating_duration_since(shared.start);
        match stream.accept(header.sequence_number, header.timestamp, since_start) {
            Arrival::Duplicate => {
                shared.totals.duplicates += 1;
                return;
            }
            Arrival::Late => shared.totals.late += 1,
            Arrival::InOrder => {}
        }
        shared.totals.received += 1;
        let sampled = self.verify_every > 0 && stream.received % u64::from(self.verify_every) == 0;
        if sampled && place < VERIFIED_STREAMS {
            self.verify(now, arrived, &header, kind, packet, shared);
        }
    }

    /// The packet's stream, a new one if need be.
    fn place(&mut self, now: Now, header: &Header, kind: Kind, shared: &mut Shared) -> Option<usize> {
        let ssrc = header.ssrc.0;
        if self.ssrcs.get(self.recent) == Some(&ssrc) {
            return Some(self.recent);
        }
        if let Some(place) = self.ssrcs.iter().position(|known| *known == ssrc) {
            self.recent = place;
            return Some(place);
        }
        if self.srtp.is_none() || self.ssrcs.len() >= STREAMS {
            shared.totals.unexpected += 1;
            return None;
        }
        if self.ssrcs.is_empty() {
            shared.joins.first_media.record(now.instant - self.started);
        }
        if kind == Kind::Video && !std::mem::replace(&mut self.has_video, true) {
            shared.joins.first_video.record(now.instant - self.started);
        }
        self.recent = self.ssrcs.len();
        self.ssrcs.push(ssrc);
        self.streams.push(ReceiveStream::new(ssrc, kind, header.sequence_number));
        Some(self.recent)
    }

    fn note_arrival(&mut self, now: Now, header: &Header, packet: &[u8]) {
        if !self.feedback {
            return;
        }
        let element = header.extensions(packet).find(|(id, _)| *id == format::TRANSPORT_CC);
        if let Some(&[high, low]) = element.map(|(_, value)| value) {
            let arrivals = self.arrivals.get_or_insert_with(|| ArrivalLog::new(now.instant));
            arrivals.arrived(now.instant, u16::from_be_bytes([high, low]), header.ssrc);
        }
    }

    /// Decrypts, and takes the delay from the stamp.
    fn verify(
        &mut self,
        now: Now,
        arrived: Option<Duration>,
        header: &Header,
        kind: Kind,
        packet: &mut [u8],
        shared: &mut Shared,
    ) {
        let Some(srtp) = &mut self.srtp else { return };
        let opened = srtp.inbound.open_rtp(now.instant, header.ssrc.0, header.sequence_number, header.len, packet);
        let Ok(plain) = opened.map(|len| packet.get(..len).unwrap_or_default()) else {
            shared.totals.unauthentic += 1;
            return;
        };
        shared.totals.verified += 1;
        let Some(stamp) = header.payload(plain).ok().and_then(|payload| payload::stamp(kind, payload)) else {
            shared.totals.damaged += 1;
            return;
        };
        let counter = shared.totals.by_encoding.get_mut(usize::from(stamp.encoding)).filter(|_| kind == Kind::Video);
        counter.into_iter().for_each(|counter| *counter += 1);
        let delays = &mut shared.delays;
        let Some(delay) = arrived.unwrap_or(now.unix).checked_sub(stamp.sent) else {
            delays.backwards += 1;
            return;
        };
        match kind {
            Kind::Audio => delays.audio.record(delay),
            Kind::Video => delays.video.record(delay),
        }
        delays.read.record(now.unix.saturating_sub(stamp.sent));
    }
}
