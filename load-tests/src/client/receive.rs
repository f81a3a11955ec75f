//! The RTP streams a client receives: loss, duplicates and jitter by their clear headers (RFC 3550, sections 6.4.1 and A).
//!
//! What always holds: a packet that comes late takes back the loss it was counted as; one that comes twice counts once.

use std::time::Instant;

use sfumato::wire::rtcp::ReceptionReport;

use super::format::Kind;

/// Packets behind the newest that are told from duplicates.
const WINDOW: i64 = 64;

/// What a packet was to its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    InOrder,
    Late,
    Duplicate,
}

pub struct ReceiveStream {
    pub ssrc: u32,
    pub kind: Kind,
    /// Extended number of the first packet.
    base: i64,
    highest: i64,
    /// Bit i: the packet i before the highest came.
    seen: u64,
    pub received: u64,
    /// In sixteenths of timestamp units.
    jitter: u32,
    transit: u32,
    /// Middle bits of the last sender report's time, and when it came.
    sender_report: Option<(u32, Instant)>,
    /// Expected and received at the last reception report.
    reported: (u64, u64),
}

impl ReceiveStream {
    /// Of the stream's first packet, which is not counted yet.
    pub fn new(ssrc: u32, kind: Kind, sequence: u16) -> ReceiveStream {
        let before = i64::from(sequence) - 1;
        ReceiveStream {
            ssrc,
            kind,
            base: before + 1,
            highest: before,
            seen: 0,
            received: 0,
            jitter: 0,
            transit: 0,
            sender_report: None,
            reported: (0, 0),
        }
    }

    pub fn accept(&mut self, sequence: u16, timestamp: u32, since_start: std::time::Duration) -> Arrival {
        let ahead = i64::from(sequence.wrapping_sub(self.highest as u16) as i16);
        let arrival = if ahead > 0 {
            self.seen = if ahead < WINDOW { self.seen << ahead | 1 } else { 1 };
            self.highest += ahead;
            Arrival::InOrder
        } else {
            self.accept_late(-ahead)
        };
        if arrival != Arrival::Duplicate {
            self.received += 1;
            self.measure_jitter(timestamp, since_start);
        }
        arrival
    }

    fn accept_late(&mut self, behind: i64) -> Arrival {
        if behind >= WINDOW || self.highest - behind < self.base {
            // Too old to tell; and what came before the first packet was never expected.
            return Arrival::Duplicate;
        }
        let bit = 1 << behind;
        let arrival = if self.seen & bit == 0 { Arrival::Late } else { Arrival::Duplicate };
        self.seen |= bit;
        arrival
    }

