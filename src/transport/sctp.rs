//! SCTP associations and data channels (RFC 8831, RFC 8832) inside DTLS. The peer initiates; channels are opened by the peer.
//!
//! What always holds: one association at a time; at most `limits::SCTP_STREAMS` channels; a message longer than
//! `limits::DATA_MESSAGE_BYTES` is not delivered, and at most `limits::DATA_QUEUE_BYTES` wait for being sent.

mod channel;
mod guard;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;
use rtc_sctp::{
    Association, AssociationHandle, Chunks, DatagramEvent, Endpoint, EndpointConfig, EndpointEvent, Event, Payload,
    PayloadProtocolIdentifier, ServerConfig, StreamEvent, TransportConfig, max_payload_size_for_mtu,
};
use rtc_shared::TransportProtocol;

use super::{DataChannel, TransportEvent};
use crate::limits;
use channel::Channel;
use guard::{Guard, Verdict, is_init};

/// Largest SCTP packet: with the 37 bytes of a DTLS record a datagram stays within 1200 bytes, which every path carries.
pub(super) const SCTP_MTU: u32 = 1160;
/// Bytes that arrived and wait for the rest of their message or for their turn.
const RECEIVE_BUFFER_BYTES: u32 = 1 << 20;
/// Associations in the making: each repeated INIT begins one, the one whose cookie comes back wins.
const CANDIDATES: usize = 4;
/// The association lives inside DTLS: addresses mean nothing to it.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

static ENDPOINT: LazyLock<Arc<EndpointConfig>> = LazyLock::new(|| {
    let mut config = EndpointConfig::new();
    config.max_payload_size(max_payload_size_for_mtu(SCTP_MTU));
    Arc::new(config)
});

fn server() -> Arc<ServerConfig> {
    let transport = TransportConfig::default()
        .with_max_receive_buffer_size(RECEIVE_BUFFER_BYTES)
        .with_max_message_size(limits::DATA_MESSAGE_BYTES)
        .with_max_num_inbound_streams(limits::SCTP_STREAMS)
        .with_max_num_outbound_streams(limits::SCTP_STREAMS);
    Arc::new(ServerConfig::new(transport))
}

/// The data side of one transport.
pub(super) struct Sctp {
    endpoint: Endpoint,
    /// Associations by handle; at most [`CANDIDATES`], one once one is established.
    associations: Vec<(AssociationHandle, Association)>,
    established: Option<AssociationHandle>,
    channels: BTreeMap<u16, Channel>,
    guard: Guard,
    /// Packets that are ready.
    out: VecDeque<Bytes>,
    /// How often the library panicked over what the peer sent.
    contained_panics: u32,
}

impl Sctp {
    pub fn new() -> Sctp {
        Sctp {
            endpoint: Endpoint::new(PEER, TransportProtocol::UDP, Arc::clone(&ENDPOINT), Some(server())),
            associations: Vec::new(),
            established: None,
            channels: BTreeMap::new(),
            guard: Guard::new(RECEIVE_BUFFER_BYTES),
            out: VecDeque::new(),
            contained_panics: 0,
        }
    }

    /// A packet that DTLS carried.
    pub fn handle(&mut self, now: Instant, packet: Bytes, events: &mut VecDeque<TransportEvent>) {
        if self.established.is_some() && is_init(&packet) {
            // A repeated INIT, late: answering would begin another association.
            return;
        }
        match self.guard.inspect(&packet) {
            Verdict::Pass => {}
            Verdict::Drop => return,
            Verdict::Abort => return self.abort(now, events),
        }
        // The library parses what the peer wrote. Should it ever panic there, this association alone is lost.
        let handled = catch_unwind(AssertUnwindSafe(|| self.hand_over(now, packet)));
        if handled.is_err() {
            self.give_up(events);
            self.contained_panics += 1;
            return;
        }
        self.poll(now, events);
    }

