//! S5, loss recovery: packets are lost on the way to a viewer, or from the publisher, evenly or in bursts, at three round trip
//! times; what is asked for and sent again has to keep the picture moving, without being wasteful.

use std::time::Duration;

use sfumato_load::link::{LinkConfig, Loss};

use super::{Case, GOOD_ROUND_TRIP, Options, Run, frozen_percent, info, judge, latency_ms, scene, video};
use crate::client::Plan;
use crate::outcome::{Bar, Figure, Judgement, Outcome};
use crate::world::{Path, Tap, World};

pub const CASE: Case = Case {
    name: "S5",
    about: "loss recovery: even and in bursts of 5, RTT 20/100/200 ms, towards a viewer and from the publisher",
    cells,
    judgement: Judgement::Worst,
    run: Run::World(run),
};

const DURATION: Duration = Duration::from_secs(180);
const RATE: u64 = 1_000_000;
/// Mean length of a burst.
const BURST: f64 = 5.0;
/// Loss at which the bars of freezing are set, percent; below the lower one that one's bar holds.
const LITTLE: u32 = 5;
const MUCH: u32 = 20;

#[derive(Clone, Copy, PartialEq, Debug)]
struct Cell {
    to_viewer: bool,
    bursts: bool,
    percent: u32,
    round_trip: Duration,
}

fn cells() -> Vec<String> {
    let mut cells = Vec::new();
    for side in ["viewer", "publisher"] {
        for loss in ["even1", "even5", "even10", "even20", "even30", "bursts5", "bursts20"] {
            cells.extend(["20", "100", "200"].map(|rtt| format!("{side}-{loss}-rtt{rtt}")));
        }
    }
    cells
}

/// `viewer-even5-rtt100`.
fn parse(cell: &str) -> Option<Cell> {
    let mut words = cell.split('-');
    let (side, loss, rtt) = (words.next()?, words.next()?, words.next()?.strip_prefix("rtt")?);
    let (bursts, percent) = match loss.strip_prefix("even") {
        Some(percent) => (false, percent),
        None => (true, loss.strip_prefix("bursts")?),
    };
    let round_trip = Duration::from_millis(rtt.parse().ok()?);
    Some(Cell { to_viewer: side == "viewer", bursts, percent: percent.parse().ok()?, round_trip })
}

impl Cell {
    fn loss(self) -> Loss {
        let share = f64::from(self.percent) / 100.0;
        if self.bursts { Loss::Bursts { share, length: BURST } } else { Loss::Even(share) }
    }

    /// Media is lost; what asks for it again is not: the way back is another link.
    fn path(self) -> Path {
        let ideal = LinkConfig::delayed(self.round_trip / 2);
        let lossy = LinkConfig { loss: self.loss(), ..ideal };
        if self.to_viewer { Path { up: ideal, down: lossy } } else { Path { up: lossy, down: ideal } }
    }

    fn freeze_bar(self) -> Bar {
        match self.percent {
            percent if percent <= LITTLE => Bar::Below(1.0),
            percent if percent <= MUCH => Bar::Below(5.0),
            _ => Bar::None,
        }
    }
}

fn run(name: &str, seed: u64, options: Options) -> (Outcome, World) {
    let Some(cell) = parse(name) else {
        let mut world = World::new(seed);
        world.faults.push(format!("no such cell: {name}"));
        return judge(CASE.name, name, seed, world, Vec::new());
    };
    let good = Path::with_round_trip(GOOD_ROUND_TRIP);
    let (first, second) = if cell.to_viewer { (good, cell.path()) } else { (cell.path(), good) };
    let publisher = Plan { audios: 1, ..Plan::publisher("anna", RATE) };
    let mut world = scene(seed, options, vec![(publisher, first), (Plan::viewer("bert", 1).speaking(), second)]);
    let end = world.now() + options.duration.unwrap_or(DURATION);
    world.run_until(end);
    world.end();
    let figures = figures(&world, cell);
    judge(CASE.name, name, seed, world, figures)
}

fn figures(world: &World, cell: Cell) -> Vec<Figure> {
    let receiver = video(world, 1);
    let lossy = match cell.to_viewer {
        true => world.places.get(1).map(|place| &place.down_tap),
        false => world.places.first().map(|place| &place.up_tap),
    };
    let waste = lossy.map_or(f64::NAN, retransmitted);
    let requests = receiver.map_or(0, |receiver| receiver.keyframe_requests);
    let latency = receiver.and_then(|receiver| receiver.playouts.first()).map_or(f64::NAN, latency_ms);
    vec![
        Figure::new("frozen", frozen_percent(world, receiver, 0), " %", cell.freeze_bar()),
        Figure::new("RTX", waste, " x loss", Bar::AtMost(1.5)),
        info("frozen in a browser's buffer", frozen_percent(world, receiver, 1), " %"),
        info("latency", latency, " ms"),
        info("PLI", requests as f64, ""),
    ]
}

/// Packets sent again for each packet of the stream that was lost; those that are lost again cost more than one.
fn retransmitted(tap: &Tap) -> f64 {
    tap.repair.packets as f64 / tap.video.lost as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_read_and_no_other() {
        let read: Vec<Cell> = cells().iter().filter_map(|name| parse(name)).collect();
        assert_eq!(read.len(), 42);
        let cell = parse("viewer-even5-rtt100").unwrap();
        assert_eq!((cell.to_viewer, cell.loss()), (true, Loss::Even(0.05)));
        assert_eq!(cell.round_trip, Duration::from_millis(100));
        for wrong in ["", "viewer", "viewer-odd5-rtt20", "viewer-even5-20", "viewer-evenx-rtt20"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_bars_are_those_of_the_scoreboard() {
        let bar = |name: &str| parse(name).unwrap().freeze_bar();
        assert_eq!([1, 5].map(|n| bar(&format!("viewer-even{n}-rtt20"))), [Bar::Below(1.0); 2]);
        assert_eq!([10, 20].map(|n| bar(&format!("viewer-even{n}-rtt20"))), [Bar::Below(5.0); 2]);
        assert_eq!(bar("publisher-even30-rtt20"), Bar::None);
    }
}
