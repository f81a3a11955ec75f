//! Summaries for the eye: the median of each figure, and its spread over several runs.

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;

use super::summary::{Spread, Summary};
use crate::run::Step;

const MIB: f64 = 1_048_576.0;

/// One figure: its path, what it is multiplied with, its digits.
struct Figure(&'static str, f64, usize);

/// A row: its name, figures, and the text around them, `{}` for each.
const ROWS: [(&str, &str, &[Figure]); 23] = [
    (
        "server CPU per packet",
        "{} us (user {}, system {})",
        &[
            Figure("server.us_per_packet", 1.0, 3),
            Figure("server.user_us_per_packet", 1.0, 3),
            Figure("server.system_us_per_packet", 1.0, 3),
        ],
    ),
    (
        "server CPU",
        "{} cores, waited {} s for one",
        &[Figure("server.cores", 1.0, 3), Figure("server.cpu_s.waiting", 1.0, 3)],
    ),
    ("server CPU per join", "{} ms, forwarding included", &[Figure("server.ms_per_join", 1.0, 2)]),
    (
        "server memory",
        "idle {} MiB, loaded {} MiB, {} MiB a client",
        &[
            Figure("server.idle_bytes", 1.0 / MIB, 1),
            Figure("server.loaded_bytes", 1.0 / MIB, 1),
            Figure("server.bytes_per_client", 1.0 / MIB, 3),
        ],
    ),
    (
        "received",
        "{} packets/s, {} Mbit/s",
        &[Figure("traffic.packets_per_second", 1.0, 0), Figure("traffic.bits_per_second", 1e-6, 1)],
    ),
    ("lost", "{} %", &[Figure("traffic.loss", 100.0, 4)]),
    ("missing", "{} %", &[Figure("traffic.missing", 100.0, 4)]),
    ("delay of audio", TIMES, &times("audio_delay_ms.p50", "audio_delay_ms.p99", "audio_delay_ms.p999")),
    ("delay of video", TIMES, &times("video_delay_ms.p50", "video_delay_ms.p99", "video_delay_ms.p999")),
    ("delay until read", TIMES, &times("read_delay_ms.p50", "read_delay_ms.p99", "read_delay_ms.p999")),
    ("join to connected", TIMES, &times("connected_ms.p50", "connected_ms.p99", "connected_ms.p999")),
    ("join to first media", TIMES, &times("first_media_ms.p50", "first_media_ms.p99", "first_media_ms.p999")),
    ("join to first video", TIMES, &times("first_video_ms.p50", "first_video_ms.p99", "first_video_ms.p999")),
    (
        "clients",
        "{} of {}, {} with AES-GCM, {} joined in the window, room whole after {} s",
        &[
            Figure("clients.connected", 1.0, 0),
            Figure("clients.planned", 1.0, 0),
            Figure("clients.aes_gcm", 1.0, 0),
            Figure("clients.joined", 1.0, 0),
            Figure("assembled_s", 1.0, 1),
        ],
    ),
    ("streams", "{} of {}", &[Figure("clients.streams", 1.0, 0), Figure("clients.streams_expected", 1.0, 0)]),
    (
        "out of order",
        "{} late, {} twice, {} retransmitted",
        &[
            Figure("traffic.late", 1.0, 0),
            Figure("traffic.duplicates", 1.0, 0),
            Figure("traffic.retransmissions", 1.0, 0),
        ],
    ),
    (
        "kernel drops",
        "{} at the generator, {} elsewhere",
        &[Figure("traffic.kernel_drops.own", 1.0, 0), Figure("traffic.kernel_drops.others", 1.0, 0)],
    ),
    (
        "RTCP",
        "{} received, {} sent, {} keyframe requests",
        &[
            Figure("traffic.rtcp_received", 1.0, 0),
            Figure("traffic.rtcp_sent", 1.0, 0),
            Figure("traffic.keyframe_requests", 1.0, 0),
        ],
    ),
    (
        "generator",
        "{} cores, {} us a packet, {} packets a receive",
        &[
            Figure("generator.cores", 1.0, 3),
            Figure("generator.us_per_packet", 1.0, 3),
            Figure("generator.packets_per_receive", 1.0, 1),
        ],
    ),
    (
        "decrypted",
        "{}, {} unauthentic, {} damaged, {} unexpected",
        &[
            Figure("generator.verified", 1.0, 0),
            Figure("generator.unauthentic", 1.0, 0),
            Figure("generator.damaged", 1.0, 0),
            Figure("generator.unexpected", 1.0, 0),
        ],
    ),
    (
        "decrypted by layer",
        "{} low or only, {} medium, {} high",
        &[
            Figure("traffic.verified_by_encoding.low", 1.0, 0),
            Figure("traffic.verified_by_encoding.medium", 1.0, 0),
            Figure("traffic.verified_by_encoding.high", 1.0, 0),
        ],
    ),
    (
        "publishers",
        "{} packets/s, {} bursts skipped, {} send errors",
        &[
            Figure("traffic.sent_packets_per_second", 1.0, 0),
            Figure("generator.late_bursts", 1.0, 0),
            Figure("generator.send_errors", 1.0, 0),
        ],
    ),
    ("window", "{} s", &[Figure("window_s", 1.0, 1)]),
];

const TIMES: &str = "p50 {} ms, p99 {}, p99.9 {}";

const fn times(p50: &'static str, p99: &'static str, p999: &'static str) -> [Figure; 3] {
    [Figure(p50, 1.0, 3), Figure(p99, 1.0, 3), Figure(p999, 1.0, 3)]
}

/// The targets of one scenario side by side.
pub fn show(summaries: &[Summary]) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    let description = summaries.first().map(|summary| summary.description.clone()).unwrap_or_default();
    table.set_header(std::iter::once(description).chain(summaries.iter().map(heading)));
    for (name, text, figures) in ROWS {
        let cells: Vec<_> = summaries.iter().map(|summary| cell(summary, text, figures)).collect();
        if cells.iter().any(Option::is_some) {
            table.add_row(std::iter::once(name.to_owned()).chain(cells.into_iter().map(Option::unwrap_or_default)));
        }
    }
    for (column, summary) in summaries.iter().enumerate() {
        for step in summary.runs.iter().flat_map(|run| &run.steps) {
            let [rate, verdict] = step_row(step);
            let blanks = std::iter::repeat_n(String::new(), column);
            table.add_row(std::iter::once(rate).chain(blanks).chain([verdict]));
        }
    }
    table.to_string()
}

