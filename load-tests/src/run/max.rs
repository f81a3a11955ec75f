//! The search for the highest packet rate that a server forwards with little loss: up by a factor until a step fails, then
//! halving what lies between.
//!
//! What always holds: the clients stay; only the publishers' video rate changes from step to step.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::reading::Reading;
use super::room::Room;
use super::{Measured, Run};
use crate::client::format::Kind;
use crate::client::send::Shape;
use crate::error::Error;
use crate::measure::Totals;
use crate::progress::Progress;

/// Most packets that may be lost or missing: 1 %.
const LOSS: f64 = 0.01;
/// From one step up to the next.
const GROWTH: f64 = 1.4;
const STEPS_UP: usize = 16;
/// Steps between the last that held and the first that failed: within 3 % of the limit.
const STEPS_BETWEEN: usize = 4;
/// A step that fails is tried again: another program may have taken the core.
const TRIES: usize = 2;
/// Time for queues to fill after a change of rate.
const SETTLE: Duration = Duration::from_secs(1);
/// Longest time for a server's estimators to find that the ways take the new rate: then it is judged as it is.
const LONGEST_SETTLE: Duration = Duration::from_secs(15);
/// Share of the asked rate below which the generator, not the server, is what limits.
const SENT: f64 = 0.98;

/// One rate that was tried.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Step {
    /// Video packets a second of all publishers.
    pub video_rate: f64,
    /// Seconds until this rate arrived, or until it was waited for no longer.
    pub settled_s: f64,
    pub packets_per_second: f64,
    /// The larger of lost and missing.
    pub loss: f64,
    pub server_cores: f64,
    pub server_us_per_packet: f64,
    pub generator_cores: f64,
    pub delay_p50_ms: f64,
    pub delay_p99_ms: f64,
    /// Dropped by the kernel at sockets that are not the generator's: most likely the server's.
    pub kernel_drops: u64,
    pub holds: bool,
    /// The publishers could not send as fast, or the generator's sockets overflowed.
    pub generator_limits: bool,
}

impl Run<'_> {
    pub(super) async fn search(&self, room: &mut Room) -> Result<Measured, Error> {
        let mut steps = Vec::new();
        let mut best: Option<(f64, Measured)> = None;
        let mut failed = None;
        let progress = Progress::new(&self.title, "searching", (STEPS_UP + STEPS_BETWEEN) as u64);
        let mut rate = self.options.max_from;
        for _ in 0..STEPS_UP + STEPS_BETWEEN {
            let mut holds = false;
            for _ in 0..TRIES {
                let (step, measured) = self.step(rate).await?;
                room.collect();
                steps.push(step);
                holds = step.holds;
                if holds {
                    best = Some((rate, measured));
                    break;
                }
            }
            progress.advance(1);
            if !holds {
                failed = Some(rate);
            }
            let held = best.as_ref().map_or(0.0, |(rate, _)| *rate);
            rate = match failed {
                Some(failed) if failed - held < 0.03 * failed => break,
                Some(failed) => (held + failed) / 2.0,
                None => rate * GROWTH,
            };
        }
        let Some((_, measured)) = best else {
            return Err(Error::Usage(format!("not even the first step held: {steps:?}; --max-from lower?")));
        };
        Ok(Measured { steps, ..measured })
    }

    async fn step(&self, rate: f64) -> Result<(Step, Measured), Error> {
        let Some(video) = self.options.media.video else {
            return Err(Error::Usage("the highest rate is that of video: --video-rate must not be 0".to_owned()));
        };
        let of_each = rate / self.scenario.speakers as f64;
        let shape = Shape::of_rate(of_each, video.burst, video.packet_bytes, video.uneven);
        self.source.engine.shape(Kind::Video, shape)?;
        let settled = self.settle().await?;
        self.source.engine.clear(false)?;
        let before = self.source.read()?;
        tokio::time::sleep(self.options.step).await;
        let after = self.source.read()?;
        let step = self.judge(rate, settled, &before, &after);
        Ok((step, self.measured(before, after)))
    }

    /// Waits until a rate that is new arrives. A server that estimates its clients' bandwidth holds a part of it back at first, and that
    /// is not what a core can do. Gives how long it took.
    async fn settle(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        loop {
            let before = self.source.engine.read()?.totals;
            tokio::time::sleep(SETTLE).await;
            let window = self.source.engine.read()?.totals.since(&before);
            if self.lost(&window) <= LOSS || start.elapsed() >= LONGEST_SETTLE {
                return Ok(start.elapsed());
            }
        }
    }

    fn lost(&self, window: &Totals) -> f64 {
        window.loss().max(window.missing(self.scenario.receivers()))
    }

    fn judge(&self, rate: f64, settled: Duration, before: &Reading, after: &Reading) -> Step {
        let seconds = (after.snapshot.at - before.snapshot.at).as_secs_f64();
        let window = after.snapshot.totals.since(&before.snapshot.totals);
        let loss = self.lost(&window);
        let server = before.server.zip(after.server).map_or(0.0, |(before, after)| after.cpu.since(&before.cpu).total);
        let sent = window.sent_packets as f64 / seconds;
        let audio = self.options.media.audio.map_or(0.0, Shape::packets_per_second);
        let asked = rate + audio * self.scenario.speakers as f64;
        let delay = after.snapshot.delays.video.percentiles();
        let generator_limits = sent < SENT * asked || after.drops.since(&before.drops).own > 0;
        Step {
            video_rate: rate,
            settled_s: settled.as_secs_f64(),
            packets_per_second: window.received as f64 / seconds,
            loss,
            server_cores: server / seconds,
            server_us_per_packet: if window.packets > 0 { server * 1e6 / window.packets as f64 } else { 0.0 },
            generator_cores: after.own.since(&before.own).total / seconds,
            delay_p50_ms: delay.p50,
            delay_p99_ms: delay.p99,
            kernel_drops: after.drops.since(&before.drops).others,
            holds: loss <= LOSS && !generator_limits,
            generator_limits,
        }
    }
}
