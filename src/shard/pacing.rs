//! Sending to a subscriber what waited for its turn, and what a probe of its way lacks; and learning what the way takes.
//!
//! What always holds: a probe first takes what waits, then repeats what was sent lately, then pads; nothing is sent for one where no stream
//! of retransmissions was negotiated.

use std::net::SocketAddr;
use std::time::Instant;

use slab::Slab;

use super::Shard;
use super::downlink::Downlink;
use super::inbound::SourceKey;
use super::outbound::Outbound;
use super::outlet::Outlet;
use super::source::Source;
use crate::congestion::bitrate::Bitrate;
use crate::media::forward::SendStream;
use crate::negotiation::MediaKind;
use crate::telemetry::traffic::{Kind, Tally};

/// So many of the packets sent last are repeated for a probe, by turns: a decoder has no use for any, and these are in the cache still.
const REPEATED: u16 = 32;

/// Packets and bytes sent for a probe.
#[derive(Default)]
struct Filling {
    packets: u64,
    bytes: u64,
}

impl Filling {
    fn add(&mut self, bytes: Option<usize>) {
        self.packets += u64::from(bytes.is_some());
        self.bytes += bytes.unwrap_or(0) as u64;
    }
}

impl Shard {
    /// A subscriber told what of its numbered packets arrived.
    pub(super) fn learn_downlink(&mut self, now: Instant, key: usize, fci: &[u8]) {
        let Some(downlink) = self.peers.get_mut(key).and_then(|peer| peer.downlink.as_deref_mut()) else { return };
        downlink.on_feedback(now, fci);
        self.share_if_due(now, key);
        self.send_waiting(now, key);
        self.arm_peer(key);
    }

    /// What the way to the peer at an address takes, for whoever watches; `None` where nothing is known.
    pub fn downlink_rate(&self, now: Instant, peer: SocketAddr) -> Option<Bitrate> {
        self.peers.get(*self.by_address.get(&peer)?)?.downlink.as_ref()?.rate(now)
    }

    /// Sends what waited and may leave now, and begins or goes on with a probe.
    pub(super) fn send_waiting(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(entry) = self.rooms.get_mut(peer.room) else { return };
        let Some(downlink) = &mut peer.downlink else { return };
        if downlink.handle_timeout(now) {
            self.counters.probes.add(1);
        }
        let quiet = downlink.take_quiet(now);
        let Some((mut outlet, outbound)) = Outlet::of(now, peer, &mut self.batch, &mut self.written, &self.counters)
        else {
            return;
        };
        let mut tally = Tally::default();
        while let Some(waiting) = outlet.next_waiting() {
            let Some((source, stream)) = find(&mut entry.sources, outbound, waiting.source) else { continue };
            if let Some(len) = outlet.forward(source, waiting.cached, stream) {
                tally.add(source.kind, len);
                outbound.get_mut(waiting.source).into_iter().for_each(|s| s.sent(now, &self.counters));
            }
        }
        let mut filling = fill(now, &mut outlet, &mut entry.sources, outbound);
        if quiet && filling.packets == 0 {
            let stream = outbound.subscriptions_mut().map(|s| &mut s.stream).find(|stream| stream.rtx_ssrc().is_some());
            filling.add(stream.and_then(|stream| outlet.pad(stream)));
        }
        self.counters.media_sent(&tally);
        self.counters.traffic.sent.count(Kind::Rtx, filling.packets, filling.bytes);
        self.counters.probe_bytes.add(filling.bytes);
        if tally.packets() > 0 {
            peer.progress.forwarded(now, true, &self.counters);
        }
    }

    /// A peer has something sent to it whose packets are numbered: what its way takes is looked for from now on.
    pub(super) fn number_packets(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if peer.downlink.is_none() && peer.outbound.subscriptions().any(|s| s.stream.is_numbered()) {
            peer.downlink = Some(Box::new(Downlink::new(now)));
        }
    }
}

fn find<'a>(
    sources: &'a mut Slab<Source>,
    outbound: &'a mut Outbound,
    key: SourceKey,
) -> Option<(&'a mut Source, &'a mut SendStream)> {
    Some((sources.get_mut(key)?, &mut outbound.get_mut(key)?.stream))
}

/// Sends what a probe lacks now.
fn fill(now: Instant, outlet: &mut Outlet<'_>, sources: &mut Slab<Source>, outbound: &mut Outbound) -> Filling {
    let mut filling = Filling::default();
    if !outlet.downlink().is_some_and(|downlink| downlink.lacks(now)) {
        return filling;
    }
    let repairable = outbound.subscriptions().find(|s| s.stream.rtx_ssrc().is_some() && s.stream.current().is_some());
    let any = repairable.or_else(|| outbound.subscriptions().find(|s| s.stream.rtx_ssrc().is_some()));
    let key = any.map(|subscription| subscription.source);
    let parts = key.and_then(|key| find(sources, outbound, key));
    let Some((source, stream)) = parts.filter(|(source, _)| source.kind == MediaKind::Video) else {
        outlet.downlink().into_iter().for_each(Downlink::give_up_probe);
        return filling;
    };
    while outlet.downlink().is_some_and(|downlink| downlink.lacks(now)) {
        let back = outlet.downlink().map_or(0, |downlink| downlink.next_repeated(REPEATED));
        let sent = outlet.repeat_recent(source, stream, back).or_else(|| outlet.pad(stream));
        let Some(bytes) = sent else {
            outlet.downlink().into_iter().for_each(Downlink::give_up_probe);
            break;
        };
        filling.add(Some(bytes));
    }
    filling
}
