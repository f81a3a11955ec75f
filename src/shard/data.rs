//! Data channels: messages from one participant, stamped and addressed by its protocol, to the others of its room.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::Shard;
use crate::limits;
use crate::room::command::{DataChannelKind, DataSender, Recipients};
use crate::room::model::LeaveReason;
use crate::room::participant::ParticipantKey;
use crate::transport::{DataChannel, Transport};

/// Reliable messages kept for a participant whose channel is not open yet, bytes: those of the moment between its being
/// seen as connected and its channels opening.
const BACKLOG_BYTES: usize = 256 * 1024;

/// What became of a message to one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Delivery {
    Sent,
    Dropped,
    /// A reliable message could not be taken: the channel is not reliable any more.
    Broken,
}

/// One peer's data channels.
#[derive(Default)]
pub struct Channels {
    open: Vec<(u16, DataChannelKind)>,
    backlog: VecDeque<Bytes>,
    backlog_bytes: usize,
    /// Sequence of the last reliable message it sent.
    last_sequence: u32,
}

impl Channels {
    fn id(&self, kind: DataChannelKind) -> Option<u16> {
        self.open.iter().find(|(_, open)| *open == kind).map(|(id, _)| *id)
    }

    fn kind(&self, id: u16) -> Option<DataChannelKind> {
        self.open.iter().find(|(open, _)| *open == id).map(|(_, kind)| *kind)
    }

    pub fn closed(&mut self, id: u16) {
        self.open.retain(|(open, _)| *open != id);
    }

    /// A channel opened: what waited for it is sent.
    fn opened(&mut self, now: Instant, id: u16, kind: DataChannelKind, transport: &mut Transport) {
        self.closed(id);
        self.open.push((id, kind));
        if kind == DataChannelKind::Reliable {
            self.backlog_bytes = 0;
            for message in std::mem::take(&mut self.backlog) {
                transport.send_message(now, id, true, &message);
            }
        }
    }

    /// Sends, or keeps what must not be lost.
    fn send(&mut self, now: Instant, kind: DataChannelKind, message: &Bytes, transport: &mut Transport) -> Delivery {
        let reliable = kind == DataChannelKind::Reliable;
        let sent = match self.id(kind) {
            Some(id) if reliable => transport.send_message(now, id, true, message),
            Some(id) => {
                let fits = transport.buffered(id) + message.len() <= limits::LOSSY_QUEUE_BYTES;
                fits && transport.send_message(now, id, true, message)
            }
            None => reliable && self.keep(message),
        };
        match (sent, reliable) {
            (true, _) => Delivery::Sent,
            (false, false) => Delivery::Dropped,
            (false, true) => Delivery::Broken,
        }
    }

    /// Keeps a reliable message until the channel opens; `false` when there is no more room.
    fn keep(&mut self, message: &Bytes) -> bool {
        let fits = self.backlog_bytes + message.len() <= BACKLOG_BYTES;
        if fits {
            self.backlog_bytes += message.len();
            self.backlog.push_back(message.clone());
        }
        fits
    }

    /// Whether a reliable message is new; 0 is a message without a sequence.
    fn is_new(&mut self, sequence: u32) -> bool {
        if sequence == 0 {
            return true;
        }
        let new = sequence > self.last_sequence;
        self.last_sequence = self.last_sequence.max(sequence);
        new
    }
}

impl Shard {
    pub(super) fn channel_opened(&mut self, now: Instant, key: usize, channel: &DataChannel) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if let Some(kind) = peer.data_protocol.channel_kind(&channel.label) {
            peer.channels.opened(now, channel.id, kind, &mut peer.transport);
        }
    }

    pub(super) fn message_received(&mut self, now: Instant, key: usize, channel: u16, message: &Bytes) {
        self.counters.data_messages_in.add(1);
        let delivered = match self.peers.get(key).and_then(|peer| peer.channels.kind(channel)) {
            Some(DataChannelKind::Track) => self.route_frame(now, key, message),
            Some(kind) => self.route_message(now, key, kind, message),
            None => false,
        };
        if !delivered {
            self.counters.data_messages_dropped.add(1);
        }
        if let Some(room) = self.peers.get(key).map(|peer| peer.room).filter(|_| !self.doomed.is_empty()) {
            self.run_effects(now, room);
        }
    }

    /// `false` when the message was dropped for everybody.
    fn route_message(&mut self, now: Instant, key: usize, kind: DataChannelKind, message: &Bytes) -> bool {
        let Some(peer) = self.peers.get_mut(key) else {
            return false;
        };
        let Some(room) = self.rooms.get(peer.room) else {
            return false;
        };
        let Some(sender) = room.state.participant(ParticipantKey(key)) else {
            return false;
        };
        let grants = &sender.info.grants;
        if !grants.publish_data {
            return false;
        }
        let stamp = DataSender { id: &sender.info.id, identity: &sender.info.identity, agent: grants.agent };
        let Ok(routed) = peer.data_protocol.route(stamp, kind, message) else {
            return false;
        };
        if kind == DataChannelKind::Reliable && !peer.channels.is_new(routed.sequence) {
            return false;
        }
        let addressed: Vec<usize> = match &routed.recipients {
            Recipients::Nobody => Vec::new(),
            Recipients::Everyone => room.state.participants().map(|(to, _)| to.0).collect(),
            Recipients::Only { identities, participants } => {
                room.state.named(identities, participants).into_iter().map(|to| to.0).collect()
            }
        };
        for to in addressed.into_iter().filter(|to| *to != key) {
            self.send_data(now, to, kind, &routed.message);
        }
        true
    }

    fn route_frame(&mut self, now: Instant, key: usize, frame: &Bytes) -> bool {
        let Some(peer) = self.peers.get(key) else { return false };
        let Some(handle) = peer.data_protocol.track_handle(frame) else {
            return false;
        };
        let Some(room) = self.rooms.get(peer.room) else {
            return false;
        };
        let protocol = peer.data_protocol.clone();
        for (to, handle) in room.state.data_track_recipients(ParticipantKey(key), handle) {
            let frame = protocol.with_track_handle(frame, handle);
            self.send_data(now, to.0, DataChannelKind::Track, &frame);
        }
        true
    }

    fn send_data(&mut self, now: Instant, to: usize, kind: DataChannelKind, message: &Bytes) {
        let Some(peer) = self.peers.get_mut(to) else { return };
        match peer.channels.send(now, kind, message, &mut peer.transport) {
            Delivery::Sent => self.counters.data_messages_out.add(1),
            Delivery::Dropped => self.counters.data_messages_dropped.add(1),
            Delivery::Broken => {
                self.counters.data_messages_dropped.add(1);
                // A peer without channels misses nothing it could have read.
                if peer.channels.id(kind).is_some() {
                    self.doomed.push((to, LeaveReason::TooSlow));
                }
            }
        }
        self.flush(now, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reliable_message_sent_again_after_a_reconnect_is_dropped_once_seen() {
        let mut channels = Channels::default();
        assert!(channels.is_new(1) && channels.is_new(2));
        assert!(!channels.is_new(2) && !channels.is_new(1));
        assert!(channels.is_new(0) && channels.is_new(3));
    }
}
