//! Packets lost on the way from a publisher: asked for again (RFC 4585, section 6.2.1), taken from the stream they are sent again in
//! (RFC 4588), and, when they do not come, made good by a keyframe.
//!
//! What always holds: what an RTX packet says is believed only of a packet that is missing; it makes no state; a stream whose packets
//! are given up costs its publisher one keyframe request, and none where nobody needs it.

use std::time::Instant;

use super::Shard;
use super::inbound::{Repaired, SourceKey};
use super::receive::Place;
use super::reports::COMPOUND_BYTES;
use super::timers::Owner;
use crate::media::forward::Packet;
use crate::media::keyframe::Wish;
use crate::media::nack::Recovered;
use crate::negotiation::MediaKind;
use crate::recorder::decisions::Decision;
use crate::wire::Ssrc;
use crate::wire::rtcp::Writer;
use crate::wire::rtp::{Header, RtpError};
use crate::wire::rtx::{self, NoOriginal};

/// What a block of requests takes without its entries, and what an entry takes at most, bytes.
const NACK_BYTES: usize = 12;
const NACK_ENTRY_BYTES: usize = 4;

/// Why an RTX packet brings nothing.
enum Useless {
    OnlyPadding,
    Malformed,
    /// What it brings is here, or is not expected.
    NotMissing,
}

impl From<NoOriginal> for Useless {
    fn from(reason: NoOriginal) -> Useless {
        match reason {
            NoOriginal::OnlyPadding => Useless::OnlyPadding,
            NoOriginal::Malformed => Useless::Malformed,
        }
    }
}

impl From<RtpError> for Useless {
    fn from(_: RtpError) -> Useless {
        Useless::Malformed
    }
}

impl Shard {
    /// A packet of a stream of retransmissions: its original is taken as if it had come late, if it was missing.
    pub(super) fn take_repair(
        &mut self,
        now: Instant,
        place: Place,
        repaired: Repaired,
        header: &Header,
        packet: &mut [u8],
    ) {
        self.counters.rtx_in.add(1);
        match self.original(now, place, repaired, header, packet) {
            Ok((original, recovered, packet)) => {
                self.came_again(now, place, original.encoding, &recovered);
                self.keep(now, place, original, packet, true);
            }
            Err(Useless::OnlyPadding) => self.counters.rtx_padding.add(1),
            Err(Useless::Malformed) => self.counters.rtx_malformed.add(1),
            Err(Useless::NotMissing) => self.counters.rtx_useless.add(1),
        }
    }

