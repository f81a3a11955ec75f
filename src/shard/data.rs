//! Data channels: messages from one participant, stamped and addressed by its protocol, to the others of its room.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::Shard;
use super::leg::{Order, Report, ShardId};
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
}

/// A message for some of the participants of one shard.
type Addressed = (ShardId, Vec<ParticipantKey>, Bytes);

impl Shard {
    pub(super) fn channel_opened(&mut self, now: Instant, key: usize, channel: &DataChannel) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if let Some(kind) = peer.data_protocol.channel_kind(&channel.label) {
            peer.channels.opened(now, channel.id, kind, &mut peer.transport);
        }
    }

    pub(super) fn message_received(&mut self, now: Instant, key: usize, channel: u16, message: Bytes) {
        self.counters.data_messages_in.add(1);
        let kind = self.peers.get(key).and_then(|peer| peer.channels.kind(channel));
        let (Some(kind), Some((room, participant))) = (kind, self.seat_of(key)) else {
            self.counters.data_messages_dropped.add(1);
            return;
        };
        if room.home == self.id || self.links.admits_data(room.home, participant, message.len()) {
            self.report(now, room, Report::Data { participant, kind, message });
        } else {
            self.counters.data_messages_dropped.add(1);
            if kind == DataChannelKind::Reliable {
                self.doomed.push((key, LeaveReason::ProtocolError));
            }
        }
        if !self.doomed.is_empty() {
            self.settle(now, room);
        }
    }

    /// Passes a participant's message on, at the home of its room.
    pub(super) fn route_data(
        &mut self,
        now: Instant,
        serial: u64,
        from: ParticipantKey,
        kind: DataChannelKind,
        message: &Bytes,
    ) {
        let addressed = match kind {
            DataChannelKind::Track => self.address_frame(serial, from, message),
            _ => self.address_message(serial, from, kind, message),
        };
        let (Some(addressed), Some(room)) = (addressed, self.homes.get(&serial).map(|home| home.key)) else {
            self.counters.data_messages_dropped.add(1);
            return;
        };
        let mut refused = false;
        for (host, to, message) in addressed {
            if host == self.id || self.links.admits_data(host, from, message.len()) {
                self.order(now, host, room, Order::Deliver { to, kind, message });
            } else {
                self.counters.data_messages_dropped.add(to.len() as u64);
                refused = true;
            }
        }
        if refused && kind == DataChannelKind::Reliable {
            // Some would miss a message without knowing: whoever sends more than the shards pass on is put out.
            self.take_report(
                now,
                self.id,
                serial,
                Report::Left { participant: from, reason: LeaveReason::ProtocolError },
            );
            self.run_effects(now, serial);
        }
    }

    /// Who gets a message, shard by shard; `None` when it is dropped for everybody.
    fn address_message(
        &mut self,
        serial: u64,
        from: ParticipantKey,
        kind: DataChannelKind,
        message: &Bytes,
    ) -> Option<Vec<Addressed>> {
        let home = self.homes.get_mut(&serial)?;
        let sender = home.state.participant(from)?;
        let grants = &sender.info.grants;
        if !grants.publish_data {
            return None;
        }
        let stamp = DataSender { id: &sender.info.id, identity: &sender.info.identity, agent: grants.agent };
        let member = home.members.get_mut(&from)?;
        let routed = member.data_protocol.route(stamp, kind, message).ok()?;
        if kind == DataChannelKind::Reliable && !member.is_new(routed.sequence) {
            return None;
        }
        let addressed: Vec<ParticipantKey> = match &routed.recipients {
            Recipients::Nobody => Vec::new(),
            Recipients::Everyone => home.state.participants().map(|(to, _)| to).collect(),
            Recipients::Only { identities, participants } => {
                home.state.named(identities, participants).into_iter().collect()
            }
        };
        let mut by_host: BTreeMap<ShardId, Vec<ParticipantKey>> = BTreeMap::new();
        for to in addressed.into_iter().filter(|to| *to != from) {
            if let Some(host) = home.members.get(&to).map(|member| member.host) {
                by_host.entry(host).or_default().push(to);
            }
        }
        Some(by_host.into_iter().map(|(host, to)| (host, to, routed.message.clone())).collect())
    }

    /// Who gets a frame of a data track, each under its own handle.
    fn address_frame(&mut self, serial: u64, from: ParticipantKey, frame: &Bytes) -> Option<Vec<Addressed>> {
        let home = self.homes.get(&serial)?;
        let protocol = &home.members.get(&from)?.data_protocol;
        let recipients = home.state.data_track_recipients(from, protocol.track_handle(frame)?);
        let addressed = recipients.into_iter().filter_map(|(to, handle)| {
            let host = home.members.get(&to)?.host;
            Some((host, vec![to], protocol.with_track_handle(frame, handle)))
        });
        Some(addressed.collect())
    }

    pub(super) fn send_data(&mut self, now: Instant, to: usize, kind: DataChannelKind, message: &Bytes) {
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
