//! What a run found, as numbers with their units in their names: the JSON is this, the table shows it.

pub mod table;

use serde::Serialize;

use crate::measure::delay::Percentiles;
use crate::measure::kernel::Drops;
use crate::measure::process::CpuUse;
use crate::options::Options;
use crate::run::Measured;

/// Faults that are told in words.
const FAULTS: usize = 10;

#[derive(Debug, Serialize)]
pub struct Report {
    pub scenario: &'static str,
    pub description: String,
    pub media: MediaReport,
    pub window_s: f64,
    pub assembled_s: f64,
    pub clients: Clients,
    pub traffic: Traffic,
    /// Milliseconds. Kernel to kernel, but for `read`.
    pub audio_delay_ms: Percentiles,
    pub video_delay_ms: Percentiles,
    pub read_delay_ms: Percentiles,
    /// Milliseconds since signalling's first byte.
    pub connected_ms: Percentiles,
    pub first_media_ms: Percentiles,
    pub first_video_ms: Percentiles,
    pub server: Option<Server>,
    pub generator: Generator,
    pub faults: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct MediaReport {
    pub packets_per_second_per_publisher: f64,
    pub video_packet_bytes: Option<usize>,
    pub audio_packet_bytes: Option<usize>,
}

#[derive(Debug, Serialize)]
pub struct Clients {
    pub planned: usize,
    pub connected: u64,
    pub failed: u64,
    pub streams_expected: u64,
    pub streams: u64,
}

#[derive(Debug, Serialize)]
pub struct Traffic {
    pub packets: u64,
    pub packets_per_second: f64,
    /// Of UDP payload.
    pub bits_per_second: f64,
    pub sent_packets_per_second: f64,
    /// Share lost, by gaps in sequence numbers.
    pub loss: f64,
    /// Share missing of what publishers sent times receivers: counts streams that stopped, too.
    pub missing: f64,
    pub late: u64,
    pub duplicates: u64,
    pub retransmissions: u64,
    pub kernel_drops: Drops,
    pub keyframe_requests: u64,
    pub rtcp_received: u64,
    pub rtcp_sent: u64,
}

#[derive(Debug, Serialize)]
pub struct Server {
    pub cpu_s: CpuUse,
    /// Of a core.
    pub cores: f64,
    pub us_per_packet: f64,
    pub user_us_per_packet: f64,
    pub system_us_per_packet: f64,
    pub idle_bytes: u64,
    pub loaded_bytes: u64,
    pub bytes_per_client: f64,
}

#[derive(Debug, Serialize)]
pub struct Generator {
    /// Of a core.
    pub cores: f64,
    pub us_per_packet: f64,
    pub packets_per_receive: f64,
    pub verified: u64,
    pub unauthentic: u64,
    pub damaged: u64,
    pub unexpected: u64,
    pub late_bursts: u64,
    pub send_errors: u64,
    pub backward_stamps: u64,
}

impl Report {
    pub fn new(options: &Options, measured: &Measured) -> Report {
        let (before, after) = (&measured.before, &measured.after);
        let window = (after.snapshot.at - before.snapshot.at).as_secs_f64();
        let of_window = after.snapshot.totals.since(&before.snapshot.totals);
        let packets = of_window.packets;
        let delays = &after.snapshot.delays;
        let joins = &after.snapshot.joins;
        let own = after.own.since(&before.own);
        let scenario = options.scenario;
        let wanted = of_window.sent_packets as f64 * scenario.receivers() as f64;
        let missing = if wanted > 0.0 { 1.0 - of_window.received as f64 / wanted } else { 0.0 };
        Report {
            scenario: scenario.name(),
            description: scenario.describe(),
            media: MediaReport {
                packets_per_second_per_publisher: options.media.packets_per_second(),
                video_packet_bytes: options.media.video.map(|shape| shape.packet_bytes),
                audio_packet_bytes: options.media.audio.map(|shape| shape.packet_bytes),
            },
            window_s: window,
            assembled_s: measured.assembled.as_secs_f64(),
            clients: Clients {
                planned: scenario.clients(),
                connected: after.snapshot.totals.connected,
                failed: after.snapshot.totals.failed,
                streams_expected: scenario.streams(&options.media),
                streams: after.snapshot.totals.streams,
            },
            traffic: Traffic {
                packets,
                packets_per_second: packets as f64 / window,
                bits_per_second: of_window.bytes as f64 * 8.0 / window,
                sent_packets_per_second: of_window.sent_packets as f64 / window,
                loss: of_window.loss(),
                missing: missing.max(0.0),
                late: of_window.late,
                duplicates: of_window.duplicates,
                retransmissions: of_window.retransmissions,
                kernel_drops: after.drops.since(&before.drops),
                keyframe_requests: of_window.keyframe_requests,
                rtcp_received: of_window.rtcp_received,
                rtcp_sent: of_window.rtcp_sent,
            },
            audio_delay_ms: delays.audio.percentiles(),
            video_delay_ms: delays.video.percentiles(),
            read_delay_ms: delays.read.percentiles(),
            connected_ms: joins.connected.percentiles(),
            first_media_ms: joins.first_media.percentiles(),
            first_video_ms: joins.first_video.percentiles(),
            server: server(options, measured, packets, window),
            generator: Generator {
                cores: own.total / window,
                us_per_packet: per(own.total * 1e6, packets),
                packets_per_receive: per(packets as f64, of_window.receive_calls),
                verified: of_window.verified,
                unauthentic: of_window.unauthentic,
                damaged: of_window.damaged,
                unexpected: of_window.unexpected,
                late_bursts: of_window.late_bursts,
                send_errors: of_window.send_errors,
                backward_stamps: delays.backwards,
            },
            faults: measured.faults.iter().take(FAULTS).cloned().collect(),
        }
    }

    /// Whether the figures are of the scenario that was asked for, and what arrived is what was sent.
    pub fn is_sound(&self) -> bool {
        let clients = &self.clients;
        let whole = clients.connected as usize == clients.planned && clients.streams >= clients.streams_expected;
        whole && clients.failed == 0 && self.generator.unauthentic == 0 && self.generator.damaged == 0
    }
}

fn server(options: &Options, measured: &Measured, packets: u64, window: f64) -> Option<Server> {
    let (before, after) = (measured.before.server?, measured.after.server?);
    let cpu = after.cpu.since(&before.cpu);
    let idle = measured.idle?;
    let grown = after.resident.saturating_sub(idle) as f64;
    Some(Server {
        cpu_s: cpu,
        cores: cpu.total / window,
        us_per_packet: per(cpu.total * 1e6, packets),
        user_us_per_packet: per(cpu.user * 1e6, packets),
        system_us_per_packet: per(cpu.system * 1e6, packets),
        idle_bytes: idle,
        loaded_bytes: after.resident,
        bytes_per_client: per(grown, options.scenario.clients() as u64),
    })
}

fn per(sum: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}
