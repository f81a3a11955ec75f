//! What is asked of the server, case by case, and the bars.
//!
//! What always holds: a case is a pure function of its cell, its seed and [`Options`]; connecting happens over ideal links, so
//! that what a case measures begins with media.

mod blackout;
mod call;
mod independent;
pub mod layers;
mod loss;
mod moving;
mod reordering;
pub mod rmcat;
mod slow_viewer;
mod starvation;
mod storm;
mod tight;
mod uplink;

use std::time::Duration;

use crate::client::Plan;
use crate::client::playout::Playout;
use crate::client::receiver::VideoReceiver;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::rmcat::meter::percentile;
use crate::rmcat::network::Network;
use crate::world::tap::SLICE;
use crate::world::{ClientId, Path, World};

/// How a case is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Nobody asks for lost packets, and nobody sends them again: what depends on recovery must fail.
    pub without_recovery: bool,
    /// Nobody estimates what a way takes: what depends on that must fail.
    pub without_control: bool,
    /// Frames are kept, for plots.
    pub keep_frames: bool,
    /// How long media lasts, where a case's own time is too long.
    pub duration: Option<Duration>,
}

/// A case of the scoreboard.
pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    /// Names of its cells; one without a name where there is one only.
    pub cells: fn() -> Vec<String>,
    pub judgement: Judgement,
    run: Run,
}

/// Runs one cell with one seed.
#[derive(Clone, Copy)]
enum Run {
    World(fn(cell: &str, seed: u64, options: Options) -> (Outcome, World)),
    Network(fn(cell: &str, seed: u64, options: Options) -> (Outcome, Network)),
}

/// What was run, to be looked at more closely.
pub enum Scene {
    World(Box<World>),
    Network(Box<Network>),
}

impl Case {
    pub fn run(&self, cell: &str, seed: u64, options: Options) -> (Outcome, Scene) {
        match self.run {
            Run::World(run) => {
                let (outcome, world) = run(cell, seed, options);
                (outcome, Scene::World(Box::new(world)))
            }
            Run::Network(run) => {
                let (outcome, network) = run(cell, seed, options);
                (outcome, Scene::Network(Box::new(network)))
            }
        }
    }
}

impl Scene {
    pub fn world(self) -> Option<World> {
        match self {
            Scene::World(world) => Some(*world),
            Scene::Network(_) => None,
        }
    }

    pub fn network(self) -> Option<Network> {
        match self {
            Scene::Network(network) => Some(*network),
            Scene::World(_) => None,
        }
    }
}

pub const CASES: [Case; 20] = [
    rmcat::capacity::ONE_FLOW,
    rmcat::capacity::TWO_FLOWS,
    rmcat::feedback::CASE,
    rmcat::competing::SAME,
    rmcat::competing::ROUND_TRIPS,
    rmcat::tcp::LONG,
    rmcat::tcp::SHORT,
    rmcat::competing::PAUSE,
    uplink::CASE,
    tight::CASE,
    starvation::CASE,
    slow_viewer::CASE,
    loss::CASE,
    reordering::CASE,
    storm::CASE,
    moving::CASE,
    blackout::CASE,
    layers::CASE,
    independent::CASE,
    call::CASE,
];

/// What must fail, to show that it can: a case, one of its cells, and what is left out.
pub struct Canary {
    pub case: &'static Case,
    pub cell: &'static str,
    pub without: &'static str,
    pub options: fn(Options) -> Options,
}

pub const CANARIES: [Canary; 3] = [
    Canary {
        case: &loss::CASE,
        cell: "viewer-even5-rtt100",
        without: "recovery",
        options: |options| Options { without_recovery: true, ..options },
    },
    Canary {
        case: &rmcat::capacity::ONE_FLOW,
        cell: "",
        without: "an estimate",
        options: |options| Options { without_control: true, ..options },
    },
    Canary {
        case: &tight::CASE,
        cell: "",
        without: "an estimate",
        options: |options| Options { without_control: true, ..options },
    },
];

/// Media begins so long after the first joins: everybody is connected by then.
const CONNECTING: Duration = Duration::from_secs(3);
/// The path while connecting, and of those whose path does not matter.
const GOOD_ROUND_TRIP: Duration = Duration::from_millis(20);

fn one_cell() -> Vec<String> {
    vec![String::new()]
}

/// A world in which these are connected and begin to send, the first at [`CONNECTING`]; each on its own path from then on.
fn scene(seed: u64, options: Options, members: Vec<(Plan, Path)>) -> World {
    let mut world = World::new(seed);
    world.keep_frames = options.keep_frames;
    let paths: Vec<Path> = members.iter().map(|(_, path)| *path).collect();
    for (plan, _) in members {
        let (recovers, tells) = (plan.recovers && !options.without_recovery, plan.tells && !options.without_control);
        let plan = Plan { recovers, tells, ..plan };
        world.join(plan, Path::with_round_trip(Duration::from_millis(2)));
        let next = world.now() + Duration::from_millis(20);
        world.run_until(next);
    }
    world.run_until(CONNECTING);
    for (id, path) in paths.into_iter().enumerate() {
        world.set_path(id, path);
        if !world.places.get(id).is_some_and(|place| place.client.is_connected()) {
            world.faults.push(format!("client {id} is not connected"));
        }
    }
    world.begin_media();
    world
}

