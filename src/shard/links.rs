//! What a shard has for each of the others: messages, which are never lost alone, and batches of opened packets, which are
//! dropped where the other does not keep up, as on a network. The owner moves them; see [`switchboard`](super::switchboard).
//!
//! What always holds: a batch that was not taken is dropped before the next is begun; messages wait up to
//! `limits::LEG_BACKLOG_BYTES`, past which the link is lost: both shards then put out whom they had in common, so that
//! neither is left with half a story; one participant's data messages take no more than its share of the backlog.

use std::collections::HashMap;

use super::leg::{LegMessage, ShardId, SourceId};
use crate::limits;
use crate::media::forward::Packet;
use crate::media::keyframe::Wish;
use crate::room::participant::ParticipantKey;
use crate::telemetry::counters::ShardCounters;

/// Packets of one receive batch for the subscribers on another shard: records, and the plain packets they lie in.
#[derive(Default)]
pub struct MediaBatch {
    pub packets: Vec<HandedPacket>,
    pub bytes: Vec<u8>,
}

pub struct HandedPacket {
    pub source: SourceId,
    pub packet: Packet,
    /// Share of the stream's packets that did not reach the server, not even when sent again, in 1/256.
    pub fraction_lost: u8,
    /// Length of the plain packet; they lie one after another.
    pub len: usize,
}

impl MediaBatch {
    /// Keeps the memory.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.bytes.clear();
    }
}

/// The links to all shards, by their ids; the one to itself stays empty.
pub struct Links {
    links: Vec<Link>,
    /// Emptied batches to fill again.
    spare: Vec<MediaBatch>,
    /// Links that were lost and not yet dealt with.
    lost: Vec<ShardId>,
    /// Something waits to be taken.
    pending: bool,
}

#[derive(Default)]
struct Link {
    messages: Vec<LegMessage>,
    /// Of the messages, bytes.
    weight: usize,
    /// Of the data messages among them, bytes: all, and by sender.
    data: usize,
    data_by_sender: HashMap<ParticipantKey, usize>,
    /// Keyframe requests among the messages: each once.
    keyframes: Vec<(SourceId, usize, Wish)>,
    media: MediaBatch,
    state: LinkState,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum LinkState {
    #[default]
    Up,
    /// Lost; only the word of it is to be delivered.
    Lost,
    /// The other shard is gone.
    Gone,
}

impl Links {
    /// Of as many shards.
    pub fn new(shards: usize) -> Links {
        let links = (0..shards).map(|_| Link::default()).collect();
        Links { links, spare: Vec::new(), lost: Vec::new(), pending: false }
    }

    /// Leaves a message for another shard; without effect while the link is lost.
    pub fn push(&mut self, to: ShardId, message: LegMessage) {
        let Some(link) = self.links.get_mut(to.0).filter(|link| link.state == LinkState::Up) else {
            return;
        };
        self.pending = true;
        link.weight += message.weight();
        link.messages.push(message);
        if link.weight > limits::LEG_BACKLOG_BYTES {
            link.clear();
            link.state = LinkState::Lost;
            link.messages.push(LegMessage::Lost);
            self.lost.push(to);
        }
    }

    /// Whether a data message may be left for another shard: `false` when its sender has had its share of the backlog.
    pub fn admits_data(&mut self, to: ShardId, sender: ParticipantKey, len: usize) -> bool {
        let Some(link) = self.links.get_mut(to.0) else { return false };
        let share = link.data_by_sender.entry(sender).or_default();
        let fits = *share + len <= limits::LEG_DATA_SHARE_BYTES && link.data + len <= limits::LEG_DATA_BYTES;
        if fits {
            *share += len;
            link.data += len;
        }
        fits
    }

    /// Asks the shard that hosts a source's publisher for a keyframe, once until it takes its messages.
    pub fn request_keyframe(&mut self, to: ShardId, source: SourceId, encoding: usize, wish: Wish) {
        let Some(link) = self.links.get_mut(to.0) else { return };
        if !link.keyframes.contains(&(source, encoding, wish)) {
            link.keyframes.push((source, encoding, wish));
            self.push(to, LegMessage::KeyframeNeeded { source, encoding, wish });
        }
    }

    /// Adds a packet to the batch for another shard; not while the link is lost.
    pub fn hand_over(&mut self, to: ShardId, packet: HandedPacket, plain: &[u8]) -> bool {
        let Some(link) = self.links.get_mut(to.0).filter(|link| link.state == LinkState::Up) else {
            return false;
        };
        self.pending = true;
        link.media.packets.push(packet);
        link.media.bytes.extend_from_slice(plain);
        true
    }

    /// Whether there is nothing to take, which is the common case.
    pub fn is_idle(&self) -> bool {
        !self.pending
    }

    /// So much waits for a shard that no more commands should be taken until it was.
    pub fn is_congested(&self) -> bool {
        self.pending && self.links.iter().any(|link| link.weight > limits::LEG_CONGESTED_BYTES)
    }

    /// Whether participants may be placed on a shard.
    pub fn is_up(&self, shard: ShardId) -> bool {
        self.links.get(shard.0).is_some_and(|link| link.state == LinkState::Up)
    }

    pub fn has_messages(&self, to: ShardId) -> bool {
        self.links.get(to.0).is_some_and(|link| !link.messages.is_empty())
    }

    pub fn has_media(&self, to: ShardId) -> bool {
        self.links.get(to.0).is_some_and(|link| !link.media.packets.is_empty())
    }

