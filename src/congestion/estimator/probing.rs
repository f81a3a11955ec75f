//! When to look for more, and how much: at the beginning, from then on as long as what was found suggests more, and every few seconds
//! while more is wanted (the way of libwebrtc's probe controller, whose periods suit one sender of one's own camera and are longer).
//!
//! What always holds: one probe at a time; none above what is wanted, none while a queue grows or after feedback stayed out.

use std::time::Duration;

use super::probe_cluster::{Cluster, Found};
use super::{Micros, Probe};
use crate::congestion::bitrate::Bitrate;

/// Of what is known: the first probe, later ones; and of what a promising one found, the next.
const FIRST: f64 = 3.0;
const LATER: f64 = 1.5;
const ONWARDS: f64 = 2.0;
/// It is looked on at once where so much of a probe's rate was found.
const PROMISING: f64 = 0.7;
/// In vain: less was found over what was known.
const GAIN: f64 = 1.05;
/// A probe lasts so long, and longer after each in vain, for jitter hides a short one's rate.
const SHORTEST: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_millis(60);
/// Packets of a probe at least, and what they weigh: at low rates it takes longer, and fewer have to do, for they stand in a queue.
const LEAST_PACKETS: usize = 8;
const LEAST_PACKETS_SLOW: usize = 5;
const SLOW: Bitrate = Bitrate::from_kbps(1_000);
const PACKET_BYTES: u64 = 1_200;
/// Between two probes: a rise of the link is to be found within seconds; an idle link loses under 2 % to it.
const INTERVAL: Micros = 3_000_000;
const LONGEST_INTERVAL: Micros = 4_000_000;
/// The first probes in vain, of a way of which nothing is known, are followed by the next so soon.
const EARLY: u32 = 2;
const EARLY_INTERVAL: Micros = 300_000;
/// After the rate fell, or feedback stayed out.
const AFTER_FALL: Micros = 2_000_000;
const AFTER_BLACKOUT: Micros = 5_000_000;
/// Of what is wanted: enough is known from here on, and no probe is above unless it must be to tell anything.
const ENOUGH: f64 = 1.1;
const HIGHEST: f64 = 1.25;

/// Beside others only a probe whose packets arrive nearly as they were sent tells of room: a share of theirs would be none.
const HARDLY_STRETCHED: f64 = 0.95;

/// What is made of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Belief {
    /// What it found is there.
    Full,
    /// Others that share the way may have left it for a moment.
    Cautious,
    /// A queue grew meanwhile: it found that.
    None,
}

pub struct Prober {
    wanted: Bitrate,
    /// Not before.
    next: Micros,
    /// Of the next probe, where one that was promising says so.
    rate: Option<Bitrate>,
    cluster: Option<Cluster>,
    /// In a row.
    vain: u32,
    began: bool,
    /// So many more probes in vain follow each other closely: somebody waits for the first picture.
    early: u32,
}

impl Prober {
    pub fn new() -> Prober {
        Prober { wanted: Bitrate::ZERO, next: 0, rate: None, cluster: None, vain: 0, began: false, early: EARLY }
    }

    pub fn want(&mut self, wanted: Bitrate) {
        self.wanted = wanted;
    }

    /// When the next probe is due, `target` being known.
    pub fn due(&self, target: Bitrate) -> Option<Micros> {
        (self.cluster.is_none() && target < self.wanted.scaled(ENOUGH)).then_some(self.next)
    }

    /// The probe that begins now with packet `number`.
    pub fn poll(&mut self, now: Micros, target: Bitrate, number: u16) -> Option<Probe> {
        self.due(target).filter(|due| now >= *due)?;
        let factor = if self.began { LATER } else { FIRST };
        let rate = self.rate.take().unwrap_or(target.scaled(factor)).min(self.wanted.scaled(HIGHEST));
        // A probe that reaches hardly beyond what is known cannot be told from jitter.
        let rate = rate.max(target.scaled(LATER));
        let least_packets = if rate < SLOW { LEAST_PACKETS_SLOW } else { LEAST_PACKETS };
        let least = rate.time_for(least_packets as u64 * PACKET_BYTES);
        let duration = (SHORTEST * (1 + self.vain)).min(LONGEST).max(least);
        let probe = Probe { rate, duration, least_packets };
        self.cluster = Some(Cluster::new(now, probe, number));
        self.began = true;
        self.next = now + INTERVAL;
        Some(probe)
    }

    pub fn cluster(&mut self) -> Option<&mut Cluster> {
        self.cluster.as_mut()
    }

    /// Feedback told of packets up to `newest`. What the probe found and is believed, once.
    pub fn told(
        &mut self,
        now: Micros,
        newest: u16,
        rtt: Micros,
        loss: f64,
        target: Bitrate,
        belief: Belief,
    ) -> Option<Found> {
        self.cluster.as_mut()?.end_in_time(now);
        let cluster = self.cluster.take_if(|cluster| cluster.is_told(now, newest, rtt))?;
        let found = cluster.found(loss).filter(|found| match belief {
            Belief::Full => true,
            Belief::Cautious => found.ratio > HARDLY_STRETCHED,
            Belief::None => false,
        });
        match found {
            Some(found) if found.rate > target.scaled(GAIN) => {
                let onwards = if belief == Belief::Full { ONWARDS } else { LATER };
                self.succeeded(now, found, cluster.rate(), onwards);
            }
            _ => self.failed(now),
        }
        found
    }

