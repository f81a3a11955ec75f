//! The test cases of RFC 8867, section 5: media flows with the server's congestion control over a bottleneck that they share, with bars of
//! our own.
//!
//! What always holds: rates are of bits on the wire, with all headers, as capacities are; everything counts from the first packet on.

pub mod capacity;
pub mod competing;
pub mod feedback;
pub mod tcp;

use std::time::Duration;

use super::Options;
use crate::outcome::{Bar, Figure, Outcome};
use crate::rmcat::meter::{SLICE, fairness, percentile};
use crate::rmcat::network::{Flow, Network, Step, Way};
use crate::rmcat::sender::Control;

/// One way, without queues.
const DELAY: Duration = Duration::from_millis(50);
const QUEUE: Duration = Duration::from_millis(300);
/// A rate is told over so much time.
const WINDOW: Duration = Duration::from_millis(500);
/// How long after a fall its queue may stand.
const FALL: Duration = Duration::from_secs(2);
const RISE: Duration = Duration::from_secs(5);
/// Share of a capacity that is good enough.
const USED: f64 = 0.8;
/// Beyond a capacity by so much is what pacing and headers make, and no queue that grows.
const FILLED: f64 = 1.05;

/// Seconds and bits a second.
type Course = &'static [(u64, u64)];

fn control(options: Options) -> Control {
    if options.without_control { Control::Fixed } else { Control::Estimated }
}

/// A path whose capacity takes a course in one direction.
fn follow(network: &mut Network, way: Way, course: Course) {
    course.iter().for_each(|(at, rate)| network.at(Duration::from_secs(*at), Step::Rate(way, *rate)));
}

fn judge(case: &'static str, cell: &str, seed: u64, network: Network, figures: Vec<Figure>) -> (Outcome, Network) {
    let damaged = media(&network).filter_map(|flow| flow.media()?.receiver.video.as_ref()).map(|video| video.damaged);
    let damaged: u64 = damaged.sum();
    let faults = if damaged > 0 { vec![format!("{damaged} payloads that nobody sent")] } else { Vec::new() };
    let (hash, virtual_time) = (network.trace.hash(), network.now());
    (Outcome { case, cell: cell.to_owned(), seed, figures, hash, faults, virtual_time }, network)
}

/// Media flows of the direction forward.
fn media(network: &Network) -> impl Iterator<Item = &Flow> {
    network.flows.iter().filter(|flow| flow.way == Way::Forward && flow.media().is_some())
}

/// Bits a second that the way forward takes at a time.
fn capacity(network: &Network, at: Duration) -> f64 {
    let known = network.capacities.iter().rev().find(|(from, _)| *from <= at);
    known.map_or(f64::NAN, |(_, rate)| *rate as f64)
}

fn arrival_rate(network: &Network, from: Duration, to: Duration) -> f64 {
    media(network).map(|flow| flow.meter.arrival_rate(from, to)).sum()
}

fn sending_rate(network: &Network, from: Duration, to: Duration) -> f64 {
    media(network).map(|flow| flow.meter.sending_rate(from, to)).sum()
}

/// A change of the capacity, until the next or the end.
struct Change {
    at: Duration,
    until: Duration,
    before: u64,
    after: u64,
}

fn changes(network: &Network) -> Vec<Change> {
    let end = (network.now(), 0);
    let times = network.capacities.iter().chain([&end]);
    let ends: Vec<(Duration, u64)> = times.copied().collect();
    let change = |three: &[(Duration, u64)]| match three {
        [(_, before), (at, after), (until, _)] => {
            Some(Change { at: *at, until: *until, before: *before, after: *after })
        }
        _ => None,
    };
    ends.windows(3).filter_map(change).collect()
}

fn falls(network: &Network) -> Vec<Change> {
    changes(network).into_iter().filter(|change| change.after < change.before).collect()
}

