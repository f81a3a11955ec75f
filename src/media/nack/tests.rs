//! Scenarios of one stream: reordering, loss in ones and in bursts, answers, and what ends in a keyframe.

use super::lateness::LEAST;
use super::*;

const RETRY: Duration = Duration::from_millis(125);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A stream with a packet every 10 ms at first, and what was asked for.
struct World {
    missing: MissingPackets,
    now: Instant,
    asked: Vec<(u64, u16)>,
    start: Instant,
    given_up: u64,
    wishes: Vec<u64>,
}

impl World {
    fn new(repair: Repair) -> World {
        let start = Instant::now();
        let missing = MissingPackets::new(repair).unwrap();
        World { missing, now: start, start, asked: Vec::new(), given_up: 0, wishes: Vec::new() }
    }

    fn arrive(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            assert_eq!(self.missing.arrived(self.now, number), None, "{number}");
        }
    }

    /// Lets time pass, polling when asked to.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.missing.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.poll();
            assert!(self.missing.poll_timeout().is_none_or(|next| next > self.now), "no spinning");
        }
        self.now = end;
    }

    fn poll(&mut self) {
        let mut requests = Vec::new();
        let given_up = self.missing.poll(self.now, RETRY, |number| requests.push(number));
        let at = (self.now - self.start).as_millis() as u64;
        self.asked.extend(requests.into_iter().map(|number| (at, number)));
        self.given_up += given_up.packets;
        self.wishes.extend(given_up.needs_keyframe.then_some(at));
    }

    fn numbers(&self) -> Vec<u16> {
        self.asked.iter().map(|(_, number)| *number).collect()
    }
}

#[test]
fn a_stream_without_gaps_wants_nothing() {
    let mut world = World::new(Repair::Apart);
    world.arrive(65_530..70_000);
    assert_eq!(world.missing.poll_timeout(), None);
    world.poll();
    assert_eq!((world.asked.len(), world.missing.missing.capacity()), (0, 0));
}

#[test]
fn a_lost_packet_is_asked_for_after_the_tolerance_and_again_after_each_round_trip() {
    let mut world = World::new(Repair::Apart);
    world.arrive([70_000, 70_002]);
    world.pass(ms(400));
    let at = |n: u64| LEAST.as_millis() as u64 + n * RETRY.as_millis() as u64;
    assert_eq!(world.asked, [0, 1, 2, 3].map(|n| (at(n), 70_001u64 as u16)));
}

#[test]
fn the_repetition_ends_the_asking_and_tells_how_long_it_took() {
    let mut world = World::new(Repair::Apart);
    world.arrive([70_000, 70_003]);
    world.pass(LEAST + ms(40));
    let came = world.missing.recovered(world.now, 70_001);
    assert_eq!(came, Some(Recovered { requests: 1, waited: ms(40) }));
    assert_eq!(world.missing.recovered(world.now, 70_001), None, "it is here already");
    assert_eq!(world.missing.recovered(world.now, 70_000), None, "it was never missing");
    assert_eq!(world.missing.recovered(world.now, 70_004), None, "it is not even due");
    world.pass(RETRY);
    let came = world.missing.recovered(world.now, 70_002);
    assert_eq!(came.map(|came| came.requests), Some(2));
    world.pass(ms(2_000));
    assert_eq!((world.numbers().len(), world.given_up, world.wishes.len()), (3, 0, 0));
}

#[test]
fn packets_overtaken_by_twenty_others_of_their_burst_are_not_asked_for() {
    let mut world = World::new(Repair::Apart);
    world.arrive([70_000]);
    for burst in 0..50 {
        let first = 70_001 + burst * 21;
        world.arrive((first + 1..first + 21).chain([first]));
        world.pass(ms(33));
    }
    assert_eq!(world.asked, []);
}

#[test]
fn packets_late_by_50_ms_are_asked_for_at_first_and_then_waited_for() {
    for (repair, recovers) in [(Repair::Apart, false), (Repair::Apart, true), (Repair::InPlace, false)] {
        let mut world = World::new(repair);
        // 100 packets a second, one in a hundred 50 ms late.
        for n in 0..3_000u64 {
            if n % 100 != 50 {
                world.arrive([70_000 + n]);
            }
            if recovers && n % 100 == 53 {
                let known = world.missing.recovered(world.now, 70_000 + n - 3).is_some();
                assert!(known, "it comes again sooner than late");
            }
            if n % 100 == 55 {
                let came = world.missing.arrived(world.now, 70_000 + n - 5);
                assert_eq!(came.is_some(), repair == Repair::InPlace && n == 55, "{n}");
            }
            world.pass(ms(10));
        }
        assert_eq!(world.numbers(), [70_050u64 as u16], "{repair:?} {recovers}");
        assert_eq!((world.given_up, world.wishes.len()), (0, 0));
    }
}

