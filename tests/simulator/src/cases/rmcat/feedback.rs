//! RFC 8867, section 5.3: media both ways over a path whose way back is tight for a while, so that what tells the sender what arrived waits in
//! a queue there. The way forward takes what it took: nothing is to be made of late feedback.

use std::time::Duration;

use super::super::{Case, Options, Run, info, one_cell};
use super::{
    Course, DELAY, FALL, QUEUE, RISE, arrival_rate, capacity, changes, control, follow, frozen, judge, least, lost,
    queue_p95,
};
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::rmcat::network::{Network, Way};

pub const CASE: Case = Case {
    name: "5.3",
    about: "RFC 8867: the way back is tight for a while",
    cells: one_cell,
    judgement: Judgement::NinthOfTen,
    run: Run::Network(run),
};

const RATE: u64 = 2_000_000;
const FORWARD: Course = &[(20, 1_000_000), (40, 500_000), (60, 2_000_000)];
const BACK: Course = &[(TIGHT_FROM, 800_000), (TIGHT_TO, 2_000_000)];
const TIGHT_FROM: u64 = 35;
const TIGHT_TO: u64 = 70;
const DURATION: Duration = Duration::from_secs(100);
/// What arrives is judged second by second.
const SECOND: Duration = Duration::from_secs(1);

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, Network) {
    let mut network = Network::new(seed, RATE, QUEUE);
    for way in [Way::Forward, Way::Back] {
        network.media(way, DELAY, Duration::ZERO, control(options));
    }
    follow(&mut network, Way::Forward, FORWARD);
    follow(&mut network, Way::Back, BACK);
    network.run_until(options.duration.unwrap_or(DURATION));
    let figures = vec![
        Figure::new("forward while the way back is tight", forward(&network), " %", Bar::AtLeast(70.0)),
        info("queue p95", queue_p95(&network), " ms"),
        info("frozen", frozen(&network), " s"),
        lost(&network),
    ];
    judge(CASE.name, cell, seed, network, figures)
}

/// The least share of the way forward that arrives in a second while the way back is tight and the way forward did not just change,
/// percent.
fn forward(network: &Network) -> f64 {
    let changes = changes(network);
    let settles = |from: Duration| {
        changes.iter().any(|change| {
            let time = if change.after < change.before { FALL } else { RISE };
            (change.at..change.at + time).contains(&from)
        })
    };
    let seconds = (TIGHT_FROM..TIGHT_TO).map(Duration::from_secs).filter(|from| !settles(*from));
    least(seconds.map(|from| 100.0 * arrival_rate(network, from, from + SECOND) / capacity(network, from)))
}
