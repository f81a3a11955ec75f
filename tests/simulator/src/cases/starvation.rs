//! S3, starvation: a viewer's way takes 5 Mbit/s, then 100 kbit/s for 30 s, then 5 Mbit/s again. Its top layer is to come back soon: what
//! little is sent meanwhile does not show what the way takes, so somebody has to look.

use std::time::Duration;

use sfumato_load::link::LinkConfig;

use super::{
    Case, GOOD_ROUND_TRIP, Options, Run, frozen_percent, info, judge, mean_estimate, overflow_percent, queue_p95,
    scene, video, video_rate,
};
use crate::client::Plan;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::{Path, World};

pub const CASE: Case = Case {
    name: "S3",
    about: "5 Mbit/s, 100 kbit/s for 30 s, 5 Mbit/s again",
    cells: super::one_cell,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

const GOOD: u64 = 5_000_000;
const STARVED: u64 = 100_000;
/// Of the top layer.
const RATE: u64 = 2_000_000;
const ROUND_TRIP: Duration = Duration::from_millis(50);
const QUEUE: Duration = Duration::from_millis(300);
const BEFORE: Duration = Duration::from_secs(20);
const STARVING: Duration = Duration::from_secs(30);
const AFTER: Duration = Duration::from_secs(30);
const TOP: u8 = 2;
const VIEWER: usize = 1;

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, World) {
    let path = Path::with_round_trip(ROUND_TRIP);
    let with = |rate| Path { down: LinkConfig { rate: Some(rate), ..path.down }.with_queue(QUEUE), ..path };
    let publisher = Plan { simulcast: true, ..Plan::publisher("anna", RATE) };
    let viewer = Plan { audios: 1, ..Plan::viewer("bert", 1) };
    let options = Options { keep_frames: true, ..options };
    let members = vec![(publisher, Path::with_round_trip(GOOD_ROUND_TRIP)), (viewer, with(GOOD))];
    let mut world = scene(seed, options, members);
    let starved = world.now() + BEFORE;
    world.run_until(starved);
    world.set_path(VIEWER, with(STARVED));
    let back = starved + STARVING;
    world.run_until(back);
    world.set_path(VIEWER, with(GOOD));
    world.run_until(back + AFTER);
    world.end();
    let starving = (starved + Duration::from_secs(5), back);
    let meanwhile = video_rate(&world, VIEWER, starving.0, starving.1) / 1_000.0;
    let figures = vec![
        Figure::new("top layer before", f64::from(u8::from(shows_top(&world, starved))), "", Bar::AtLeast(1.0)),
        Figure::new("top layer again after", top_after(&world, back), " s", Bar::AtMost(10.0)),
        Figure::new("video sent while starved", meanwhile, " kbit/s", Bar::AtMost(1.5 * STARVED as f64 / 1_000.0)),
        info("estimate while starved", mean_estimate(&world, VIEWER, starving.0, starving.1) / 1_000.0, " kbit/s"),
        info("queue p95", queue_p95(&world, VIEWER), " ms"),
        info("lost", overflow_percent(&world, VIEWER), " %"),
        info("frozen", frozen_percent(&world, video(&world, VIEWER), 0), " %"),
    ];
    judge(CASE.name, cell, seed, world, figures)
}

/// The last frame that was decoded before some time was of the top layer.
fn shows_top(world: &World, at: Duration) -> bool {
    let mut before = world.frames.iter().filter(|watched| watched.decoded.at < at);
    before.next_back().is_some_and(|watched| watched.decoded.frame.encoding == TOP)
}

/// Seconds until a frame of the top layer was decoded that was encoded after this.
fn top_after(world: &World, at: Duration) -> f64 {
    let frames = world.frames.iter().map(|watched| watched.decoded);
    let mut top = frames.filter(|decoded| decoded.at >= at && decoded.frame.encoding == TOP);
    top.next().map_or(f64::INFINITY, |decoded| (decoded.at - at).as_secs_f64())
}
