//! The counters as Prometheus text. Rendered at each scrape from the shards' own atomics: nothing is kept twice, and no
//! label names a room or a participant.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, Registry, TextEncoder};

use super::counters::{Counter, ShardCounters};
use super::histogram::Snapshot;
use super::process;

mod media;

/// A figure that is the sum over the shards.
struct Figure {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    read: fn(&ShardCounters) -> &Counter,
}

const FIGURES: &[Figure] = &[
    gauge("sfumato_rooms", "Rooms open.", |c| &c.rooms),
    gauge("sfumato_participants", "Participants in rooms.", |c| &c.participants),
    gauge("sfumato_tracks", "Tracks published.", |c| &c.tracks),
    gauge("sfumato_video_tracks", "Video tracks published.", |c| &c.video_tracks),
    gauge("sfumato_subscriptions", "Tracks forwarded or about to be, one for each subscriber.", |c| &c.subscriptions),
    counter("sfumato_joins_total", "Joins asked for.", |c| &c.joins),
    counter("sfumato_joins_refused_total", "Joins refused by the room.", |c| &c.joins_refused),
    counter("sfumato_transports_connected_total", "Transports whose DTLS handshake ended well.", |c| &c.connected),
    counter("sfumato_transports_failed_total", "Transports lost or never connected.", |c| &c.transports_failed),
    counter("sfumato_rtp_packets_received_total", "Authenticated RTP packets received.", |c| &c.packets_in),
    counter("sfumato_rtp_received_bytes_total", "Bytes of authenticated SRTP packets received.", |c| &c.bytes_in),
    counter("sfumato_rtp_packets_sent_total", "RTP packets forwarded, one for each subscriber.", |c| &c.packets_out),
    counter("sfumato_rtp_sent_bytes_total", "Bytes of SRTP packets sent.", |c| &c.bytes_out),
    counter("sfumato_udp_sends_total", "System calls that sent datagrams; fewer than datagrams with GSO.", |c| {
        &c.sends
    }),
    gauge("sfumato_udp_gso_segments", "Most datagrams in one send, of all shards; 1 a shard without GSO.", |c| {
        &c.send_segments
    }),
    gauge(
        "sfumato_udp_gro_segments",
        "Most datagrams in one receive buffer, of all shards; 1 a shard without GRO.",
        |c| &c.receive_segments,
    ),
    gauge(
        "sfumato_udp_feedback_sockets",
        "Sockets for transport-wide feedback alone, of all shards; 0 where the kernel does not tell it apart.",
        |c| &c.feedback_sockets,
    ),
    counter("sfumato_udp_send_errors_total", "Sends that the kernel refused.", |c| &c.send_errors),
    counter("sfumato_nacks_sent_total", "Packets asked of publishers again, once for each request.", |c| &c.nacks_out),
    counter("sfumato_rtx_packets_received_total", "RTX packets from publishers.", |c| &c.rtx_in),
    counter("sfumato_rtx_useless_total", "RTX packets of what had arrived or was not expected.", |c| &c.rtx_useless),
    counter("sfumato_rtx_padding_total", "RTX packets without content: probes.", |c| &c.rtx_padding),
    counter("sfumato_rtx_malformed_total", "RTX packets no original could be made of.", |c| &c.rtx_malformed),
    counter("sfumato_packets_recovered_total", "Packets that were missing and were sent again.", |c| &c.recovered),
    counter("sfumato_packets_given_up_total", "Packets that were missing and did not come in time.", |c| &c.given_up),
    counter("sfumato_keyframe_requests_received_total", "PLI and FIR from subscribers.", |c| &c.keyframe_requests_in),
    counter("sfumato_fir_received_total", "FIR from subscribers.", |c| &c.firs_in),
    counter(
        "sfumato_freezes_total",
        "Pictures that broke, as subscribers' wishes for a keyframe amid a picture show, each once until the keyframe.",
        |c| &c.quality.freezes,
    ),
    counter("sfumato_keyframe_requests_sent_total", "PLI to publishers, after merging.", |c| &c.keyframe_requests_out),
    counter(
        "sfumato_bandwidth_probes_total",
        "Probes of the way to a subscriber, to find out whether it takes more.",
        |c| &c.probes,
    ),
    counter("sfumato_bandwidth_probe_bytes_total", "Bytes of packets that were sent for probes alone.", |c| {
        &c.probe_bytes
    }),
    counter("sfumato_keyframes_reused_total", "Pictures begun with a keyframe in the cache, without a PLI.", |c| {
        &c.keyframes_reused
    }),
    counter("sfumato_nacked_packets_total", "Packets that subscribers asked for again.", |c| &c.nacked_packets),
    counter("sfumato_rtx_packets_sent_total", "Retransmissions to subscribers.", |c| &c.rtx_packets_out),
    counter(
        "sfumato_rtx_sent_bytes_total",
        "Bytes of retransmissions, not counted among those of packets sent.",
        |c| &c.rtx_bytes_out,
    ),
    counter("sfumato_data_messages_received_total", "Data channel messages received.", |c| &c.data_messages_in),
    counter("sfumato_data_messages_sent_total", "Data channel messages sent, one a recipient.", |c| {
        &c.data_messages_out
    }),
    counter("sfumato_data_messages_dropped_total", "Data channel messages not delivered.", |c| {
        &c.data_messages_dropped
    }),
    counter("sfumato_guests_total", "Participants hosted away from their room's home shard.", |c| &c.guests),
    counter("sfumato_leg_packets_total", "RTP packets handed over to another shard, one for each.", |c| {
        &c.leg_packets_out
    }),
    counter("sfumato_leg_packets_dropped_total", "RTP packets another shard had no place for.", |c| {
        &c.leg_packets_dropped
    }),
    counter("sfumato_legs_lost_total", "Links between shards that were lost with whom they shared.", |c| &c.legs_lost),
    counter("sfumato_offers_refused_total", "Session descriptions that could not be served.", |c| &c.offers_refused),
    counter("sfumato_strangers_total", "STUN from strangers, dropped without state.", |c| &c.strangers),
];

