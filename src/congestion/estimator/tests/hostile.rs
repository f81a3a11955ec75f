//! A subscriber that lies harms itself alone.

use std::time::{Duration, Instant};

use super::super::{Estimator, FLOOR};
use super::link::START;
use crate::congestion::bitrate::Bitrate;
use crate::wire::rtcp::transport_feedback::ReceivedFeedback;

const MS: Duration = Duration::from_millis(1);
const WANTED: Bitrate = Bitrate::from_kbps(3_000);

/// A feedback of two-bit vectors, 7 packets a chunk, all with large deltas of so many ticks.
fn fci(base: u16, packets: u16, reference: u32, delta: i16) -> Vec<u8> {
    let mut fci = [base.to_be_bytes(), packets.to_be_bytes()].concat();
    fci.extend((reference << 8).to_be_bytes());
    (0..packets.div_ceil(7)).for_each(|_| fci.extend(0b1110_1010_1010_1010_u16.to_be_bytes()));
    (0..packets).for_each(|_| fci.extend(delta.to_be_bytes()));
    fci
}

/// Sends 1 Mbit/s for a minute; `lie` makes feedback of (round, base), ten packets a round.
fn lied_to(lie: impl Fn(u32, u16) -> Vec<u8>) -> Estimator {
    let start = Instant::now();
    let mut estimator = Estimator::new(START);
    estimator.want(WANTED);
    for round in 0..600 {
        let base = estimator.next_number();
        (0..10).for_each(|i| estimator.sent(start + (round * 100 + i * 10) * MS, 1_250));
        let now = start + (round * 100 + 99) * MS;
        if let Some(feedback) = ReceivedFeedback::parse(&lie(round, base)) {
            estimator.on_feedback(now, &feedback);
        }
        estimator.handle_timeout(now);
        estimator.poll_probe(now);
        let target = estimator.target();
        assert!((FLOOR..=WANTED.scaled(1.5)).contains(&target), "{round}: {target:?}");
        let due = estimator.poll_timeout();
        assert!(due.is_none_or(|due| due > now), "it would be polled for ever");
    }
    estimator
}

#[test]
fn arrivals_all_at_once_or_ever_earlier_stay_bounded() {
    lied_to(|_, base| fci(base, 10, 5, 0));
    lied_to(|_, base| fci(base, 10, 0xff_ffff, -32_768));
    lied_to(|round, base| fci(base, 10, 0x00ff_ffff_u32.wrapping_sub(round * 9) & 0xff_ffff, 1));
    lied_to(|round, base| fci(base, 10, (round * 1_000_003) & 0xff_ffff, 7));
    lied_to(|round, base| fci(base, 10, 2 * round, if round % 2 == 0 { 32_767 } else { -32_768 }));
}

#[test]
fn feedback_of_packets_that_were_not_sent_is_counted_and_tells_nothing() {
    let estimator = lied_to(|round, base| fci(base.wrapping_add(2_000), 400, 2 * round, 4));
    assert!(estimator.unknown() >= 200_000 && !estimator.is_measured());
    assert_eq!(estimator.target(), START);
}

#[test]
fn the_same_feedback_again_changes_nothing() {
    let start = Instant::now();
    let mut estimator = Estimator::new(START);
    (0..10).for_each(|i| estimator.sent(start + i * 10 * MS, 1_250));
    let fci = fci(0, 10, 9, 40);
    let feedback = ReceivedFeedback::parse(&fci).unwrap();
    assert!(estimator.on_feedback(start + 100 * MS, &feedback));
    for i in 0..100 {
        assert!(!estimator.on_feedback(start + (110 + i) * MS, &feedback));
    }
}

#[test]
fn bytes_without_meaning_do_no_harm() {
    let mut random = 1_u64;
    let mut dice = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let noise: Vec<Vec<u8>> = (0..600).map(|_| (0..dice() % 300).map(|_| dice() as u8).collect()).collect();
    lied_to(|round, base| {
        let mut fci = noise[round as usize].clone();
        // Of packets that were sent.
        fci.iter_mut().zip(base.to_be_bytes()).for_each(|(byte, base)| *byte = base);
        fci
    });
}

#[test]
fn a_clock_that_stands_before_the_first_packet_is_borne() {
    let start = Instant::now() + Duration::from_secs(10);
    let mut estimator = Estimator::new(START);
    estimator.handle_timeout(start);
    assert!(estimator.poll_probe(start).is_none() && estimator.poll_timeout().is_none());
    estimator.sent(start, 100);
    estimator.sent(start - Duration::from_secs(5), 100);
    let fci = fci(0, 2, 0, 1);
    estimator.on_feedback(start - Duration::from_secs(7), &ReceivedFeedback::parse(&fci).unwrap());
    assert_eq!(estimator.next_number(), 2);
}
