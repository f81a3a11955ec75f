//! The packets of one probe, and what their sending and arriving times tell (libwebrtc's probe bitrate estimator).
//!
//! What always holds: packets sent at one moment count as one, for the time they took is not known; a result is never above what was
//! sent, nor what a clock that lies makes of it.

use std::time::Duration;

use super::arrivals::Arrived;
use super::{Micros, Probe};
use crate::congestion::bitrate::Bitrate;

/// Of its packets that have to arrive, lost ones apart.
const ARRIVED: f64 = 0.5;
/// A probe that takes longer on either side tells nothing.
const LONGEST: Micros = 1_000_000;
/// Arriving faster than sent by so much is no measurement.
const PLAUSIBLE: f64 = 2.0;
/// Arriving slower than sent by so much shows what the way takes, and a little less is what it takes without a queue.
const UNSATURATED: f64 = 0.9;
const UTILISATION: f64 = 0.95;
/// Until its packets must have been told of, beyond the round trip.
const PATIENCE: Micros = 1_000_000;

/// What a probe found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Found {
    pub rate: Bitrate,
    /// The way took no more than that.
    pub saturated: bool,
    /// How much slower it arrived than it was sent, as a share.
    pub ratio: f64,
}

/// Bytes between two moments of one clock; those of the first and of the last moment apart.
#[derive(Clone, Copy, Default)]
struct Span {
    first: Micros,
    last: Micros,
    bytes: u64,
    first_bytes: u64,
    last_bytes: u64,
}

/// Of loss that is there whatever is sent, so much is made up for: more would make of a part that got through what never did.
const MADE_UP: f64 = 0.2;

pub struct Cluster {
    probe: Probe,
    began: Micros,
    first_number: u16,
    /// Packets sent, and told to have arrived.
    sent: u16,
    arrived: u16,
    sent_bytes: u64,
    /// All of it was sent, at that time.
    ended: Option<Micros>,
    sending: Span,
    arriving: Span,
}

impl Cluster {
    /// `number` is the next packet's.
    pub fn new(now: Micros, probe: Probe, number: u16) -> Cluster {
        Cluster {
            probe,
            began: now,
            first_number: number,
            sent: 0,
            arrived: 0,
            sent_bytes: 0,
            ended: None,
            sending: Span::default(),
            arriving: Span::default(),
        }
    }

    pub fn rate(&self) -> Bitrate {
        self.probe.rate
    }

    pub fn sent(&mut self, now: Micros, bytes: usize) {
        self.end_in_time(now);
        if self.ended.is_some() {
            return;
        }
        self.sent = self.sent.saturating_add(1);
        self.sent_bytes += bytes as u64;
        let all = self.sent_bytes >= self.probe.rate.bytes_in(self.probe.duration);
        if all && usize::from(self.sent) >= self.probe.least_packets {
            self.ended = Some(now);
        }
    }

    /// What was not sent by the end of its time is not sent any more.
    pub fn end_in_time(&mut self, now: Micros) {
        let time = self.probe.duration.saturating_mul(Probe::PATIENCE).as_micros();
        let end = self.began.saturating_add(Micros::try_from(time).unwrap_or(Micros::MAX));
        if self.ended.is_none() && now >= end {
            self.ended = Some(now);
        }
    }

    /// A packet arrived, of this probe or not.
    pub fn arrived(&mut self, packet: &Arrived) {
        if packet.number.wrapping_sub(self.first_number) >= self.sent {
            return;
        }
        self.sending.add(packet.sent, packet.bytes, self.arrived == 0);
        self.arriving.add(packet.arrived, packet.bytes, self.arrived == 0);
        self.arrived = self.arrived.saturating_add(1);
    }

    /// It is over: feedback told of `newest`, and what it tells can be had.
    pub fn is_told(&self, now: Micros, newest: u16, rtt: Micros) -> bool {
        let Some(ended) = self.ended else { return false };
        let beyond = newest.wrapping_sub(self.first_number);
        let all = beyond >= self.sent.saturating_sub(1) && beyond < u16::MAX / 2;
        all || now - ended > PATIENCE + rtt
    }

    /// `loss`: how much is lost whatever is sent.
    pub fn found(&self, loss: f64) -> Option<Found> {
        let needed = ARRIVED * self.probe.least_packets.min(usize::from(self.sent)) as f64;
        if f64::from(self.arrived) < needed.max(2.0) || usize::from(self.sent) < self.probe.least_packets {
            return None;
        }
        let sending = self.sending.rate(self.sending.last_bytes)?;
        let arriving = self.arriving.rate(self.arriving.first_bytes)?.scaled(1.0 / (1.0 - loss.clamp(0.0, MADE_UP)));
        // What was lost was sent as well.
        let sending = sending.scaled(f64::from(self.sent) / f64::from(self.arrived.max(1)));
        if arriving > sending.scaled(PLAUSIBLE) {
            return None;
        }
        let saturated = arriving < sending.scaled(UNSATURATED);
        let rate = if saturated { arriving.scaled(UTILISATION) } else { arriving.min(sending) };
        let ratio = arriving.bps() as f64 / sending.bps().max(1) as f64;
        Some(Found { rate, saturated, ratio })
    }
}

