//! Metrics under the names that dashboards made for servers of this protocol read, for operators who ask for it: those alone that say
//! here what they say there. `direction` is that of the media they are about: `incoming` from publishers, `outgoing` to subscribers.
//!
//! What always holds: everything here is told under a name of our own too, and nothing is counted for it alone.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Metric, MetricFamily, MetricType};
use prometheus::{Error, Registry};

use super::responses::NODE;
use crate::telemetry::counters::{Counter, ShardCounters};
use crate::telemetry::prometheus::{counter_of, desc, family, gauge_of};
use crate::telemetry::traffic::Kind;

/// Adds them to a registry.
pub fn register(registry: &Registry, shards: Vec<Arc<ShardCounters>>) -> Result<(), Error> {
    registry.register(Box::new(Compatible { shards, desc: desc("livekit_room_total")? }))
}

struct Compatible {
    shards: Vec<Arc<ShardCounters>>,
    desc: Desc,
}

/// One sample: its labels beside those that all have, and its value.
type Sample = (&'static [(&'static str, &'static str)], u64);

/// Packets and bytes as they were sent first.
const INITIAL: [Kind; 2] = [Kind::Audio, Kind::Video];
const AGAIN: [Kind; 1] = [Kind::Rtx];

impl Collector for Compatible {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let sum = |read: fn(&ShardCounters) -> &Counter| self.sum(|counters| read(counters).get());
        let (tracks, video_tracks) = (sum(|c| &c.tracks), sum(|c| &c.video_tracks));
        let audio_subscriptions = self.sum(|c| c.quality.layers.audio());
        let video_subscriptions = self.sum(|c| c.quality.layers.iter().map(|(_, count)| count).sum());
        let asked = sum(|c| &c.keyframe_requests_in);
        let let_in = sum(|c| &c.joins).saturating_sub(sum(|c| &c.joins_refused));
        vec![
            gauges("livekit_room_total", "Rooms open.", &[(&[], sum(|c| &c.rooms))]),
            gauges("livekit_participant_total", "Participants in rooms.", &[(&[], sum(|c| &c.participants))]),
            gauges(
                "livekit_track_published_total",
                "Tracks published.",
                &[(AUDIO, tracks.saturating_sub(video_tracks)), (VIDEO, video_tracks)],
            ),
            gauges(
                "livekit_track_subscribed_total",
                "Tracks subscribed to, one for each subscriber, at most a second old.",
                &[(AUDIO, audio_subscriptions), (VIDEO, video_subscriptions)],
            ),
            self.traffic("livekit_packet_total", "RTP packets.", |(packets, _)| packets),
            self.traffic("livekit_packet_bytes", "Bytes of RTP packets.", |(_, bytes)| bytes),
            counters(
                "livekit_nack_total",
                "Packets asked for again.",
                &[(INCOMING, sum(|c| &c.nacks_out)), (OUTGOING, sum(|c| &c.nacked_packets))],
            ),
            counters(
                "livekit_pli_total",
                "Picture loss indications.",
                &[(INCOMING, sum(|c| &c.keyframe_requests_out)), (OUTGOING, asked.saturating_sub(sum(|c| &c.firs_in)))],
            ),
            counters(
                "livekit_fir_total",
                "Full intra requests; none is sent to publishers.",
                &[(INCOMING, 0), (OUTGOING, sum(|c| &c.firs_in))],
            ),
            counters(
                "livekit_participant_join_total",
                "Joins by how far they came.",
                &[(&[("state", "signal_connected")], let_in), (&[("state", "rtc_connected")], sum(|c| &c.connected))],
            ),
        ]
    }
}

const AUDIO: &[(&str, &str)] = &[("kind", "AUDIO")];
const VIDEO: &[(&str, &str)] = &[("kind", "VIDEO")];
const INCOMING: &[(&str, &str)] = &[("direction", "incoming")];
const OUTGOING: &[(&str, &str)] = &[("direction", "outgoing")];

impl Compatible {
    fn sum(&self, read: impl Fn(&ShardCounters) -> u64) -> u64 {
        self.shards.iter().map(|counters| read(counters)).sum()
    }

