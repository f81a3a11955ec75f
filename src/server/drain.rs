//! The server's end: rooms that run go on until they are empty or the grace is over; then participants are told to
//! reconnect, a few at a time; who is still there when the spread is over is told at once.
//!
//! What always holds: readiness is gone before anything else happens; a second signal ends every wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::signals::Signals;
use crate::config::Drain;
use crate::lifecycle::slices::Slices;
use crate::lifecycle::{Lifecycle, Phase};
use crate::signalling::port::Rooms;

/// Between two looks whether anybody is left.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two lines of the log.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// For shards to tell participants of the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Waits for the signal to end, and returns when everybody was told and the server may stop.
pub async fn run(rooms: Rooms, lifecycle: Arc<Lifecycle>, drain: Drain, signals: Signals) {
    signals.reached(1).await;
    lifecycle.enter(Phase::Draining);
    rooms.close_to_new();
    let (open, participants) = rooms.count();
    let grace = drain.grace.as_secs();
    tracing::info!(
        rooms = open,
        participants,
        grace_s = grace,
        "asked to end: no new rooms; a second signal ends at once"
    );
    tokio::select! {
        () = gently(&rooms, &lifecycle, &drain) => tracing::info!("stopping"),
        () = signals.reached(2) => {
            let (open, participants) = rooms.count();
            tracing::warn!(rooms = open, participants, "asked twice to end: stopping at once");
        }
    }
    lifecycle.enter(Phase::Moving);
    let _ = tokio::time::timeout(FAREWELL, rooms.shut_down()).await;
    lifecycle.enter(Phase::Ended);
}

async fn gently(rooms: &Rooms, lifecycle: &Lifecycle, drain: &Drain) {
    if until_empty(rooms, drain.grace).await {
        return;
    }
    let (open, participants) = rooms.count();
    let spread = drain.spread.as_secs();
    tracing::info!(
        rooms = open,
        participants,
        spread_s = spread,
        "the grace is over: participants are told to reconnect"
    );
    lifecycle.enter(Phase::Moving);
    move_away(rooms, drain.spread, participants).await;
}

/// True when nobody was left before the grace was over.
async fn until_empty(rooms: &Rooms, grace: Duration) -> bool {
    let mut progress = Progress::new(Instant::now());
    let empty = async {
        while !progress.is_empty(rooms) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(grace, empty).await.is_ok()
}

async fn move_away(rooms: &Rooms, spread: Duration, participants: u64) {
    let start = Instant::now();
    let mut slices = Slices::new(start, spread, usize::try_from(participants).unwrap_or(usize::MAX));
    let mut progress = Progress::new(start);
    loop {
        let now = Instant::now();
        let due = slices.due(now);
        if due > 0 {
            // Those of a shard that is stuck are not waited for.
            slices.told(tokio::time::timeout(FAREWELL, rooms.move_away(due)).await.unwrap_or(due));
        }
        if slices.is_over(now) || progress.is_empty(rooms) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Tells the log how far it is.
struct Progress {
    told: Instant,
}

impl Progress {
    fn new(now: Instant) -> Progress {
        Progress { told: now }
    }

    fn is_empty(&mut self, rooms: &Rooms) -> bool {
        let (open, participants) = rooms.count();
        let now = Instant::now();
        if participants > 0 && now.saturating_duration_since(self.told) >= TELL_EVERY {
            self.told = now;
            tracing::info!(rooms = open, participants, "draining");
        }
        participants == 0
    }
}
