//! What a budget buys, and when it changes.

use super::*;
use crate::media::layer_rates::Rate;
use crate::media::layers::Selection;

const MS: Duration = Duration::from_millis(1);
const CAMERA: Priority = Priority { screen: false, size: 16 };
const LARGE: Priority = Priority { screen: false, size: 20 };
const SCREEN: Priority = Priority { screen: true, size: 16 };
/// What three encodings take, kbit/s.
const SIMULCAST: [u64; 3] = [100, 400, 1_500];

/// A subscriber that is looked at again and again.
struct Subscriber {
    allocation: Allocation,
    now: Instant,
    claims: Vec<Claim>,
    rungs: Vec<Rung>,
    measured: bool,
    congested: bool,
    /// Changes of levels so far.
    switches: usize,
}

impl Subscriber {
    fn new(tracks: &[(Priority, &[u64])]) -> Subscriber {
        let (allocation, now) = (Allocation::default(), Instant::now());
        let (claims, rungs) = (Vec::new(), Vec::new());
        let mut subscriber =
            Subscriber { allocation, now, claims, rungs, measured: true, congested: true, switches: 0 };
        tracks.iter().for_each(|(priority, kbps)| subscriber.add(*priority, kbps));
        subscriber
    }

    fn add(&mut self, priority: Priority, kbps: &[u64]) {
        let begin = self.rungs.len();
        self.rungs.extend((0..).zip(kbps).map(|(encoding, kbps)| Rung {
            selection: Selection::all(encoding),
            temporal: 0,
            rate: Rate::even(Bitrate::from_kbps(*kbps)),
        }));
        self.claims.push(Claim { priority, rungs: begin..self.rungs.len(), present: 0, held: false });
    }

    /// One look with so many kbit/s.
    fn look(&mut self, kbps: u64) -> Vec<usize> {
        let budget = Budget { video: Bitrate::from_kbps(kbps), measured: self.measured, congested: self.congested };
        let levels = self.allocation.allocate(self.now, budget, &self.claims, &self.rungs).to_vec();
        for (claim, level) in self.claims.iter_mut().zip(&levels) {
            self.switches += usize::from(claim.present != *level);
            claim.present = *level;
            claim.held = *level < claim.rungs.len();
        }
        levels
    }

    /// Looks every 100 ms for so long.
    fn hold(&mut self, kbps: u64, time: Duration) -> Vec<usize> {
        let end = self.now + time;
        loop {
            let levels = self.look(kbps);
            if self.now >= end {
                return levels;
            }
            self.now += 100 * MS;
        }
    }
}

#[test]
fn the_least_of_everything_comes_before_more_of_anything() {
    let mut subscriber = Subscriber::new(&[(SCREEN, &SIMULCAST), (CAMERA, &SIMULCAST), (CAMERA, &SIMULCAST)]);
    assert_eq!(subscriber.look(300), [1, 1, 1]);
    let mut crowded = Subscriber::new(&[(SCREEN, &SIMULCAST), (CAMERA, &SIMULCAST), (CAMERA, &SIMULCAST)]);
    assert_eq!(crowded.look(100), [1, 1, 1], "not at once");
}

#[test]
fn a_screen_is_raised_first_then_what_is_large_then_the_rest_in_turn() {
    let tracks: [(Priority, &[u64]); 4] =
        [(CAMERA, &SIMULCAST), (LARGE, &SIMULCAST), (SCREEN, &SIMULCAST), (CAMERA, &SIMULCAST)];
    let of = |kbps| Subscriber::new(&tracks).look(kbps);
    assert_eq!(of(400), [1, 1, 1, 1]);
    assert_eq!(of(800), [1, 1, 2, 1]);
    assert_eq!(of(1_800), [1, 1, 3, 1]);
    assert_eq!(of(3_200), [1, 3, 3, 1]);
    assert_eq!(of(3_500), [2, 3, 3, 1], "one before the other");
    assert_eq!(of(3_900), [2, 3, 3, 2], "both, before one of them gets all");
    assert_eq!(of(6_000), [3, 3, 3, 3]);
}

#[test]
fn going_down_is_at_once_and_going_up_takes_room_for_a_while() {
    let mut subscriber = Subscriber::new(&[(CAMERA, &SIMULCAST)]);
    assert_eq!(subscriber.look(2_000), [3]);
    assert_eq!(subscriber.look(1_499), [2]);
    assert_eq!(subscriber.hold(1_700, 5_000 * MS), [2], "the margin is not there");
    assert_eq!(subscriber.hold(1_730, HOLD - 100 * MS), [2], "not for long enough");
    assert_eq!(subscriber.look(1_700), [2], "an interruption counts anew");
    assert_eq!(subscriber.hold(1_730, HOLD - 100 * MS), [2]);
    assert_eq!(subscriber.hold(1_730, 200 * MS), [3]);
}

#[test]
fn what_is_new_or_was_not_held_down_need_not_wait() {
    let mut subscriber = Subscriber::new(&[(CAMERA, &[100])]);
    assert_eq!(subscriber.look(1_550), [1], "all it has");
    subscriber.claims.clear();
    subscriber.rungs.clear();
    subscriber.add(CAMERA, &SIMULCAST);
    subscriber.claims[0].present = 1;
    assert_eq!(subscriber.look(1_550), [3], "there is more of it now");
    subscriber.add(SCREEN, &SIMULCAST);
    assert_eq!(subscriber.look(1_700), [1, 3], "what matters more takes from the rest");
}