    /// `amount`: of packets and bytes, the one that is meant.
    fn traffic(&self, name: &str, help: &str, amount: fn((u64, u64)) -> u64) -> MetricFamily {
        let incoming = |kinds: &[Kind]| self.sum(|c| amount(c.traffic.received.sum(kinds)));
        let outgoing = |kinds: &[Kind]| self.sum(|c| amount(c.traffic.sent.sum(kinds)));
        counters(
            name,
            help,
            &[
                (&[("direction", "incoming"), ("transmission", "initial")], incoming(&INITIAL)),
                (&[("direction", "incoming"), ("transmission", "retransmit")], incoming(&AGAIN)),
                (&[("direction", "outgoing"), ("transmission", "initial")], outgoing(&INITIAL)),
                (&[("direction", "outgoing"), ("transmission", "retransmit")], outgoing(&AGAIN)),
            ],
        )
    }
}

fn gauges(name: &str, help: &str, samples: &[Sample]) -> MetricFamily {
    of_node(name, help, MetricType::GAUGE, samples, gauge_of)
}

fn counters(name: &str, help: &str, samples: &[Sample]) -> MetricFamily {
    of_node(name, help, MetricType::COUNTER, samples, counter_of)
}

/// With the labels that tell one server from another there.
fn of_node(
    name: &str,
    help: &str,
    kind: MetricType,
    samples: &[Sample],
    metric: fn(f64, &[(&str, &str)]) -> Metric,
) -> MetricFamily {
    let labelled = |(labels, value): &Sample| {
        let labels: Vec<_> = labels.iter().copied().chain([("node_id", NODE), ("node_type", "SERVER")]).collect();
        metric(*value as f64, &labels)
    };
    family(name, help, kind, samples.iter().map(labelled).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::prometheus::render;

    #[test]
    fn figures_are_told_under_the_names_of_dashboards_by_direction_of_media() {
        let shards: Vec<Arc<ShardCounters>> = vec![Arc::default(), Arc::default()];
        shards[0].rooms.add(2);
        shards[1].rooms.add(1);
        shards[0].tracks.add(5);
        shards[0].video_tracks.add(2);
        shards[0].traffic.received.count(Kind::Audio, 10, 1_000);
        shards[1].traffic.received.count(Kind::Video, 1, 1_200);
        shards[1].traffic.received.count(Kind::Rtcp, 7, 700);
        shards[1].traffic.sent.count(Kind::Rtx, 3, 3_600);
        shards[0].nacks_out.add(4);
        shards[0].keyframe_requests_in.add(9);
        shards[0].firs_in.add(2);
        shards[0].joins.add(6);
        shards[0].joins_refused.add(1);
        let registry = Registry::new();
        register(&registry, shards).unwrap();
        let text = render(&registry);
        let node = r#"node_id="sfumato",node_type="SERVER""#;
        for (line, value) in [
            (format!("livekit_room_total{{{node}}}"), 3),
            (format!("livekit_track_published_total{{kind=\"AUDIO\",{node}}}"), 3),
            (format!("livekit_track_published_total{{kind=\"VIDEO\",{node}}}"), 2),
            (format!("livekit_packet_total{{direction=\"incoming\",transmission=\"initial\",{node}}}"), 11),
            (format!("livekit_packet_bytes{{direction=\"incoming\",transmission=\"initial\",{node}}}"), 2_200),
            (format!("livekit_packet_total{{direction=\"outgoing\",transmission=\"retransmit\",{node}}}"), 3),
            (format!("livekit_nack_total{{direction=\"incoming\",{node}}}"), 4),
            (format!("livekit_pli_total{{direction=\"outgoing\",{node}}}"), 7),
            (format!("livekit_fir_total{{direction=\"outgoing\",{node}}}"), 2),
            (format!("livekit_participant_join_total{{state=\"signal_connected\",{node}}}"), 5),
        ] {
            assert!(text.contains(&format!("{line} {value}\n")), "{line} {value} is not in {text}");
        }
    }
}
