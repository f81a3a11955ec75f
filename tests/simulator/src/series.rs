//! What happened in each 100 ms of a run, as rows of a table: for people who want to see why.
//!
//! What always holds: a row's figures are of its own 100 ms but for the estimate and the freezes, which are as of its end.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use crate::cases::Scene;
use crate::outcome::Outcome;
use crate::rmcat::meter::SLICE;
use crate::rmcat::network::Network;
use crate::world::{Sample, World};

/// One flow, or one client's downlink, in 100 ms.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Row {
    pub flow: String,
    /// The end of the 100 ms.
    pub at: Duration,
    /// Bits a second.
    pub estimate: Option<u64>,
    pub sent: u64,
    pub arrived: u64,
    pub capacity: Option<u64>,
    pub queue: Duration,
    pub lost: u64,
    /// The simulcast encoding that was shown last.
    pub layer: Option<u8>,
    pub frozen: Duration,
}

/// Of all flows of a run.
pub fn of(scene: &Scene) -> Vec<Row> {
    match scene {
        Scene::World(world) => of_world(world),
        Scene::Network(network) => of_network(network),
    }
}

fn of_network(network: &Network) -> Vec<Row> {
    let a_second = (1.0 / SLICE.as_secs_f64()) as u64;
    let rows = network.flows.iter().flat_map(|flow| {
        flow.meter.slices.iter().zip(1u32..).map(|(slice, n)| Row {
            flow: flow.name.clone(),
            at: SLICE * n,
            estimate: Some(slice.target),
            sent: slice.sent_bytes * 8 * a_second,
            arrived: slice.arrived_bytes * 8 * a_second,
            capacity: capacity(network, SLICE * (n - 1)),
            queue: slice.queue,
            lost: slice.lost,
            layer: None,
            frozen: slice.frozen,
        })
    });
    rows.collect()
}

/// Of whoever receives video.
fn of_world(world: &World) -> Vec<Row> {
    let a_second = (1.0 / SLICE.as_secs_f64()) as u64;
    let row = |sample: &Sample| {
        let place = world.places.get(sample.client)?;
        let index = ((sample.at - SLICE).as_micros() / SLICE.as_micros()) as usize;
        let slice = place.down_tap.slices.get(index).copied().unwrap_or_default();
        let least = place.down.config().delay;
        Some(Row {
            flow: place.client.plan.identity.clone(),
            at: sample.at - world.media_began(),
            estimate: sample.estimate,
            sent: (slice.video.bytes + slice.repair.bytes) * 8 * a_second,
            arrived: (slice.video.arrived_bytes() + slice.repair.arrived_bytes()) * 8 * a_second,
            capacity: place.down.config().rate,
            queue: slice.delay.saturating_sub(least),
            lost: slice.video.lost + slice.repair.lost,
            layer: sample.layer,
            frozen: sample.frozen,
        })
    };
    world.samples.iter().filter_map(row).collect()
}

fn capacity(network: &Network, at: Duration) -> Option<u64> {
    network.capacities.iter().rev().find(|(from, _)| *from <= at).map(|(_, rate)| *rate)
}

/// Rows of runs, as CSV (RFC 4180).
pub struct Table {
    text: String,
}

impl Default for Table {
    fn default() -> Self {
        let head = "case,cell,seed,flow,seconds,estimate_kbps,sent_kbps,arrived_kbps,capacity_kbps,queue_ms,lost,layer,frozen_s";
        Table { text: format!("{head}\r\n") }
    }
}

impl Table {
    pub fn add(&mut self, outcome: &Outcome, rows: &[Row]) {
        let Outcome { case, cell, seed, .. } = outcome;
        for row in rows {
            let Row { flow, at, queue, lost, frozen, .. } = row;
            let (at, queue) = (at.as_secs_f64(), queue.as_secs_f64() * 1_000.0);
            let (sent, arrived) = (row.sent / 1_000, row.arrived / 1_000);
            let (estimate, capacity) = (kilobits(row.estimate), kilobits(row.capacity));
            let layer = row.layer.map(|layer| layer.to_string()).unwrap_or_default();
            let frozen = frozen.as_secs_f64();
            // A String takes everything.
            let _ = write!(
                self.text,
                "{case},{cell},{seed},{flow},{at:.1},{estimate},{sent},{arrived},{capacity},{queue:.1},{lost},{layer},{frozen:.2}\r\n"
            );
        }
    }

    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, &self.text)
    }
}

fn kilobits(rate: Option<u64>) -> String {
    rate.map(|rate| (rate / 1_000).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{CASES, Options};

    #[test]
    fn a_table_has_a_row_for_each_flow_and_slice() {
        let case = CASES.iter().find(|case| case.name == "5.2").unwrap();
        let options = Options { duration: Some(Duration::from_secs(2)), ..Options::default() };
        let (outcome, scene) = case.run("", 1, options);
        let mut table = Table::default();
        table.add(&outcome, &of(&scene));
        let lines: Vec<&str> = table.text.lines().collect();
        assert_eq!(lines.len(), 1 + 2 * 20);
        let columns = |line: &str| line.split(',').count();
        assert!(lines.iter().all(|line| columns(line) == columns(lines[0])));
        assert!(lines[40].starts_with("5.2,,1,media 2,2.0,") && lines[40].contains(",4000,"), "{}", lines[40]);
    }
}
