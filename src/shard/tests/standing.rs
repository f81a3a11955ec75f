//! A peer that negotiates once: its sections are answered before there is anything to send, and carry one source after
//! another as one stream. Its ICE restarts without an offer.

use super::*;
use crate::room::command::Follow;
use crate::room::model::Grants;
use crate::transport::IceCredentials;

/// Bert watches whoever publishes, and offers this.
fn watching(direction: &str) -> JoinRequest {
    let grants = Grants { publish: false, hidden: true, ..room_tests::grants() };
    let follow = Some(Follow { publisher: None });
    JoinRequest { grants, follow, ..request("bert", direction, Vec::new()) }
}

fn publishing(identity: &str) -> JoinRequest {
    request(identity, "sendonly", vec![camera()])
}

fn answer(events: &mut EventReceiver) -> String {
    loop {
        if let Event::Answer { sdp, .. } = events.try_recv().unwrap() {
            return sdp;
        }
    }
}

#[test]
fn sections_are_answered_before_anybody_publishes_whatever_direction_they_offer() {
    for direction in ["recvonly", "sendrecv"] {
        let idle = request("anna", "recvonly", Vec::new());
        let mut world = World::of(idle, watching(direction));
        let sdp = answer(&mut world.events[1]);
        assert!(sdp.contains("a=sendonly\r\n") && sdp.contains("a=rtpmap:96 VP8/90000\r\n"), "{sdp}");
        assert!(sdp.contains("a=ssrc:") && sdp.contains("a=msid:"), "{sdp}");
        assert_eq!(world.shard.counters.subscriptions.get(), 0);
    }
}

#[test]
fn the_stream_goes_on_from_the_next_publisher_even_under_the_same_ssrc() {
    let mut world = World::of(publishing("anna"), watching("recvonly"));
    let mut packets: Vec<_> = (100..105).map(|sequence| world.sealed(sequence, sequence == 100)).collect();
    world.receive(&mut packets);
    let before = world.bert_packets();
    assert_eq!(before.len(), 5);

    // Dora comes while Anna is watched, and takes over when Anna leaves. Her numbers and times lie before Anna's.
    let (_events, dora) = enter(&mut world.shard, world.now, 2, publishing("dora"), Connected::new(3));
    let anna = std::mem::replace(&mut world.anna, dora);
    let packet = world.sealed(1, false);
    world.receive(&mut [packet]);
    assert!(world.bert_packets().is_empty(), "Dora is not watched yet");
    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(0) });
    assert_ne!(anna.0, world.anna.0);
    world.now += Duration::from_secs(1);
    let mut packets: Vec<_> = (2..6).map(|sequence| world.sealed(sequence, sequence == 3)).collect();
    world.receive(&mut packets);
    let after = world.bert_packets();

    let fills: Vec<u8> = after.iter().map(|(_, fill)| *fill).collect();
    assert_eq!(fills, [3, 4, 5], "from the keyframe on");
    let (last, first) = (&before[4].0, &after[0].0);
    assert_eq!(first.ssrc, last.ssrc);
    assert_eq!(first.sequence_number, last.sequence_number.wrapping_add(1));
    assert_eq!(first.timestamp.wrapping_sub(last.timestamp), 90_000, "as much later as it came later");
    assert_eq!((world.shard.counters.tracks.get(), world.shard.counters.subscriptions.get()), (1, 1));

    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(2) });
    assert_eq!(world.shard.counters.subscriptions.get(), 0);
    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(1) });
    assert!(world.shard.rooms.iter().all(|(_, room)| room.sources.is_empty() && room.peers.is_empty()));
}

#[test]
fn a_keyframe_of_the_next_publisher_is_asked_for_at_once() {
    let mut world = World::of(publishing("anna"), watching("recvonly"));
    let packet = world.sealed(1, true);
    world.receive(&mut [packet]);
    let (_events, dora) = enter(&mut world.shard, world.now, 2, publishing("dora"), Connected::new(3));
    world.anna = dora;
    let packet = world.sealed(1, false);
    world.receive(&mut [packet]);
    world.shard.outgoing().clear();
    let asked = world.shard.counters.keyframe_requests_out.get();
    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(0) });
    assert_eq!(world.shard.counters.keyframe_requests_out.get(), asked + 1);
    let to = world.anna.0;
    assert!(world.shard.outgoing().transmits().iter().any(|transmit| transmit.route.to == to));
}

#[test]
fn a_keyframe_of_the_next_publisher_that_just_passed_is_shown_at_once() {
    let mut world = World::of(publishing("anna"), watching("recvonly"));
    let packet = world.sealed(100, true);
    world.receive(&mut [packet]);
    let before = world.bert_packets();
    let (_events, dora) = enter(&mut world.shard, world.now, 2, publishing("dora"), Connected::new(3));
    world.anna = dora;
    let mut packets = [1, 2].map(|sequence| world.sealed(sequence, sequence == 1));
    world.receive(&mut packets);
    world.shard.outgoing().clear();
    world.now += Duration::from_secs(1);
    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(0) });
    let after = world.bert_packets();
    assert_eq!(after.iter().map(|(_, fill)| *fill).collect::<Vec<u8>>(), [1, 2]);
    assert_eq!(after[0].0.sequence_number, before[0].0.sequence_number.wrapping_add(1));
    assert_eq!(after[1].0.timestamp.wrapping_sub(before[0].0.timestamp), 90_000);
    assert_eq!(world.shard.counters.keyframe_requests_out.get(), 0);
}

#[test]
fn ice_restarts_by_command_and_tells_the_credentials_to_use() {
    let mut world = World::of(publishing("anna"), watching("recvonly"));
    let mut restart = |ufrag: &str| {
        let remote = IceCredentials { ufrag: ufrag.to_owned(), pwd: "0123456789abcdefghijkl".to_owned() };
        let command = Message::Command { seat: SeatId(1), command: Command::RestartIce(remote) };
        world.shard.handle_message(world.now, command);
        loop {
            if let Event::IceRestarted(local) = world.events[1].try_recv().unwrap() {
                assert!(world.shard.by_ufrag.contains_key(&local.ufrag), "checks find the peer");
                return local;
            }
        }
    };
    let first = restart("one1");
    let second = restart("two2");
    assert_ne!(first, second);
    assert_eq!(restart("two2"), second, "the same credentials again are no restart");
}

#[test]
fn a_peer_that_only_watches_hears_of_its_own_session_alone() {
    let mut world = World::of(publishing("anna"), watching("recvonly"));
    let (_events, _dora) = enter(&mut world.shard, world.now, 2, publishing("dora"), Connected::new(3));
    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(0) });
    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(1) });
    let told: Vec<Event> = std::iter::from_fn(|| world.events[1].try_recv().ok()).collect();
    assert!(
        matches!(told[..], [Event::Joined(_), Event::Answer { .. }, Event::Removed(LeaveReason::SignallingLost)]),
        "{told:?}"
    );
}