/// A histogram that is the sum over the shards.
struct HistogramFigure {
    name: &'static str,
    help: &'static str,
    read: ReadHistogram,
}

/// A histogram of one shard.
type ReadHistogram = fn(&ShardCounters) -> Snapshot;

const HISTOGRAMS: [HistogramFigure; 3] = [
    HistogramFigure {
        name: "sfumato_join_duration_seconds",
        help: "From being asked to join until the participant's transport is connected.",
        read: |c| c.join_duration.snapshot(),
    },
    HistogramFigure {
        name: "sfumato_first_media_duration_seconds",
        help: "From being asked to join until the first packet is forwarded to the participant, of those for whom media flowed when they were connected.",
        read: |c| c.first_media_duration.snapshot(),
    },
    HistogramFigure {
        name: "sfumato_first_frame_duration_seconds",
        help: "From the beginning of a video subscription until its first keyframe is sent, unless the track was muted or hidden.",
        read: |c| c.first_frame_duration.snapshot(),
    },
];

const fn gauge(name: &'static str, help: &'static str, read: fn(&ShardCounters) -> &Counter) -> Figure {
    Figure { name, help, kind: MetricType::GAUGE, read }
}

const fn counter(name: &'static str, help: &'static str, read: fn(&ShardCounters) -> &Counter) -> Figure {
    Figure { name, help, kind: MetricType::COUNTER, read }
}

/// Adds the figures of all shards to a registry.
pub fn register(registry: &Registry, shards: Vec<Arc<ShardCounters>>) -> Result<(), prometheus::Error> {
    registry.register(Box::new(Shards { shards, desc: desc("sfumato_rooms")? }))
}

/// Everything registered, in the Prometheus text format, version 0.0.4.
pub fn render(registry: &Registry) -> String {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut text) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(error) => format!("# metrics could not be rendered: {error}\n"),
    }
}

struct Shards {
    shards: Vec<Arc<ShardCounters>>,
    desc: Desc,
}

