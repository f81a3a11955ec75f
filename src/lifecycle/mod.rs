//! Where the server is between start and end, and whom it takes in at present. One place for what `/readyz`, the adaptors
//! and the metrics tell of it.
//!
//! What always holds: a phase is never gone back from; whoever is in a room, or was a moment ago, is not turned away for
//! load; in a drain rooms that run here stay open to all, and no other room opens.

pub mod liveness;
pub mod memory;
pub mod metrics;
pub mod overload;
pub mod slices;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::OverloadLimits;
use crate::telemetry::counters::ShardCounters;
use memory::MemoryGauge;
use overload::{Change, Measured, Overload};

/// Between two looks at the load: as long as a shard measures.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    Starting,
    Serving,
    /// Asked to end: rooms that run here go on.
    Draining,
    /// The grace is over: participants are told to go elsewhere, and nobody is let in.
    Moving,
    Ended,
}

const PHASES: [Phase; 5] = [Phase::Starting, Phase::Serving, Phase::Draining, Phase::Moving, Phase::Ended];

/// Why the server takes nobody new.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotReady {
    #[error("starting")]
    Starting,
    #[error("draining")]
    Draining,
    #[error("overloaded: every shard is busier than limit.shard_busy_percent allows")]
    Busy,
    #[error("overloaded: more memory is used than limit.memory_percent allows")]
    Memory,
}

/// Why somebody is turned away at the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Shed {
    #[error("the server is about to end: join again, and another will take you in")]
    Draining,
    #[error("the server is too busy for one more: try again later")]
    Busy,
    #[error("the server is short of memory: try again later")]
    Memory,
}

/// Every reason with its label, in the order of [`Lifecycle::shed_counts`].
const SHED: [(Shed, &str); 3] = [(Shed::Draining, "draining"), (Shed::Busy, "busy"), (Shed::Memory, "memory")];

/// Who asks to be let in, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The shards that the room is on; `None` for a room that is not open.
    pub room: Option<&'a [usize]>,
    /// Is in that room, or was a moment ago.
    pub returning: bool,
}

pub struct Lifecycle {
    phase: AtomicU8,
    overload: Mutex<Overload>,
    shed: [AtomicU64; SHED.len()],
}

impl Lifecycle {
    pub fn new(limits: &OverloadLimits, shards: usize) -> Lifecycle {
        Lifecycle {
            phase: AtomicU8::new(0),
            overload: Mutex::new(Overload::new(limits, shards)),
            shed: Default::default(),
        }
    }

    pub fn phase(&self) -> Phase {
        PHASES.get(usize::from(self.phase.load(Relaxed))).copied().unwrap_or(Phase::Ended)
    }

    /// Goes on to a phase; one that is over does nothing.
    pub fn enter(&self, phase: Phase) {
        let index = PHASES.iter().position(|known| *known == phase).and_then(|index| u8::try_from(index).ok());
        self.phase.fetch_max(index.unwrap_or(u8::MAX), Relaxed);
    }

    /// Whether a new room would be opened.
    pub fn readiness(&self) -> Result<(), NotReady> {
        match self.phase() {
            Phase::Starting => return Err(NotReady::Starting),
            Phase::Serving => {}
            Phase::Draining | Phase::Moving | Phase::Ended => return Err(NotReady::Draining),
        }
        let overload = self.overload();
        match (overload.is_short_of_memory(), overload.is_all_busy()) {
            (true, _) => Err(NotReady::Memory),
            (false, true) => Err(NotReady::Busy),
            (false, false) => Ok(()),
        }
    }

    /// Whether somebody may join. Who comes publishes to everybody: a room needs air on each shard it is on.
    pub fn judge(&self, asking: Asking<'_>) -> Result<(), Shed> {
        match (self.phase(), asking.room) {
            (Phase::Moving | Phase::Ended, _) | (Phase::Draining, None) => return Err(Shed::Draining),
            _ if asking.returning => return Ok(()),
            _ => {}
        }
        let overload = self.overload();
        let busy = match asking.room {
            Some(shards) => shards.iter().any(|shard| overload.is_busy(*shard)),
            None => overload.is_all_busy(),
        };
        match (overload.is_short_of_memory(), busy) {
            (true, _) => Err(Shed::Memory),
            (false, true) => Err(Shed::Busy),
            (false, false) => Ok(()),
        }
    }

    /// Somebody was turned away.
    pub fn count_shed(&self, reason: Shed) {
        let index = SHED.iter().position(|(known, _)| *known == reason);
        if let Some(count) = index.and_then(|index| self.shed.get(index)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How many were turned away, by reason.
    pub fn shed_counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        SHED.iter().zip(&self.shed).map(|((_, label), count)| (*label, count.load(Relaxed)))
    }

    /// Takes what was measured, and logs when that changes who is let in.
    pub fn measured(&self, now: Instant, measured: &Measured) {
        for change in self.overload().update(now, measured) {
            match change {
                Change::ShardBusy(shard) => tracing::warn!(shard, "overloaded: no new participants on this shard"),
                Change::ShardFree(shard) => tracing::info!(shard, "no longer overloaded"),
                Change::MemoryShort => tracing::warn!("overloaded: short of memory, no new participants"),
                Change::MemoryFree => tracing::info!("no longer short of memory"),
            }
        }
    }

    /// Of the limit's whole; `None` where the system does not tell.
    pub fn memory_used(&self) -> Option<f64> {
        self.overload().memory_used()
    }

    /// Nothing is done under the lock that can panic.
    fn overload(&self) -> MutexGuard<'_, Overload> {
        self.overload.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures for as long as it is polled. What it reads is written by shards once a second while they are not idle.
pub async fn keep_measured(lifecycle: Arc<Lifecycle>, shards: Vec<Arc<ShardCounters>>) {
    let memory = MemoryGauge::find();
    let mut ticks = tokio::time::interval(MEASURE_EVERY);
    loop {
        ticks.tick().await;
        let busy = shards.iter().map(|counters| counters.busy_percent.get() as f64 / 100.0).collect();
        lifecycle.measured(Instant::now(), &Measured { busy, memory: memory.used() });
    }
}

#[cfg(test)]
mod tests;
