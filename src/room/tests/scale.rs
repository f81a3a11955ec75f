//! What a room costs as it grows, in counted work: events told, messages made, allocations. Not in time, which differs from
//! machine to machine.

use std::collections::HashSet;

use super::*;
use crate::room::quality::MeasuredNetwork;
use crate::room::speakers::MeasuredLevel;

const SIZES: [usize; 3] = [10, 100, 1_000];

/// Settles what waits to be told.
const SETTLE: Duration = Duration::from_secs(1);

/// A room of some participants, the first of whom publishes, and the next five of whom receive it.
fn room_of(size: usize) -> World {
    let mut world = World::new();
    world.room.config.max_participants = 0;
    for index in 0..size {
        let request = JoinRequest { auto_subscribe: (1..=5).contains(&index), ..request(&index.to_string(), grants()) };
        world.join_as(ParticipantKey(index), &request).unwrap();
        world.room.connected(world.now, ParticipantKey(index));
        world.effects.clear();
    }
    world.publish(ParticipantKey(0));
    world.wait(SETTLE);
    world.effects.clear();
    world
}

fn newcomer(index: usize) -> (ParticipantKey, JoinRequest) {
    (ParticipantKey(index), JoinRequest { auto_subscribe: false, ..request(&format!("new {index}"), grants()) })
}

fn tells(world: &World) -> impl Iterator<Item = (ParticipantKey, &Event)> {
    world.effects.iter().filter_map(|effect| match effect {
        Effect::Tell { to, event } => Some((*to, event)),
        _ => None,
    })
}

/// How many different lists were made for what was told: as many are to be encoded.
fn messages(world: &World) -> usize {
    let lists = tells(world).filter_map(|(_, event)| match event {
        Event::Participants(infos) => Some(std::ptr::from_ref(&**infos).addr()),
        Event::Speakers(speakers) => Some(std::ptr::from_ref(&**speakers).addr()),
        Event::Quality(updates) => Some(std::ptr::from_ref(&**updates).addr()),
        _ => None,
    });
    lists.collect::<HashSet<_>>().len()
}

/// How many allocations something takes, of a room that has room for its effects.
fn allocations(world: &mut World, work: impl FnOnce(&mut World)) -> u64 {
    world.effects.clear();
    allocation_counter::measure(|| work(world)).count_total
}

#[test]
fn one_who_joins_costs_each_of_the_others_the_same_in_any_room() {
    for size in SIZES {
        let mut world = room_of(size);
        let (key, request) = newcomer(size);
        world.join_as(key, &request).unwrap();
        assert_eq!(messages(&world), 1, "one message for all, in a room of {size}");
        world.wait(SETTLE);
        world.room.connected(world.now, key);
        world.wait(SETTLE);
        assert_eq!(messages(&world), 2);
        let told = |to: usize| tells(&world).filter(|(key, _)| *key == ParticipantKey(to)).count();
        assert!((0..size).all(|to| told(to) == 2), "joined and active, each once, in a room of {size}");
        assert_eq!(told(size), 2, "what is there, and that it is active itself, in a room of {size}");
    }
}

#[test]
fn a_storm_of_joins_is_few_messages_to_each() {
    for size in SIZES {
        let mut world = room_of(size);
        for index in size..2 * size {
            let (key, request) = newcomer(index);
            world.join_as(key, &request).unwrap();
        }
        world.wait(SETTLE);
        // The first join is told at once, the others together, some hundred a message.
        let most = 1 + size.div_ceil(limits::PARTICIPANTS_PER_EVENT);
        assert!(messages(&world) <= most, "{} messages", messages(&world));
        let news = |to: usize| {
            let told = tells(&world).filter(|(key, _)| *key == ParticipantKey(to));
            let lists = told.filter_map(|(_, event)| match event {
                Event::Participants(infos) => Some(infos.len()),
                _ => None,
            });
            lists.fold((0, 0), |(lists, infos), more| (lists + 1, infos + more))
        };
        assert!((0..size).all(|to| news(to).0 <= most && news(to).1 == size), "each hears once of each newcomer");
    }
}

#[test]
fn a_storm_of_leaving_is_few_messages_to_each() {
    for size in SIZES {
        let mut world = room_of(size);
        for index in size / 2..size {
            world.room.leave(world.now, ParticipantKey(index), LeaveReason::ClientLeft);
        }
        world.effects = world.room.take_effects();
        world.wait(SETTLE);
        let most = 1 + size.div_ceil(limits::PARTICIPANTS_PER_EVENT);
        for to in 0..size / 2 {
            let lists = tells(&world)
                .filter(|(key, event)| *key == ParticipantKey(to) && matches!(event, Event::Participants(_)));
            assert!((1..=most).contains(&lists.count()), "in a room of {size}");
        }
    }
}

