//! Families of media: packets by kind, quality, layers, and the pace of shards, summed over them.

use std::sync::Arc;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::{ReadHistogram, counter_of, family, gauge_of, histogram, histogram_family, sum_of, sums};
use crate::telemetry::counters::ShardCounters;
use crate::telemetry::traffic::{Flow, Traffic};

/// A direction of media with its label.
type Directions<T> = [(&'static str, T); 2];

pub fn families(shards: &[Arc<ShardCounters>]) -> Vec<MetricFamily> {
    let loss: Directions<ReadHistogram> =
        [("received", |c| c.quality.received.loss.snapshot()), ("sent", |c| c.quality.sent.loss.snapshot())];
    let jitter: Directions<ReadHistogram> =
        [("received", |c| c.quality.received.jitter.snapshot()), ("sent", |c| c.quality.sent.jitter.snapshot())];
    vec![
        traffic(shards, Amount::Packets),
        traffic(shards, Amount::Bytes),
        by_direction(
            shards,
            "sfumato_loss_ratio",
            "Share of packets lost of a stream since the report before, one observation a report: of media received as seen here, \
             of media sent as subscribers say.",
            loss,
        ),
        by_direction(
            shards,
            "sfumato_jitter_seconds",
            "Interarrival jitter of a stream (RFC 3550, A.8), one observation a report: of media received as seen here, of media \
             sent as subscribers say.",
            jitter,
        ),
        histogram_family(
            shards,
            "sfumato_round_trip_time_seconds",
            "Round trip time to subscribers, by their reception reports.",
            |c| c.quality.round_trip_time.snapshot(),
        ),
        histogram_family(
            shards,
            "sfumato_downlink_estimate_bytes",
            "What the way to a participant was found to take in a second, one observation a second of each whose client tells.",
            |c| c.quality.estimate.snapshot(),
        ),
        histogram_family(
            shards,
            "sfumato_shard_loop_lag_seconds",
            "By how much later than due a shard looked at its timers; they have a grain of 1 ms, so up to 2 ms is none.",
            |c| c.quality.loop_lag.snapshot(),
        ),
        histogram_family(
            shards,
            "sfumato_forwarding_delay_seconds",
            "From reading a batch of packets to having handed all its copies to the kernel, of the oldest packet, one observation a \
             batch; a packet that another shard handed over counts from there.",
            |c| c.quality.forwarding_delay.snapshot(),
        ),
        frozen(shards),
        layers(shards),
        given(shards),
        switches(shards),
    ]
}

fn by_direction(
    shards: &[Arc<ShardCounters>],
    name: &str,
    help: &str,
    reads: Directions<ReadHistogram>,
) -> MetricFamily {
    let metric = |(label, read): (&str, ReadHistogram)| histogram(&[("direction", label)], &sum_of(shards, read));
    family(name, help, MetricType::HISTOGRAM, reads.into_iter().map(metric).collect())
}

#[derive(Clone, Copy)]
enum Amount {
    Packets,
    Bytes,
}

fn traffic(shards: &[Arc<ShardCounters>], amount: Amount) -> MetricFamily {
    let flows: Directions<fn(&Traffic) -> &Flow> = [("received", |t| &t.received), ("sent", |t| &t.sent)];
    let mut metrics: Vec<Metric> = Vec::new();
    for (direction, flow) in flows {
        let count = |(kind, packets, bytes): (&'static str, u64, u64)| match amount {
            Amount::Packets => (kind, packets),
            Amount::Bytes => (kind, bytes),
        };
        let kinds = sums(shards.iter().flat_map(|c| flow(&c.traffic).iter().map(count)));
        let metric = |(kind, sum): (&str, u64)| counter_of(sum as f64, &[("direction", direction), ("kind", kind)]);
        metrics.extend(kinds.into_iter().map(metric));
    }
    let (name, help) = match amount {
        Amount::Packets => {
            ("sfumato_packets_total", "Authenticated packets received, and packets sent, by kind; data is DTLS.")
        }
        Amount::Bytes => (
            "sfumato_packet_bytes_total",
            "Bytes of packets received and sent, by kind, as SRTP, SRTCP and DTLS, without headers of UDP and IP.",
        ),
    };
    family(name, help, MetricType::COUNTER, metrics)
}

fn frozen(shards: &[Arc<ShardCounters>]) -> MetricFamily {
    let micros: u64 = shards.iter().map(|c| c.quality.frozen.get()).sum();
    let help = "Time from subscribers' wishes for a keyframe amid a picture to the keyframe they were sent.";
    let metrics = vec![counter_of(micros as f64 / 1e6, &[])];
    family("sfumato_freeze_seconds_total", help, MetricType::COUNTER, metrics)
}

fn layers(shards: &[Arc<ShardCounters>]) -> MetricFamily {
    let layers = sums(shards.iter().flat_map(|c| c.quality.layers.iter()));
    let metrics = layers.into_iter().map(|(label, sum)| gauge_of(sum as f64, &[("layer", label)])).collect();
    let help = "Video subscriptions by the layer that is forwarded, as wanted and there is, at most a second old.";
    family("sfumato_subscriptions_by_layer", help, MetricType::GAUGE, metrics)
}

fn given(shards: &[Arc<ShardCounters>]) -> MetricFamily {
    let given = sums(shards.iter().flat_map(|c| c.quality.layers.by_given()));
    let metrics = given.into_iter().map(|(label, sum)| gauge_of(sum as f64, &[("bandwidth", label)])).collect();
    let help = "Video subscriptions by what the way to the subscriber leaves of what it wants, at most a second old.";
    family("sfumato_subscriptions_by_bandwidth", help, MetricType::GAUGE, metrics)
}

fn switches(shards: &[Arc<ShardCounters>]) -> MetricFamily {
    let falls: u64 = shards.iter().map(|c| c.quality.bandwidth_falls.get()).sum();
    let rises: u64 = shards.iter().map(|c| c.quality.bandwidth_rises.get()).sum();
    let metric = |(label, sum): (&str, u64)| counter_of(sum as f64, &[("direction", label)]);
    let metrics = [("down", falls), ("up", rises)].into_iter().map(metric).collect();
    let help =
        "Changes of what is sent of a video track, pauses included, because of what the way to its subscriber takes.";
    family("sfumato_bandwidth_switches_total", help, MetricType::COUNTER, metrics)
}