#[test]
fn without_a_stream_of_repetitions_what_comes_after_a_request_is_its_answer() {
    let mut world = World::new(Repair::InPlace);
    world.arrive([70_000, 70_002, 70_004]);
    world.arrive([70_003]);
    world.pass(LEAST + ms(80));
    let came = world.missing.arrived(world.now, 70_001);
    assert_eq!(came, Some(Recovered { requests: 1, waited: ms(80) }));
    assert_eq!(world.missing.arrived(world.now, 70_001), None, "a duplicate");
}

#[test]
fn without_a_stream_of_repetitions_quick_answers_are_not_taken_for_lateness() {
    let mut world = World::new(Repair::InPlace);
    let mut waited = Vec::new();
    for n in 0..80 {
        let lost = 70_001 + 2 * n;
        world.arrive([lost - 1, lost + 1]);
        let (missed, asked) = (world.now, world.asked.len());
        while world.asked.len() == asked {
            world.pass(ms(1));
        }
        waited.push(world.now - missed);
        world.pass(ms(1));
        assert_eq!(world.missing.arrived(world.now, lost).map(|came| came.requests), Some(1));
    }
    assert!(waited.iter().all(|waited| *waited <= ms(20)), "{waited:?}");
    assert!(waited.iter().filter(|waited| **waited > LEAST).count() <= 10, "{waited:?}");
}

#[test]
fn a_burst_is_asked_for_at_once() {
    let mut world = World::new(Repair::Apart);
    world.arrive([65_530, 65_540]);
    world.pass(LEAST);
    assert_eq!(world.numbers(), [65_531, 65_532, 65_533, 65_534, 65_535, 0, 1, 2, 3], "over the wrap");
}

#[test]
fn what_never_comes_is_given_up_with_one_wish_however_many_packets_it_is() {
    let mut world = World::new(Repair::Apart);
    world.arrive([70_000, 70_006, 70_008]);
    world.pass(ms(500));
    world.arrive([70_010]);
    world.pass(ms(2_000));
    // Seven requests fit into the second, the last at 885 ms; nothing is asked after the wish.
    assert_eq!(world.asked.iter().filter(|(_, number)| *number == 70_001u64 as u16).count(), 8);
    assert_eq!((world.given_up, world.wishes.as_slice()), (7, [1_000].as_slice()));
    assert_eq!(world.missing.poll_timeout(), None);
}

#[test]
fn the_number_of_requests_is_bounded_too() {
    let mut world = World::new(Repair::Apart);
    world.arrive([70_000, 70_002]);
    let mut requests = Vec::new();
    for at in (0..1_000).step_by(20) {
        let now = world.start + ms(at);
        world.given_up += world.missing.poll(now, ms(20), |number| requests.push(number)).packets;
    }
    assert_eq!((requests.len(), world.given_up), (MAX_REQUESTS as usize, 1));
}

#[test]
fn where_a_round_trip_is_long_a_packet_is_worth_more_time() {
    let start = Instant::now();
    for (retry, given_up_at) in [(ms(50), 500..600), (ms(250), 2_000..2_001), (ms(500), 2_000..2_001)] {
        let mut missing = MissingPackets::new(Repair::Apart).unwrap();
        assert_eq!((missing.arrived(start, 1), missing.arrived(start, 3)), (None, None));
        let ends = std::iter::from_fn(|| {
            let now = missing.poll_timeout()?;
            Some((now, missing.poll(now, retry, |_| ()).needs_keyframe))
        });
        let end = ends.take(100).find(|(_, wished)| *wished).map(|(now, _)| (now - start).as_millis());
        assert!(end.is_some_and(|end| given_up_at.contains(&end)), "{retry:?}: {end:?}");
    }
}

