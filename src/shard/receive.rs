//! From a datagram to what arrived: demultiplexing, opening in place, routing to its source, keeping in the stream's cache.

use std::time::Instant;

use super::gather::Arrived;
use super::inbound::{Route as Destination, SourceKey};
use super::joining::CONNECTED_SETTLING;
use super::leg::Report;
use super::peer::Peer;
use super::send::{LocalEnd, Route};
use super::source::repair_of;
use super::timers::Owner;
use super::{Arrival, Shard};
use crate::congestion::feedback::FEEDBACK_INTERVAL;
use crate::media::audio_level::LevelSample;
use crate::media::cache::RETENTION;
use crate::media::forward::Packet;
use crate::media::receive::ReceiveStream;
use crate::recorder::decisions::Decision;
use crate::recorder::headers::{self, Direction};
use crate::room::model::LeaveReason;
use crate::telemetry::traffic::Kind;
use crate::transport::ice::local_ufrag;
use crate::transport::{CloseReason, DropReason, TransportEvent};
use crate::wire::Rid;
use crate::wire::demux::{Protocol, classify};
use crate::wire::extension::Extension;
use crate::wire::rtp::Header;

/// Where a packet belongs.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub publisher: usize,
    pub room: usize,
    pub source: SourceKey,
}

impl Shard {
    /// Takes one datagram of a batch and opens it in place. Media waits for [`forward`](Self::forward).
    pub fn handle_datagram(&mut self, now: Instant, arrival: Arrival, datagram: &mut [u8]) {
        let handled = match classify(datagram) {
            Some(Protocol::Rtp) => self.handle_rtp(now, arrival, datagram),
            Some(Protocol::Rtcp) => self.handle_rtcp(now, arrival, datagram),
            Some(Protocol::Stun) => self.handle_stun(now, arrival, datagram),
            Some(Protocol::Dtls) => self.handle_dtls(now, arrival, datagram),
            None => Err(DropReason::Malformed),
        };
        if let Err(reason) = handled {
            self.counters.dropped.count(reason);
        }
    }

    /// Whose datagram it is, by an address that passed an authenticated check.
    pub(super) fn owner(&self, arrival: &Arrival) -> Result<usize, DropReason> {
        self.by_address.get(&arrival.from).copied().ok_or(DropReason::UnknownAddress)
    }

