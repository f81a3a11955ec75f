//! Scenarios of beginning with a keyframe of a while ago.

use super::*;
use crate::media::catch_up::CatchUp;

const MS: Duration = Duration::from_millis(1);

/// Sends a keyframe and delta frames of an encoding at once; gives what the subscriber sees.
fn catch_up(stream: &mut SendStream, now: Instant, encoding: usize, first: u64, frames: u32) -> Vec<Received> {
    let numbers = first..=first + u64::from(frames) - 1;
    let newest = 3_000 * *numbers.end() as u32;
    stream.begin_catch_up(encoding, &CatchUp { numbers: numbers.clone(), frames, newest });
    let sent = numbers.map(|n| if n == first { key(encoding, n) } else { delta(encoding, n) });
    sent.filter_map(|sent| forward(stream, now, &sent)).collect()
}

#[test]
fn a_switch_back_to_a_keyframe_goes_on_in_numbers_time_and_counters() {
    let start = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    let mut last = None;
    for n in 0..30u32 {
        let sent = if n == 0 { key(0, 70_000) } else { delta(0, 70_000 + u64::from(n)) };
        last = forward(&mut stream, start + n * 33 * MS, &sent);
    }
    let last = last.unwrap();
    stream.select(Some(Selection::all(1)));
    assert_eq!(stream.reach(), Some(SWITCH_REACH), "a picture is shown");
    // No sender reports, and the frames come in the very moment of the last one: there is no room but what is made.
    let caught_up = catch_up(&mut stream, start + 29 * 33 * MS, 1, 90_000, 7);
    assert_eq!((caught_up.len(), stream.current(), stream.awaits_keyframe()), (7, Some(1), None));
    for (before, after) in [&last].into_iter().chain(&caught_up).zip(&caught_up) {
        assert_eq!(after.sequence, before.sequence + 1);
        assert!(clock::is_later(after.timestamp, before.timestamp));
        assert_eq!(picture_id(after), picture_id(before) + 1);
    }
    let ticks = caught_up[6].timestamp.wrapping_sub(caught_up[0].timestamp);
    assert_eq!(ticks, 6, "a tick each");
    let live = forward(&mut stream, start + 30 * 33 * MS, &delta(1, 90_007)).unwrap();
    assert_eq!(live.timestamp.wrapping_sub(caught_up[6].timestamp), 3_000);
    assert_eq!(forward(&mut stream, start, &delta(1, 90_003)), None, "was sent");
}

#[test]
fn the_newest_frame_is_placed_by_the_clocks_and_not_the_keyframe() {
    let start = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    let clocked = |mut sent: Sent, rtp_timestamp: u32| {
        sent.clock = Some(ClockReference { ntp: 3_900_000_000 << 32, rtp_timestamp, arrival: start });
        sent
    };
    let first = forward(&mut stream, start, &clocked(key(0, 70_000), 3_000 * 70_000)).unwrap();
    stream.select(Some(Selection::all(1)));
    // Encoding 1 is at 90,000 when 0 is at 70,000; its keyframe was captured 4 frames after that, 3 more have come.
    let (from, reference) = (90_004, 3_000 * 90_000);
    stream.begin_catch_up(1, &CatchUp { numbers: from..=from + 3, frames: 4, newest: 3_000 * 90_007 });
    let now = start + 7 * 33 * MS;
    let mut output = Vec::new();
    for n in from..from + 4 {
        let sent = if n == from { key(1, n) } else { delta(1, n) };
        output.push(
            forward(&mut stream, now, &clocked(sent, reference)).unwrap().timestamp.wrapping_sub(first.timestamp),
        );
    }
    assert_eq!(output, [7 * 3_000 - 3, 7 * 3_000 - 2, 7 * 3_000 - 1, 7 * 3_000]);
}

#[test]
fn who_was_served_a_moment_ago_wishes_again_and_others_for_the_first_time() {
    let start = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    assert_eq!((stream.wish(start), stream.reach()), (Wish::First, Some(JOIN_REACH)));
    forward(&mut stream, start, &key(0, 70_000));
    assert_eq!(stream.wish(start + RECENTLY_SERVED - MS), Wish::Again);
    assert_eq!(stream.wish(start + RECENTLY_SERVED), Wish::First);
}
