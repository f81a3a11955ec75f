//! RFC 8867, sections 5.4, 5.5 and 5.8: media flows among themselves, that come one after another, that have unlike round trips, and one of
//! which pauses.

use std::time::Duration;

use super::super::{Case, Options, Run, info, one_cell};
use super::{
    DELAY, QUEUE, RISE, USED, control, fairness_between, frozen, judge, lost, media, queue_p95, until_holds,
    utilisation,
};
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::rmcat::network::{Network, Step, Way};

pub const SAME: Case = Case {
    name: "5.4",
    about: "RFC 8867: three flows that start 20 s apart",
    cells: one_cell,
    judgement: Judgement::NinthOfTen,
    run: Run::Network(same),
};

pub const ROUND_TRIPS: Case = Case {
    name: "5.5",
    about: "RFC 8867: five flows with delays of 10 to 150 ms",
    cells: one_cell,
    judgement: Judgement::NinthOfTen,
    run: Run::Network(round_trips),
};

pub const PAUSE: Case = Case {
    name: "5.8",
    about: "RFC 8867: one of three flows pauses for 20 s",
    cells: one_cell,
    judgement: Judgement::NinthOfTen,
    run: Run::Network(pause),
};

const RATE: u64 = 3_500_000;
const DURATION: Duration = Duration::from_secs(120);
/// The end of a run, which fairness is judged by.
const LAST: Duration = Duration::from_secs(40);
const ROUND_TRIPS_RATE: u64 = 4_000_000;
const ROUND_TRIPS_DURATION: Duration = Duration::from_secs(300);
const ROUND_TRIPS_LAST: Duration = Duration::from_secs(60);
/// One way, in ms, and when the flow starts, in s.
const DELAYS: [(u64, u64); 5] = [(10, 0), (25, 10), (50, 20), (100, 30), (150, 40)];
const PAUSING: usize = 1;
const PAUSED: Duration = Duration::from_secs(40);
const RESUMED: Duration = Duration::from_secs(60);

fn same(cell: &str, seed: u64, options: Options) -> (Outcome, Network) {
    let starts = [0, 20, 40].map(|start| (DELAY, Duration::from_secs(start)));
    let network = run(seed, options, RATE, &starts, DURATION, &[]);
    let end = network.now();
    let fairness = fairness_between(&network, end.saturating_sub(LAST), end);
    let figures = with_health(Figure::new("fairness at last", fairness, "", Bar::AtLeast(0.9)), &network);
    judge(SAME.name, cell, seed, network, figures)
}

fn round_trips(cell: &str, seed: u64, options: Options) -> (Outcome, Network) {
    let flows = DELAYS.map(|(delay, start)| (Duration::from_millis(delay), Duration::from_secs(start)));
    let network = run(seed, options, ROUND_TRIPS_RATE, &flows, ROUND_TRIPS_DURATION, &[]);
    let end = network.now();
    let rates = media(&network).map(|flow| flow.meter.arrival_rate(end.saturating_sub(ROUND_TRIPS_LAST), end));
    let (least, most) = rates.fold((f64::INFINITY, 0.0), |(least, most), rate| (rate.min(least), rate.max(most)));
    let figures = with_health(Figure::new("most over least at last", most / least, "", Bar::AtMost(2.5)), &network);
    judge(ROUND_TRIPS.name, cell, seed, network, figures)
}

fn pause(cell: &str, seed: u64, options: Options) -> (Outcome, Network) {
    let steps = [(PAUSED, Step::Pause(PAUSING, true)), (RESUMED, Step::Pause(PAUSING, false))];
    let network = run(seed, options, RATE, &[(DELAY, Duration::ZERO); 3], DURATION, &steps);
    let share = USED * RATE as f64 / 3.0;
    let again = network.flows.get(PAUSING).map_or(f64::NAN, |flow| {
        until_holds(RESUMED, network.now(), |from, to| flow.meter.arrival_rate(from, to) >= share)
    });
    let mut figures =
        with_health(Figure::new("fair share again after", again, " s", Bar::AtMost(RISE.as_secs_f64())), &network);
    let after = RESUMED + RISE;
    figures.push(info("fairness from then on", fairness_between(&network, after, after + LAST), ""));
    judge(PAUSE.name, cell, seed, network, figures)
}

/// Flows of these delays and starts.
fn run(
    seed: u64,
    options: Options,
    rate: u64,
    flows: &[(Duration, Duration)],
    duration: Duration,
    steps: &[(Duration, Step)],
) -> Network {
    let mut network = Network::new(seed, rate, QUEUE);
    for (delay, start) in flows {
        network.media(Way::Forward, *delay, *start, control(options));
    }
    steps.iter().for_each(|(at, step)| network.at(*at, *step));
    network.run_until(options.duration.unwrap_or(duration));
    network
}

fn with_health(judged: Figure, network: &Network) -> Vec<Figure> {
    vec![
        judged,
        info("queue p95", queue_p95(network), " ms"),
        info("used", utilisation(network), " %"),
        // A pause is a picture that stands still.
        info("frozen, pauses included", frozen(network), " s"),
        lost(network),
    ]
}