    /// RFC 3550, section A.8.
    fn measure_jitter(&mut self, timestamp: u32, since_start: std::time::Duration) {
        let arrival = (since_start.as_micros() * u128::from(self.kind.clock()) / 1_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        let difference = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        self.transit = transit;
        if self.received > 1 {
            let grown = u64::from(self.jitter) + u64::from(difference) - u64::from((self.jitter + 8) >> 4);
            self.jitter = u32::try_from(grown).unwrap_or(u32::MAX >> 4);
        }
    }

    /// Packets from the first to the highest.
    pub fn expected(&self) -> u64 {
        u64::try_from(self.highest - self.base + 1).unwrap_or(0)
    }

    pub fn on_sender_report(&mut self, now: Instant, ntp: u64) {
        self.sender_report = Some(((ntp >> 16) as u32, now));
    }

    /// The report block that is due now.
    pub fn report(&mut self, now: Instant) -> ReceptionReport {
        let (expected, received) = (self.expected(), self.received);
        let of_interval = (expected.saturating_sub(self.reported.0), received.saturating_sub(self.reported.1));
        self.reported = (expected, received);
        let lost_now = of_interval.0.saturating_sub(of_interval.1);
        let (last_sender_report, delay_since_last) = self.sender_report.map_or((0, 0), |(ntp, came)| {
            let delay = now.saturating_duration_since(came).as_micros() * 65_536 / 1_000_000;
            (ntp, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        ReceptionReport {
            ssrc: self.ssrc,
            fraction_lost: (lost_now * 256).checked_div(of_interval.0).unwrap_or(0).min(255) as u8,
            cumulative_lost: i32::try_from(expected.saturating_sub(received)).unwrap_or(i32::MAX).min(0x7f_ffff),
            extended_highest_sequence: self.highest as u32,
            jitter: self.jitter >> 4,
            last_sender_report,
            delay_since_last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn stream(numbers: &[u16]) -> (ReceiveStream, Vec<Arrival>) {
        let mut stream = ReceiveStream::new(1, Kind::Video, numbers[0]);
        let arrivals = numbers.iter().map(|n| stream.accept(*n, 0, Duration::ZERO)).collect();
        (stream, arrivals)
    }

    fn lost(numbers: &[u16]) -> u64 {
        let (stream, _) = stream(numbers);
        stream.expected() - stream.received
    }

    #[test]
    fn gaps_are_losses_also_over_the_wrap() {
        assert_eq!(lost(&[10, 11, 12]), 0);
        assert_eq!(lost(&[10, 12, 15]), 3);
        assert_eq!(lost(&[65_534, 65_535, 1, 2]), 1);
        assert_eq!(lost(&[0, 30_000]), 29_999);
    }

    #[test]
    fn a_late_packet_takes_its_loss_back() {
        let (stream, arrivals) = stream(&[10, 13, 11, 12]);
        assert_eq!(arrivals[2..], [Arrival::Late, Arrival::Late]);
        assert_eq!((stream.expected(), stream.received), (4, 4));
    }

    #[test]
    fn a_packet_that_comes_twice_hides_no_loss() {
        let (stream, arrivals) = stream(&[10, 12, 12, 10, 12]);
        assert_eq!(arrivals[2..], [Arrival::Duplicate; 3]);
        assert_eq!((stream.expected(), stream.received), (3, 2));
    }

    #[test]
    fn what_came_before_the_first_packet_was_not_expected() {
        let (stream, arrivals) = stream(&[10, 9, 11]);
        assert_eq!(arrivals[1], Arrival::Duplicate);
        assert_eq!((stream.expected(), stream.received), (2, 2));
    }

    #[test]
    fn a_report_tells_loss_since_the_last_one() {
        let now = Instant::now();
        let mut stream = ReceiveStream::new(1, Kind::Audio, 65_534);
        for number in [65_534, 65_535, 1, 3] {
            stream.accept(number, 0, Duration::ZERO);
        }
        let report = stream.report(now);
        assert_eq!((report.fraction_lost, report.cumulative_lost), (85, 2));
        assert_eq!(report.extended_highest_sequence, 65_536 + 3);
        stream.accept(4, 0, Duration::ZERO);
        assert_eq!(stream.report(now).fraction_lost, 0);
    }

    #[test]
    fn the_delay_since_a_sender_report_is_told_in_65536ths() {
        let now = Instant::now();
        let mut stream = ReceiveStream::new(1, Kind::Audio, 0);
        stream.on_sender_report(now, 0x1122_3344_5566_7788);
        let report = stream.report(now + Duration::from_millis(500));
        assert_eq!((report.last_sender_report, report.delay_since_last), (0x3344_5566, 32_768));
    }

    #[test]
    fn packets_that_keep_their_spacing_have_no_jitter() {
        let mut stream = ReceiveStream::new(1, Kind::Audio, 0);
        for number in 0..100u16 {
            let at = Duration::from_millis(20) * u32::from(number);
            stream.accept(number, u32::from(number) * 960, at);
        }
        assert_eq!(stream.report(Instant::now()).jitter, 0);
        stream.accept(100, 96_000, Duration::from_millis(2_010));
        assert_eq!(stream.report(Instant::now()).jitter, 480 / 16);
    }
}
