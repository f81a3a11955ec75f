//! When packets arrived, on the subscriber's clock: reference times joined into one time line, and packets put in order of arrival.
//!
//! What always holds: one feedback moves the time line by no more than [`LONGEST_STEP`] either way, so that it never overflows.

use super::Micros;
use crate::wire::rtcp::transport_feedback::{TICK, reference_ticks_between};

/// A step of the reference time beyond this is no time that passed, but another clock.
const LONGEST_STEP: Micros = 60_000_000;
/// Packets looked at together.
const BATCH: usize = 128;

/// A packet that arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    pub number: u16,
    pub bytes: u16,
    pub sent: Micros,
    /// On the subscriber's clock.
    pub arrived: Micros,
}

/// The subscriber's time line.
#[derive(Default)]
pub struct ReceiverClock {
    /// Of the feedback before, and where that is on the line.
    reference: Option<u32>,
    at: Micros,
}

impl ReceiverClock {
    /// Goes on to a reference time. False where that is no going on: times before and after cannot be compared.
    pub fn advance(&mut self, reference: u32) -> bool {
        let step = self.reference.map_or(0, |before| micros(reference_ticks_between(before, reference)));
        self.reference = Some(reference);
        if step.abs() > LONGEST_STEP {
            return false;
        }
        self.at += step;
        true
    }

    /// Where so many ticks after the reference time are.
    pub fn at(&self, ticks: i64) -> Micros {
        self.at.saturating_add(micros(ticks))
    }
}

fn micros(ticks: i64) -> Micros {
    ticks.saturating_mul(TICK.as_micros() as i64)
}

/// Some packets of a feedback.
pub struct Batch {
    packets: [Arrived; BATCH],
    len: usize,
}

impl Batch {
    pub fn new() -> Batch {
        Batch { packets: [Arrived::default(); BATCH], len: 0 }
    }

    /// Adds one. True when no more fits.
    pub fn push(&mut self, packet: Arrived) -> bool {
        if let Some(place) = self.packets.get_mut(self.len) {
            *place = packet;
            self.len += 1;
        }
        self.len >= BATCH
    }

    /// All of them in order of arrival; it is empty then.
    pub fn take_in_order(&mut self) -> &[Arrived] {
        let packets = self.packets.get_mut(..self.len).unwrap_or_default();
        self.len = 0;
        if !packets.is_sorted_by_key(|packet| packet.arrived) {
            // Of equal times the number decides: the sort needs no memory then.
            packets.sort_unstable_by_key(|packet| (packet.arrived, packet.sent));
        }
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_line_goes_on_across_a_wrap_and_not_over_an_absurd_step() {
        let mut clock = ReceiverClock::default();
        assert!(clock.advance(0xff_ffff));
        assert_eq!(clock.at(4), 1_000);
        assert!(clock.advance(1));
        assert_eq!(clock.at(-4), 2 * 64_000 - 1_000);
        assert!(!clock.advance(0x7f_ffff), "six days");
        assert_eq!(clock.at(0), 2 * 64_000);
        assert!(clock.advance(0x7f_fffe), "back a little is reordering");
        assert_eq!(clock.at(0), 64_000);
    }

    #[test]
    fn packets_come_in_order_of_arrival() {
        let mut batch = Batch::new();
        let packet = |number: u16, arrived| Arrived { number, arrived, sent: i64::from(number), bytes: 1 };
        for (number, arrived) in [(1, 10), (2, 60), (3, 20), (4, 20)] {
            assert!(!batch.push(packet(number, arrived)));
        }
        let numbers: Vec<u16> = batch.take_in_order().iter().map(|packet| packet.number).collect();
        assert_eq!(numbers, [1, 3, 4, 2]);
        assert!(batch.take_in_order().is_empty());
        let full: Vec<bool> = (0..BATCH as u16).map(|number| batch.push(packet(number, 0))).collect();
        assert_eq!(full.iter().position(|full| *full), Some(BATCH - 1));
    }
}
