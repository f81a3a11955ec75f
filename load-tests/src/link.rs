//! A model of one direction of a network path: a bottleneck of some rate behind a drop-tail queue bounded in bytes, then
//! delay, jitter, loss (even, or in bursts by Gilbert's chain), reordering and duplication. It moves no bytes: it tells when a
//! datagram arrives.
//!
//! What always holds: no clock is read, and one seed gives one course; what is not reordered arrives in the order it was
//! sent; of every datagram it is counted what became of it.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What IPv4 and UDP add to each datagram, bytes.
const OVERHEAD_BYTES: usize = 28;

/// How one direction behaves. The default is ideal: everything arrives at once.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct LinkConfig {
    /// Bits a second; `None`: no bottleneck.
    pub rate: Option<u64>,
    /// Bytes that wait for the bottleneck, the datagram on the wire included; what does not fit is dropped.
    pub queue_bytes: usize,
    /// One way.
    pub delay: Duration,
    /// Added to the delay, evenly distributed from 0 to this; keeps the order.
    pub jitter: Duration,
    pub loss: Loss,
    pub reordering: Reordering,
    /// Share of datagrams that arrive twice.
    pub duplication: f64,
}

#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Loss {
    #[default]
    None,
    /// Each datagram is lost with this probability.
    Even(f64),
    /// Gilbert's chain (all is lost in the bad state, nothing in the good one): the share lost in the long run, and how many
    /// datagrams are lost in a row on average.
    Bursts { share: f64, length: f64 },
    /// The path is down.
    All,
}

/// A share of datagrams is late by a fixed time, and overtaken meanwhile.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Reordering {
    pub share: f64,
    pub late_by: Duration,
}

/// What became of the datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkCounters {
    pub sent: u64,
    pub sent_bytes: u64,
    pub lost: u64,
    /// Did not fit the queue.
    pub overflowed: u64,
    pub reordered: u64,
    pub duplicated: u64,
}

/// When a datagram arrives, if it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Arrivals {
    pub first: Option<Duration>,
    /// Of a duplicate.
    pub second: Option<Duration>,
}

impl Arrivals {
    pub fn is_lost(&self) -> bool {
        self.first.is_none()
    }
}

pub struct Link {
    config: LinkConfig,
    random: StdRng,
    /// When the bottleneck has sent all that it took.
    busy_until: Duration,
    last_arrival: Duration,
    /// Gilbert's chain is in the bad state.
    bad: bool,
    counters: LinkCounters,
}

impl LinkConfig {
    /// A path without bottleneck or faults.
    pub fn delayed(delay: Duration) -> LinkConfig {
        LinkConfig { delay, ..LinkConfig::default() }
    }

    /// The queue holds so much time of the rate. Nothing changes without a rate.
    pub fn with_queue(self, time: Duration) -> LinkConfig {
        let bits = self.rate.unwrap_or_default() as f64 * time.as_secs_f64();
        LinkConfig { queue_bytes: (bits / 8.0) as usize, ..self }
    }
}

impl Link {
    pub fn new(config: LinkConfig, seed: u64) -> Link {
        Link {
            config,
            random: StdRng::seed_from_u64(seed),
            busy_until: Duration::ZERO,
            last_arrival: Duration::ZERO,
            bad: false,
            counters: LinkCounters::default(),
        }
    }

    pub fn config(&self) -> LinkConfig {
        self.config
    }

    /// The path changes; what is under way arrives as it would have.
    pub fn set(&mut self, config: LinkConfig) {
        self.config = config;
        self.bad = false;
    }

    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// How long a datagram that is sent now waits for the bottleneck.
    pub fn queue_delay(&self, now: Duration) -> Duration {
        self.busy_until.saturating_sub(now)
    }

