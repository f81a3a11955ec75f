//! Who is let in, in each phase and under load.

use super::*;

fn limits(shard_busy_percent: u8, memory_percent: u8) -> OverloadLimits {
    OverloadLimits { shard_busy_percent, memory_percent }
}

/// Serving with two shards that have been so busy for a while, and so much memory in use.
fn loaded(busy: [f64; 2], memory: f64) -> Lifecycle {
    let lifecycle = Lifecycle::new(&limits(90, 90), 2);
    lifecycle.enter(Phase::Serving);
    let start = Instant::now();
    for second in 0..10 {
        let measured = Measured { busy: busy.to_vec(), memory: Some(memory) };
        lifecycle.measured(start + Duration::from_secs(second), &measured);
    }
    lifecycle
}

const NEW_ROOM: Asking<'static> = Asking { room: None, returning: false };

fn room(shards: &[usize]) -> Asking<'_> {
    Asking { room: Some(shards), returning: false }
}

fn back(shards: &[usize]) -> Asking<'_> {
    Asking { room: Some(shards), returning: true }
}

#[test]
fn phases_only_go_on() {
    let lifecycle = Lifecycle::new(&limits(90, 90), 1);
    assert_eq!(lifecycle.readiness(), Err(NotReady::Starting));
    for phase in PHASES {
        lifecycle.enter(phase);
        assert_eq!(lifecycle.phase(), phase);
    }
    lifecycle.enter(Phase::Serving);
    assert_eq!(lifecycle.phase(), Phase::Ended, "not back");
}

#[test]
fn a_drain_opens_no_room_and_leaves_those_that_run_open_to_all() {
    let lifecycle = loaded([0.1, 0.1], 0.1);
    assert_eq!(lifecycle.readiness(), Ok(()));
    assert_eq!(lifecycle.judge(NEW_ROOM), Ok(()));
    lifecycle.enter(Phase::Draining);
    assert_eq!(lifecycle.readiness(), Err(NotReady::Draining));
    assert_eq!(lifecycle.judge(NEW_ROOM), Err(Shed::Draining));
    assert_eq!(lifecycle.judge(room(&[0])), Ok(()));
    assert_eq!(lifecycle.judge(Asking { room: None, returning: true }), Err(Shed::Draining), "its room is gone");
    lifecycle.enter(Phase::Moving);
    assert_eq!(lifecycle.judge(room(&[0])), Err(Shed::Draining));
    assert_eq!(lifecycle.judge(back(&[0])), Err(Shed::Draining), "it was just told to go elsewhere");
}

#[test]
fn a_room_needs_air_on_each_of_its_shards_and_a_new_one_on_any() {
    let one_busy = loaded([0.95, 0.5], 0.1);
    assert_eq!(one_busy.readiness(), Ok(()));
    assert_eq!(one_busy.judge(NEW_ROOM), Ok(()));
    assert_eq!(one_busy.judge(room(&[1])), Ok(()));
    assert_eq!(one_busy.judge(room(&[0])), Err(Shed::Busy));
    assert_eq!(one_busy.judge(room(&[1, 0])), Err(Shed::Busy), "its leg is busy");
    let both_busy = loaded([0.95, 0.92], 0.1);
    assert_eq!(both_busy.readiness(), Err(NotReady::Busy));
    assert_eq!(both_busy.judge(NEW_ROOM), Err(Shed::Busy));
}

#[test]
fn who_comes_back_is_let_in_however_busy_it_is() {
    let lifecycle = loaded([0.99, 0.99], 0.99);
    assert_eq!(lifecycle.readiness(), Err(NotReady::Memory));
    assert_eq!(lifecycle.judge(room(&[0])), Err(Shed::Memory));
    assert_eq!(lifecycle.judge(back(&[0])), Ok(()));
    lifecycle.enter(Phase::Draining);
    assert_eq!(lifecycle.judge(room(&[0])), Err(Shed::Memory), "a drain is no reason to overload");
    assert_eq!(lifecycle.judge(back(&[0])), Ok(()));
}

#[test]
fn who_is_turned_away_is_counted_by_reason() {
    let lifecycle = loaded([0.1, 0.1], 0.1);
    lifecycle.count_shed(Shed::Memory);
    (0..2).for_each(|_| lifecycle.count_shed(Shed::Busy));
    let counts: Vec<_> = lifecycle.shed_counts().collect();
    assert_eq!(counts, [("draining", 0), ("busy", 2), ("memory", 1)]);
}
