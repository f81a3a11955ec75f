//! Loss recovery with a viewer that is none of ours: the requests for lost packets and what becomes of retransmissions are
//! another implementation's, so that the models and the server cannot be wrong together.

use std::time::Duration;

use sfumato_load::link::{LinkConfig, Loss};

use super::{Case, Options, Run, info, judge, scene};
use crate::client::Plan;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::{Path, World};

pub const CASE: Case = Case {
    name: "independent",
    about: "loss towards a viewer of webrtc-rs: what it lacks in the end",
    cells,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

const RATE: u64 = 1_000_000;
const ROUND_TRIP: Duration = Duration::from_millis(40);
const CONNECTING: Duration = Duration::from_secs(5);
const DURATION: Duration = Duration::from_secs(30);
/// Numbers at the end that may be on their way: a second of them.
const TAIL: i64 = 150;
const VIEWER: usize = 1;

fn cells() -> Vec<String> {
    ["even5", "bursts5"].map(str::to_owned).to_vec()
}

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, World) {
    let path = Path::with_round_trip(ROUND_TRIP);
    let mut world = scene(seed, options, vec![(Plan::publisher("anna", RATE), path)]);
    world.join_independent("viewer of webrtc-rs", path);
    let connected = world.now() + CONNECTING;
    world.run_until(connected);
    let share = 0.05;
    let loss = if cell == "bursts5" { Loss::Bursts { share, length: 5.0 } } else { Loss::Even(share) };
    world.set_path(VIEWER, Path { down: LinkConfig { loss, ..path.down }, ..path });
    let end = connected + options.duration.unwrap_or(DURATION);
    world.run_until(end);
    world.end();
    let figures = figures(&mut world);
    judge(CASE.name, cell, seed, world, figures)
}

fn figures(world: &mut World) -> Vec<Figure> {
    let Some(place) = world.places.get_mut(VIEWER) else { return Vec::new() };
    let lost = place.down_tap.video.lost as f64;
    let again = place.down_tap.repair.packets as f64 / (lost + place.down_tap.repair.lost as f64);
    let Some(peer) = &mut place.independent else { return Vec::new() };
    world.faults.append(&mut peer.faults);
    vec![
        Figure::new("packets lost on the way", lost, "", Bar::AtLeast(50.0)),
        Figure::new("lacking in the end", 100.0 * peer.missing(TAIL) as f64 / lost, " %", Bar::AtMost(2.0)),
        Figure::new("damaged", peer.damaged() as f64, "", Bar::AtMost(0.0)),
        // It goes on asking for what came as a retransmission: its requests are made where those are not seen.
        info("RTX", again, " x loss"),
        info("packets", peer.packets() as f64, ""),
    ]
}