    fn succeeded(&mut self, now: Micros, found: Found, probed: Bitrate, onwards: f64) {
        self.vain = 0;
        if !found.saturated && found.rate > probed.scaled(PROMISING) {
            self.rate = Some(found.rate.scaled(onwards));
            self.next = now;
        }
    }

    fn failed(&mut self, now: Micros) {
        self.vain = self.vain.saturating_add(1);
        if self.early > 0 {
            self.early -= 1;
            self.next = now + EARLY_INTERVAL;
            return;
        }
        self.next = now + (INTERVAL + INTERVAL / 6 * i64::from(self.vain)).min(LONGEST_INTERVAL);
    }

    /// The rate fell: what was thought of is of no use, and the queue is to empty first.
    pub fn fell(&mut self, now: Micros) {
        (self.rate, self.early) = (None, 0);
        self.next = now + AFTER_FALL;
    }

    /// Feedback stayed out.
    pub fn blacked_out(&mut self, now: Micros) {
        (self.rate, self.cluster) = (None, None);
        self.next = now + AFTER_BLACKOUT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;
    const TARGET: Bitrate = Bitrate::from_kbps(1_000);
    const WANTED: Bitrate = Bitrate::from_kbps(5_000);

    fn prober() -> Prober {
        let mut prober = Prober::new();
        prober.want(WANTED);
        prober
    }

    /// Sends a probe's packets and lets them arrive at a rate of the way.
    fn probe(prober: &mut Prober, now: Micros, probe: &Probe, way: Bitrate, target: Bitrate) -> Option<Found> {
        let gap = |rate: Bitrate| rate.time_for(1_200).as_micros() as Micros;
        let cluster = prober.cluster().unwrap();
        let count = probe.rate.bytes_in(probe.duration).div_ceil(1_200).max(probe.least_packets as u64) as i64;
        (0..count).for_each(|i| cluster.sent(now + i * gap(probe.rate), 1_200));
        for i in 0..count {
            let (sent, arrived) = (now + i * gap(probe.rate), i * gap(probe.rate.min(way)));
            let packet = super::super::arrivals::Arrived { number: i as u16, bytes: 1_200, sent, arrived };
            cluster.arrived(&packet);
        }
        prober.told(now + 100 * MS, count as u16 - 1, 50 * MS, 0.0, target, Belief::Full)
    }

    #[test]
    fn it_climbs_to_what_is_wanted_at_once_on_a_wide_way() {
        let (mut prober, mut target, mut rates) = (prober(), TARGET, Vec::new());
        for i in 0..5 {
            let now = i * 100 * MS;
            let Some(next) = prober.poll(now, target, 0) else { break };
            rates.push(next.rate.bps() / 1_000);
            target = probe(&mut prober, now, &next, Bitrate::from_kbps(50_000), target).unwrap().rate.max(target);
        }
        assert_eq!(rates, [3_000, 6_000]);
        assert!(target >= WANTED.scaled(ENOUGH) && prober.due(target).is_none(), "{target:?}");
    }

    #[test]
    fn a_way_that_is_full_is_probed_every_few_seconds() {
        let (mut prober, mut now, mut begun) = (prober(), 0, Vec::new());
        while now < 60_000 * MS {
            if let Some(next) = prober.poll(now, TARGET, 0) {
                begun.push(now);
                assert!(next.duration <= LONGEST, "{next:?}");
                let found = probe(&mut prober, now, &next, TARGET, TARGET).unwrap();
                assert!(found.saturated && found.rate < TARGET);
            }
            now += 10 * MS;
        }
        let gaps = begun.windows(2).skip(EARLY as usize).map(|pair| pair[1] - pair[0]);
        assert!(gaps.clone().all(|gap| (INTERVAL..=LONGEST_INTERVAL + 200 * MS).contains(&gap)), "{begun:?}");
        assert!((14..=22).contains(&begun.len()), "{}", begun.len());
    }

    #[test]
    fn nothing_is_looked_for_that_is_not_wanted() {
        let mut prober = Prober::new();
        assert_eq!(prober.due(TARGET), None);
        prober.want(TARGET.scaled(0.9));
        assert_eq!(prober.due(TARGET), None);
        prober.want(TARGET.scaled(1.1));
        assert_eq!(prober.poll(0, TARGET, 0).map(|probe| probe.rate.bps() / 1_000), Some(1_500));
    }

    #[test]
    fn after_a_fall_or_a_blackout_it_waits() {
        let mut prober = prober();
        prober.fell(0);
        assert!(prober.poll(1_999 * MS, TARGET, 0).is_none());
        prober.blacked_out(0);
        assert!(prober.poll(4_999 * MS, TARGET, 0).is_none());
        assert!(prober.poll(5_000 * MS, TARGET, 0).is_some());
        assert_eq!(prober.due(TARGET), None, "one at a time");
    }

    #[test]
    fn a_slow_way_gets_a_probe_of_few_packets_over_a_longer_time() {
        let mut prober = prober();
        let next = prober.poll(0, Bitrate::from_kbps(50), 0).unwrap();
        assert_eq!(next.rate.bytes_in(next.duration), LEAST_PACKETS_SLOW as u64 * PACKET_BYTES);
    }
}