#[test]
fn speakers_and_grades_cost_those_who_receive_them_and_nothing_while_nothing_changes() {
    let speaker = ParticipantKey(0);
    for size in SIZES {
        let mut world = room_of(size);
        for (level, told) in [(0.5, 6), (0.5, 0), (0.9, 6), (0.0, 6), (0.0, 0)] {
            world.effects.clear();
            world.room.levels_measured(&[MeasuredLevel { participant: speaker, level }]);
            world.effects.extend(world.room.take_effects());
            assert_eq!(world.effects.len(), told, "level {level} in a room of {size}");
            assert_eq!(messages(&world), told.min(1));
        }
        let network = |index| MeasuredNetwork { participant: ParticipantKey(index), loss: 0.0, round_trip_time: None };
        let networks: Vec<_> = (0..size).map(network).collect();
        world.effects.clear();
        world.room.networks_measured(&networks);
        world.effects.extend(world.room.take_effects());
        assert_eq!(world.effects.len(), size, "one message to each, with all that concerns it");
        let unchanged = allocations(&mut world, |world| {
            world.room.networks_measured(&networks);
            world.room.levels_measured(&[MeasuredLevel { participant: speaker, level: 0.0 }]);
        });
        assert_eq!((unchanged, world.room.has_effects()), (0, false), "in a room of {size}");
    }
}

#[test]
fn what_all_hear_is_one_message() {
    let mut world = World::new();
    world.room.config.max_participants = 0;
    for index in 0..100 {
        world.join(ParticipantKey(index), &index.to_string());
    }
    world.publish(ParticipantKey(0));
    world.publish(ParticipantKey(1));
    world.effects.clear();
    let loud = |index| MeasuredLevel { participant: ParticipantKey(index), level: 0.5 };
    world.room.levels_measured(&[loud(0), loud(1)]);
    world.effects.extend(world.room.take_effects());
    assert_eq!((world.effects.len(), messages(&world)), (100, 1));
}

/// The work of one participant on one track, the same in any room.
#[test]
fn subscribing_wanting_and_leaving_a_track_cost_the_same_in_any_room() {
    let mut counted = Vec::new();
    for size in SIZES {
        let mut world = room_of(size);
        let track = world.room.participant(ParticipantKey(0)).unwrap().publications[0].info.id.clone();
        let viewer = ParticipantKey(size - 1);
        let each = |_: usize| vec![track.clone()];
        let commands = [
            Command::Subscribe { tracks: each(0), subscribe: true },
            Command::Want { tracks: each(1), wanted: Wanted::NOTHING },
            Command::Subscribe { tracks: each(2), subscribe: false },
        ];
        counted.push(allocations(&mut world, |world| {
            for command in commands {
                world.command(viewer, command);
            }
        }));
    }
    assert_eq!(counted, [counted[0]; 3], "allocations in rooms of {SIZES:?}");
}

/// What is told to all is not copied for each: what grows are lists, which double.
#[test]
fn telling_all_allocates_nothing_for_each() {
    let mut counted = Vec::new();
    for size in SIZES {
        let mut world = room_of(size);
        let (key, request) = newcomer(size);
        counted.push(allocations(&mut world, |world| {
            world.join_as(key, &request).unwrap();
            world.room.connected(world.now, key);
            world.wait(SETTLE);
        }));
    }
    assert!(counted[2] < counted[0] + 40, "allocations {counted:?} in rooms of {SIZES:?}");
}

/// A thousand subscribers who turn away and come back are counted, not looked through.
#[test]
fn what_is_needed_of_a_track_is_known_without_a_look_at_its_subscribers() {
    let mut counted = Vec::new();
    for size in SIZES {
        let mut world = room_of(size);
        let track = world.room.participant(ParticipantKey(0)).unwrap().publications[0].info.id.clone();
        world.room.flows(world.now, &track, Rendition::Primary);
        let want = |wanted| Command::Want { tracks: vec![track.clone()], wanted };
        for key in 1..size {
            world.command(ParticipantKey(key), Command::Subscribe { tracks: vec![track.clone()], subscribe: true });
        }
        world.effects.clear();
        let [turned, back] = [want(Wanted::NOTHING), want(Wanted::quality(Quality::High))];
        // All but one turn away: the publisher hears nothing of it.
        for key in 2..size {
            world.command(ParticipantKey(key), turned.clone());
        }
        world.wait(2 * super::super::demand::LOWERING_DELAY);
        let to_publisher =
            |world: &World| tells(world).filter(|(_, event)| matches!(event, Event::LayersWanted { .. })).count();
        assert_eq!(to_publisher(&world), 0, "in a room of {size}");
        counted.push(allocations(&mut world, |world| {
            world.command(ParticipantKey(1), turned);
            world.wait(2 * super::super::demand::LOWERING_DELAY);
            world.command(ParticipantKey(1), back);
        }));
        assert_eq!(to_publisher(&world), 2, "that nothing is needed, and that all is");
    }
    assert_eq!(counted, [counted[0]; 3], "allocations in rooms of {SIZES:?}");
}