impl Span {
    fn add(&mut self, at: Micros, bytes: u16, is_first: bool) {
        let bytes = u64::from(bytes);
        if is_first {
            *self = Span { first: at, last: at, ..Span::default() };
        }
        self.bytes += bytes;
        if at < self.first {
            (self.first, self.first_bytes) = (at, 0);
        }
        if at > self.last {
            (self.last, self.last_bytes) = (at, 0);
        }
        self.first_bytes += if at == self.first { bytes } else { 0 };
        self.last_bytes += if at == self.last { bytes } else { 0 };
    }

    /// Of all bytes but some.
    fn rate(&self, without: u64) -> Option<Bitrate> {
        let span = self.last - self.first;
        let time = u64::try_from(span).ok().filter(|_| span > 0 && span <= LONGEST)?;
        Some(Bitrate::of(self.bytes - without.min(self.bytes), Duration::from_micros(time)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;
    /// 25 packets of 1,000 bytes.
    const PROBE: Probe =
        Probe { rate: Bitrate::from_kbps(10_000), duration: Duration::from_millis(20), least_packets: 5 };

    /// Sends portions of five every 5 ms, each packet of which arrives when `arrives` says, or does not.
    fn probed(arrives: impl Fn(i64) -> Option<Micros>) -> Cluster {
        let mut cluster = Cluster::new(0, PROBE, 65_530);
        (0..25).for_each(|i| cluster.sent(i / 5 * 5 * MS, 1_000));
        for i in 0..25_i64 {
            let number = 65_530_u16.wrapping_add(i as u16);
            if let Some(arrived) = arrives(i) {
                cluster.arrived(&Arrived { number, bytes: 1_000, sent: i / 5 * 5 * MS, arrived });
            }
        }
        cluster
    }

    #[test]
    fn a_way_that_takes_it_is_found_to_take_what_was_sent() {
        let cluster = probed(|i| Some(50 * MS + i / 5 * 5 * MS));
        assert!(cluster.is_told(100 * MS, 65_530_u16.wrapping_add(24), 50 * MS));
        let found = cluster.found(0.0).unwrap();
        assert_eq!(found, Found { rate: Bitrate::from_kbps(8_000), saturated: false, ratio: 1.0 });
    }

    #[test]
    fn a_way_that_is_narrower_shows_its_rate() {
        // One packet every 2 ms: 4 Mbit/s.
        let found = probed(|i| Some(50 * MS + 2 * i * MS)).found(0.0).unwrap();
        assert!(found.saturated);
        assert_eq!(found.rate, Bitrate::from_kbps(3_800));
    }

    #[test]
    fn loss_that_always_is_does_not_look_like_a_narrow_way() {
        let lossy = probed(|i| (i % 5 != 2).then_some(50 * MS + i / 5 * 5 * MS));
        let found = lossy.found(0.2).unwrap();
        assert!(!found.saturated && found.rate >= Bitrate::from_kbps(7_900), "{found:?}");
    }

    #[test]
    fn clocks_that_lie_give_no_result() {
        assert_eq!(probed(|_| Some(50 * MS)).found(0.0), None, "all at once");
        assert_eq!(probed(|i| Some(50 * MS + i)).found(0.0), None, "a thousand times as fast");
        assert_eq!(probed(|i| Some(i * 1_000 * MS)).found(0.0), None, "for ever");
        assert_eq!(probed(|i| (i < 2).then_some(i * MS)).found(0.0), None, "hardly any");
    }

    #[test]
    fn it_ends_when_all_is_sent_or_its_time_is_over() {
        let mut cluster = Cluster::new(0, PROBE, 0);
        cluster.sent(0, 1_000);
        assert!(!cluster.is_told(10 * MS, 0, 0));
        cluster.end_in_time(79 * MS);
        assert!(!cluster.is_told(79 * MS, 0, 0));
        cluster.end_in_time(80 * MS);
        cluster.sent(81 * MS, 1_000);
        assert!(cluster.is_told(82 * MS, 0, 0), "the second is not of it");
        assert_eq!(cluster.found(0.0), None);
    }

    #[test]
    fn feedback_that_is_lost_ends_the_waiting() {
        let cluster = probed(|_| None);
        assert!(!cluster.is_told(500 * MS, 65_529, 100 * MS));
        assert!(cluster.is_told(1_200 * MS, 65_529, 100 * MS));
    }
}
