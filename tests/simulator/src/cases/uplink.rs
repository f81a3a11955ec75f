//! S1, uplink isolation: a publisher's way begins to lose 10 %, its viewers' ways lose nothing. What a publisher loses is no sign of a
//! subscriber's way: what the server takes those for stays where it was.

use std::time::Duration;

use sfumato_load::link::{LinkConfig, Loss};

use super::{Case, Options, Run, frozen_percent, info, judge, mean_estimate, scene, video};
use crate::client::Plan;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::{Path, World};

pub const CASE: Case = Case {
    name: "S1",
    about: "a publisher loses 10 %, subscribers are clean",
    cells: super::one_cell,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

const RATE: u64 = 1_000_000;
const ROUND_TRIP: Duration = Duration::from_millis(50);
const LOSS: f64 = 0.1;
/// The ways to viewers: one without a bottleneck, and one that takes twice the video.
const RATES: [Option<u64>; 2] = [None, Some(2_000_000)];
const CLEAN: Duration = Duration::from_secs(30);
const LOSSY: Duration = Duration::from_secs(30);
/// Before the loss begins, over which the estimate is what it was.
const REFERENCE: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, World) {
    let path = Path::with_round_trip(ROUND_TRIP);
    let mut members = vec![(Plan::publisher("anna", RATE), path)];
    for (rate, name) in RATES.into_iter().zip(["bert", "cleo"]) {
        let down = LinkConfig { rate, ..path.down }.with_queue(Duration::from_millis(300));
        members.push((Plan { audios: 1, ..Plan::viewer(name, 1) }, Path { down, ..path }));
    }
    let mut world = scene(seed, options, members);
    let lossy = world.now() + CLEAN;
    world.run_until(lossy);
    world.set_path(0, Path { up: LinkConfig { loss: Loss::Even(LOSS), ..path.up }, ..path });
    let end = lossy + LOSSY;
    world.run_until(end);
    world.end();
    let moved = (1..=RATES.len()).map(|id| moved(&world, id, lossy, end)).fold(0.0, worse);
    let figures = vec![
        Figure::new("estimates move", moved, " %", Bar::Below(5.0)),
        info("frozen", frozen_percent(&world, video(&world, 1), 0), " %"),
        info("estimate", mean_estimate(&world, 1, lossy, end) / 1_000.0, " kbit/s"),
        info("of a way of 2 Mbit/s", mean_estimate(&world, 2, lossy, end) / 1_000.0, " kbit/s"),
    ];
    judge(CASE.name, cell, seed, world, figures)
}

/// How far the estimate of any second is from what it was before, percent.
fn moved(world: &World, id: usize, from: Duration, to: Duration) -> f64 {
    let before = mean_estimate(world, id, from - REFERENCE, from);
    let seconds = (0..).map(|n| from + SECOND * n).take_while(|at| *at < to);
    let away = seconds.map(|at| (mean_estimate(world, id, at, at + SECOND) / before - 1.0).abs() * 100.0);
    away.fold(0.0, worse)
}

/// What is not a number is worst.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}
