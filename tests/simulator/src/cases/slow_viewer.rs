//! S4, one bad viewer: of twenty who watch one publisher, one has 300 kbit/s for a video of four times that. The others must
//! not notice: the run is compared with the same one in which that viewer is as well connected as they are.

use std::time::Duration;

use sfumato_load::link::LinkConfig;

use super::{Case, Options, Run, frozen_percent, info, judge, keyframe_requests, latency_ms, scene, seconds, video};
use crate::client::Plan;
use crate::client::receiver::VideoReceiver;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::{Path, World};

pub const CASE: Case = Case {
    name: "S4",
    about: "one of twenty viewers at 300 kbit/s: the others unchanged",
    cells: super::one_cell,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

const DURATION: Duration = Duration::from_secs(60);
const VIEWERS: usize = 20;
const RATE: u64 = 1_200_000;
const TIGHT: u64 = 300_000;
const ROUND_TRIP: Duration = Duration::from_millis(40);
/// The bad viewer's place, behind the publisher's.
const BAD: usize = 1;

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, World) {
    let without = call(seed, options, false);
    let with = call(seed, options, true);
    let figures = figures(&without, &with);
    judge(CASE.name, cell, seed, with, figures)
}

fn call(seed: u64, options: Options, bad: bool) -> World {
    let good = Path::with_round_trip(ROUND_TRIP);
    let tight = LinkConfig { rate: Some(TIGHT), ..good.down }.with_queue(Duration::from_millis(300));
    let mut members = vec![(Plan::publisher("anna", RATE), good)];
    for viewer in 1..=VIEWERS {
        let path = if bad && viewer == BAD { Path { down: tight, ..good } } else { good };
        members.push((Plan::viewer(&format!("viewer {viewer}"), 1), path));
    }
    let mut world = scene(seed, options, members);
    let end = world.now() + options.duration.unwrap_or(DURATION);
    world.run_until(end);
    world.end();
    world
}

fn figures(without: &World, with: &World) -> Vec<Figure> {
    let others = || BAD + 1..=VIEWERS;
    let frozen = |world: &World, playout| {
        others().map(|id| frozen_percent(world, video(world, id), playout)).fold(0.0, f64::max)
    };
    let shown = |world: &World| {
        let frames = others().filter_map(|id| Some(video(world, id)?.playouts.first()?.freezes.frames));
        frames.min().unwrap_or_default() as f64
    };
    let lost = |world: &World| others().filter_map(|id| video(world, id)).map(VideoReceiver::gaps).sum::<u64>() as f64;
    let latency = |world: &World| {
        let playouts = others().filter_map(|id| video(world, id)?.playouts.first().map(latency_ms));
        playouts.fold(0.0, f64::max)
    };
    let a_second = keyframe_requests(with, 0, with.media_began()) as f64 / seconds(with);
    vec![
        Figure::new("others frozen more", frozen(with, 0) - frozen(without, 0), " %", Bar::AtMost(0.0)),
        Figure::new("others' frames", 100.0 * shown(with) / shown(without), " %", Bar::AtLeast(99.9)),
        Figure::new("others' packets lost", lost(with) - lost(without), "", Bar::AtMost(0.0)),
        Figure::new("PLI at the publisher", a_second, "/s", Bar::AtMost(1.0)),
        // A keyframe takes the publisher's pacer longer than another frame: whoever buffers for the latest frame waits for it.
        info("others' latency more", latency(with) - latency(without), " ms"),
        info("the bad one frozen", frozen_percent(with, video(with, BAD), 0), " %"),
    ]
}