impl Collector for Shards {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families: Vec<MetricFamily> = FIGURES.iter().map(|figure| self.family(figure)).collect();
        let help = "Datagrams dropped, by reason.";
        families.push(self.by_label("sfumato_datagrams_dropped_total", help, "reason", |c| c.dropped.iter().collect()));
        let help = "Packets that subscribers asked for and were not sent again, by reason.";
        families
            .push(self.by_label("sfumato_nacks_refused_total", help, "reason", |c| c.nacks_refused.iter().collect()));
        let help = "What became of participants' ICE: an authenticated check came, none came in time, consent was lost, they left first.";
        families.push(self.by_label("sfumato_ice_outcomes_total", help, "outcome", |c| c.ice.iter().collect()));
        let help = "What became of DTLS handshakes; abandoned: the participant left first.";
        families.push(self.by_label("sfumato_dtls_outcomes_total", help, "outcome", |c| c.dtls.iter().collect()));
        let histograms = HISTOGRAMS
            .iter()
            .map(|HistogramFigure { name, help, read }| histogram_family(&self.shards, name, help, *read));
        families.extend(histograms);
        families.push(self.busy_ratios());
        families.extend(media::families(&self.shards));
        families.extend(process::readings().into_iter().map(reading));
        families.push(build_info());
        families
    }
}

impl Shards {
    fn family(&self, figure: &Figure) -> MetricFamily {
        let sum: u64 = self.shards.iter().map(|counters| (figure.read)(counters).get()).sum();
        family(figure.name, figure.help, figure.kind, vec![metric(figure.kind, sum, &[])])
    }

    fn busy_ratios(&self) -> MetricFamily {
        let ratio = |(shard, counters): (usize, &Arc<ShardCounters>)| {
            gauge_of(counters.busy_percent.get() as f64 / 100.0, &[("shard", &shard.to_string())])
        };
        let metrics = self.shards.iter().enumerate().map(ratio).collect();
        let help = "Share of time a shard's thread did not sleep, of the last second.";
        family("sfumato_shard_busy_ratio", help, MetricType::GAUGE, metrics)
    }

