//! One shard's counters: written by its thread alone, read by whoever renders metrics. Relaxed atomics, no lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::histogram::Histogram;
use super::outcomes::{DtlsOutcomes, IceOutcomes, SetUpSeconds};
use super::quality::Quality;
use super::traffic::{Tally, Traffic};
use crate::media::forward::Refusal;
use crate::transport::DropReason;

/// A number with one writer.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    pub fn subtract(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(count), Relaxed);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one shard counts.
#[derive(Default, Debug)]
pub struct ShardCounters {
    /// Share of time its thread did not sleep, percent.
    pub busy_percent: Counter,
    /// How often its thread has looked at everything: stands still while it sleeps, or is stuck.
    pub turns: Counter,
    pub rooms: Counter,
    pub participants: Counter,
    pub tracks: Counter,
    /// Among [`tracks`](Self::tracks).
    pub video_tracks: Counter,
    pub subscriptions: Counter,
    pub joins: Counter,
    pub joins_refused: Counter,
    pub connected: Counter,
    pub transports_failed: Counter,
    pub packets_in: Counter,
    pub bytes_in: Counter,
    pub packets_out: Counter,
    pub bytes_out: Counter,
    /// Datagrams the kernel took in one call each; less than `packets_out` with segmentation offload.
    pub sends: Counter,
    pub send_errors: Counter,
    /// Most datagrams one send may have; 1 without segmentation offload.
    pub send_segments: Counter,
    /// Most datagrams the kernel joins in one receive buffer; 1 without receive offload.
    pub receive_segments: Counter,
    /// Sockets to which feedback alone comes.
    pub feedback_sockets: Counter,
    /// Packets asked of publishers again, once for each request.
    pub nacks_out: Counter,
    /// Packets of RTX streams (RFC 4588) from publishers; the next four say what became of them.
    pub rtx_in: Counter,
    /// Packets that were missing and came again, as RTX or as they were.
    pub recovered: Counter,
    /// RTX packets whose original had arrived or was not expected.
    pub rtx_useless: Counter,
    /// RTX packets with nothing in them: a publisher probes its path.
    pub rtx_padding: Counter,
    pub rtx_malformed: Counter,
    /// Packets that were missing and asked for, or about to be, in vain.
    pub given_up: Counter,
    pub keyframe_requests_in: Counter,
    /// FIR (RFC 5104, section 4.3.1) among them.
    pub firs_in: Counter,
    pub keyframe_requests_out: Counter,
    /// Pictures that began with a keyframe in the cache.
    pub keyframes_reused: Counter,
    pub probes: Counter,
    pub probe_bytes: Counter,
    /// Packets that subscribers asked for again, what of them was sent, and what was refused.
    pub nacked_packets: Counter,
    pub rtx_packets_out: Counter,
    pub rtx_bytes_out: Counter,
    pub nacks_refused: Refused,
    pub data_messages_in: Counter,
    pub data_messages_out: Counter,
    pub data_messages_dropped: Counter,
    pub offers_refused: Counter,
    /// Participants hosted here of rooms that are at home on another shard.
    pub guests: Counter,
    /// Packets handed over to other shards, once for each.
    pub leg_packets_out: Counter,
    pub leg_packets_dropped: Counter,
    pub legs_lost: Counter,
    pub strangers: Counter,
    pub dropped: Dropped,
    /// From being asked to join until the transport is connected.
    pub join_duration: Histogram<SetUpSeconds>,
    /// From being asked to join until the first packet is forwarded to the participant, where something flows.
    pub first_media_duration: Histogram<SetUpSeconds>,
    /// From the beginning of a video subscription until its first keyframe is sent.
    pub first_frame_duration: Histogram<SetUpSeconds>,
    pub ice: IceOutcomes,
    pub dtls: DtlsOutcomes,
    pub traffic: Traffic,
    pub quality: Quality,
}

impl ShardCounters {
    /// Media sent to one subscriber.
    pub fn media_sent(&self, tally: &Tally) {
        self.packets_out.add(tally.packets());
        self.bytes_out.add(tally.bytes());
        tally.count_in(&self.traffic.sent);
    }
}

/// Datagrams dropped, by reason.
#[derive(Default, Debug)]
pub struct Dropped([Counter; DROP_REASONS.len()]);

/// Every reason with its label, in the order of the table.
pub const DROP_REASONS: [(DropReason, &str); 12] = [
    (DropReason::StunMalformed, "stun_malformed"),
    (DropReason::StunUnauthenticated, "stun_unauthenticated"),
    (DropReason::StunUnexpected, "stun_unexpected"),
    (DropReason::TooManyPaths, "too_many_paths"),
    (DropReason::UnknownAddress, "unknown_address"),
    (DropReason::Dtls, "dtls"),
    (DropReason::HandshakeTooLong, "handshake_too_long"),
    (DropReason::NotConnected, "not_connected"),
    (DropReason::Malformed, "malformed"),
    (DropReason::SrtpUnauthenticated, "srtp_unauthenticated"),
    (DropReason::SrtpReplayed, "srtp_replayed"),
    (DropReason::TooManyStreams, "too_many_streams"),
];

impl Dropped {
    pub fn count(&self, reason: DropReason) {
        let index = DROP_REASONS.iter().position(|(known, _)| *known == reason);
        if let Some(counter) = index.and_then(|index| self.0.get(index)) {
            counter.add(1);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        DROP_REASONS.iter().zip(&self.0).map(|((_, label), counter)| (*label, counter.get()))
    }
}

/// Packets not sent again, by reason.
#[derive(Default, Debug)]
pub struct Refused([Counter; REFUSALS.len()]);

const REFUSALS: [(Refusal, &str); 3] =
    [(Refusal::Gone, "gone"), (Refusal::TooSoon, "too_soon"), (Refusal::OverBudget, "over_budget")];

impl Refused {
    pub fn count(&self, reason: Refusal) {
        let index = REFUSALS.iter().position(|(known, _)| *known == reason);
        if let Some(counter) = index.and_then(|index| self.0.get(index)) {
            counter.add(1);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        REFUSALS.iter().zip(&self.0).map(|((_, label), counter)| (*label, counter.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_drop_reason_is_counted_under_its_own_label() {
        let dropped = Dropped::default();
        for (index, (reason, _)) in DROP_REASONS.iter().enumerate() {
            (0..=index).for_each(|_| dropped.count(*reason));
        }
        let counts: Vec<u64> = dropped.iter().map(|(_, count)| count).collect();
        assert_eq!(counts, (1..=DROP_REASONS.len() as u64).collect::<Vec<_>>());
    }
}
