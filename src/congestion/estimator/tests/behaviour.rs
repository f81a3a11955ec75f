//! What a subscriber's way does to the target.

use std::time::Duration;

use super::super::Estimator;
use super::link::{Call, START, Way};

const MS: Duration = Duration::from_millis(1);
const LAYERS: [u64; 3] = [150, 500, 1_700];

#[test]
fn a_wide_way_is_found_within_seconds() {
    for delay in [5, 25, 150] {
        let mut call = Call::new(8_000);
        call.run(15.0, |_| Way { kbps: 20_000, delay: delay * MS, ..Way::default() });
        let found = call.reached(0.0, |target| target >= 8_000);
        assert!(found < 3.0 + 12.0 * delay as f64 / 1_000.0, "RTT {}: {found} s {}", 2 * delay, call.told());
    }
}

#[test]
fn most_of_a_narrow_way_is_used_without_a_long_queue() {
    for (kbps, delay) in [(300, 25), (1_000, 5), (1_000, 25), (1_000, 150), (3_000, 50), (6_000, 25)] {
        let mut call = Call::new(8_000);
        call.run(60.0, |_| Way { kbps, delay: delay * MS, ..Way::default() });
        let used = call.mean_sent(10.0, 60.0) as f64 / kbps as f64;
        assert!((0.8..1.05).contains(&used), "{kbps} kbit/s, {delay} ms: {used} {}", call.told());
        assert!(call.p95_queue(10.0, 60.0) < 135.0, "{} {}", call.p95_queue(10.0, 60.0), call.told());
    }
}

#[test]
fn a_fall_is_followed_within_two_seconds_and_a_rise_within_five() {
    let mut call = Call::new(4_000);
    let kbps = |ms| match ms {
        0..20_000 => 2_500,
        20_000..40_000 => 600,
        _ => 2_500,
    };
    call.run(60.0, |ms| Way { kbps: kbps(ms), ..Way::default() });
    assert!(call.reached(20.0, |target| target <= 600) < 2.0, "{}", call.told());
    assert!(call.mean_sent(25.0, 40.0) >= 480, "{}", call.told());
    assert!(call.reached(40.0, |target| target >= 2_000) < 5.0, "{}", call.told());
}

#[test]
fn starvation_is_over_soon_after_it_ends() {
    let mut call = Call::new(4_000);
    let starved = |ms| (10_000..40_000).contains(&ms);
    call.run(60.0, |ms| Way { kbps: if starved(ms) { 100 } else { 5_000 }, ..Way::default() });
    assert!(call.most_target(14.0, 40.0) < 160, "{}", call.told());
    assert!(call.reached(40.0, |target| target >= 4_000) < 8.0, "{}", call.told());
}

#[test]
fn loss_without_a_queue_does_not_take_the_rate_away() {
    for lost in [2, 5, 10, 20] {
        let mut call = Call::new(4_000);
        call.run(60.0, |_| Way { kbps: 20_000, lost, ..Way::default() });
        assert!(call.mean_sent(10.0, 60.0) > 2_800, "{lost} %: {}", call.told());
        assert!(call.least_target(10.0, 60.0) > 1_000, "{lost} %: {}", call.told());
    }
}

#[test]
fn a_queue_too_short_to_show_is_found_by_its_loss() {
    let mut call = Call::new(8_000);
    call.run(60.0, |_| Way { kbps: 1_000, queue: 12 * MS, ..Way::default() });
    let (sent, dropped) = (call.mean_sent(15.0, 60.0), call.trace.iter().skip(150).map(|s| s.dropped).sum::<u32>());
    assert!((700..1_120).contains(&sent), "{sent} {}", call.told());
    assert!(dropped < 60 * sent as u32 / 9 / 10, "{dropped} {}", call.told());
}

#[test]
fn jitter_is_no_queue() {
    let mut call = Call::new(4_000);
    call.run(60.0, |_| Way { kbps: 20_000, jitter: 30 * MS, ..Way::default() });
    assert!(call.least_target(5.0, 60.0) >= 2_000, "{}", call.told());
}

#[test]
fn layers_come_in_steps_and_the_target_stays_above_them() {
    let mut call = Call::new(1_700 * 12 / 10);
    call.steps = LAYERS.to_vec();
    call.run(120.0, |_| Way { kbps: 1_200, ..Way::default() });
    // The highest that fits, and no more than what fits is tried.
    assert!((450..700).contains(&call.mean_sent(10.0, 120.0)), "{}", call.told());
    assert!(call.least_target(10.0, 120.0) >= 550, "{}", call.told());
    assert!(call.p95_queue(10.0, 120.0) < 60.0, "{}", call.told());
    assert!(call.most_target(10.0, 120.0) <= 1_500, "{}", call.told());
}

#[test]
fn little_that_is_sent_does_not_take_away_what_is_known() {
    let mut call = Call::new(4_000);
    call.run(10.0, |_| Way::default());
    let known = call.target();
    assert!(known >= 4_000, "{}", call.told());
    call.wanted = super::super::Bitrate::from_kbps(50);
    call.estimator.want(call.wanted);
    let probes = call.probes.len();
    call.run(120.0, |_| Way::default());
    assert_eq!(call.target(), known);
    assert_eq!(call.probes.len(), probes, "nothing more is wanted");
}

#[test]
fn feedback_that_stays_out_lets_it_fall_and_no_burst_follows() {
    let mut call = Call::new(4_000);
    let dark = |ms| (20_000..23_000).contains(&ms);
    call.run(40.0, |ms| Way { kbps: 5_000, feedback: !dark(ms), ..Way::default() });
    let before = call.most_target(10.0, 20.0);
    assert!(call.least_target(22.5, 23.1) < before / 2, "{}", call.told());
    assert!(!call.probes.iter().any(|(at, _)| (20_500..27_500).contains(at)), "{:?}", call.probes);
    assert!(call.reached(23.0, |target| target >= before * 8 / 10) < 15.0, "{}", call.told());
}

#[test]
fn before_feedback_the_start_holds_and_is_not_called_measured() {
    let mut call = Call::new(4_000);
    call.run(5.0, |_| Way { feedback: false, ..Way::default() });
    assert_eq!(call.estimator.target(), START);
    assert!(!call.estimator.is_measured() && call.probes.is_empty());
    call.run(1.0, |_| Way::default());
    assert!(call.estimator.is_measured());
}

#[test]
fn an_hour_of_numbers_that_wrap_changes_nothing() {
    let mut call = Call::new(6_000);
    // 7 wraps at 700 packets a second.
    call.run(660.0, |_| Way { kbps: 20_000, ..Way::default() });
    assert!(call.least_target(10.0, 660.0) >= 6_000, "{}", call.target());
    assert_eq!(call.estimator.unknown(), 0);
}

#[test]
fn a_subscriber_takes_little_memory() {
    let mut call = Call::new(2_600);
    call.run(60.0, |_| Way { kbps: 20_000, ..Way::default() });
    // 300 packets a second.
    assert!((2_400..2_700).contains(&call.mean_sent(50.0, 60.0)));
    let bytes = size_of::<Estimator>() + call.estimator.log.heap();
    assert!(bytes <= 3_072, "{bytes}");
}
