//! Scenarios of one incoming stream: loss, reordering, wraps, jitter and reports.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const RATE: u32 = 90_000;

fn header(sequence_number: u16, timestamp: u32) -> rtp::Header {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence_number.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend([0, 0, 0, 1]);
    rtp::Header::parse(&packet).unwrap()
}

fn feed(stream: &mut ReceiveStream, now: Instant, sequences: impl IntoIterator<Item = u16>) -> Vec<u64> {
    sequences.into_iter().map(|sequence| stream.receive(now, &header(sequence, 0), 100)).collect()
}

#[test]
fn sequence_numbers_are_extended_over_many_wraps_and_reordering() {
    let now = Instant::now();
    let mut stream = ReceiveStream::new(Ssrc(1), RATE);
    let mut random = StdRng::seed_from_u64(1);
    let start = FIRST_CYCLE + 65_530;
    feed(&mut stream, now, [65_530]);
    let mut highest = start;
    for _ in 0..200_000 {
        let expected = if random.random_ratio(1, 10) {
            highest.saturating_sub(random.random_range(1..500)).max(start - 400)
        } else {
            highest + random.random_range(1..4)
        };
        highest = highest.max(expected);
        assert_eq!(feed(&mut stream, now, [expected as u16]), [expected]);
    }
    assert!(highest > 4 * FIRST_CYCLE, "several wraps");
}

#[test]
fn reordering_before_the_first_packet_does_not_underflow() {
    let now = Instant::now();
    let mut stream = ReceiveStream::new(Ssrc(1), RATE);
    assert_eq!(feed(&mut stream, now, [0, 65_535, 32_769]), [FIRST_CYCLE, FIRST_CYCLE - 1, FIRST_CYCLE - 32_767]);
    let report = stream.report(now);
    assert_eq!((report.extended_highest_sequence, report.cumulative_lost), (0, -2));
}

#[test]
fn loss_is_reported_per_interval_and_in_sum() {
    let now = Instant::now();
    let mut stream = ReceiveStream::new(Ssrc(7), RATE);
    feed(&mut stream, now, (0..100).filter(|n| n % 4 != 1));
    let report = stream.report(now);
    assert_eq!(report.ssrc, 7);
    assert_eq!((report.fraction_lost, report.cumulative_lost), (64, 25));
    assert_eq!(report.extended_highest_sequence, 99);
    feed(&mut stream, now, 100..200);
    let report = stream.report(now);
    assert_eq!((report.fraction_lost, report.cumulative_lost), (0, 25), "a new interval");
    feed(&mut stream, now, [1, 5, 9]);
    assert_eq!(stream.report(now).cumulative_lost, 22, "late ones are not lost");
    assert_eq!(stream.fraction_lost(), 0);
    assert_eq!((stream.packets(), stream.bytes()), (178, 17_800));
}

#[test]
fn a_report_without_packets_claims_nothing() {
    let now = Instant::now();
    let mut stream = ReceiveStream::new(Ssrc(7), RATE);
    let empty = ReceptionReport { ssrc: 7, ..ReceptionReport::default() };
    assert_eq!(stream.report(now), empty);
    assert_eq!(stream.last_arrival(), None);
}

#[test]
fn the_highest_number_counts_cycles_from_zero() {
    let now = Instant::now();
    let mut stream = ReceiveStream::new(Ssrc(1), RATE);
    feed(&mut stream, now, [65_535, 0]);
    assert_eq!(stream.report(now).extended_highest_sequence, 1 << 16);
}

#[test]
fn a_jump_past_max_dropout_is_not_loss_and_one_below_is() {
    let now = Instant::now();
    let mut stream = ReceiveStream::new(Ssrc(1), RATE);
    feed(&mut stream, now, [0, 20_000]);
    assert_eq!(stream.report(now).cumulative_lost, 0);
    let mut stream = ReceiveStream::new(Ssrc(1), RATE);
    feed(&mut stream, now, [0, MAX_DROPOUT as u16 + 1]);
    assert_eq!(stream.report(now).cumulative_lost, MAX_DROPOUT as i32);
}

#[test]
fn even_arrivals_have_no_jitter_and_uneven_ones_approach_their_mean() {
    let start = Instant::now();
    let frame = Duration::from_millis(20);
    let mut even = ReceiveStream::new(Ssrc(1), RATE);
    let mut uneven = ReceiveStream::new(Ssrc(1), RATE);
    for n in 0..500u16 {
        let due = start + frame * n.into();
        // Timestamps that wrap on the way.
        let header = header(n, (u32::MAX - 90_000).wrapping_add(u32::from(n) * 1_800));
        even.receive(due, &header, 100);
        uneven.receive(due + Duration::from_millis(if n % 2 == 0 { 0 } else { 10 }), &header, 100);
    }
    assert_eq!(even.report(start).jitter, 0);
    let jitter = uneven.report(start).jitter;
    assert!((890..=900).contains(&jitter), "every difference is 10 ms, 900 units: {jitter}");
    assert!((9..=10).contains(&uneven.jitter().as_millis()));
}

#[test]
fn absurd_timestamps_do_not_overflow_the_jitter() {
    let start = Instant::now();
    let mut stream = ReceiveStream::new(Ssrc(1), u32::MAX);
    let mut random = StdRng::seed_from_u64(2);
    for n in 0..10_000u16 {
        let now = start + Duration::from_secs(random.random_range(0..1 << 40));
        stream.receive(now, &header(n, random.random()), usize::MAX >> 20);
    }
    assert!(stream.report(start).jitter > 0);
}

#[test]
fn sender_reports_tie_the_clocks_and_are_answered() {
    let start = Instant::now();
    let mut stream = ReceiveStream::new(Ssrc(1), RATE);
    let info = SenderInfo { ssrc: Ssrc(1), ntp: 0x1122_3344_5566_7788, rtp_timestamp: 42, packets: 0, octets: 0 };
    stream.handle_sender_report(start, &SenderInfo { ssrc: Ssrc(2), ..info });
    stream.handle_sender_report(start, &SenderInfo { ntp: 0, ..info });
    assert_eq!(stream.clock_reference(), None, "another stream's, or without a clock");
    stream.handle_sender_report(start, &info);
    let clock = stream.clock_reference().unwrap();
    assert_eq!((clock.ntp, clock.rtp_timestamp, clock.arrival), (info.ntp, 42, start));
    let report = stream.report(start + Duration::from_millis(250));
    assert_eq!((report.last_sender_report, report.delay_since_last), (0x3344_5566, 1 << 14));
}
