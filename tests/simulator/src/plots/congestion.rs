//! Plots of what ways were taken for and what was sent on them, for docs/congestion-results.md: each shows one run, of the first seed.
//!
//! What always holds: what is plotted are the rows that `--trace` writes, averaged over half a second.

use std::path::Path;

use sfumato_load::error::Error;
use sfumato_load::report::plot::{Axes, Line, draw, plain};

use super::SEED;
use crate::cases::{CASES, Case, Options};
use crate::rmcat::meter::SLICE;
use crate::series::{self, Row};

/// Rows that a point is averaged over.
const SMOOTH: usize = 5;

/// What of a row is drawn.
#[derive(Clone, Copy)]
enum Shown {
    Arrived,
    Estimate,
    Queue,
}

/// A run, and what of it is drawn.
struct Plot {
    file: &'static str,
    case: &'static str,
    cell: &'static str,
    title: &'static str,
    shown: &'static [Shown],
}

const RATES: &[Shown] = &[Shown::Arrived];
const BOTH: &[Shown] = &[Shown::Estimate, Shown::Arrived];
const QUEUE: &[Shown] = &[Shown::Queue];

const PLOTS: [Plot; 10] = [
    plot("one-flow", "5.1", "", "5.1: one flow, and a capacity that changes", BOTH),
    plot("one-flow-queue", "5.1", "", "5.1: how long packets wait", QUEUE),
    plot("two-flows", "5.2", "", "5.2: two flows share a capacity that changes", RATES),
    plot("way-back", "5.3", "", "5.3: the way back is tight from 35 s to 70 s (media 2 takes it)", RATES),
    plot("three-flows", "5.4", "", "5.4: three flows begin 20 s apart", RATES),
    plot("round-trips", "5.5", "", "5.5: five flows with delays of 10, 25, 50, 100 and 150 ms", RATES),
    plot("long-tcp", "5.6", "queue300", "5.6: beside a long TCP flow, queue 300 ms", RATES),
    plot("pause", "5.8", "", "5.8: the second of three flows pauses from 40 s to 60 s", RATES),
    plot("tight", "S2", "top1200", "S2: three simulcast videos over 500 kbit/s", BOTH),
    plot("starvation", "S3", "", "S3: 5 Mbit/s, 100 kbit/s for 30 s, 5 Mbit/s", BOTH),
];

const fn plot(
    file: &'static str,
    case: &'static str,
    cell: &'static str,
    title: &'static str,
    shown: &'static [Shown],
) -> Plot {
    Plot { file, case, cell, title, shown }
}

/// Writes all of them into a folder.
pub fn write(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder)?;
    PLOTS.iter().try_for_each(|plot| write_one(folder, plot))
}

fn write_one(folder: &Path, plot: &Plot) -> Result<(), Error> {
    let case: Option<&Case> = CASES.iter().find(|case| case.name == plot.case);
    let case = case.ok_or_else(|| Error::Usage(format!("no case {}", plot.case)))?;
    let (_, scene) = case.run(plot.cell, SEED, Options::default());
    let rows = series::of(&scene);
    let mut lines: Vec<Line> = plot.shown.iter().flat_map(|shown| lines(&rows, *shown)).collect();
    let y = match plot.shown {
        [Shown::Queue] => "ms",
        _ => {
            lines.extend(capacity(&rows));
            "kbit/s"
        }
    };
    let axes = Axes { title: plot.title, x: "seconds", y, label: plain };
    draw(&folder.join(format!("{}.svg", plot.file)), axes, &lines)
}

/// A line for each flow, in the order they first appear.
fn lines(rows: &[Row], shown: Shown) -> Vec<Line> {
    let mut flows: Vec<&str> = Vec::new();
    for row in rows {
        if !flows.contains(&row.flow.as_str()) {
            flows.push(&row.flow);
        }
    }
    let line = |flow: &&str| {
        let of_flow: Vec<&Row> = rows.iter().filter(|row| row.flow == **flow).collect();
        let points = of_flow.chunks(SMOOTH).filter_map(|chunk| {
            let sum: f64 = chunk.iter().map(|row| value(row, shown)).sum();
            Some((chunk.first()?.at.as_secs_f64(), sum / chunk.len() as f64))
        });
        Line { name: name(flow, shown), points: points.collect() }
    };
    flows.iter().map(line).collect()
}

fn name(flow: &str, shown: Shown) -> String {
    match shown {
        Shown::Arrived => flow.to_owned(),
        Shown::Estimate => format!("{flow}: estimate"),
        Shown::Queue => format!("{flow}: queue"),
    }
}

fn value(row: &Row, shown: Shown) -> f64 {
    match shown {
        Shown::Arrived => row.arrived as f64 / 1_000.0,
        Shown::Estimate => row.estimate.unwrap_or_default() as f64 / 1_000.0,
        Shown::Queue => row.queue.as_secs_f64() * 1_000.0,
    }
}

/// As steps.
fn capacity(rows: &[Row]) -> Option<Line> {
    let first = rows.first()?.flow.clone();
    let known = rows.iter().filter(|row| row.flow == first);
    let steps = known.filter_map(|row| Some(((row.at - SLICE).as_secs_f64(), row.capacity? as f64 / 1_000.0)));
    let points: Vec<(f64, f64)> = steps.collect();
    (!points.is_empty()).then(|| Line { name: "capacity".to_owned(), points })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_each_flow_and_the_capacity() {
        let folder = std::env::temp_dir().join(format!("sfumato-congestion-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        write_one(&folder, &PLOTS[2]).unwrap();
        let svg = std::fs::read_to_string(folder.join("two-flows.svg")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        for part in ["media 1", "media 2", "capacity", "kbit/s", "<polyline"] {
            assert!(svg.contains(part), "{part}");
        }
    }
}
