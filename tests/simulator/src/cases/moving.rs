//! S8, a path change: a viewer's link is gone for two seconds and comes back with another address, as when a phone leaves a
//! wireless network.

use std::time::Duration;

use sfumato_load::link::{LinkConfig, Loss};

use super::{Case, Options, Run, info, judge, scene, video};
use crate::client::Plan;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::{Path, World};

pub const CASE: Case = Case {
    name: "S8",
    about: "a viewer's address changes after a gap of 2 s",
    cells: super::one_cell,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

const RATE: u64 = 1_000_000;
const ROUND_TRIP: Duration = Duration::from_millis(50);
const BEFORE: Duration = Duration::from_secs(10);
const GAP: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(10);
const VIEWER: usize = 1;

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, World) {
    let path = Path::with_round_trip(ROUND_TRIP);
    let gone = LinkConfig { loss: Loss::All, ..path.up };
    let publisher = Plan { audios: 1, ..Plan::publisher("anna", RATE) };
    let options = Options { keep_frames: true, ..options };
    let mut world = scene(seed, options, vec![(publisher, path), (Plan::viewer("bert", 1).speaking(), path)]);
    let start = world.now();
    world.run_until(start + BEFORE);
    world.set_path(VIEWER, Path { up: gone, down: gone });
    world.run_until(start + BEFORE + GAP);
    world.set_path(VIEWER, path);
    world.move_client(VIEWER);
    let back = world.now();
    world.run_until(back + AFTER);
    world.end();
    let figures = figures(&world, back);
    judge(CASE.name, cell, seed, world, figures)
}

fn figures(world: &World, back: Duration) -> Vec<Figure> {
    let shown = world.frames.iter().filter(|watched| watched.client == VIEWER);
    let shown: Vec<Duration> = shown.filter_map(|watched| watched.decoded.shown.first().copied()).collect();
    let first = shown.iter().find(|at| **at >= back).map_or(f64::INFINITY, |at| (*at - back).as_secs_f64());
    // A stream that goes on has 30 frames a second; half of them at least say that it does.
    let steady = shown.iter().filter(|at| **at >= back + Duration::from_secs(2)).count() as f64 / 8.0;
    vec![
        Figure::new("video after", first, " s", Bar::AtMost(1.0)),
        Figure::new("frames from then on", steady, "/s", Bar::AtLeast(29.0)),
        info("PLI", video(world, VIEWER).map_or(f64::NAN, |receiver| receiver.keyframe_requests as f64), ""),
    ]
}
