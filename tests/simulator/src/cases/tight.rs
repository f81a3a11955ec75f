//! S2, a tight link with many tracks: 500 kbit/s for three simulcast videos of 1.2 Mbit/s each. What fits is sent, and it does not change
//! all the time.

use std::collections::BTreeMap;
use std::time::Duration;

use sfumato_load::link::LinkConfig;

use super::{
    Case, Options, Run, frozen_percent, info, judge, mean_estimate, overflow_percent, queue_p95, scene, seconds,
    video_rate,
};
use crate::client::Plan;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::{Path, World};

pub const CASE: Case = Case {
    name: "S2",
    about: "500 kbit/s for three simulcast tracks: all fit in their lowest layer, or one may have more",
    cells,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

const LINK: u64 = 500_000;
const ROUND_TRIP: Duration = Duration::from_millis(50);
const QUEUE: Duration = Duration::from_millis(300);
const DURATION: Duration = Duration::from_secs(120);
const TRACKS: usize = 3;

/// By the rate of the highest layer, kbit/s: the lowest has an eighth of it, and the one between three eighths.
fn cells() -> Vec<String> {
    ["top1200", "top720"].map(str::to_owned).to_vec()
}

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, World) {
    let rate = if cell == "top720" { 720_000 } else { 1_200_000 };
    let path = Path::with_round_trip(ROUND_TRIP);
    let options = Options { keep_frames: true, ..options };
    let publisher = |name| (Plan { simulcast: true, audio: false, ..Plan::publisher(name, rate) }, path);
    let mut members: Vec<(Plan, Path)> = ["anna", "bert", "cleo"].map(publisher).to_vec();
    let down = LinkConfig { rate: Some(LINK), ..path.down }.with_queue(QUEUE);
    members.push((Plan { audios: 0, ..Plan::viewer("dora", TRACKS) }, Path { down, ..path }));
    let mut world = scene(seed, options, members);
    let (start, end) = (world.now(), world.now() + options.duration.unwrap_or(DURATION));
    world.run_until(end);
    world.end();
    let shown = world.places.get(TRACKS).map_or(0, |place| place.client.receivers.len());
    let receivers = world.places.get(TRACKS).into_iter().flat_map(|place| place.client.receivers.values());
    let frozen = receivers.map(|receiver| frozen_percent(&world, Some(receiver), 0)).sum::<f64>() / TRACKS as f64;
    let figures = vec![
        Figure::new("layer switches", switches(&world) * 60.0 / seconds(&world), "/min", Bar::AtMost(4.0)),
        Figure::new("lost", overflow_percent(&world, TRACKS), " %", Bar::Below(2.0)),
        info("tracks shown", shown as f64, ""),
        info("estimate", mean_estimate(&world, TRACKS, start, end) / 1_000.0, " kbit/s"),
        info("video sent", video_rate(&world, TRACKS, start, end) / 1_000.0, " kbit/s"),
        info("queue p95", queue_p95(&world, TRACKS), " ms"),
        info("frozen, mean of tracks", frozen, " %"),
    ];
    judge(CASE.name, cell, seed, world, figures)
}

/// Changes from one encoding to another between frames that were decoded one after another, of all tracks.
fn switches(world: &World) -> f64 {
    let mut shown = BTreeMap::new();
    let frames = world.frames.iter().map(|watched| (watched.ssrc, watched.decoded.frame.encoding));
    frames.filter(|(ssrc, encoding)| shown.insert(*ssrc, *encoding).is_some_and(|before| before != *encoding)).count()
        as f64
}