    /// Takes the messages for a shard; a lost link is up again with that.
    pub fn take_messages(&mut self, to: ShardId) -> Vec<LegMessage> {
        let Some(link) = self.links.get_mut(to.0) else { return Vec::new() };
        let messages = std::mem::take(&mut link.messages);
        link.clear();
        if link.state == LinkState::Lost {
            link.state = LinkState::Up;
        }
        messages
    }

    /// Takes the batch for a shard.
    pub fn take_media(&mut self, to: ShardId) -> MediaBatch {
        let Some(link) = self.links.get_mut(to.0) else { return MediaBatch::default() };
        std::mem::replace(&mut link.media, self.spare.pop().unwrap_or_default())
    }

    /// The other shard has no place for a batch: it is dropped.
    pub fn drop_media(&mut self, to: ShardId, counters: &ShardCounters) {
        let Some(link) = self.links.get_mut(to.0) else { return };
        counters.leg_packets_dropped.add(link.media.packets.len() as u64);
        link.media.clear();
    }

    /// A batch came back to be filled again.
    pub fn give_back(&mut self, mut batch: MediaBatch) {
        if self.spare.len() < limits::LEG_BATCHES {
            batch.clear();
            self.spare.push(batch);
        }
    }

    /// Everything that could be taken was.
    pub fn taken(&mut self) {
        self.pending = self.links.iter().any(|link| !link.messages.is_empty());
    }

    /// The other shard's thread has ended.
    pub fn gone(&mut self, shard: ShardId) {
        if let Some(link) = self.links.get_mut(shard.0).filter(|link| link.state != LinkState::Gone) {
            *link = Link { state: LinkState::Gone, ..Link::default() };
            self.lost.push(shard);
        }
    }

    /// A link that was lost since.
    pub fn poll_lost(&mut self) -> Option<ShardId> {
        self.lost.pop()
    }
}

impl Link {
    fn clear(&mut self) {
        self.messages.clear();
        (self.weight, self.data) = (0, 0);
        self.data_by_sender.clear();
        self.keyframes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::command::Offer;
    use crate::shard::leg::{Order, RoomKey};

    const OTHER: ShardId = ShardId(1);
    const ANNA: ParticipantKey = ParticipantKey(1);
    const BERT: ParticipantKey = ParticipantKey(2);

    fn offer_of(bytes: usize) -> LegMessage {
        let room = RoomKey { home: ShardId(0), serial: 1 };
        let offer = Offer { id: 0, sdp: "x".repeat(bytes) };
        LegMessage::Order(room, Order::Offer { participant: ANNA, offer, codecs: Vec::new() })
    }

    #[test]
    fn a_backlog_over_the_bound_loses_the_link_and_only_word_of_that_is_delivered() {
        let mut links = Links::new(2);
        let mib = 1 << 20;
        while !links.is_congested() {
            links.push(OTHER, offer_of(mib));
        }
        assert!(links.is_up(OTHER) && links.poll_lost().is_none(), "congested long before it is lost");
        for _ in 0..limits::LEG_BACKLOG_BYTES / mib {
            links.push(OTHER, offer_of(mib));
        }
        assert_eq!((links.poll_lost(), links.poll_lost()), (Some(OTHER), None));
        assert!(!links.is_up(OTHER) && !links.is_congested());
        links.push(OTHER, offer_of(1));
        let messages = links.take_messages(OTHER);
        assert!(matches!(messages.as_slice(), [LegMessage::Lost]));
        assert!(links.is_up(OTHER), "begins anew");
        links.push(OTHER, offer_of(1));
        assert_eq!(links.take_messages(OTHER).len(), 1);
    }

    #[test]
    fn one_senders_data_takes_no_more_than_its_share_until_the_messages_are_taken() {
        let mut links = Links::new(2);
        let len = limits::DATA_MESSAGE_BYTES as usize;
        let admitted = |links: &mut Links, sender| (0..1_000).filter(|_| links.admits_data(OTHER, sender, len)).count();
        assert_eq!(admitted(&mut links, ANNA), limits::LEG_DATA_SHARE_BYTES / len);
        assert_eq!(admitted(&mut links, BERT), limits::LEG_DATA_SHARE_BYTES / len, "whatever others do");
        let all = 2 + (3..100).map(|key| admitted(&mut links, ParticipantKey(key))).filter(|count| *count > 0).count();
        assert_eq!(all, limits::LEG_DATA_BYTES / limits::LEG_DATA_SHARE_BYTES, "of all together");
        links.take_messages(OTHER);
        assert!(links.admits_data(OTHER, ANNA, len));
    }

    #[test]
    fn a_keyframe_is_asked_for_once_until_the_messages_are_taken() {
        let mut links = Links::new(2);
        let source = SourceId { home: ShardId(0), serial: 4 };
        (0..5).for_each(|_| links.request_keyframe(OTHER, source, 0, Wish::First));
        links.request_keyframe(OTHER, source, 1, Wish::First);
        assert_eq!(links.take_messages(OTHER).len(), 2);
        links.request_keyframe(OTHER, source, 0, Wish::Again);
        assert_eq!(links.take_messages(OTHER).len(), 1);
    }

    #[test]
    fn a_shard_that_ended_is_lost_once_and_stays_so() {
        let mut links = Links::new(2);
        links.push(OTHER, offer_of(1));
        links.gone(OTHER);
        links.gone(OTHER);
        assert_eq!((links.poll_lost(), links.poll_lost()), (Some(OTHER), None));
        links.push(OTHER, offer_of(1));
        assert!(!links.has_messages(OTHER) && !links.is_up(OTHER));
    }
}