#[test]
fn a_rate_that_swings_about_a_step_changes_little() {
    // S2: three simulcast tracks on a link of 500 kbit/s, an estimate between 400 and 560.
    let tracks: [(Priority, &[u64]); 3] = [(CAMERA, &[80, 250, 900]); 3];
    let mut subscriber = Subscriber::new(&tracks);
    subscriber.look(400);
    subscriber.switches = 0;
    for minute in 0..5 {
        let before = subscriber.switches;
        for second in 0..60u64 {
            // Up for 5 s, down for one.
            let kbps = if second % 6 == 5 { 400 } else { 480 + 20 * (second % 5) };
            subscriber.hold(kbps, 1_000 * MS);
        }
        assert!(subscriber.switches - before <= 4, "minute {minute}: {}", subscriber.switches - before);
    }
    assert!(subscriber.claims.iter().all(|claim| claim.present > 0));
}

#[test]
fn all_comes_back_soon_after_a_bad_half_minute() {
    // S3, with an estimate that needs 5 s to rise.
    let mut subscriber = Subscriber::new(&[(LARGE, &SIMULCAST), (CAMERA, &SIMULCAST)]);
    assert_eq!(subscriber.hold(5_000, 10_000 * MS), [3, 3]);
    for n in 0..300u64 {
        subscriber.hold(80 + n * 7 % 60, 100 * MS);
    }
    let mut kbps = 100;
    while kbps < 5_000 {
        kbps = kbps * 108 / 100;
        subscriber.hold(kbps, 100 * MS);
    }
    assert_eq!(subscriber.hold(5_000, 2_000 * MS), [3, 3]);
}

#[test]
fn something_is_paused_only_where_the_least_did_not_fit_for_a_while() {
    let tracks: [(Priority, &[u64]); 3] = [(CAMERA, &SIMULCAST), (SCREEN, &[300]), (LARGE, &SIMULCAST)];
    let mut subscriber = Subscriber::new(&tracks);
    assert_eq!(subscriber.look(500), [1, 1, 1]);
    assert_eq!(subscriber.hold(480, 60_000 * MS), [1, 1, 1], "a little too small is borne");
    assert_eq!(subscriber.hold(400, LONG_PATIENCE - 100 * MS), [1, 1, 1]);
    assert_eq!(subscriber.hold(400, 200 * MS), [0, 1, 1], "what matters least");
    assert_eq!(subscriber.hold(150, PAUSE_PATIENCE - 100 * MS), [0, 1, 1], "sooner where much is too much");
    assert_eq!(subscriber.hold(150, 200 * MS), [0, 0, 1], "what fits, where what matters more does not");
    assert_eq!(subscriber.hold(40, 3_000 * MS), [0, 0, 0]);
}

#[test]
fn of_many_no_more_than_half_is_paused_at_once() {
    let mut subscriber = Subscriber::new(&[(CAMERA, &SIMULCAST as &[u64]); 8]);
    let mut shown = |time| subscriber.hold(60, time).iter().filter(|level| **level > 0).count();
    assert_eq!([PAUSE_PATIENCE - 100 * MS, 200 * MS].map(&mut shown), [8, 4]);
    assert_eq!([PAUSE_PATIENCE - 300 * MS, 300 * MS].map(&mut shown), [4, 2]);
}

#[test]
fn what_is_paused_comes_back_with_room_and_before_more_of_the_rest() {
    let mut subscriber = Subscriber::new(&[(LARGE, &SIMULCAST), (CAMERA, &SIMULCAST)]);
    subscriber.look(200);
    assert_eq!(subscriber.hold(90, 3_000 * MS), [1, 0]);
    assert_eq!(subscriber.hold(210, 10_000 * MS), [1, 0], "the margin is not there");
    assert_eq!(subscriber.hold(220, HOLD + 100 * MS), [1, 1]);
}

#[test]
fn at_the_beginning_room_is_taken_sooner() {
    let mut subscriber = Subscriber::new(&[(CAMERA, &SIMULCAST)]);
    subscriber.measured = false;
    assert_eq!(subscriber.hold(1_000, 300 * MS), [2]);
    subscriber.measured = true;
    assert_eq!(subscriber.hold(2_000, FIRST_HOLD - 100 * MS), [2]);
    assert_eq!(subscriber.hold(2_000, 200 * MS), [3]);
}

#[test]
fn nothing_is_paused_on_a_way_that_is_not_congested() {
    let mut subscriber = Subscriber::new(&[(CAMERA, &SIMULCAST), (CAMERA, &[5_000])]);
    subscriber.congested = false;
    assert_eq!(subscriber.hold(2_000, 10_000 * MS), [1, 1]);
}

#[test]
fn who_comes_to_where_others_are_paused_waits_with_them() {
    let mut subscriber = Subscriber::new(&[(LARGE, &SIMULCAST), (CAMERA, &SIMULCAST)]);
    subscriber.look(200);
    assert_eq!(subscriber.hold(90, 3_000 * MS), [1, 0]);
    subscriber.add(CAMERA, &SIMULCAST);
    assert_eq!(subscriber.look(105), [1, 0, 0]);
    subscriber.add(SCREEN, &SIMULCAST);
    assert_eq!(subscriber.hold(105, LONG_PATIENCE + 200 * MS), [0, 0, 0, 1], "what matters more takes the place");
}

#[test]
fn a_keyframe_that_swells_the_peak_takes_nothing_back() {
    let mut subscriber = Subscriber::new(&[(CAMERA, &SIMULCAST)]);
    assert_eq!(subscriber.look(1_600), [3]);
    subscriber.rungs[2].rate.peak = Bitrate::from_kbps(2_500);
    assert_eq!(subscriber.hold(1_600, 1_000 * MS), [3]);
    subscriber.rungs[2].rate.sustained = Bitrate::from_kbps(1_700);
    assert_eq!(subscriber.look(1_600), [2], "an encoder that took more does");
}
