//! What a run found, as numbers with their units in their names: the JSON is this, the table and the plots show it.

pub mod plot;
pub mod summary;
pub mod table;

use serde::Serialize;

use crate::measure::Totals;
use crate::measure::delay::{Percentiles, Times};
use crate::measure::kernel::Drops;
use crate::measure::process::CpuUse;
use crate::options::Options;
use crate::run::reading::Sample;
use crate::run::{Measured, Step};
use crate::scenario::Scenario;

#[derive(Clone, Serialize)]
pub struct Report {
    pub scenario: String,
    pub description: String,
    pub media: Media,
    pub window_s: f64,
    pub assembled_s: f64,
    pub clients: Clients,
    pub traffic: Traffic,
    /// Kernel to kernel, but for `read`.
    pub audio_delay_ms: Percentiles,
    pub video_delay_ms: Percentiles,
    pub read_delay_ms: Percentiles,
    /// Since signalling's first byte.
    pub connected_ms: Percentiles,
    pub first_media_ms: Percentiles,
    pub first_video_ms: Percentiles,
    pub server: Option<Server>,
    pub generator: Generator,
    /// Second by second.
    pub samples: Vec<Sample>,
    /// Rates that were tried, where the highest was searched for.
    pub steps: Vec<Step>,
    pub faults: Vec<String>,
    /// For the plots.
    #[serde(skip)]
    pub delays: [(&'static str, Times); 2],
}

#[derive(Clone, Debug, Serialize)]
pub struct Media {
    pub packets_per_second_per_publisher: f64,
    pub video_packet_bytes: Option<usize>,
    pub audio_packet_bytes: Option<usize>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Clients {
    pub planned: usize,
    pub connected: u64,
    pub failed: u64,
    pub streams_expected: u64,
    pub streams: u64,
    /// In the window.
    pub joined: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct Traffic {
    pub packets: u64,
    pub packets_per_second: f64,
    /// Of UDP payload.
    pub bits_per_second: f64,
    pub sent_packets_per_second: f64,
    /// Share lost, by gaps in sequence numbers.
    pub loss: f64,
    /// Share missing of what publishers sent times receivers; none where receivers change or choose.
    pub missing: Option<f64>,
    pub late: u64,
    pub duplicates: u64,
    pub retransmissions: u64,
    pub kernel_drops: Drops,
    pub keyframe_requests: u64,
    pub rtcp_received: u64,
    pub rtcp_sent: u64,
    /// Decrypted video packets by simulcast encoding; those of a track without simulcast are its lowest.
    pub verified_by_encoding: Encodings,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Encodings {
    pub low: u64,
    pub medium: u64,
    pub high: u64,
}

#[derive(Clone, Debug, Serialize)]
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
    /// CPU time of the window, milliseconds, for each client that joined in it; forwarding is in it.
    pub ms_per_join: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
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
    pub fn new(options: &Options, scenario: &Scenario, measured: &Measured) -> Report {
        let (before, after) = (&measured.before, &measured.after);
        let window = (after.snapshot.at - before.snapshot.at).as_secs_f64();
        let of_window = after.snapshot.totals.since(&before.snapshot.totals);
        let (delays, joins) = (&after.snapshot.delays, &after.snapshot.joins);
        Report {
            scenario: scenario.slug(),
            description: scenario.describe(),
            media: media(options),
            window_s: window,
            assembled_s: measured.assembled.as_secs_f64(),
            clients: clients(scenario, measured),
            traffic: traffic(scenario, measured, &of_window, window),
            audio_delay_ms: delays.audio.percentiles(),
            video_delay_ms: delays.video.percentiles(),
            read_delay_ms: delays.read.percentiles(),
            connected_ms: joins.connected.percentiles(),
            first_media_ms: joins.first_media.percentiles(),
            first_video_ms: joins.first_video.percentiles(),
            server: server(scenario, measured, of_window.packets, window),
            generator: generator(measured, &of_window, window),
            samples: measured.samples.clone(),
            steps: measured.steps.clone(),
            faults: measured.faults.clone(),
            delays: [("audio", delays.audio.clone()), ("video", delays.video.clone())],
        }
    }

    /// Why the figures are not of the scenario that was asked for; nothing when they are.
    pub fn doubts(&self) -> Vec<String> {
        let (clients, own) = (&self.clients, &self.generator);
        let mut doubts = Vec::new();
        let mut doubt = |wrong: bool, text: String| doubts.extend(wrong.then_some(text));
        let (connected, planned) = (clients.connected, clients.planned);
        doubt(connected as usize != planned, format!("{connected} of {planned} clients are connected"));
        let (streams, expected) = (clients.streams, clients.streams_expected);
        doubt(streams < expected, format!("{streams} of {expected} streams came"));
        doubt(clients.failed > 0, format!("{} connections ended by themselves", clients.failed));
        doubt(own.unauthentic > 0, format!("{} packets do not authenticate", own.unauthentic));
        doubt(own.damaged > 0, format!("{} packets are not what was sent", own.damaged));
        doubt(self.traffic.kernel_drops.own > 0, format!("the generator missed {}", self.traffic.kernel_drops.own));
        doubt(own.send_errors > 0, format!("{} packets could not be sent", own.send_errors));
        doubts.extend(self.faults.iter().cloned());
        doubts
    }
}

fn media(options: &Options) -> Media {
    Media {
        packets_per_second_per_publisher: options.media.packets_per_second(),
        video_packet_bytes: options.media.video.map(|shape| shape.packet_bytes),
        audio_packet_bytes: options.media.audio.map(|shape| shape.packet_bytes),
    }
}

fn clients(scenario: &Scenario, measured: &Measured) -> Clients {
    let totals = &measured.after.snapshot.totals;
    Clients {
        planned: scenario.most_clients(),
        connected: totals.connected,
        failed: totals.failed,
        streams_expected: measured.streams,
        streams: totals.streams,
        joined: measured.joined,
    }
}

fn traffic(scenario: &Scenario, measured: &Measured, of_window: &Totals, window: f64) -> Traffic {
    let constant = measured.joined == 0 && !scenario.simulcast;
    let [low, medium, high] = of_window.by_encoding;
    Traffic {
        packets: of_window.packets,
        packets_per_second: of_window.packets as f64 / window,
        bits_per_second: of_window.bytes as f64 * 8.0 / window,
        sent_packets_per_second: of_window.sent_packets as f64 / window,
        loss: of_window.loss(),
        missing: constant.then(|| of_window.missing(scenario.receivers())),
        late: of_window.late,
        duplicates: of_window.duplicates,
        retransmissions: of_window.retransmissions,
        kernel_drops: measured.after.drops.since(&measured.before.drops),
        keyframe_requests: of_window.keyframe_requests,
        rtcp_received: of_window.rtcp_received,
        rtcp_sent: of_window.rtcp_sent,
        verified_by_encoding: Encodings { low, medium, high },
    }
}

fn server(scenario: &Scenario, measured: &Measured, packets: u64, window: f64) -> Option<Server> {
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
        bytes_per_client: per(grown, scenario.most_clients() as u64),
        ms_per_join: (measured.joined > 0).then(|| per(cpu.total * 1e3, measured.joined as u64)),
    })
}

fn generator(measured: &Measured, of_window: &Totals, window: f64) -> Generator {
    let own = measured.after.own.since(&measured.before.own);
    Generator {
        cores: own.total / window,
        us_per_packet: per(own.total * 1e6, of_window.packets),
        packets_per_receive: per(of_window.packets as f64, of_window.receive_calls),
        verified: of_window.verified,
        unauthentic: of_window.unauthentic,
        damaged: of_window.damaged,
        unexpected: of_window.unexpected,
        late_bursts: of_window.late_bursts,
        send_errors: of_window.send_errors,
        backward_stamps: measured.after.snapshot.delays.backwards,
    }
}

fn per(sum: f64, count: u64) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}