    fn hand_over(&mut self, now: Instant, packet: Bytes) {
        match self.endpoint.handle(now, PEER, None, packet) {
            Some((handle, DatagramEvent::NewAssociation(association))) => {
                if self.associations.len() >= CANDIDATES {
                    let (oldest, _) = self.associations.remove(0);
                    self.endpoint.handle_event(oldest, EndpointEvent::drained());
                }
                self.associations.push((handle, association));
            }
            Some((handle, DatagramEvent::AssociationEvent(event))) => {
                if let Some(association) = self.association(handle) {
                    association.handle_event(event);
                }
            }
            _ => {}
        }
    }

    /// Tells the peer and closes everything; it may begin anew.
    fn abort(&mut self, now: Instant, events: &mut VecDeque<TransportEvent>) {
        let mut packets = Vec::new();
        for (_, association) in &mut self.associations {
            // The state is dropped either way.
            let _ = association.abort();
            if let Some(transmit) = association.poll_transmit(now)
                && let Payload::RawEncode(last) = transmit.message
            {
                packets.extend(last);
            }
        }
        self.give_up(events);
        self.out.extend(packets);
    }

    fn give_up(&mut self, events: &mut VecDeque<TransportEvent>) {
        let channels = std::mem::take(&mut self.channels);
        *self = Sctp { contained_panics: self.contained_panics, ..Sctp::new() };
        events.extend(channels.into_keys().map(|channel| TransportEvent::ChannelClosed { channel }));
    }

    /// Queues a message; false when it cannot be.
    pub fn send(&mut self, now: Instant, id: u16, binary: bool, message: &[u8]) -> bool {
        let fits = message.len() <= limits::DATA_MESSAGE_BYTES as usize
            && self.queued().saturating_add(message.len()) <= limits::DATA_QUEUE_BYTES;
        if !fits || !self.channels.contains_key(&id) {
            return false;
        }
        let (identifier, payload) = channel::encode(binary, message);
        let Some(association) = self.established.and_then(|handle| self.association(handle)) else {
            return false;
        };
        let Ok(mut stream) = association.stream(id) else {
            return false;
        };
        let sent = stream.write_with_ppi(now, payload, identifier).is_ok();
        if sent && let Some(channel) = self.channels.get_mut(&id) {
            channel.buffered += payload.len();
        }
        sent
    }

    /// Bytes queued or unacknowledged on a channel.
    pub fn buffered(&self, id: u16) -> usize {
        self.channels.get(&id).map_or(0, |channel| channel.buffered)
    }

    fn queued(&self) -> usize {
        self.channels.values().map(|channel| channel.buffered).sum()
    }

