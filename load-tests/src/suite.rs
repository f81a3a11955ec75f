//! The short set: the scenarios of the project's bar one after another, each against a fresh server.

use std::path::Path;

use crate::error::Error;
use crate::options::Options;
use crate::report::plot;
use crate::report::summary::Summary;
use crate::scenario::{Course, Scenario};

/// Viewers of the fan-outs, by which cost over size is drawn.
const FAN_OUTS: [usize; 3] = [10, 50, 200];

pub fn scenarios() -> Vec<Scenario> {
    let fan_outs = FAN_OUTS.map(|viewers| Scenario::steady("fanout", 1, viewers));
    let others = [
        Scenario::steady("meeting", 10, 0),
        Scenario::steady("webinar", 3, 50),
        Scenario { simulcast: true, ..Scenario::steady("layers", 1, 30) },
        Scenario { course: Course::Storm { joiners: 100 }, ..Scenario::steady("storm", 1, 10) },
        Scenario { course: Course::Churn { per_second: 5.0 }, ..Scenario::steady("churn", 1, 30) },
        Scenario { course: Course::Max, ..Scenario::steady("max", 1, 50) },
    ];
    fan_outs.into_iter().chain(others).collect()
}

/// Cost over the size of the fan-outs.
pub fn plot_sizes(options: &Options, summaries: &[(Scenario, Summary)], folder: &Path) -> Result<(), Error> {
    let fan_outs = summaries.iter().filter(|(scenario, _)| scenario.name == "fanout");
    let cost = |(scenario, summary): &(Scenario, Summary)| {
        Some((scenario.viewers as f64, summary.get("server.us_per_packet")?.median))
    };
    let points: Vec<(f64, f64)> = fan_outs.filter_map(cost).collect();
    if points.len() < 2 {
        return Ok(());
    }
    let rate = options.media.packets_per_second();
    plot::sizes(&folder.join("sizes.svg"), &format!("Server CPU per packet, 1 -> N at {rate:.0} packets/s"), points)
}