#[test]
fn losses_while_a_keyframe_is_awaited_bring_no_further_wish_until_it_is_overdue() {
    let mut world = World::new(Repair::Apart);
    world.arrive([70_000, 70_002]);
    world.pass(ms(1_000));
    assert_eq!(world.wishes, [1_000]);
    // Given up at 1,100 ms and at 2,100 ms: the keyframe has not come.
    world.arrive([70_003, 70_004]);
    world.missing.missing.push(Missing {
        number: 70_002,
        noticed: world.start + ms(100),
        due: world.start + ms(1_100),
        until: world.now + PATIENCE,
        requests: MAX_REQUESTS,
        requested: world.start,
    });
    world.missing.wake(world.start + ms(1_100));
    world.pass(ms(100));
    assert_eq!((world.given_up, world.wishes.len()), (2, 1));
    world.arrive([70_005, 70_007]);
    world.pass(ms(1_000));
    assert_eq!((world.given_up, world.wishes.as_slice()), (3, [1_000, 2_100].as_slice()));
}

#[test]
fn a_keyframe_clears_what_was_missing_before_and_the_next_loss_is_a_new_one() {
    let mut world = World::new(Repair::Apart);
    world.arrive([70_000, 70_003, 70_004]);
    world.pass(ms(50));
    world.arrive([70_010]);
    world.missing.keyframe_began(70_010, 9_000);
    assert_eq!(
        world.missing.missing.first().map(|missing| missing.number),
        Some(70_005),
        "may be part of the keyframe"
    );
    world.arrive([70_011, 70_012]);
    world.missing.keyframe_began(70_012, 9_000);
    assert_eq!(world.missing.missing.len(), 5, "another slice of the same keyframe");
    world.pass(ms(2_000));
    assert_eq!((world.given_up, world.wishes.len()), (5, 0), "from before the keyframe: no reason for another");
    world.arrive([70_014]);
    world.pass(ms(1_000));
    assert_eq!(world.wishes.len(), 1);
    world.arrive([70_015, 70_016]);
    world.missing.keyframe_began(70_015, 12_000);
    world.arrive([70_018]);
    world.pass(ms(1_000));
    assert_eq!(world.wishes.len(), 2, "the keyframe came, and then there was another loss");
}

#[test]
fn a_jump_over_more_than_the_bound_is_a_hole_and_asks_for_nothing_but_a_keyframe() {
    let most = limits::MISSING_PACKETS as u64;
    let mut world = World::new(Repair::Apart);
    world.arrive([70_000, 70_001 + most]);
    world.pass(LEAST);
    assert_eq!((world.asked.len() as u64, world.wishes.len()), (most, 0));

    world.arrive([70_003 + most]);
    assert_eq!(world.missing.missing.len(), 0, "one too many");
    world.pass(ms(2_000));
    assert_eq!((world.asked.len() as u64, world.given_up, world.wishes.as_slice()), (most, most, [10].as_slice()));

    let mut world = World::new(Repair::Apart);
    world.arrive([70_000, 100_000]);
    world.missing.keyframe_began(100_000, 9_000);
    world.pass(ms(2_000));
    assert_eq!((world.asked.len(), world.wishes.len()), (0, 0), "it goes on with a keyframe");
}

#[test]
fn what_falls_out_of_reach_is_given_up() {
    let mut world = World::new(Repair::Apart);
    world.arrive([70_000]);
    world.arrive(70_002..72_000);
    world.pass(LEAST);
    assert_eq!((world.asked.len(), world.given_up, world.wishes.len()), (0, 1, 1));
}

#[test]
fn whatever_comes_the_bounds_hold() {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    let mut random = StdRng::seed_from_u64(5);
    let (mut missing, mut now, mut highest) = (MissingPackets::new(Repair::Apart).unwrap(), Instant::now(), 1u64 << 16);
    let (mut wishes, mut requests) = (0, Vec::new());
    for _ in 0..100_000 {
        now += Duration::from_micros(random.random_range(0..2_000));
        let step = if random.random_ratio(1, 50) { random.random_range(1..600) } else { random.random_range(1..3) };
        highest += step;
        let number = if random.random_ratio(1, 5) { highest - random.random_range(0..2_000) } else { highest };
        missing.arrived(now, number);
        missing.recovered(now, highest.saturating_sub(random.random_range(0..300)));
        if random.random_ratio(1, 1_000) {
            missing.keyframe_began(number, random.random_range(0..3));
        }
        wishes += u32::from(missing.poll(now, ms(20), |number| requests.push(number)).needs_keyframe);
        assert!(missing.missing.len() <= limits::MISSING_PACKETS && requests.len() <= limits::MISSING_PACKETS);
        assert!(missing.missing.is_sorted_by(|a, b| a.number < b.number));
        requests.clear();
    }
    assert!((20..2_000).contains(&wishes), "in 100 s: {wishes}");
}