    /// A datagram of so many bytes is sent at `now`: a time since any fixed moment, which never goes back.
    pub fn send(&mut self, now: Duration, bytes: usize) -> Arrivals {
        self.counters.sent += 1;
        self.counters.sent_bytes += bytes as u64;
        let Some(departure) = self.pass_bottleneck(now, bytes + OVERHEAD_BYTES) else {
            self.counters.overflowed += 1;
            return Arrivals::default();
        };
        // What is lost behind the bottleneck has taken its share of the rate.
        if self.loses() {
            self.counters.lost += 1;
            return Arrivals::default();
        }
        let first = self.arrival(departure);
        let second = self.chance(self.config.duplication).then(|| {
            self.counters.duplicated += 1;
            self.arrival(departure)
        });
        Arrivals { first: Some(first), second }
    }

    /// When the bottleneck has sent it; `None` when the queue is full.
    fn pass_bottleneck(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        let Some(rate) = self.config.rate else { return Some(now) };
        let rate = rate.max(1) as f64;
        let waiting = self.queue_delay(now).as_secs_f64() * rate / 8.0;
        if waiting + bytes as f64 > self.config.queue_bytes as f64 {
            return None;
        }
        self.busy_until = self.busy_until.max(now) + Duration::from_secs_f64(bytes as f64 * 8.0 / rate);
        Some(self.busy_until)
    }

    fn loses(&mut self) -> bool {
        match self.config.loss {
            Loss::None => false,
            Loss::All => true,
            Loss::Even(share) => self.chance(share),
            Loss::Bursts { share, length } => {
                let leave = 1.0 / length.max(1.0);
                let enter = leave * share / (1.0 - share).max(f64::EPSILON);
                self.bad = if self.bad { !self.chance(leave) } else { self.chance(enter) };
                self.bad
            }
        }
    }

    fn arrival(&mut self, departure: Duration) -> Duration {
        let arrival = departure + self.config.delay + self.draw_jitter();
        let Reordering { share, late_by } = self.config.reordering;
        if self.chance(share) {
            self.counters.reordered += 1;
            return arrival + late_by;
        }
        self.last_arrival = self.last_arrival.max(arrival);
        self.last_arrival
    }

    fn draw_jitter(&mut self) -> Duration {
        if self.config.jitter.is_zero() {
            return Duration::ZERO;
        }
        self.config.jitter.mul_f64(self.random.random::<f64>())
    }

    /// Draws nothing where nothing can happen: so one fault does not shift the course of another.
    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random::<f64>() < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What becomes of datagrams sent a millisecond apart.
    fn course(config: LinkConfig, seed: u64, count: u32) -> (Link, Vec<Arrivals>) {
        let mut link = Link::new(config, seed);
        let arrivals = (0..count).map(|n| link.send(n * MS, 972)).collect();
        (link, arrivals)
    }

    fn share_lost(loss: Loss) -> (f64, f64) {
        let (link, arrivals) = course(LinkConfig { loss, ..LinkConfig::default() }, 7, 200_000);
        let bursts = arrivals.windows(2).filter(|pair| !pair[0].is_lost() && pair[1].is_lost()).count();
        (link.counters().lost as f64 / 200_000.0, link.counters().lost as f64 / bursts.max(1) as f64)
    }

    #[test]
    fn an_ideal_link_delivers_everything_after_its_delay() {
        let (link, arrivals) = course(LinkConfig::delayed(20 * MS), 1, 100);
        let expected = |n: u32| Arrivals { first: Some((n + 20) * MS), second: None };
        assert_eq!(arrivals, (0..100).map(expected).collect::<Vec<_>>());
        assert_eq!(link.counters(), LinkCounters { sent: 100, sent_bytes: 97_200, ..LinkCounters::default() });
    }