    /// Makes the missing packet of an RTX packet.
    fn original<'a>(
        &mut self,
        now: Instant,
        place: Place,
        repaired: Repaired,
        header: &Header,
        packet: &'a mut [u8],
    ) -> Result<(Packet, Recovered, &'a [u8]), Useless> {
        let sequence_number = rtx::original_sequence(header, packet)?;
        let entry = self.rooms.get_mut(place.room).ok_or(Useless::NotMissing)?;
        let source = entry.sources.get_mut(place.source).ok_or(Useless::NotMissing)?;
        let index = source.encoding_repaired(repaired).ok_or(Useless::NotMissing)?;
        let codec = source.codec_repaired(header.payload_type).ok_or(Useless::NotMissing)?;
        let (codec, payload_type) = (codec.codec, codec.payload_type);
        let stream = source.encodings.get_mut(index).and_then(|encoding| encoding.stream.as_mut());
        let stream = stream.ok_or(Useless::NotMissing)?;
        let (extended_sequence, recovered) = stream.recover(now, sequence_number).ok_or(Useless::NotMissing)?;
        let (ssrc, clock) = (stream.ssrc(), stream.clock_reference());
        let (header, packet) = rtx::restore(header, packet, payload_type, ssrc)?;
        let (dependency, payload) = source.described(&header, packet)?;
        let encoding = source.encodings.get_mut(index).ok_or(Useless::NotMissing)?;
        let info = encoding.inspect(codec, extended_sequence, dependency, payload);
        if info.starts_keyframe
            && let Some(missing) = source.stream_of(ssrc).and_then(|stream| stream.missing())
        {
            missing.keyframe_began(extended_sequence, header.timestamp);
        }
        let original = Packet { encoding: index, header, extended_sequence, codec, info, clock };
        Ok((original, recovered, packet))
    }

    /// A packet that was missing was sent again.
    pub(super) fn came_again(&mut self, now: Instant, place: Place, encoding: usize, recovered: &Recovered) {
        self.counters.recovered.add(1);
        let source = self.rooms.get_mut(place.room).and_then(|entry| entry.sources.get_mut(place.source));
        let encoding = source.and_then(|source| source.encodings.get_mut(encoding));
        let ssrc = encoding.and_then(|encoding| {
            encoding.tally.recovered += 1;
            Some(encoding.stream.as_ref()?.ssrc())
        });
        if let Some(peer) = self.peers.get_mut(place.publisher) {
            peer.round_trip.observe(recovered);
            peer.recorder.decided(now, ssrc, Decision::Recovered { packets: 1 });
        }
    }

    /// Has a publisher's gaps looked at no later than `at`.
    pub(super) fn look_for_gaps_at(&mut self, publisher: usize, at: Instant) {
        let Some(peer) = self.peers.get_mut(publisher) else { return };
        if peer.next_nack.is_none_or(|next| at < next) {
            peer.next_nack = Some(at);
            self.timers.arm(Owner::Peer(publisher), at);
        }
    }

    /// Asks a publisher for what is missing and due, and for keyframes where that was in vain.
    pub(super) fn ask_again(&mut self, now: Instant, publisher: usize) {
        let mut requests = std::mem::take(&mut self.requests);
        let in_vain = self.due_requests(now, publisher, &mut requests);
        self.counters.nacks_out.add(requests.len() as u64);
        self.send_requests(now, publisher, &requests);
        requests.clear();
        self.requests = requests;
        for (source, encoding) in in_vain {
            self.replace_lost(now, publisher, source, encoding);
        }
    }

    /// Adds what is due of all streams of a publisher. Gives the encodings of which something was given up.
    fn due_requests(
        &mut self,
        now: Instant,
        publisher: usize,
        requests: &mut Vec<(Ssrc, u16)>,
    ) -> Vec<(SourceKey, usize)> {
        let mut in_vain = Vec::new();
        let Some(peer) = self.peers.get_mut(publisher) else { return in_vain };
        let Some(entry) = self.rooms.get_mut(peer.room) else { return in_vain };
        let retry_after = peer.retry_after();
        peer.next_nack = None;
        for key in peer.inbound.sources() {
            let Some(source) = entry.sources.get_mut(key) else { continue };
            let (watched, is_video) = (source.is_watched(), source.kind == MediaKind::Video);
            for (index, encoding) in source.encodings.iter_mut().enumerate() {
                let Some(stream) = encoding.stream.as_mut() else { continue };
                let (ssrc, before) = (stream.ssrc(), requests.len());
                let Some(missing) = stream.missing() else { continue };
                // What nobody receives is not asked for.
                let ask = |number| {
                    if watched {
                        requests.push((ssrc, number))
                    }
                };
                let given_up = missing.poll(now, retry_after, ask);
                self.counters.given_up.add(given_up.packets);
                let (asked, lost) = ((requests.len() - before) as u32, given_up.packets as u32);
                encoding.tally.count(asked, lost);
                peer.recorder.missed(now, ssrc, asked, lost);
                if given_up.needs_keyframe && is_video {
                    in_vain.push((key, index));
                }
                peer.next_nack = peer.next_nack.into_iter().chain(missing.poll_timeout()).min();
            }
        }
        in_vain
    }

    /// Sends requests, grouped by stream, in as few compounds as hold them.
    fn send_requests(&mut self, now: Instant, publisher: usize, requests: &[(Ssrc, u16)]) {
        let Some(sender) = self.peers.get(publisher).map(|peer| peer.rtcp_ssrc) else { return };
        self.scratch.clear();
        for stream in requests.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((media, _)) = stream.first() else { continue };
            let most = NACK_BYTES + NACK_ENTRY_BYTES * stream.len();
            if !self.scratch.is_empty() && self.scratch.len() + most > COMPOUND_BYTES {
                self.send_compound(now, publisher);
                self.scratch.clear();
            }
            let mut writer = Writer { out: &mut self.scratch };
            if writer.out.is_empty() {
                writer.receiver_report(sender, &[]);
            }
            writer.nack(sender, *media, stream.iter().map(|(_, number)| *number));
        }
        if !self.scratch.is_empty() {
            self.send_compound(now, publisher);
        }
    }

    /// Packets of an encoding are lost for good: whoever receives it needs a keyframe.
    fn replace_lost(&mut self, now: Instant, publisher: usize, source: SourceKey, encoding: usize) {
        let Some(room) = self.peers.get(publisher).map(|peer| peer.room) else { return };
        let Some(lossy) = self.rooms.get(room).and_then(|entry| entry.sources.get(source)) else { return };
        let receives = |subscriber: &usize| {
            let subscription = self.peers.get(*subscriber).and_then(|peer| peer.outbound.get(source));
            subscription.is_some_and(|subscription| subscription.keyframe_needed() == Some(encoding))
        };
        // What subscribers on other shards receive is not known here.
        if !lossy.handed_to.is_empty() || lossy.subscribers.iter().any(receives) {
            self.request_keyframe(now, room, source, encoding, Wish::First);
        }
    }
}
