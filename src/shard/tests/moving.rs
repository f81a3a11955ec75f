//! Participants that are told to go elsewhere, a few at a time: room by room, wherever they are hosted; and what the
//! directory is told of who hosts them.

use tokio::sync::oneshot;

use super::legs::Legs;
use super::*;
use crate::room::model::RoomName;

/// Lets so many into a room, all of them to be hosted on the last shard but the first.
fn fill(legs: &mut Legs, room: &str, count: usize) {
    for number in 0..count {
        let request = request(&format!("{room}-{number}"), "recvonly", Vec::new());
        legs.ask_to_join(JoinRequest { room: RoomName::new(room), ..request });
    }
}

fn move_away(legs: &mut Legs, most: usize) -> usize {
    let (told, mut wait) = oneshot::channel();
    legs.tell_home(Message::MoveAway { most, told });
    wait.try_recv().expect("answered at once")
}

/// In the order in which they joined: who was told that the server ends.
fn told(legs: &mut Legs) -> Vec<bool> {
    let ends = |event: Event| event == Event::Removed(LeaveReason::ServerShutdown);
    let told = |events: &mut EventReceiver| std::iter::from_fn(|| events.try_recv().ok()).any(ends);
    legs.events.iter_mut().map(told).collect()
}

#[test]
fn rooms_are_emptied_one_after_the_other() {
    let mut legs = Legs::new(2);
    fill(&mut legs, "first", 3);
    fill(&mut legs, "second", 3);
    assert_eq!(move_away(&mut legs, 0), 0);
    assert_eq!(move_away(&mut legs, 2), 2);
    let first = told(&mut legs);
    assert_eq!(first.iter().filter(|told| **told).count(), 2);
    assert!(!first[3..].contains(&true), "the second room was begun: {first:?}");
    assert_eq!(move_away(&mut legs, 2), 2);
    let second = told(&mut legs);
    let of_second = second[3..].iter().filter(|told| **told).count();
    assert_eq!(second.iter().filter(|told| **told).count(), 2);
    assert_eq!(of_second, 1, "the first room is emptied before");
    assert_eq!(move_away(&mut legs, 9), 2, "no more than there are");
    assert_eq!(told(&mut legs).iter().filter(|told| **told).count(), 2);
    assert_eq!(move_away(&mut legs, 9), 0);
    assert!(legs.shards.iter().all(|shard| shard.peers.is_empty()), "also those hosted on the other shard");
}

#[test]
fn the_directory_knows_every_shard_a_room_is_on() {
    let mut legs = Legs::new(2);
    let name = RoomName::new("den");
    let shards = |legs: &Legs| legs.shards[0].directory.shards_of(&name);
    // Nothing has been sent there yet that the directory knows of: it is the adaptors' part to enter a room.
    assert!(legs.shards[0].directory.enter(&name, 0, || {}));
    let first = request("anna", "recvonly", Vec::new());
    legs.ask_to_join(JoinRequest { room: name.clone(), ..first });
    assert_eq!(shards(&legs), Some(vec![0]));
    let second = request("bert", "recvonly", Vec::new());
    legs.ask_to_join(JoinRequest { room: name.clone(), ..second });
    assert_eq!(shards(&legs), Some(vec![0, 1]));
    legs.tell_home(Message::Gone { seat: SeatId(1) });
    assert_eq!(shards(&legs), Some(vec![0]), "its last guest is gone");
}
