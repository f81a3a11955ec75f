//! Readings of everything at one moment, and of what changes from second to second.

use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::engine::{Engine, Snapshot};
use crate::error::Error;
use crate::measure::kernel::Drops;
use crate::measure::process::{self, CpuTime};

/// Between two samples.
pub const SAMPLE_EVERY: Duration = Duration::from_secs(1);

pub struct Reading {
    pub snapshot: Snapshot,
    pub drops: Drops,
    pub server: Option<ServerReading>,
    pub own: CpuTime,
}

#[derive(Clone, Copy)]
pub struct ServerReading {
    pub cpu: CpuTime,
    /// Bytes.
    pub resident: u64,
}

/// One second of a window.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Its end, since the window began.
    pub at_s: f64,
    pub packets_per_second: f64,
    pub server_cores: f64,
    pub server_us_per_packet: f64,
    pub server_resident_bytes: u64,
}

/// Where a run reads.
#[derive(Clone)]
pub struct Source {
    pub engine: Engine,
    pub pid: Option<u32>,
}

impl Source {
    pub fn read(&self) -> Result<Reading, Error> {
        let server = self.pid.map(server).transpose()?;
        let snapshot = self.engine.read()?;
        let drops = Drops::read(&snapshot.ports)?;
        Ok(Reading { snapshot, drops, server, own: CpuTime::of(std::process::id())? })
    }

    /// Resident memory of the server, bytes.
    pub fn resident(&self) -> Result<Option<u64>, Error> {
        Ok(self.pid.map(process::resident).transpose()?)
    }

    /// Waits for `duration`, sampling meanwhile.
    pub async fn sample(&self, duration: Duration) -> Result<Vec<Sample>, Error> {
        let start = Instant::now();
        let (mut samples, mut before) = (Vec::new(), self.read()?);
        while let Some(left) = duration.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left.min(SAMPLE_EVERY)).await;
            let after = self.read()?;
            // What is left over at the end is too short to tell anything.
            if left >= SAMPLE_EVERY / 2 {
                samples.push(sample(start, &before, &after));
            }
            before = after;
        }
        Ok(samples)
    }
}

fn sample(start: Instant, before: &Reading, after: &Reading) -> Sample {
    let seconds = (after.snapshot.at - before.snapshot.at).as_secs_f64();
    let packets = (after.snapshot.totals.packets - before.snapshot.totals.packets) as f64;
    let used = before.server.zip(after.server).map_or(0.0, |(before, after)| after.cpu.since(&before.cpu).total);
    Sample {
        at_s: (after.snapshot.at - start).as_secs_f64(),
        packets_per_second: packets / seconds,
        server_cores: used / seconds,
        server_us_per_packet: if packets > 0.0 { used * 1e6 / packets } else { 0.0 },
        server_resident_bytes: after.server.map_or(0, |server| server.resident),
    }
}

fn server(pid: u32) -> io::Result<ServerReading> {
    Ok(ServerReading { cpu: CpuTime::of(pid)?, resident: process::resident(pid)? })
}