fn heading(summary: &Summary) -> String {
    match summary.runs.len() {
        1 => summary.target.clone(),
        runs => format!("{}, median of {runs} runs (lowest to highest)", summary.target),
    }
}

fn step_row(step: &Step) -> [String; 2] {
    let verdict = match (step.holds, step.generator_limits) {
        (true, _) => "holds",
        (false, true) => "the generator limits",
        (false, false) => "fails",
    };
    let Step { packets_per_second, loss, kernel_drops, server_us_per_packet, server_cores, generator_cores, .. } = step;
    let text = format!(
        "{verdict}: {:.3} % lost, {kernel_drops} kernel drops, {server_us_per_packet:.3} us, {server_cores:.2} cores, \
        p99 {:.1} ms, generator {generator_cores:.2} cores, settled in {:.0} s",
        loss * 100.0,
        step.delay_p99_ms,
        step.settled_s
    );
    [format!("at {packets_per_second:.0} packets/s"), text]
}

/// `None` when the runs have none of its figures.
fn cell(summary: &Summary, text: &str, figures: &[Figure]) -> Option<String> {
    let mut filled = String::new();
    let mut figures = figures.iter();
    let mut pieces = text.split("{}");
    filled.push_str(pieces.next()?);
    for piece in pieces {
        let Figure(path, factor, digits) = figures.next()?;
        filled.push_str(&figure(summary.get(path)?, *factor, *digits));
        filled.push_str(piece);
    }
    Some(filled)
}

fn figure(Spread { median, min, max }: Spread, factor: f64, digits: usize) -> String {
    let show = |value: f64| format!("{:.digits$}", value * factor);
    if show(min) == show(max) { show(median) } else { format!("{} ({} to {})", show(median), show(min), show(max)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let spread = |median| Spread { median, min: median / 2.0, max: median * 2.0 };
        let summary = [("a".to_owned(), spread(2.0)), ("b".to_owned(), Spread { median: 1.0, min: 1.0, max: 1.0 })];
        Summary { target: String::new(), description: String::new(), summary: summary.into(), runs: Vec::new() }
    }

    #[test]
    fn a_spread_is_told_where_there_is_one() {
        let told = cell(&summary(), "{} us of {}", &[Figure("a", 10.0, 1), Figure("b", 1.0, 0)]);
        assert_eq!(told.as_deref(), Some("20.0 (10.0 to 40.0) us of 1"));
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        assert!(cell(&summary(), "{}", &[Figure("c", 1.0, 1)]).is_none());
    }

    #[test]
    fn every_row_has_a_place_for_each_of_its_figures() {
        for (name, text, figures) in ROWS {
            assert_eq!(text.matches("{}").count(), figures.len(), "{name}");
        }
    }
}