    fn release(&mut self, id: u16, bytes: usize) {
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.buffered = channel.buffered.saturating_sub(bytes);
        }
    }

    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(packet) = self.out.pop_front() {
            return Some(packet);
        }
        for (_, association) in &mut self.associations {
            if let Some(transmit) = association.poll_transmit(now)
                && let Payload::RawEncode(packets) = transmit.message
            {
                packets.iter().for_each(|packet| self.guard.observe(packet));
                self.out.extend(packets);
                break;
            }
        }
        self.out.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.associations.iter().filter_map(|(_, association)| association.poll_timeout()).min()
    }

    pub fn handle_timeout(&mut self, now: Instant, events: &mut VecDeque<TransportEvent>) {
        for (_, association) in &mut self.associations {
            association.handle_timeout(now);
        }
        self.poll(now, events);
    }

    fn association(&mut self, wanted: AssociationHandle) -> Option<&mut Association> {
        let mut associations = self.associations.iter_mut();
        associations.find(|(handle, _)| *handle == wanted).map(|(_, association)| association)
    }

    /// Takes what the associations report.
    fn poll(&mut self, now: Instant, events: &mut VecDeque<TransportEvent>) {
        let handles: Vec<AssociationHandle> = self.associations.iter().map(|(handle, _)| *handle).collect();
        for handle in handles {
            while let Some(event) = self.association(handle).and_then(Association::poll) {
                match event {
                    Event::Connected if self.established.is_none() => self.establish(handle),
                    Event::Stream(StreamEvent::Opened { .. }) => {
                        // Takes it off the queue of those to accept.
                        let _ = self.association(handle).map(|association| association.accept_stream().is_some());
                    }
                    Event::Stream(StreamEvent::Readable { id }) => self.read(now, handle, id, events),
                    Event::Stream(StreamEvent::BufferedAmountReleased { id, n_bytes }) => self.release(id, n_bytes),
                    Event::Stream(StreamEvent::Finished { id } | StreamEvent::Stopped { id, .. }) => {
                        self.forget(id, events)
                    }
                    Event::AssociationLost { id, .. } => self.forget(id, events),
                    _ => {}
                }
            }
            let is_drained = self.association(handle).is_some_and(|association| {
                association.poll_endpoint_event().is_some()
                    || (association.is_closed() && !association.is_handshaking())
            });
            if is_drained {
                self.drop_association(now, handle, events);
            }
        }
    }

    fn establish(&mut self, handle: AssociationHandle) {
        self.established = Some(handle);
        let (kept, dropped) =
            std::mem::take(&mut self.associations).into_iter().partition(|(candidate, _)| *candidate == handle);
        self.associations = kept;
        let dropped: Vec<(AssociationHandle, Association)> = dropped;
        for (other, _) in dropped {
            self.endpoint.handle_event(other, EndpointEvent::drained());
        }
    }

    fn drop_association(&mut self, now: Instant, handle: AssociationHandle, events: &mut VecDeque<TransportEvent>) {
        let last = self.association(handle).and_then(|association| association.poll_transmit(now));
        if let Some(Payload::RawEncode(packets)) = last.map(|transmit| transmit.message) {
            // SHUTDOWN COMPLETE and the like.
            self.out.extend(packets);
        }
        self.associations.retain(|(other, _)| *other != handle);
        self.endpoint.handle_event(handle, EndpointEvent::drained());
        if self.established == Some(handle) {
            self.established = None;
            self.guard = Guard::new(RECEIVE_BUFFER_BYTES);
            let ids: Vec<u16> = self.channels.keys().copied().collect();
            for id in ids {
                self.forget(id, events);
            }
        }
    }

    fn forget(&mut self, id: u16, events: &mut VecDeque<TransportEvent>) {
        if self.channels.remove(&id).is_some() {
            events.push_back(TransportEvent::ChannelClosed { channel: id });
        }
    }

    /// Reads all messages of a stream.
    fn read(&mut self, now: Instant, handle: AssociationHandle, id: u16, events: &mut VecDeque<TransportEvent>) {
        loop {
            let Some(association) = self.association(handle) else {
                return;
            };
            let Ok(mut stream) = association.stream(id) else {
                return;
            };
            let Ok(Some(chunks)) = stream.read_sctp() else {
                return;
            };
            self.take_message(now, handle, id, &chunks, events);
        }
    }

    fn take_message(
        &mut self,
        now: Instant,
        handle: AssociationHandle,
        id: u16,
        chunks: &Chunks,
        events: &mut VecDeque<TransportEvent>,
    ) {
        self.guard.delivered(chunks.chunks.len());
        let Ok(message) = chunks.to_payload(limits::DATA_MESSAGE_BYTES as usize) else {
            return;
        };
        if chunks.ppi == PayloadProtocolIdentifier::Dcep {
            if let Some(channel) = self.open(now, handle, id, &message) {
                events.push_back(TransportEvent::ChannelOpened(channel));
            }
        } else if self.channels.contains_key(&id)
            && let Some((binary, message)) = channel::decode(chunks.ppi, message.freeze())
        {
            events.push_back(TransportEvent::Message { channel: id, binary, message });
        }
    }

    /// DATA_CHANNEL_OPEN: takes the peer's parameters for our direction and answers with DATA_CHANNEL_ACK.
    fn open(&mut self, now: Instant, handle: AssociationHandle, id: u16, message: &[u8]) -> Option<DataChannel> {
        let (channel, label) = Channel::read_open(message)?;
        if self.channels.contains_key(&id) || self.channels.len() >= usize::from(limits::SCTP_STREAMS) {
            return None;
        }
        let mut stream = self.association(handle)?.stream(id).ok()?;
        stream.set_reliability_params(!channel.ordered, channel.reliability, channel.reliability_value).ok()?;
        stream.write_with_ppi(now, &channel::ACK, PayloadProtocolIdentifier::Dcep).ok()?;
        self.channels.insert(id, channel);
        Some(DataChannel { id, label, ordered: channel.ordered })
    }
}
