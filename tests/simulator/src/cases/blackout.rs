//! S12, a feedback blackout: nothing comes from a viewer for three seconds, what it is sent arrives. What is sent without knowing what
//! becomes of it becomes less; and when feedback comes again, nobody takes that for a reason to probe at once.

use std::time::Duration;

use sfumato_load::link::{LinkConfig, Loss};

use super::{Case, Options, Run, frozen_percent, info, judge, mean_estimate, scene, video, video_rate};
use crate::client::Plan;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::tap::SLICE;
use crate::world::{Path, World};

pub const CASE: Case = Case {
    name: "S12",
    about: "no RTCP of a viewer for 3 s",
    cells: super::one_cell,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

/// Of the top layer, and of the way: so there is something to look for by probes.
const RATE: u64 = 2_000_000;
const LINK: u64 = 3_000_000;
const ROUND_TRIP: Duration = Duration::from_millis(50);
const BEFORE: Duration = Duration::from_secs(20);
const BLACKOUT: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(20);
/// A probe within this time is an answer to feedback that came again.
const AT_ONCE: Duration = Duration::from_secs(1);
const SECOND: Duration = Duration::from_secs(1);
const VIEWER: usize = 1;

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, World) {
    let path = Path::with_round_trip(ROUND_TRIP);
    let down = LinkConfig { rate: Some(LINK), ..path.down }.with_queue(Duration::from_millis(300));
    let good = Path { down, ..path };
    let publisher = Plan { simulcast: true, ..Plan::publisher("anna", RATE) };
    let viewer = Plan { audios: 1, ..Plan::viewer("bert", 1) };
    let mut world = scene(seed, options, vec![(publisher, path), (viewer, good)]);
    let dark = world.now() + BEFORE;
    world.run_until(dark);
    world.set_path(VIEWER, Path { up: LinkConfig { loss: Loss::All, ..path.up }, ..good });
    let light = dark + BLACKOUT;
    world.run_until(light);
    let probes = world.counters.probes.get();
    world.set_path(VIEWER, good);
    world.run_until(light + AT_ONCE);
    let probes = world.counters.probes.get() - probes;
    world.run_until(light + AFTER);
    world.end();
    let before = mean_estimate(&world, VIEWER, dark - SECOND, dark);
    let least = mean_estimate(&world, VIEWER, light - 2 * SLICE, light);
    let usual = peak(&world, dark - 10 * SECOND, dark);
    let figures = vec![
        Figure::new("estimate at the end", 100.0 * least / before, " % of before", Bar::AtMost(80.0)),
        Figure::new("probes at once", probes as f64, "", Bar::AtMost(0.0)),
        Figure::new(
            "peak at once",
            100.0 * peak(&world, light, light + AT_ONCE) / usual,
            " % of before",
            Bar::AtMost(110.0),
        ),
        info("estimate before", before / 1_000.0, " kbit/s"),
        info(
            "estimate 20 s after",
            mean_estimate(&world, VIEWER, light + AFTER - SECOND, light + AFTER) / 1_000.0,
            " kbit/s",
        ),
        info("frozen", frozen_percent(&world, video(&world, VIEWER), 0), " %"),
    ];
    judge(CASE.name, cell, seed, world, figures)
}

/// The highest rate of video and what repairs it in 100 ms.
fn peak(world: &World, from: Duration, to: Duration) -> f64 {
    let slices = (0..).map(|n| from + SLICE * n).take_while(|at| *at < to);
    slices.map(|at| video_rate(world, VIEWER, at, at + SLICE)).fold(0.0, f64::max)
}
