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
