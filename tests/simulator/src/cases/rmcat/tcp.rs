//! RFC 8867, sections 5.6 and 5.7: media beside a long TCP flow, and beside many short ones.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::{Case, Options, Run, info, one_cell};
use super::{DELAY, QUEUE, arrival_rate, control, frozen, judge, lost, media, queue_p95};
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::rmcat::network::{Network, Way};
use crate::rmcat::sender::LEAST_RATE;
use crate::rmcat::tcp::Downloads;

pub const LONG: Case = Case {
    name: "5.6",
    about: "RFC 8867: against a long TCP flow (CUBIC), queues of 300 and 1,000 ms",
    cells,
    judgement: Judgement::NinthOfTen,
    run: Run::Network(long),
};

pub const SHORT: Case = Case {
    name: "5.7",
    about: "RFC 8867: two flows against ten of short TCP downloads",
    cells: one_cell,
    judgement: Judgement::NinthOfTen,
    run: Run::Network(short),
};

const RATE: u64 = 2_000_000;
const LONG_QUEUE: Duration = Duration::from_millis(1_000);
/// Media comes to a path that TCP fills.
const START: Duration = Duration::from_secs(5);
const LONG_DURATION: Duration = Duration::from_secs(120);
/// The share of the link is taken once both had time to find it.
const SETTLED: Duration = Duration::from_secs(20);
const SHORT_DURATION: Duration = Duration::from_secs(300);
const SHORT_FLOWS: u64 = 10;
/// Of the short ones so many start at once.
const AT_ONCE: u64 = 2;
const IDLE: Duration = Duration::from_secs(10);
const DOWNLOADS: Downloads = Downloads::Short { least: 100_000, most: 1_000_000, idle: IDLE };

fn cells() -> Vec<String> {
    ["queue300", "queue1000"].map(str::to_owned).to_vec()
}

fn long(cell: &str, seed: u64, options: Options) -> (Outcome, Network) {
    let queue = if cell == "queue1000" { LONG_QUEUE } else { QUEUE };
    let mut network = Network::new(seed, RATE, queue);
    network.tcp(DELAY, Duration::ZERO, Downloads::Endless);
    network.media(Way::Forward, DELAY, START, control(options));
    network.run_until(options.duration.unwrap_or(LONG_DURATION));
    let share = arrival_rate(&network, SETTLED, network.now()) / RATE as f64;
    let figures = vec![
        Figure::new("share of the link", 100.0 * share, " %", Bar::AtLeast(25.0)),
        Figure::new("least estimate", least_estimate(&network), " kbit/s", Bar::AtLeast(LEAST_RATE as f64 / 1_000.0)),
        info("queue p95", queue_p95(&network), " ms"),
        info("frozen", frozen(&network), " s"),
        lost(&network),
    ];
    judge(LONG.name, cell, seed, network, figures)
}

fn short(cell: &str, seed: u64, options: Options) -> (Outcome, Network) {
    let mut network = Network::new(seed, RATE, QUEUE);
    let mut random = StdRng::seed_from_u64(seed);
    for flow in 0..SHORT_FLOWS {
        let later = IDLE.mul_f64(-(1.0 - random.random::<f64>()).ln());
        network.tcp(DELAY, if flow < AT_ONCE { Duration::ZERO } else { later }, DOWNLOADS);
    }
    (0..2).for_each(|_| {
        network.media(Way::Forward, DELAY, START, control(options));
    });
    network.run_until(options.duration.unwrap_or(SHORT_DURATION));
    let time = network.now().saturating_sub(START).as_secs_f64();
    let share = arrival_rate(&network, SETTLED, network.now()) / RATE as f64;
    let figures = vec![
        Figure::new("frozen", 100.0 * frozen(&network) / time, " %", Bar::Below(2.0)),
        info("share of the link", 100.0 * share, " %"),
        info("least estimate", least_estimate(&network), " kbit/s"),
        info("queue p95", queue_p95(&network), " ms"),
        lost(&network),
    ];
    judge(SHORT.name, cell, seed, network, figures)
}

/// The least that any media flow took the way for since it settled, kbit/s.
fn least_estimate(network: &Network) -> f64 {
    let slices = media(network).flat_map(|flow| flow.meter.between(SETTLED, network.now()));
    slices.map(|slice| slice.target).min().map_or(f64::NAN, |least| least as f64 / 1_000.0)
}