/// Closes a world and judges it; what clients found wrong with what they received counts as faults.
fn judge(case: &'static str, cell: &str, seed: u64, mut world: World, figures: Vec<Figure>) -> (Outcome, World) {
    let mut faults = std::mem::take(&mut world.faults);
    let receivers = || world.places.iter().flat_map(|place| place.client.receivers.values());
    let sum = |of: fn(&VideoReceiver) -> u64| receivers().map(of).sum::<u64>();
    let found = [
        ("payloads that nobody sent", sum(|receiver| receiver.damaged)),
        ("picture ids that do not follow", sum(|receiver| receiver.discontinuities)),
        ("frames that nobody encoded", world.wrong_frames),
        ("retransmissions of unknown streams", world.places.iter().map(|place| place.client.oddities.unmapped).sum()),
    ];
    faults.extend(found.into_iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")));
    let (hash, virtual_time) = (world.trace.hash(), world.now());
    (Outcome { case, cell: cell.to_owned(), seed, figures, hash, faults, virtual_time }, world)
}

/// The video a client watches, where it watches one.
fn video(world: &World, id: ClientId) -> Option<&VideoReceiver> {
    world.places.get(id)?.client.only_video()
}

/// Share of the time since media began in which a picture stood still, percent; all of it where there never was one.
fn frozen_percent(world: &World, receiver: Option<&VideoReceiver>, playout: usize) -> f64 {
    let time = seconds(world);
    let playout = receiver.and_then(|receiver| receiver.playouts.get(playout));
    playout
        .filter(|playout| playout.freezes.frames > 1)
        .map_or(100.0, |playout| 100.0 * playout.freezes.total.as_secs_f64() / time)
}

/// Mean time from encoding to being shown, milliseconds.
fn latency_ms(playout: &Playout) -> f64 {
    let frames = u32::try_from(playout.freezes.frames).unwrap_or(u32::MAX).max(1);
    (playout.latency / frames).as_secs_f64() * 1_000.0
}

/// Keyframe requests that reached a publisher from some time on.
fn keyframe_requests(world: &World, id: ClientId, after: Duration) -> usize {
    let after = world.instant(after);
    let videos = world.places.get(id).map(|place| &place.client.videos);
    videos.into_iter().flatten().map(|video| video.requested_after(after)).sum()
}

/// A mean of what the server took the way to a client for, bits a second; not a number where it never knew.
fn mean_estimate(world: &World, id: ClientId, from: Duration, to: Duration) -> f64 {
    let samples = world.samples.iter().filter(|sample| sample.client == id && sample.at > from && sample.at <= to);
    let known: Vec<u64> = samples.filter_map(|sample| sample.estimate).collect();
    known.iter().sum::<u64>() as f64 / known.len() as f64
}

/// Bits a second that went down to a client, or were dropped on the way, without audio.
fn video_rate(world: &World, id: ClientId, from: Duration, to: Duration) -> f64 {
    let index = |at: Duration| (at.as_micros() / SLICE.as_micros()) as usize;
    let slices = world.places.get(id).and_then(|place| place.down_tap.slices.get(index(from)..));
    let slices = slices.into_iter().flatten().take(index(to).saturating_sub(index(from)));
    let bytes: u64 = slices.map(|slice| slice.video.bytes + slice.repair.bytes).sum();
    bytes as f64 * 8.0 / (to - from).as_secs_f64()
}

/// Share of what went down to a client that the queue of its way had no room for, percent.
fn overflow_percent(world: &World, id: ClientId) -> f64 {
    let counters = world.places.get(id).map(|place| place.down.counters()).unwrap_or_default();
    100.0 * counters.overflowed as f64 / counters.sent.max(1) as f64
}

/// How long nineteen of twenty datagrams waited in the queue towards a client at most, by the longest of each 100 ms; milliseconds.
fn queue_p95(world: &World, id: ClientId) -> f64 {
    let first = (world.media_began().as_micros() / SLICE.as_micros()) as usize;
    let place = world.places.get(id);
    let least = place.map_or(Duration::ZERO, |place| place.down.config().delay);
    let slices = place.and_then(|place| place.down_tap.slices.get(first..)).unwrap_or_default();
    let waits = slices.iter().map(|slice| slice.delay.saturating_sub(least).as_secs_f64() * 1_000.0);
    percentile(waits.collect(), 0.95)
}

/// How long media has lasted, seconds.
pub fn seconds(world: &World) -> f64 {
    (world.now() - world.media_began()).as_secs_f64()
}

fn info(name: &str, value: f64, unit: &'static str) -> Figure {
    Figure::new(name, value, unit, Bar::None)
}
