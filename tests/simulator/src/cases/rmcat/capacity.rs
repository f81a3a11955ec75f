//! RFC 8867, sections 5.1 and 5.2: the capacity of the path rises and falls, with one flow and with two.

use std::time::Duration;

use super::super::{Case, Options, Run, one_cell};
use super::{Course, DELAY, QUEUE, capacity_figures, changes, control, fairness_between, follow, judge, least};
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::rmcat::network::{Network, Way};

pub const ONE_FLOW: Case = Case {
    name: "5.1",
    about: "RFC 8867: one flow, capacity 1 to 2.5 to 0.6 to 1 Mbit/s",
    cells: one_cell,
    judgement: Judgement::NinthOfTen,
    run: Run::Network(one_flow),
};

pub const TWO_FLOWS: Case = Case {
    name: "5.2",
    about: "RFC 8867: two flows, capacity 4 to 2 to 3.5 to 1 to 2 Mbit/s",
    cells: one_cell,
    judgement: Judgement::NinthOfTen,
    run: Run::Network(two_flows),
};

const ONE: Course = &[(40, 2_500_000), (60, 600_000), (80, 1_000_000)];
const TWO: Course = &[(25, 2_000_000), (50, 3_500_000), (75, 1_000_000), (100, 2_000_000)];
/// Two flows have so long to share what changed.
const SHARING: Duration = Duration::from_secs(10);

fn one_flow(cell: &str, seed: u64, options: Options) -> (Outcome, Network) {
    let network = run(seed, options, 1, 1_000_000, ONE, 100);
    let figures = capacity_figures(&network);
    judge(ONE_FLOW.name, cell, seed, network, figures)
}

fn two_flows(cell: &str, seed: u64, options: Options) -> (Outcome, Network) {
    let network = run(seed, options, 2, 4_000_000, TWO, 125);
    let mut figures = capacity_figures(&network);
    let shared = changes(&network).into_iter().map(|c| fairness_between(&network, c.at + SHARING, c.until));
    figures.push(Figure::new("fairness after a change", least(shared), "", Bar::AtLeast(0.9)));
    judge(TWO_FLOWS.name, cell, seed, network, figures)
}

fn run(seed: u64, options: Options, flows: u32, rate: u64, course: Course, seconds: u64) -> Network {
    let mut network = Network::new(seed, rate, QUEUE);
    for _ in 0..flows {
        network.media(Way::Forward, DELAY, Duration::ZERO, control(options));
    }
    follow(&mut network, Way::Forward, course);
    network.run_until(options.duration.unwrap_or(Duration::from_secs(seconds)));
    network
}
