//! What happens in a window: nothing, many joining at once, or viewers that come and go.

use std::time::Duration;

use super::room::Room;
use super::{Measured, Run};
use crate::error::Error;
use crate::progress::Progress;

/// Joins a second of those that come at once.
const AT_ONCE: f64 = 100_000.0;

impl Run<'_> {
    pub(super) async fn steady(&self) -> Result<Measured, Error> {
        let before = self.source.read()?;
        let progress = Progress::new(&self.title, "measuring", self.options.duration.as_secs());
        let samples = progress.during(self.source.sample(self.options.duration)).await?;
        Ok(Measured { samples, ..self.measured(before, self.source.read()?) })
    }

    /// The window ends when everybody receives everything.
    pub(super) async fn storm(&self, room: &mut Room, joiners: usize) -> Result<Measured, Error> {
        let before = self.source.read()?;
        let present = self.scenario.clients();
        let everybody = present + joiners;
        let progress = Progress::new(&self.title, "storming", joiners as u64);
        room.join(&self.plans(present..everybody), AT_ONCE, &progress).await;
        let streams = self.streams(everybody);
        room.wait(everybody as u64, streams, self.options.access.timeout).await?;
        Ok(Measured { joined: joiners, streams, ..self.measured(before, self.source.read()?) })
    }

    /// The longest there leaves, another comes.
    pub(super) async fn churn(&self, room: &mut Room, per_second: f64) -> Result<Measured, Error> {
        let before = self.source.read()?;
        let progress = Progress::new(&self.title, "churning", self.options.duration.as_secs());
        let exchanging = self.exchange(room, per_second);
        let (samples, joined) =
            progress.during(async { tokio::join!(self.source.sample(self.options.duration), exchanging) }).await;
        let streams = self.streams(self.scenario.clients());
        room.wait(self.scenario.clients() as u64, streams, self.options.access.timeout).await?;
        Ok(Measured { joined, samples: samples?, ..self.measured(before, self.source.read()?) })
    }

    /// Gives how many were exchanged.
    async fn exchange(&self, room: &mut Room, per_second: f64) -> usize {
        let first = self.scenario.clients();
        let count = (self.options.duration.as_secs_f64() * per_second) as usize;
        let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
        for plan in self.plans(first..first + count) {
            pace.tick().await;
            room.leave_one(self.scenario.speakers);
            room.join_one(plan);
        }
        count
    }
}