    fn handle_rtp(&mut self, now: Instant, arrival: Arrival, datagram: &mut [u8]) -> Result<(), DropReason> {
        let key = self.owner(&arrival)?;
        let header = Header::parse(datagram).map_err(|_| DropReason::Malformed)?;
        let peer = self.peers.get_mut(key).ok_or(DropReason::UnknownAddress)?;
        let len = peer.transport.open_rtp(now, &header, datagram)?;
        peer.progress.received(now);
        self.counters.packets_in.add(1);
        let wire_len = datagram.len() as u64;
        self.counters.bytes_in.add(wire_len);
        let packet = datagram.get_mut(..len).ok_or(DropReason::Malformed)?;
        let clear = packet.get(..header.len).unwrap_or_default();
        peer.recorder.packet(now, Direction::Received, headers::Kind::Rtp, clear, len);
        if let Some(sequence) = peer.inbound.transport_sequence(&header, packet) {
            peer.arrivals.arrived(now, sequence, header.ssrc);
            if peer.next_feedback.is_none() {
                let at = now + FEEDBACK_INTERVAL;
                peer.next_feedback = Some(at);
                self.timers.arm(Owner::Peer(key), self.beat.due(at));
            }
        }
        let room = peer.room;
        let place = |source| Place { publisher: key, room, source };
        match peer.inbound.route(&header, packet) {
            Some(Destination::Media { source, rid }) => {
                self.take_media(now, place(source), rid, header, packet, wire_len)
            }
            Some(Destination::Repair { source, repaired }) => {
                self.counters.traffic.received.count(Kind::Rtx, 1, wire_len);
                self.take_repair(now, place(source), repaired, &header, packet);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A packet of an encoding, as its publisher sent it first. `wire_len`: of the datagram.
    fn take_media(
        &mut self,
        now: Instant,
        place: Place,
        rid: Option<Rid>,
        header: Header,
        packet: &[u8],
        wire_len: u64,
    ) -> Result<(), DropReason> {
        let entry = self.rooms.get_mut(place.room).ok_or(DropReason::UnknownAddress)?;
        let source = entry.sources.get_mut(place.source).ok_or(DropReason::TooManyStreams)?;
        self.counters.traffic.received.count(source.kind.into(), 1, wire_len);
        let Some(index) = source.encoding_of(rid) else {
            return Ok(());
        };
        let Some((codec, clock_rate, repair)) =
            source.codec(header.payload_type).map(|c| (c.codec, c.clock_rate, repair_of(c)))
        else {
            return Ok(());
        };
        if let Some(level) = header.extension(packet, &source.extensions, Extension::AudioLevel)
            && let Some(sample) = LevelSample::read(level)
        {
            source.level.observe(now, sample.level, sample.voice);
        }
        let (dependency, payload) = source.described(&header, packet).map_err(|_| DropReason::Malformed)?;
        let encoding = source.encodings.get_mut(index).ok_or(DropReason::TooManyStreams)?;
        let stream = encoding.stream_for(header.ssrc, clock_rate, repair);
        let extended_sequence = stream.receive(now, &header, packet.len());
        let clock = stream.clock_reference();
        let info = encoding.inspect(codec, extended_sequence, dependency, payload);
        let (mut again, mut due) = (None, None);
        if let Some(missing) = encoding.stream.as_mut().and_then(ReceiveStream::missing) {
            again = missing.arrived(now, extended_sequence);
            if info.starts_keyframe {
                missing.keyframe_began(extended_sequence, header.timestamp);
            }
            due = missing.poll_timeout();
        }
        let record = Packet { encoding: index, header, extended_sequence, codec, info, clock };
        source.observe(now, &record, packet);
        self.keep(now, place, record, packet, again.is_some());
        if let Some(recovered) = again {
            self.came_again(now, place, index, &recovered);
        }
        if let Some(at) = due {
            self.look_for_gaps_at(place.publisher, at);
        }
        Ok(())
    }

    /// Keeps a packet in its stream's cache and has it forwarded. `again`: it was missing before.
    pub(super) fn keep(&mut self, now: Instant, place: Place, record: Packet, packet: &[u8], again: bool) {
        let Some(entry) = self.rooms.get_mut(place.room) else { return };
        let Some(source) = entry.sources.get_mut(place.source) else { return };
        let viewers = source.subscribers.len();
        let Some(encoding) = source.encodings.get_mut(record.encoding) else { return };
        let (timestamp, starts_keyframe) = (record.header.timestamp, record.info.starts_keyframe);
        let asks = encoding.keyframes.packet(now, timestamp, packet.len(), starts_keyframe);
        encoding.cache.insert(now, record, packet);
        let arrived = Arrived::new(now, place.source, &record, packet.len(), viewers);
        if entry.gathered.push(if again { arrived.at_once() } else { arrived }) {
            self.dirty_rooms.push(place.room);
        }
        if asks {
            encoding.tally.keyframes_asked += 1;
            self.send_picture_loss_indication(now, place.publisher, record.header.ssrc);
        }
    }

    fn handle_stun(&mut self, now: Instant, arrival: Arrival, datagram: &[u8]) -> Result<(), DropReason> {
        let by_ufrag = local_ufrag(datagram).and_then(|ufrag| self.by_ufrag.get(ufrag)).copied();
        let Some(key) = by_ufrag.or_else(|| self.by_address.get(&arrival.from).copied()) else {
            self.counters.strangers.add(1);
            return Err(DropReason::StunUnauthenticated);
        };
        let peer = self.peers.get_mut(key).ok_or(DropReason::StunUnauthenticated)?;
        let (before, last_heard) = (peer.transport.remote_address(), peer.transport.last_heard());
        peer.transport.handle_stun(now, arrival.from, datagram)?;
        let moved = before.is_some() && peer.transport.remote_address() != before;
        let local = LocalEnd { socket: arrival.socket, ip: arrival.local_ip };
        if peer.transport.knows_address(arrival.from) {
            peer.learn_path(arrival.from, local);
            // Every check confirms whose the address is: one that was taken over comes back with its owner's next check.
            self.claim_address(key, arrival.from);
        } else if let Some(answer) = peer.transport.poll_transmit(now) {
            // An error response goes back the way the request came, and teaches nothing.
            self.batch.push_bytes(Route { to: arrival.from, local }, &answer.bytes);
        }
        if moved && let Some(peer) = self.peers.get_mut(key) {
            peer.recorder.decided(now, None, Decision::PathChanged);
        }
        self.flush(now, key);
        if moved && now.saturating_duration_since(last_heard) >= RETENTION {
            self.renew_pictures(now, key);
        }
        Ok(())
    }

    fn handle_dtls(&mut self, now: Instant, arrival: Arrival, datagram: &[u8]) -> Result<(), DropReason> {
        let key = self.owner(&arrival)?;
        let peer = self.peers.get_mut(key).ok_or(DropReason::UnknownAddress)?;
        let handled = peer.transport.handle_dtls(now, arrival.from, datagram);
        if handled.is_ok() {
            peer.progress.greeted(now);
            self.counters.traffic.received.count(Kind::Data, 1, datagram.len() as u64);
        }
        self.flush(now, key);
        handled
    }

    /// Picks up what a peer's transport has to say and to send.
    pub(super) fn flush(&mut self, now: Instant, key: usize) {
        while let Some(event) = self.peers.get_mut(key).and_then(|peer| peer.transport.poll_event()) {
            self.transport_event(now, key, event);
        }
        self.flush_transmits(now, key);
        self.arm_peer(key);
    }

    pub(super) fn flush_transmits(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        while let Some(datagram) = peer.transport.poll_transmit(now) {
            if let Some(route) = peer.route_to(datagram.to) {
                if classify(&datagram.bytes) == Some(Protocol::Dtls) {
                    self.counters.traffic.sent.count(Kind::Data, 1, datagram.bytes.len() as u64);
                }
                self.batch.push_bytes(route, &datagram.bytes);
            }
        }
    }

    fn transport_event(&mut self, now: Instant, key: usize, event: TransportEvent) {
        match event {
            TransportEvent::AddressLearnt(address) => {
                self.claim_address(key, address);
                if let Some(peer) = self.peers.get_mut(key) {
                    peer.progress.checked(now, &self.counters);
                }
            }
            TransportEvent::AddressForgotten(address) => {
                if self.by_address.get(&address) == Some(&key) {
                    self.by_address.remove(&address);
                }
                if let Some(peer) = self.peers.get_mut(key) {
                    peer.paths.retain(|(known, _)| *known != address);
                }
            }
            TransportEvent::Connected => self.transport_connected(now, key),
            TransportEvent::ChannelOpened(channel) => self.channel_opened(now, key, &channel),
            TransportEvent::Message { channel, message, .. } => self.message_received(now, key, channel, message),
            TransportEvent::ChannelClosed { channel } => {
                if let Some(peer) = self.peers.get_mut(key) {
                    peer.channels.closed(channel);
                }
            }
            TransportEvent::Closed(reason) => {
                if let Some(Peer { progress, .. }) = self.peers.get_mut(key) {
                    tracing::debug!(room = %progress.room(), participant = %progress.participant(), ?reason, "transport closed");
                    progress.closed(now, reason, &self.counters);
                }
                if reason == CloseReason::DtlsClosed {
                    return self.put_out(now, key, LeaveReason::ClientLeft);
                }
                self.counters.transports_failed.add(1);
                self.put_out(now, key, LeaveReason::TransportFailed);
            }
        }
    }

    /// An address belongs to whoever authenticated from it last; its old owner loses it.
    pub(super) fn claim_address(&mut self, key: usize, address: std::net::SocketAddr) {
        if self.by_address.get(&address) == Some(&key) {
            return;
        }
        if let Some(old) = self.by_address.insert(address, key).filter(|old| *old != key)
            && let Some(peer) = self.peers.get_mut(old)
        {
            peer.paths.retain(|(known, _)| *known != address);
        }
    }

    fn transport_connected(&mut self, now: Instant, key: usize) {
        self.counters.connected.add(1);
        let expected = self.expected_media(key);
        if let Some(peer) = self.peers.get_mut(key) {
            peer.progress.connected(now, expected, &self.counters);
        }
        let Some((room, participant)) = self.seat_of(key) else {
            return;
        };
        self.report(now, room, Report::Connected { participant });
        self.settle(now, room);
        // The last words of the handshake go before media from the cache, which the peer could not open yet.
        self.flush_transmits(now, key);
        if let Some(peer) = self.peers.get_mut(key) {
            peer.settle_until(now + CONNECTED_SETTLING);
            peer.recorder.decided(now, None, Decision::Connected);
        }
        self.request_awaited_keyframes(now, key);
    }
}
