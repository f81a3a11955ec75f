//! A call of twenty, everybody sending and watching everybody, over ordinary paths: nothing freezes, all that is shown is what
//! was sent. It is also what tells how fast the simulation is.

use std::time::Duration;

use sfumato_load::link::{LinkConfig, Loss};

use super::{Case, Options, Run, frozen_percent, info, judge, scene, seconds};
use crate::client::Plan;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::{Path, World};

pub const CASE: Case = Case {
    name: "call",
    about: "a call of 20 over paths with 0.5 % loss and jitter",
    cells: super::one_cell,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

const PEOPLE: usize = 20;
const RATE: u64 = 500_000;
const DURATION: Duration = Duration::from_secs(30);

fn run(cell: &str, seed: u64, options: Options) -> (Outcome, World) {
    let link = LinkConfig {
        jitter: Duration::from_millis(5),
        loss: Loss::Even(0.005),
        ..LinkConfig::delayed(Duration::from_millis(25))
    };
    let member = |n: usize| {
        let others = PEOPLE - 1;
        let plan = Plan { audios: others, videos: others, ..Plan::publisher(&format!("person {n}"), RATE) };
        (plan, Path { up: link, down: link })
    };
    let mut world = scene(seed, options, (0..PEOPLE).map(member).collect());
    let end = world.now() + options.duration.unwrap_or(DURATION);
    world.run_until(end);
    world.end();
    let figures = figures(&world);
    judge(CASE.name, cell, seed, world, figures)
}

fn figures(world: &World) -> Vec<Figure> {
    let receivers = || world.places.iter().flat_map(|place| place.client.receivers.values());
    let frozen = receivers().map(|receiver| frozen_percent(world, Some(receiver), 0)).fold(0.0, f64::max);
    let frames = receivers().filter_map(|receiver| Some(receiver.playouts.first()?.freezes.frames));
    let fewest = frames.min().unwrap_or_default() as f64 / seconds(world);
    let packets: u64 =
        world.places.iter().map(|place| place.down_tap.video.packets + place.down_tap.audio.packets).sum();
    vec![
        Figure::new("streams", receivers().count() as f64, "", Bar::AtLeast((PEOPLE * (PEOPLE - 1)) as f64)),
        Figure::new("worst frozen", frozen, " %", Bar::Below(1.0)),
        Figure::new("fewest frames", fewest, "/s", Bar::AtLeast(29.0)),
        info("packets forwarded", packets as f64 / 1e6, " million"),
    ]
}