/// Seconds from a moment until something holds of the window that just passed.
fn until_holds(at: Duration, until: Duration, holds: impl Fn(Duration, Duration) -> bool) -> f64 {
    let ends = (1..).map(|n| at + n * SLICE).take_while(|end| *end <= until);
    let mut ends = ends.skip_while(|end| !holds(end.saturating_sub(WINDOW), *end));
    ends.next().map_or(f64::INFINITY, |end| (end - at).as_secs_f64())
}

/// The longest time until what arrives is most of a capacity that rose.
fn slowest_rise(network: &Network) -> f64 {
    let rises = changes(network).into_iter().filter(|change| change.after > change.before);
    let time = |change: Change| {
        let enough = USED * change.after as f64;
        until_holds(change.at, change.until, |from, to| arrival_rate(network, from, to) >= enough)
    };
    rises.map(time).fold(0.0, f64::max)
}

/// The longest time until what is sent is no more than a capacity that fell.
fn slowest_fall(network: &Network) -> f64 {
    let time = |change: Change| {
        let most = FILLED * change.after as f64;
        until_holds(change.at, change.until, |from, to| sending_rate(network, from, to) <= most)
    };
    falls(network).into_iter().map(time).fold(0.0, f64::max)
}

/// How long nineteen of twenty media packets waited at most, but for just after falls; milliseconds.
fn queue_p95(network: &Network) -> f64 {
    let falls = falls(network);
    let counts = |at: &Duration| !falls.iter().any(|fall| (fall.at..fall.at + FALL).contains(at));
    let waits = media(network).flat_map(|flow| &flow.meter.waits).filter(|(at, _)| counts(at));
    percentile(waits.map(|(_, waited)| waited.as_secs_f64() * 1_000.0).collect(), 0.95)
}

/// Share of all that could have arrived that did, percent.
fn utilisation(network: &Network) -> f64 {
    let end = [(network.now(), 0)];
    let course: Vec<(Duration, u64)> = network.capacities.iter().chain(&end).copied().collect();
    let bits = |pair: &[(Duration, u64)]| match pair {
        [(from, rate), (to, _)] => (*to - *from).as_secs_f64() * *rate as f64,
        _ => 0.0,
    };
    let possible: f64 = course.windows(2).map(bits).sum();
    100.0 * arrival_rate(network, Duration::ZERO, network.now()) * network.now().as_secs_f64() / possible
}

/// Of the viewer whose picture stood still longest, seconds.
fn frozen(network: &Network) -> f64 {
    let frozen = media(network).filter_map(|flow| Some(flow.media()?.receiver.frozen().as_secs_f64()));
    frozen.fold(0.0, f64::max)
}

/// Of the flow that lost most. RFC 8867 asks for no bar; but who is controlled does not lose a tenth, whatever else it reaches.
fn lost(network: &Network) -> Figure {
    let most = media(network).map(|flow| flow.meter.loss()).fold(0.0, f64::max);
    Figure::new("lost", 100.0 * most, " %", Bar::AtMost(10.0))
}

/// Jain's index over what arrived of each media flow.
fn fairness_between(network: &Network, from: Duration, to: Duration) -> f64 {
    fairness(&media(network).map(|flow| flow.meter.arrival_rate(from, to)).collect::<Vec<f64>>())
}

/// Not a number where any is none.
fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.reduce(|a, b| if a.is_nan() || a < b { a } else { b }).unwrap_or(f64::NAN)
}

/// What 5.1 and 5.2 ask alike.
fn capacity_figures(network: &Network) -> Vec<Figure> {
    vec![
        Figure::new("80 % after a rise", slowest_rise(network), " s", Bar::AtMost(RISE.as_secs_f64())),
        Figure::new("within after a fall", slowest_fall(network), " s", Bar::AtMost(FALL.as_secs_f64())),
        Figure::new("queue p95", queue_p95(network), " ms", Bar::Below(100.0)),
        Figure::new("used", utilisation(network), " %", Bar::AtLeast(100.0 * USED)),
        Figure::new("frozen", frozen(network), " s", Bar::Below(1.0)),
        lost(network),
    ]
}
