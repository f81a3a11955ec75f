//! The queues between the shards' threads. Each shard has three that all others write to: messages, batches of packets, and
//! emptied batches that come back.
//!
//! What always holds: every queue is bounded and nobody waits at a full one: messages stay with their shard, which tries
//! again; batches are dropped.

use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::leg::{LegMessage, ShardId};
use super::links::{Links, MediaBatch};
use crate::limits;
use crate::telemetry::counters::ShardCounters;

/// When a shard tries again what another had no place for.
pub const RETRY: Duration = Duration::from_millis(1);

/// One shard's ends of the queues.
pub struct Switchboard {
    id: ShardId,
    inbox: Inbox,
    others: Vec<Outbox>,
    /// What ended a wait, to be handled first.
    woken_by: Option<Incoming>,
}

/// What comes from another shard.
pub enum Incoming {
    Messages(ShardId, Vec<LegMessage>),
    Media(ShardId, MediaBatch),
}

struct Inbox {
    messages: Receiver<(ShardId, Vec<LegMessage>)>,
    media: Receiver<(ShardId, MediaBatch)>,
    emptied: Receiver<MediaBatch>,
}

#[derive(Clone)]
struct Outbox {
    messages: Sender<(ShardId, Vec<LegMessage>)>,
    media: Sender<(ShardId, MediaBatch)>,
    emptied: Sender<MediaBatch>,
}

impl Switchboard {
    /// As many as there are shards, in their order.
    pub fn connect(shards: usize) -> Vec<Switchboard> {
        let (outboxes, inboxes): (Vec<Outbox>, Vec<Inbox>) = (0..shards).map(|_| queues()).unzip();
        let board = |(id, inbox)| Switchboard { id: ShardId(id), inbox, others: outboxes.clone(), woken_by: None };
        inboxes.into_iter().enumerate().map(board).collect()
    }

    /// What has come, messages first: they say what the packets are.
    pub fn take(&mut self) -> Option<Incoming> {
        if let Some(incoming) = self.woken_by.take() {
            return Some(incoming);
        }
        if let Ok((from, messages)) = self.inbox.messages.try_recv() {
            return Some(Incoming::Messages(from, messages));
        }
        self.inbox.media.try_recv().ok().map(|(from, batch)| Incoming::Media(from, batch))
    }

    /// Waits until there is something to take.
    pub async fn readable(&mut self) {
        if self.woken_by.is_some() {
            return;
        }
        // This shard itself holds a sender of each, so they never end.
        tokio::select! {
            Some((from, messages)) = self.inbox.messages.recv() => {
                self.woken_by = Some(Incoming::Messages(from, messages));
            }
            Some((from, batch)) = self.inbox.media.recv() => self.woken_by = Some(Incoming::Media(from, batch)),
        }
    }

    /// Lets the shard that filled a batch have it back.
    pub fn give_back(&self, to: ShardId, batch: MediaBatch) {
        if let Some(other) = self.others.get(to.0) {
            // One that does not fit is freed.
            let _ = other.emptied.try_send(batch);
        }
    }

    /// Takes to the other shards what there is for them.
    pub fn hand_over(&mut self, links: &mut Links, counters: &ShardCounters) {
        if links.is_idle() {
            return;
        }
        while let Ok(batch) = self.inbox.emptied.try_recv() {
            links.give_back(batch);
        }
        for (index, other) in self.others.iter().enumerate() {
            let to = ShardId(index);
            if links.has_messages(to) {
                match other.messages.try_reserve() {
                    Ok(place) => place.send((self.id, links.take_messages(to))),
                    Err(TrySendError::Full(())) => {}
                    Err(TrySendError::Closed(())) => links.gone(to),
                }
            }
            if links.has_media(to) {
                match other.media.try_reserve() {
                    Ok(place) => place.send((self.id, links.take_media(to))),
                    Err(_) => links.drop_media(to, counters),
                }
            }
        }
        links.taken();
    }
}

fn queues() -> (Outbox, Inbox) {
    let (messages, messages_in) = mpsc::channel(limits::LEG_MESSAGES);
    let (media, media_in) = mpsc::channel(limits::LEG_BATCHES);
    let (emptied, emptied_in) = mpsc::channel(limits::LEG_BATCHES);
    let inbox = Inbox { messages: messages_in, media: media_in, emptied: emptied_in };
    (Outbox { messages, media, emptied }, inbox)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::keyframe::Wish;
    use crate::shard::leg::SourceId;

    /// Another message each time.
    fn message(serial: u64) -> LegMessage {
        LegMessage::KeyframeNeeded { source: SourceId { home: ShardId(0), serial }, encoding: 0, wish: Wish::First }
    }

    #[test]
    fn what_a_full_queue_has_no_place_for_waits_and_arrives_in_order() {
        let (mut boards, mut links, counters) = (Switchboard::connect(2), Links::new(2), ShardCounters::default());
        let count = 3 * limits::LEG_MESSAGES as u64;
        for serial in 0..count {
            links.push(ShardId(1), message(serial));
            boards[0].hand_over(&mut links, &counters);
        }
        assert!(links.has_messages(ShardId(1)) && !links.is_idle(), "it is to try again");
        let mut arrived = Vec::new();
        let mut bundles = 0;
        while let Some(Incoming::Messages(from, messages)) = boards[1].take() {
            assert_eq!(from, ShardId(0));
            bundles += 1;
            arrived.extend(messages.into_iter().filter_map(|message| match message {
                LegMessage::KeyframeNeeded { source, .. } => Some(source.serial),
                _ => None,
            }));
            boards[0].hand_over(&mut links, &counters);
        }
        assert_eq!(arrived, (0..count).collect::<Vec<_>>());
        assert_eq!(bundles, limits::LEG_MESSAGES + 1, "what waited came at once");
        assert!(links.is_idle());
    }

    #[tokio::test]
    async fn a_wait_ends_with_what_came_and_loses_nothing_when_it_is_given_up() {
        let (mut boards, mut links, counters) = (Switchboard::connect(2), Links::new(2), ShardCounters::default());
        let long = Duration::from_secs(5);
        assert!(tokio::time::timeout(Duration::from_millis(5), boards[1].readable()).await.is_err(), "nothing yet");
        links.push(ShardId(1), message(1));
        boards[0].hand_over(&mut links, &counters);
        for _ in 0..2 {
            assert!(tokio::time::timeout(long, boards[1].readable()).await.is_ok(), "not taken yet");
        }
        assert!(matches!(boards[1].take(), Some(Incoming::Messages(ShardId(0), messages)) if messages.len() == 1));
        assert!(boards[1].take().is_none());
    }
}
