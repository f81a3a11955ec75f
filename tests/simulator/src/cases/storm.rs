//! S7, a storm of joins: a hundred viewers join within a second. Each is to see a picture soon, and the publisher is not to be
//! asked for keyframes by each of them.

use std::time::{Duration, Instant};

use super::{Case, Options, Run, info, judge, scene, video};
use crate::client::Plan;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::{Path, World};

pub const CASE: Case = Case {
    name: "S7",
    about: "100 joins in a second",
    cells: super::one_cell,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

const JOINS: usize = 100;
const ROUND_TRIP: Duration = Duration::from_millis(50);
const RATE: u64 = 1_000_000;
/// The call goes on for so long before the storm and after it.
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, World) {
    let path = Path::with_round_trip(ROUND_TRIP);
    let mut world = scene(seed, options, vec![(Plan::publisher("anna", RATE), path)]);
    let storm = world.now() + BEFORE;
    for joiner in 0..JOINS as u32 {
        world.run_until(storm + SECOND * joiner / JOINS as u32);
        let plan = Plan { recovers: !options.without_recovery, ..Plan::viewer(&format!("viewer {joiner}"), 1) };
        world.join(plan, path);
    }
    world.run_until(storm + SECOND + AFTER);
    world.end();
    let figures = figures(&world, storm);
    judge(CASE.name, cell, seed, world, figures)
}

fn figures(world: &World, storm: Duration) -> Vec<Figure> {
    let first = |id: usize| {
        let joined = world.places.get(id)?.client.joined;
        Some(video(world, id)?.first_frame?.saturating_sub(joined).as_secs_f64() * 1_000.0)
    };
    // Who never saw a picture waited for longer than anybody.
    let mut waits: Vec<f64> = (1..=JOINS).map(|id| first(id).unwrap_or(f64::INFINITY)).collect();
    waits.sort_by(f64::total_cmp);
    let quantile = |share: f64| waits.get((share * (waits.len() - 1) as f64).round() as usize).copied();
    let bar = 500.0 + ROUND_TRIP.as_secs_f64() * 1_000.0;
    vec![
        Figure::new("first frame p95", quantile(0.95).unwrap_or(f64::NAN), " ms", Bar::AtMost(bar)),
        Figure::new("keyframes asked", busiest_second(world, storm) as f64, "/s", Bar::AtMost(2.0)),
        info("first frame p50", quantile(0.5).unwrap_or(f64::NAN), " ms"),
        info("slowest", quantile(1.0).unwrap_or(f64::NAN), " ms"),
    ]
}

/// Most requests that the publisher got within a second.
fn busiest_second(world: &World, storm: Duration) -> usize {
    let Some(video) = world.places.first().and_then(|place| place.client.videos.first()) else { return usize::MAX };
    let storm = world.instant(storm);
    let requests: Vec<Instant> = video.keyframe_requests.iter().filter(|at| **at >= storm).copied().collect();
    let within = |first: &Instant| requests.iter().filter(|at| **at >= *first && **at < *first + SECOND).count();
    requests.iter().map(within).max().unwrap_or_default()
}
