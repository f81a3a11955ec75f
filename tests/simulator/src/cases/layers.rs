//! Layer switches: one who watches a simulcast video changes its mind about the size every few seconds, over a path with some
//! loss. Each switch is to be seen soon, and to the decoder it is one stream: nothing stands still.

use std::time::Duration;

use sfumato::room::model::{Quality, Wanted};
use sfumato_load::link::{LinkConfig, Loss};

use super::{Case, GOOD_ROUND_TRIP, Options, Run, frozen_percent, info, judge, scene, video};
use crate::client::Plan;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::{Path, World};

pub const CASE: Case = Case {
    name: "layers",
    about: "a simulcast layer switch every 4 s",
    cells: super::one_cell,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

const RATE: u64 = 1_500_000;
const ROUND_TRIP: Duration = Duration::from_millis(50);
const LOSS: f64 = 0.01;
/// Between two switches.
pub const EVERY: Duration = Duration::from_secs(4);
pub const SWITCHES: usize = 15;
const VIEWER: usize = 1;
/// What is wanted, again and again: up and down by one and by two.
const WISHES: [Quality; 5] = [Quality::Low, Quality::Medium, Quality::High, Quality::Low, Quality::High];

/// What is wanted at the n-th switch.
pub fn wish(n: usize) -> Quality {
    WISHES.get(n % WISHES.len()).copied().unwrap_or(Quality::High)
}

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, World) {
    let ideal = LinkConfig::delayed(ROUND_TRIP / 2);
    let path = Path { up: ideal, down: LinkConfig { loss: Loss::Even(LOSS), ..ideal } };
    let publisher = Plan { audios: 1, simulcast: true, ..Plan::publisher("anna", RATE) };
    let options = Options { keep_frames: true, ..options };
    let members = vec![(publisher, Path::with_round_trip(GOOD_ROUND_TRIP)), (Plan::viewer("bert", 1).speaking(), path)];
    let mut world = scene(seed, options, members);
    let start = world.now();
    let mut waits = Vec::new();
    for n in 1..=SWITCHES {
        let at = start + EVERY * n as u32;
        world.run_until(at);
        world.want(VIEWER, Wanted::quality(wish(n - 1)));
        world.run_until(at + EVERY);
        waits.push(seen_after(&world, at, wish(n - 1)));
    }
    world.end();
    let figures = figures(&world, &waits);
    judge(CASE.name, cell, seed, world, figures)
}

/// Seconds until a frame of the wanted encoding was decoded.
fn seen_after(world: &World, at: Duration, wanted: Quality) -> f64 {
    let mut decoded = world.frames.iter().filter(|watched| watched.client == VIEWER).map(|watched| watched.decoded);
    let seen = decoded.find(|decoded| decoded.at >= at && decoded.frame.encoding == wanted as u8);
    seen.map_or(f64::INFINITY, |decoded| (decoded.at - at).as_secs_f64())
}

fn figures(world: &World, waits: &[f64]) -> Vec<Figure> {
    let slowest = waits.iter().copied().fold(0.0, f64::max);
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    vec![
        Figure::new("slowest switch", slowest, " s", Bar::AtMost(1.0)),
        Figure::new("frozen", frozen_percent(world, video(world, VIEWER), 0), " %", Bar::Below(1.0)),
        info("mean switch", mean, " s"),
        info("PLI by the viewer", video(world, VIEWER).map_or(f64::NAN, |v| v.keyframe_requests as f64), ""),
    ]
}
