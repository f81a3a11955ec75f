//! Plots of what happened, for docs/media-quality.md: each shows one run of a case, of the first seed, or figures of several.
//!
//! What always holds: what is plotted is what the cases measure; the same code gives the same plots.

pub mod congestion;

use std::path::Path;
use std::time::Duration;

use sfumato_load::error::Error;
use sfumato_load::report::plot::{Axes, Line, draw, plain};

use crate::cases::{CASES, Options, layers, seconds};
use crate::outcome::Outcome;
use crate::world::tap::{SLICE, Slice, Tap};
use crate::world::{ClientId, World};

const SEED: u64 = 1;
/// Slices that a rate is averaged over.
const SMOOTH: usize = 5;

/// Writes all of them into a folder.
pub fn write(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder)?;
    lost_packets(&folder.join("sim-lost-packets.svg"))?;
    frozen(&folder.join("sim-frozen.svg"))?;
    slow_viewer(&folder.join("sim-slow-viewer.svg"))?;
    layer_switches(&folder.join("sim-layer-switches.svg"))?;
    joins(&folder.join("sim-joins.svg"))
}

fn run(case: &str, cell: &str, duration: Option<u64>) -> Result<(Outcome, World), Error> {
    let case = CASES.iter().find(|known| known.name == case);
    let case = case.ok_or_else(|| Error::Usage(format!("no case {cell}")))?;
    let options = Options { duration: duration.map(Duration::from_secs), keep_frames: true, ..Options::default() };
    let (outcome, scene) = case.run(cell, SEED, options);
    Ok((outcome, scene.world().ok_or_else(|| Error::Usage(format!("case {cell} has no world")))?))
}

fn lost_packets(path: &Path) -> Result<(), Error> {
    let (_, world) = run("S5", "viewer-even5-rtt100", Some(12))?;
    let line = |name: &str, of: fn(&Slice) -> f64| Line { name: name.to_owned(), points: series(&world, 1, 1, of) };
    let lines = [
        line("lost", |slice| (slice.video.lost + slice.repair.lost) as f64),
        line("sent again", |slice| slice.repair.packets as f64),
    ];
    let title = "5 % of packets lost on the way to a viewer, RTT 100 ms";
    draw(path, Axes { title, x: "seconds", y: "packets in 100 ms", label: plain }, &lines)
}

fn frozen(path: &Path) -> Result<(), Error> {
    let mut lines = Vec::new();
    for rtt in [20, 100, 200] {
        let mut patient = Line { name: format!("RTT {rtt} ms"), points: vec![(0.0, 0.0)] };
        let mut browser = Line { name: format!("RTT {rtt} ms, a browser's own delay"), points: vec![(0.0, 0.0)] };
        for loss in [1, 5, 10, 20, 30] {
            let (outcome, _) = run("S5", &format!("viewer-even{loss}-rtt{rtt}"), None)?;
            let figure = |name: &str| outcome.figure(name).unwrap_or(f64::NAN);
            patient.points.push((f64::from(loss), figure("frozen")));
            browser.points.push((f64::from(loss), figure("frozen in a browser's buffer")));
        }
        lines.extend([patient, browser]);
    }
    let title = "Frozen share of the time over loss, towards a viewer";
    draw(path, Axes { title, x: "packets lost, %", y: "% of the time", label: plain }, &lines)
}

fn slow_viewer(path: &Path) -> Result<(), Error> {
    let (_, world) = run("S4", "", Some(20))?;
    let line =
        |name: &str, id, of: fn(&Slice) -> f64| Line { name: name.to_owned(), points: series(&world, id, SMOOTH, of) };
    let sent = |slice: &Slice| kilobits(slice.video.bytes + slice.repair.bytes);
    let arrives = |slice: &Slice| kilobits(slice.video.arrived_bytes() + slice.repair.arrived_bytes());
    let lines = [
        line("sent to the one at 300 kbit/s", 1, sent),
        line("arrives there", 1, arrives),
        line("arrives at another", 2, arrives),
    ];
    let title = "One of twenty viewers has 300 kbit/s for a video of 1.2 Mbit/s";
    draw(path, Axes { title, x: "seconds", y: "kbit/s", label: plain }, &lines)
}