    #[test]
    fn a_bottleneck_delays_by_its_rate_and_drops_what_the_queue_does_not_hold() {
        // 1,000 bytes on the wire a millisecond are 8 Mbit/s; the link takes half of it, and holds 10 ms of that.
        let config = LinkConfig { rate: Some(4_000_000), ..LinkConfig::default() }.with_queue(10 * MS);
        assert_eq!(config.queue_bytes, 5_000);
        let (link, arrivals) = course(config, 1, 1_000);
        assert_eq!(arrivals[0].first, Some(2 * MS));
        assert_eq!(arrivals[1].first, Some(4 * MS));
        let delivered = arrivals.iter().filter(|arrival| !arrival.is_lost()).count();
        assert!((500..=506).contains(&delivered), "{delivered}");
        assert_eq!(link.counters().overflowed, 1_000 - delivered as u64);
        assert!(link.queue_delay(999 * MS) <= 10 * MS);
        assert_eq!(link.queue_delay(2_000 * MS), Duration::ZERO);
    }

    #[test]
    fn even_loss_and_bursts_lose_their_share_in_runs_of_their_length() {
        let (share, length) = share_lost(Loss::Even(0.05));
        assert!((share - 0.05).abs() < 0.003 && (length - 1.05).abs() < 0.05, "{share} {length}");
        let (share, length) = share_lost(Loss::Bursts { share: 0.05, length: 5.0 });
        assert!((share - 0.05).abs() < 0.005 && (length - 5.0).abs() < 0.3, "{share} {length}");
        assert_eq!(share_lost(Loss::None).0, 0.0);
        assert_eq!(share_lost(Loss::All).0, 1.0);
    }

    #[test]
    fn only_what_is_reordered_is_overtaken_also_with_jitter() {
        let reordering = Reordering { share: 0.01, late_by: 50 * MS };
        let config = LinkConfig { jitter: 30 * MS, reordering, ..LinkConfig::delayed(20 * MS) };
        let (link, arrivals) = course(config, 3, 10_000);
        let times: Vec<Duration> = arrivals.iter().filter_map(|arrival| arrival.first).collect();
        let late = times.iter().scan(Duration::ZERO, |latest, at| {
            let overtaken = at < latest;
            *latest = (*latest).max(*at);
            Some(overtaken)
        });
        // Those just behind a late one seem overtaken, it does not.
        assert!(late.filter(|late| *late).count() > 50);
        let reordered = link.counters().reordered;
        assert!((70..=130).contains(&reordered), "{reordered}");
        let config = LinkConfig { jitter: 30 * MS, ..LinkConfig::delayed(20 * MS) };
        let times: Vec<Duration> = course(config, 3, 10_000).1.iter().filter_map(|arrival| arrival.first).collect();
        assert!(times.is_sorted(), "jitter keeps the order");
        assert!(times.iter().zip(0u32..).all(|(at, n)| (20 * MS..=80 * MS).contains(&(*at - n * MS))));
    }

    #[test]
    fn duplicates_come_beside_their_originals() {
        let (link, arrivals) = course(LinkConfig { duplication: 0.1, ..LinkConfig::default() }, 5, 10_000);
        let twice = arrivals.iter().filter(|arrival| arrival.second.is_some()).count() as u64;
        assert_eq!(link.counters().duplicated, twice);
        assert!((900..=1_100).contains(&twice), "{twice}");
    }

    #[test]
    fn one_seed_gives_one_course_and_another_a_different_one() {
        let config = LinkConfig { jitter: 5 * MS, loss: Loss::Even(0.1), ..LinkConfig::default() };
        assert_eq!(course(config, 1, 1_000).1, course(config, 1, 1_000).1);
        assert_ne!(course(config, 1, 1_000).1, course(config, 2, 1_000).1);
    }

    #[test]
    fn a_path_that_changes_keeps_what_is_under_way() {
        let mut link = Link::new(LinkConfig::delayed(20 * MS), 1);
        assert_eq!(link.send(MS, 100).first, Some(21 * MS));
        link.set(LinkConfig { loss: Loss::All, ..LinkConfig::default() });
        assert!(link.send(2 * MS, 100).is_lost());
        link.set(LinkConfig::delayed(5 * MS));
        assert_eq!(link.send(3 * MS, 100).first, Some(21 * MS), "in order behind what is under way");
    }
}
