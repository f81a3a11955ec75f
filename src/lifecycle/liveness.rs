//! Whether every shard's thread turns. Idle shards block without a tick: they are woken to look, when somebody asks.
//!
//! What always holds: a shard counts as dead when it ended, or did not look up within [`DEAD_AFTER`] of being woken; an
//! answer takes no longer than [`PATIENCE`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::shard::mailbox::Message;
use crate::telemetry::counters::ShardCounters;

/// Silence after which a shard is given up.
pub const DEAD_AFTER: Duration = Duration::from_secs(5);
/// Waited for an answer at most; less than probes commonly wait, one second.
const PATIENCE: Duration = Duration::from_millis(800);
/// Between two looks whether it looked up.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A shard that does not turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Dead {
    #[error("shard {0} has ended")]
    Ended(usize),
    #[error("shard {0} has not looked up for {silent} s", silent = DEAD_AFTER.as_secs())]
    Silent(usize),
}

pub struct Liveness {
    shards: Vec<Watched>,
}

struct Watched {
    mailbox: mpsc::Sender<Message>,
    counters: Arc<ShardCounters>,
    /// Since when it has been called, and its turns then; `None` once it looked up.
    called: Mutex<Option<(Instant, u64)>>,
}

impl Liveness {
    /// In the order of shards.
    pub fn new(shards: impl IntoIterator<Item = (mpsc::Sender<Message>, Arc<ShardCounters>)>) -> Liveness {
        let watched = |(mailbox, counters)| Watched { mailbox, counters, called: Mutex::new(None) };
        Liveness { shards: shards.into_iter().map(watched).collect() }
    }

    /// One that is slow to look up counts as alive until it has been silent for long enough.
    pub async fn check(&self) -> Result<(), Dead> {
        for (index, shard) in self.shards.iter().enumerate() {
            shard.call(Instant::now()).map_err(|()| Dead::Ended(index))?;
        }
        let patience = Instant::now() + PATIENCE;
        for (index, shard) in self.shards.iter().enumerate() {
            while !shard.answered() {
                let now = Instant::now();
                if shard.is_silent(now) {
                    return Err(Dead::Silent(index));
                }
                if now >= patience {
                    break;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }
}

impl Watched {
    /// Wakes the shard, if it sleeps. Fails when it is gone.
    fn call(&self, now: Instant) -> Result<(), ()> {
        self.called().get_or_insert((now, self.counters.turns.get()));
        match self.mailbox.try_send(Message::LookUp) {
            Err(mpsc::error::TrySendError::Closed(_)) => Err(()),
            // A full mailbox wakes it as well.
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
        }
    }

    fn answered(&self) -> bool {
        let turns = self.counters.turns.get();
        self.called().take_if(|(_, before)| *before != turns);
        self.called().is_none()
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.called().is_some_and(|(since, _)| now.saturating_duration_since(since) >= DEAD_AFTER)
    }

    /// Nothing is done under the lock that can panic.
    fn called(&self) -> MutexGuard<'_, Option<(Instant, u64)>> {
        self.called.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(places: usize) -> (mpsc::Receiver<Message>, Arc<ShardCounters>, Liveness) {
        let (mailbox, messages) = mpsc::channel(places);
        let counters = Arc::<ShardCounters>::default();
        let liveness = Liveness::new([(mailbox, counters.clone())]);
        (messages, counters, liveness)
    }

    #[tokio::test]
    async fn an_idle_shard_is_woken_and_counts_as_alive() {
        let (mut messages, counters, liveness) = shard(1);
        let turns = counters.clone();
        let thread = tokio::spawn(async move {
            while let Some(Message::LookUp) = messages.recv().await {
                turns.turns.add(1);
            }
        });
        for _ in 0..3 {
            assert_eq!(liveness.check().await, Ok(()));
        }
        assert_eq!(counters.turns.get(), 3, "woken once for each question");
        drop(liveness);
        thread.await.unwrap();
    }

    #[tokio::test]
    async fn a_busy_shard_is_alive_though_its_mailbox_is_full() {
        let (_messages, counters, liveness) = shard(1);
        let busy = tokio::spawn(async move {
            loop {
                counters.turns.add(1);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        for _ in 0..3 {
            assert_eq!(liveness.check().await, Ok(()));
        }
        busy.abort();
    }

    #[tokio::test]
    async fn a_shard_that_ended_is_dead_at_once() {
        let (messages, _, liveness) = shard(1);
        drop(messages);
        assert_eq!(liveness.check().await, Err(Dead::Ended(0)));
    }

    #[tokio::test]
    async fn a_stuck_shard_is_dead_after_a_while_and_alive_when_it_looks_up_again() {
        let (_messages, counters, liveness) = shard(8);
        let start = Instant::now();
        assert_eq!(liveness.check().await, Ok(()), "only slow so far");
        assert!(start.elapsed() >= PATIENCE && start.elapsed() < DEAD_AFTER);
        // As if five seconds had passed since.
        let called = liveness.shards[0].called().map(|(since, turns)| (since.checked_sub(DEAD_AFTER).unwrap(), turns));
        *liveness.shards[0].called() = called;
        assert_eq!(liveness.check().await, Err(Dead::Silent(0)));
        counters.turns.add(1);
        assert_eq!(liveness.check().await, Ok(()));
        assert_eq!(Dead::Silent(0).to_string(), "shard 0 has not looked up for 5 s");
    }
}