    fn by_label(
        &self,
        name: &str,
        help: &str,
        key: &str,
        read: fn(&ShardCounters) -> Vec<(&'static str, u64)>,
    ) -> MetricFamily {
        let sums = sums(self.shards.iter().flat_map(|counters| read(counters)));
        let metrics = sums.iter().map(|(label, sum)| metric(MetricType::COUNTER, *sum, &[(key, label)])).collect();
        family(name, help, MetricType::COUNTER, metrics)
    }
}

/// The histogram of all shards together; empty where there are none.
fn sum_of(shards: &[Arc<ShardCounters>], read: ReadHistogram) -> Snapshot {
    let mut snapshots = shards.iter().map(|counters| read(counters));
    let mut sum = snapshots.next().unwrap_or_else(|| read(&ShardCounters::default()));
    snapshots.for_each(|further| sum.add(&further));
    sum
}

fn histogram_family(shards: &[Arc<ShardCounters>], name: &str, help: &str, read: ReadHistogram) -> MetricFamily {
    family(name, help, MetricType::HISTOGRAM, vec![histogram(&[], &sum_of(shards, read))])
}

/// Counts under one label are added.
fn sums(counts: impl Iterator<Item = (&'static str, u64)>) -> Vec<(&'static str, u64)> {
    let mut sums: Vec<(&'static str, u64)> = Vec::new();
    for (label, count) in counts {
        match sums.iter_mut().find(|(known, _)| *known == label) {
            Some((_, sum)) => *sum += count,
            None => sums.push((label, count)),
        }
    }
    sums
}

/// Adds the datagrams that the kernel dropped at this server's sockets; none are told where `read` finds out nothing.
pub fn register_kernel_drops(
    registry: &Registry,
    read: impl Fn() -> Option<u64> + Send + Sync + 'static,
) -> Result<(), prometheus::Error> {
    registry.register(Box::new(KernelDrops { read, desc: desc("sfumato_udp_receive_drops_total")? }))
}

/// By which a registry tells one collector from another: one of its metrics stands for all.
pub fn desc(name: &str) -> Result<Desc, prometheus::Error> {
    Desc::new(name.to_owned(), name.to_owned(), Vec::new(), HashMap::new())
}

struct KernelDrops<F> {
    read: F,
    desc: Desc,
}

impl<F: Fn() -> Option<u64> + Send + Sync> Collector for KernelDrops<F> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let help = "Datagrams that the kernel dropped because this server did not read them in time.";
        let told = (self.read)().map(|drops| vec![counter_of(drops as f64, &[])]);
        let family = |metrics| family("sfumato_udp_receive_drops_total", help, MetricType::COUNTER, metrics);
        told.map(family).into_iter().collect()
    }
}

fn reading(reading: process::Reading) -> MetricFamily {
    let process::Reading { name, help, is_counter, value } = reading;
    match is_counter {
        true => family(name, help, MetricType::COUNTER, vec![counter_of(value, &[])]),
        false => family(name, help, MetricType::GAUGE, vec![gauge_of(value, &[])]),
    }
}

/// One histogram, of which each bucket counts what the lower ones do, too.
pub fn histogram(labels: &[(&str, &str)], snapshot: &Snapshot) -> Metric {
    let mut below = 0;
    let mut buckets = Vec::new();
    // The encoder adds the one without a bound.
    for (bound, count) in snapshot.bounds.iter().zip(&snapshot.buckets) {
        below += count;
        let mut bucket = prometheus::proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(below);
        buckets.push(bucket);
    }
    let mut histogram = prometheus::proto::Histogram::default();
    histogram.set_sample_count(snapshot.count());
    histogram.set_sample_sum(snapshot.sum);
    histogram.set_bucket(buckets);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_histogram(histogram);
    metric
}

fn build_info() -> MetricFamily {
    // Whoever builds an image names what it was built from.
    let revision = option_env!("SFUMATO_REVISION").unwrap_or("unknown");
    let metrics = vec![gauge_of(1.0, &[("revision", revision), ("version", env!("CARGO_PKG_VERSION"))])];
    family("sfumato_build_info", "Always 1; the labels tell the build.", MetricType::GAUGE, metrics)
}

pub fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn pairs(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

fn metric(kind: MetricType, value: u64, labels: &[(&str, &str)]) -> Metric {
    // Figures above 2^53 lose their last digits, as every Prometheus sample does.
    if kind == MetricType::COUNTER { counter_of(value as f64, labels) } else { gauge_of(value as f64, labels) }
}

pub fn counter_of(value: f64, labels: &[(&str, &str)]) -> Metric {
    let mut counter = prometheus::proto::Counter::default();
    counter.set_value(value);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_counter(counter);
    metric
}

pub fn gauge_of(value: f64, labels: &[(&str, &str)]) -> Metric {
    let mut gauge = prometheus::proto::Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(pairs(labels));
    metric.set_gauge(gauge);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::forward::Refusal;
    use crate::telemetry::quality::{Given, ShownLayer, SubscriptionCounts};
    use crate::telemetry::traffic::Kind;
    use crate::transport::DropReason;

    #[test]
    fn figures_are_summed_over_shards_and_drops_are_told_by_reason() {
        let shards: Vec<Arc<ShardCounters>> = vec![Arc::default(), Arc::default()];
        shards[0].packets_in.add(3);
        shards[1].packets_in.add(4);
        shards[1].busy_percent.set(25);
        shards[1].dropped.count(DropReason::SrtpReplayed);
        shards[0].nacks_refused.count(Refusal::TooSoon);
        shards[1].nacks_refused.count(Refusal::TooSoon);
        shards[0].ice.timed_out.add(1);
        shards[1].dtls.fingerprint_mismatch.add(2);
        shards.iter().for_each(|shard| shard.join_duration.observe(0.3));
        let registry = Registry::new();
        register(&registry, shards).unwrap();
        let text = render(&registry);
        assert!(text.contains(r#"sfumato_ice_outcomes_total{outcome="timed_out"} 1"#), "{text}");
        assert!(text.contains(r#"sfumato_ice_outcomes_total{outcome="lost"} 0"#), "{text}");
        assert!(text.contains(r#"sfumato_dtls_outcomes_total{outcome="fingerprint_mismatch"} 2"#), "{text}");
        assert!(text.contains(r#"sfumato_join_duration_seconds_bucket{le="0.35"} 2"#), "{text}");
        assert!(text.contains("sfumato_first_frame_duration_seconds_count 0"), "{text}");
        assert!(text.contains("# TYPE sfumato_rtp_packets_received_total counter"), "{text}");
        assert!(text.contains("sfumato_rtp_packets_received_total 7"), "{text}");
        assert!(text.contains(r#"sfumato_datagrams_dropped_total{reason="srtp_replayed"} 1"#), "{text}");
        assert!(text.contains(r#"sfumato_nacks_refused_total{reason="too_soon"} 2"#), "{text}");
        assert!(text.contains(r#"sfumato_shard_busy_ratio{shard="1"} 0.25"#), "{text}");
        assert!(text.contains(r#"sfumato_build_info{revision=""#), "{text}");
    }

    #[test]
    fn media_is_told_by_direction_kind_and_layer_as_a_sum_over_shards() {
        let shards: Vec<Arc<ShardCounters>> = vec![Arc::default(), Arc::default()];
        shards[0].traffic.received.count(Kind::Video, 2, 2_000);
        shards[1].traffic.received.count(Kind::Video, 1, 1_000);
        shards[1].traffic.sent.count(Kind::Rtcp, 5, 300);
        shards[0].quality.sent.loss.observe(0.03);
        shards[1].quality.sent.loss.observe(0.0);
        shards[1].quality.frozen.add(1_500_000);
        shards.iter().for_each(|shard| shard.quality.bandwidth_falls.add(1));
        shards[0].quality.estimate.observe(100_000.0);
        let mut counts = SubscriptionCounts::default();
        counts.add(Some(ShownLayer::Medium), Given::Less);
        shards[1].quality.layers.replace(&SubscriptionCounts::default(), &counts);
        let registry = Registry::new();
        register(&registry, shards).unwrap();
        let text = render(&registry);
        for line in [
            r#"sfumato_packets_total{direction="received",kind="video"} 3"#,
            r#"sfumato_packet_bytes_total{direction="received",kind="video"} 3000"#,
            r#"sfumato_packets_total{direction="sent",kind="rtcp"} 5"#,
            r#"sfumato_loss_ratio_bucket{direction="sent",le="0"} 1"#,
            r#"sfumato_loss_ratio_bucket{direction="sent",le="0.05"} 2"#,
            r#"sfumato_loss_ratio_count{direction="received"} 0"#,
            "sfumato_freeze_seconds_total 1.5",
            r#"sfumato_subscriptions_by_layer{layer="medium"} 1"#,
            r#"sfumato_subscriptions_by_layer{layer="none"} 0"#,
            r#"sfumato_subscriptions_by_bandwidth{bandwidth="less"} 1"#,
            r#"sfumato_bandwidth_switches_total{direction="down"} 2"#,
            r#"sfumato_downlink_estimate_bytes_bucket{le="125000"} 1"#,
            "sfumato_forwarding_delay_seconds_count 0",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(text.contains("# TYPE process_cpu_seconds_total counter"), "{text}");
    }

    #[test]
    fn kernel_drops_that_are_not_known_are_not_told_as_none() {
        for (drops, told) in [(Some(3), true), (None, false)] {
            let registry = Registry::new();
            register_kernel_drops(&registry, move || drops).unwrap();
            assert_eq!(render(&registry).contains("sfumato_udp_receive_drops_total 3"), told);
        }
    }

    #[test]
    fn a_histogram_is_told_with_cumulative_buckets_its_sum_and_its_count() {
        let snapshot = Snapshot { bounds: &[0.1, 0.5], buckets: vec![2, 1, 4], sum: 9.5 };
        let told = family("t_seconds", "Time.", MetricType::HISTOGRAM, vec![histogram(&[("kind", "a")], &snapshot)]);
        let mut text = Vec::new();
        TextEncoder::new().encode(&[told], &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            r#"t_seconds_bucket{kind="a",le="0.1"} 2"#,
            r#"t_seconds_bucket{kind="a",le="0.5"} 3"#,
            r#"t_seconds_bucket{kind="a",le="+Inf"} 7"#,
            r#"t_seconds_sum{kind="a"} 9.5"#,
            r#"t_seconds_count{kind="a"} 7"#,
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
