//! From what one batch brought to the subscribers, one subscriber at a time (RFC 7667, section 3.7): all that a subscriber gets
//! is sealed one after another and leaves in as few runs as can be, while it is still in the processor's cache.
//!
//! What always holds: only those subscribed to a source of the batch are looked at; nothing is allocated and no clock is read.

use std::time::Instant;

use super::downlink::Waiting;
use super::gather::Arrived;
use super::mirror::hand_over;
use super::outlet::Outlet;
use super::peer::Peer;
use super::send::SendBatch;
use super::timers::Owner;
use super::{RoomOnShard, Shard};
use crate::media::forward::Scratch;
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::traffic::Tally;

/// Subscribers whose state is read at once. Their cache lines have to stay until they are served: some 2 KB each.
const READ_AHEAD: usize = 8;

/// How far the forwarding of one room's batch has come.
#[derive(Default)]
pub struct FanOut {
    room: Option<usize>,
    /// Who gets something of the batch and was not served yet.
    subscribers: Vec<usize>,
    /// So many of them, the first in the list, were not read ahead.
    unread: usize,
    /// What came of reading subscribers' state ahead, which nobody looks at.
    touched: u64,
    /// Number of the batch: peers remember the last that named them.
    batch: u64,
    /// When the oldest packet of the batch arrived.
    oldest: Option<Instant>,
    /// The same of all batches somebody was sent something of, since it was asked for.
    oldest_sent: Option<Instant>,
}

impl Shard {
    /// Forwards what arrived since to one more subscriber, into [`outgoing`](Self::outgoing). False when everybody has theirs:
    /// to be called until then before further datagrams are handled.
    pub fn forward(&mut self, now: Instant) -> bool {
        loop {
            let Some(room) = self.fan_out.room else {
                let Some(room) = self.dirty_rooms.pop() else { return false };
                self.begin_fan_out(now, room);
                continue;
            };
            self.read_ahead(room);
            let Some(subscriber) = self.fan_out.subscribers.pop() else {
                self.end_fan_out(room);
                continue;
            };
            let (Some(entry), Some(peer)) = (self.rooms.get_mut(room), self.peers.get_mut(subscriber)) else {
                continue;
            };
            if serve(now, entry, peer, &mut self.batch, &mut self.written, &self.counters) {
                self.fan_out.oldest_sent = min_of(self.fan_out.oldest_sent, self.fan_out.oldest);
            }
            if let Some(due) = peer.downlink.as_ref().and_then(|downlink| downlink.waits_until()) {
                self.timers.arm(Owner::Peer(subscriber), due);
            }
            return true;
        }
    }

    /// Reads the state of those who are served next, some at once: their waits for memory then overlap.
    fn read_ahead(&mut self, room: usize) {
        let left = self.fan_out.subscribers.len();
        if left > self.fan_out.unread {
            return;
        }
        self.fan_out.unread = left.saturating_sub(READ_AHEAD);
        let Some(entry) = self.rooms.get(room) else { return };
        let next = self.fan_out.subscribers.get(self.fan_out.unread..).unwrap_or_default();
        let ripe = entry.gathered.ripe();
        let sources = [ripe.first(), ripe.last()].into_iter().flatten().map(|arrived| arrived.source);
        for source in sources {
            let read = next.iter().filter_map(|subscriber| Some(self.peers.get(*subscriber)?.touch(source)));
            self.fan_out.touched = read.fold(self.fan_out.touched, u64::wrapping_add);
        }
    }

    /// When the oldest packet arrived of what was forwarded since this was asked last; `None` when nobody got anything.
    pub fn take_oldest_sent(&mut self) -> Option<Instant> {
        self.fan_out.oldest_sent.take()
    }

    /// When packets that wait for the rest of their frame are to be forwarded at the latest.
    pub(super) fn gathered_due(&self) -> Option<Instant> {
        self.waiting_rooms.iter().filter_map(|room| self.rooms.get(*room)?.gathered.due()).min()
    }

    /// Has rooms looked at in which packets have waited long enough; forgets those in which none do any more.
    pub(super) fn end_waiting(&mut self, now: Instant) {
        let (rooms, dirty_rooms) = (&mut self.rooms, &mut self.dirty_rooms);
        self.waiting_rooms.retain(|room| {
            let Some(gathered) = rooms.get_mut(*room).map(|entry| &mut entry.gathered) else { return false };
            let Some(due) = gathered.due() else { return false };
            if due <= now && gathered.notice() {
                dirty_rooms.push(*room);
            }
            due > now
        });
    }

    fn begin_fan_out(&mut self, now: Instant, room: usize) {
        self.fan_out.batch += 1;
        self.fan_out.room = Some(room);
        let Some(entry) = self.rooms.get_mut(room) else { return };
        entry.gathered.settle(now);
        self.fan_out.oldest = entry.gathered.oldest_ripe();
        let began = |arrived: &Arrived| entry.sources.get(arrived.source).is_some_and(|s| s.layers_changed);
        if entry.gathered.ripe().iter().any(began) {
            // First, so that whoever is to get an encoding that begins with a keyframe gets that one.
            let key = entry.key;
            self.review_layers(now, room);
            self.settle(now, key);
        }
        let Some(entry) = self.rooms.get_mut(room) else { return };
        // First, so that the other shards work on it meanwhile.
        hand_over(entry, &mut self.links, &self.counters);
        let mut last = None;
        for arrived in entry.gathered.ripe() {
            if last.replace(arrived.source) == Some(arrived.source) {
                continue;
            }
            let Some(source) = entry.sources.get(arrived.source) else { continue };
            for subscriber in &source.subscribers {
                let Some(peer) = self.peers.get_mut(*subscriber) else { continue };
                if std::mem::replace(&mut peer.last_batch, self.fan_out.batch) != self.fan_out.batch {
                    self.fan_out.subscribers.push(*subscriber);
                }
            }
        }
        self.fan_out.unread = self.fan_out.subscribers.len();
    }

    fn end_fan_out(&mut self, room: usize) {
        self.fan_out.room = None;
        let Some(entry) = self.rooms.get_mut(room) else { return };
        entry.gathered.done();
        if entry.gathered.due().is_some() && !self.waiting_rooms.contains(&room) {
            self.waiting_rooms.push(room);
        }
    }
}

fn min_of(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// Seals for one subscriber what it gets of the batch. True when that is something.
fn serve(
    now: Instant,
    entry: &mut RoomOnShard,
    peer: &mut Peer,
    batch: &mut SendBatch,
    written: &mut Scratch,
    counters: &ShardCounters,
) -> bool {
    let Some((mut outlet, outbound)) = Outlet::of(now, peer, batch, written, counters) else { return false };
    let (mut tally, mut pictured) = (Tally::default(), false);
    for arrived in entry.gathered.ripe() {
        let (Some(source), Some(subscription)) =
            (entry.sources.get_mut(arrived.source), outbound.get_mut(arrived.source))
        else {
            continue;
        };
        let waits = || Waiting { source: arrived.source, cached: arrived.cached(), len: arrived.len() };
        if arrived.is_video && subscription.stream.concerns(arrived.encoding) && outlet.hold_back(waits) {
            continue;
        }
        if let Some(len) = outlet.forward(source, arrived.cached(), &mut subscription.stream) {
            tally.add(source.kind, len);
            pictured |= arrived.is_video;
            subscription.sent(now, counters);
        }
    }
    counters.media_sent(&tally);
    let any = tally.packets() > 0;
    if any {
        peer.progress.forwarded(now, pictured, counters);
    }
    any
}
