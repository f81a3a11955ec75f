//! A report for the eye.

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;

use super::Report;
use crate::measure::delay::Percentiles;

const MIB: f64 = 1_048_576.0;

pub fn show(report: &Report) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header([report.description.as_str(), ""]);
    for (name, value) in rows(report) {
        table.add_row([name.to_owned(), value]);
    }
    table.to_string()
}

fn rows(report: &Report) -> Vec<(&'static str, String)> {
    let (clients, traffic, own) = (&report.clients, &report.traffic, &report.generator);
    let mut rows = Vec::new();
    if let Some(server) = &report.server {
        let (user, system) = (server.user_us_per_packet, server.system_us_per_packet);
        rows.push((
            "server CPU per packet",
            format!("{:.3} us (user {user:.3}, system {system:.3})", server.us_per_packet),
        ));
        rows.push(("server CPU", format!("{:.3} cores, waited {:.3} s", server.cores, server.cpu_s.waiting)));
        rows.push((
            "server memory",
            format!(
                "idle {:.1} MiB, loaded {:.1} MiB, {:.3} MiB per client",
                server.idle_bytes as f64 / MIB,
                server.loaded_bytes as f64 / MIB,
                server.bytes_per_client / MIB
            ),
        ));
    }
    rows.extend([
        (
            "received",
            format!("{:.0} packets/s, {:.1} Mbit/s", traffic.packets_per_second, traffic.bits_per_second / 1e6),
        ),
        ("lost", format!("{:.4} %, missing {:.4} %", traffic.loss * 100.0, traffic.missing * 100.0)),
        ("delay, audio", times(&report.audio_delay_ms)),
        ("delay, video", times(&report.video_delay_ms)),
        ("delay until read", times(&report.read_delay_ms)),
        ("join to connected", times(&report.connected_ms)),
        ("join to first media", times(&report.first_media_ms)),
        ("join to first video", times(&report.first_video_ms)),
        (
            "clients",
            format!(
                "{} of {} in {:.1} s, {} of {} streams, {} failed",
                clients.connected,
                clients.planned,
                report.assembled_s,
                clients.streams,
                clients.streams_expected,
                clients.failed
            ),
        ),
        ("late, duplicate, again", format!("{}, {}, {}", traffic.late, traffic.duplicates, traffic.retransmissions)),
        (
            "kernel drops",
            format!("{} at the generator, {} elsewhere", traffic.kernel_drops.own, traffic.kernel_drops.others),
        ),
        (
            "generator",
            format!(
                "{:.3} cores, {:.3} us per packet, {:.1} packets a receive",
                own.cores, own.us_per_packet, own.packets_per_receive
            ),
        ),
        (
            "verified",
            format!(
                "{}, unauthentic {}, damaged {}, unexpected {}",
                own.verified, own.unauthentic, own.damaged, own.unexpected
            ),
        ),
        (
            "publishers",
            format!(
                "{:.0} packets/s, {} keyframe requests, {} late bursts, {} send errors",
                traffic.sent_packets_per_second, traffic.keyframe_requests, own.late_bursts, own.send_errors
            ),
        ),
        ("window", format!("{:.1} s", report.window_s)),
    ]);
    rows
}

fn times(told: &Percentiles) -> String {
    format!(
        "p50 {:.3}, p99 {:.3}, p99.9 {:.3}, max {:.3} ms of {}",
        told.p50, told.p99, told.p999, told.max, told.count
    )
}
