//! Arithmetic between the clocks of a stream: RTP timestamps, NTP time (RFC 3550, section 4) and the local clock.
//!
//! What always holds: RTP timestamps wrap at 32 bits and all sums here wrap with them.

use std::time::Duration;

/// A duration in units of an RTP clock, rounded down. Wraps after 2^64 units.
pub fn units(duration: Duration, clock_rate: u32) -> u64 {
    let rate = u64::from(clock_rate);
    let fraction = u64::from(duration.subsec_nanos()) * rate / 1_000_000_000;
    duration.as_secs().wrapping_mul(rate).wrapping_add(fraction)
}

/// The difference `to - from` of two NTP times (32.32 fixed point, within 68 years) in units of an RTP clock, rounded to the nearest and
/// wrapped to 32 bits.
pub fn units_between(from: u64, to: u64, clock_rate: u32) -> u32 {
    let difference = to.wrapping_sub(from) as i64;
    ((i128::from(difference) * i128::from(clock_rate) + (1 << 31)) >> 32) as u32
}

/// An NTP time some duration later.
pub fn ntp_after(ntp: u64, duration: Duration) -> u64 {
    let fraction = (u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000;
    ntp.wrapping_add(duration.as_secs() << 32).wrapping_add(fraction)
}

/// The middle 32 bits of an NTP time, as report blocks carry it (RFC 3550, section 6.4.1).
pub fn ntp_middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// A duration in units of 1/65536 s, saturating at 18 hours.
pub fn to_short(duration: Duration) -> u32 {
    u32::try_from(units(duration, 1 << 16)).unwrap_or(u32::MAX)
}

/// The reverse of [`to_short`].
pub fn from_short(short: u32) -> Duration {
    Duration::from_nanos((u64::from(short) * 1_000_000_000) >> 16)
}

/// Whether timestamp `a` is later than `b` (RFC 1982 arithmetic: the shorter way round decides).
pub fn is_later(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_do_not_overflow_after_days() {
        assert_eq!(units(Duration::from_millis(1500), 90_000), 135_000);
        let month = Duration::from_secs(30 * 86_400) + Duration::from_millis(10);
        assert_eq!(units(month, 90_000), 30 * 86_400 * 90_000 + 900);
    }

    #[test]
    fn ntp_differences_go_both_ways() {
        let second = 1u64 << 32;
        assert_eq!(units_between(7 * second, 9 * second, 90_000), 180_000);
        assert_eq!(units_between(9 * second, 7 * second, 90_000), 180_000u32.wrapping_neg());
        assert_eq!(units_between(u64::MAX, second - 1, 48_000), 48_000, "across the era's end");
    }

    #[test]
    fn an_ntp_time_grows_with_its_duration() {
        let later = ntp_after(5 << 32, Duration::from_millis(2250));
        assert_eq!(later, (7 << 32) + (1 << 30));
        assert_eq!(ntp_middle(later), (7 << 16) + (1 << 14));
    }

    #[test]
    fn short_durations_round_trip_and_saturate() {
        assert_eq!(to_short(Duration::from_millis(500)), 1 << 15);
        assert_eq!(from_short(1 << 15), Duration::from_millis(500));
        assert_eq!(to_short(Duration::from_secs(1 << 20)), u32::MAX);
    }

    #[test]
    fn later_is_the_shorter_way_round() {
        assert!(is_later(1, u32::MAX));
        assert!(!is_later(u32::MAX, 1));
        assert!(!is_later(5, 5));
    }
}