fn layer_switches(path: &Path) -> Result<(), Error> {
    let (_, world) = run("layers", "", None)?;
    let arrives = |slice: &Slice| kilobits(slice.video.arrived_bytes());
    let sent = |slice: &Slice| kilobits(slice.video.bytes);
    let received =
        Line { name: "received".to_owned(), points: series_of(&world, &tap(&world, 1, true), SMOOTH, arrives) };
    let publisher = Line {
        name: "sent by the publisher".to_owned(),
        points: series_of(&world, &tap(&world, 0, false), SMOOTH, sent),
    };
    let mut wishes = Line { name: "layer wanted (0, 1, 2; times 500)".to_owned(), points: vec![(0.0, 1_000.0)] };
    for n in 1..=layers::SWITCHES {
        let at = (layers::EVERY * n as u32).as_secs_f64();
        let before = wishes.points.last().map_or(0.0, |point| point.1);
        wishes.points.extend([(at, before), (at, f64::from(layers::wish(n - 1) as u8) * 500.0)]);
    }
    let title = "A viewer changes the layer it wants every four seconds";
    draw(path, Axes { title, x: "seconds", y: "kbit/s", label: plain }, &[received, publisher, wishes])
}

fn joins(path: &Path) -> Result<(), Error> {
    let (_, world) = run("S7", "", None)?;
    let first = |place: &crate::world::Place| {
        let joined = place.client.joined;
        let frame = place.client.only_video()?.first_frame?;
        Some((joined.as_secs_f64(), (frame - joined).as_secs_f64() * 1_000.0))
    };
    let mut points: Vec<(f64, f64)> = world.places.iter().skip(1).filter_map(first).collect();
    let start = points.first().map_or(0.0, |point| point.0);
    points.iter_mut().for_each(|point| point.0 -= start);
    let title = "A hundred viewers join within a second, RTT 50 ms";
    let lines = [Line { name: "from joining to the first picture".to_owned(), points }];
    draw(path, Axes { title, x: "joined at, seconds", y: "milliseconds", label: plain }, &lines)
}

/// Of one 100 ms.
fn kilobits(bytes: u64) -> f64 {
    bytes as f64 * 8.0 / 1_000.0 / SLICE.as_secs_f64()
}

fn tap(world: &World, id: ClientId, down: bool) -> Tap {
    let place = world.places.get(id);
    place.map(|place| if down { &place.down_tap } else { &place.up_tap }).cloned().unwrap_or_default()
}

/// What went down to a client, from the start of media on.
fn series(world: &World, id: ClientId, smooth: usize, of: fn(&Slice) -> f64) -> Vec<(f64, f64)> {
    series_of(world, &tap(world, id, true), smooth, of)
}

fn series_of(world: &World, tap: &Tap, smooth: usize, of: fn(&Slice) -> f64) -> Vec<(f64, f64)> {
    let first = (world.media_began().as_millis() / SLICE.as_millis()) as usize;
    let slices = tap.slices.get(first..).unwrap_or_default();
    let chunks = (0u32..).zip(slices.chunks_exact(smooth.max(1)));
    let width = SLICE.as_secs_f64() * smooth as f64;
    let points = chunks.map(|(n, chunk)| (f64::from(n) * width, chunk.iter().map(of).sum::<f64>() / smooth as f64));
    points.take_while(|(at, _)| *at <= seconds(world)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_holds_what_was_lost_and_what_was_sent_again() {
        let path = std::env::temp_dir().join(format!("sfumato-sim-{}.svg", std::process::id()));
        lost_packets(&path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for part in ["lost", "sent again", "packets in 100 ms", "<polyline"] {
            assert!(svg.contains(part), "{part}");
        }
    }

    #[test]
    fn a_series_begins_with_media_and_has_a_point_for_each_slice() {
        let (_, world) = run("S5", "viewer-even5-rtt20", Some(5)).unwrap();
        let points = series(&world, 1, 1, |slice| slice.video.packets as f64);
        assert!((45..=51).contains(&points.len()), "{}", points.len());
        let mean = points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64;
        assert!((10.0..16.0).contains(&mean), "about 120 packets a second: {mean}");
    }
}
