//! S6, reordering: 1 % of packets come 50 ms late, on either side. Nothing was lost, so nothing may be done about it that
//! costs quality: no keyframe, no lower rate.

use std::time::Duration;

use sfumato_load::link::{LinkConfig, Reordering};

use super::{Case, GOOD_ROUND_TRIP, Options, Run, frozen_percent, info, judge, keyframe_requests, scene, video};
use crate::client::Plan;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::{Path, World};

pub const CASE: Case = Case {
    name: "S6",
    about: "1 % of packets late by 50 ms, on either side",
    cells,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

const DURATION: Duration = Duration::from_secs(60);
const RATE: u64 = 1_000_000;
/// The first keyframe may be asked for.
const START: Duration = Duration::from_secs(1);

fn cells() -> Vec<String> {
    ["viewer", "publisher"].map(str::to_owned).to_vec()
}

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, World) {
    let good = Path::with_round_trip(GOOD_ROUND_TRIP);
    let reordering = Reordering { share: 0.01, late_by: Duration::from_millis(50) };
    let reordered = LinkConfig { reordering, ..good.up };
    let (first, second) = match cell {
        "publisher" => (Path { up: reordered, ..good }, good),
        _ => (good, Path { down: reordered, ..good }),
    };
    let publisher = Plan { audios: 1, adapts: true, ..Plan::publisher("anna", RATE) };
    let mut world = scene(seed, options, vec![(publisher, first), (Plan::viewer("bert", 1).speaking(), second)]);
    let end = world.now() + options.duration.unwrap_or(DURATION);
    world.run_until(end);
    world.end();
    let figures = figures(&world);
    judge(CASE.name, cell, seed, world, figures)
}

fn figures(world: &World) -> Vec<Figure> {
    let requests = keyframe_requests(world, 0, world.media_began() + START);
    let receiver = video(world, 1);
    let asked = receiver.map_or(f64::NAN, |receiver| receiver.keyframe_requests as f64);
    let control = world.places.first().and_then(|place| place.client.rate.as_ref());
    let cuts = control.map_or(f64::NAN, |control| control.cuts as f64);
    let late = world.places.iter().map(|place| place.up.counters().reordered + place.down.counters().reordered);
    vec![
        Figure::new("keyframe requests", requests as f64 + asked, "", Bar::AtMost(0.0)),
        Figure::new("rate cuts", cuts, "", Bar::AtMost(0.0)),
        Figure::new("frozen", frozen_percent(world, receiver, 0), " %", Bar::Below(1.0)),
        Figure::new("late packets", late.sum::<u64>() as f64, "", Bar::AtLeast(1.0)),
        info("asked again", receiver.map_or(f64::NAN, |receiver| receiver.nack.asked as f64), ""),
    ]
}
