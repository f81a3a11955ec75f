//! Scenarios of coming to a picture: with a keyframe of a while ago where the cache has it, else by asking the publisher.

use super::super::joining::ANSWERED_SETTLING;
use super::super::leg::Origin;
use super::*;
use crate::media::layers::{Quality, Wanted};
use crate::wire::rtcp::Writer;

const FRAME: Duration = Duration::from_millis(33);

/// Anna's camera, which Bert has watched from its keyframe on for some frames.
fn watched(frames: u16) -> World {
    let mut world = World::new();
    for sequence in 1..=frames {
        world.now += FRAME;
        let packet = world.sealed(sequence, sequence == 1);
        world.receive(&mut [packet]);
    }
    assert_eq!(world.bert_received().len(), usize::from(frames));
    world
}

impl World {
    /// Cleo joins, and her transport connects.
    fn cleo_joins(&mut self) -> End {
        let joins = request("cleo", "recvonly", Vec::new());
        let (events, cleo) = enter(&mut self.shard, self.now, 2, joins, Connected::new(3));
        self.events.push(events);
        self.shard.outgoing().clear();
        let key = self.shard.peer_of(SeatId(2));
        self.shard.request_awaited_keyframes(self.now, key);
        cleo
    }

    fn received_by(&mut self, end: &mut End) -> Vec<(Header, Vec<u8>)> {
        packets(&mut self.shard, self.now, end)
    }

    fn reused(&self) -> u64 {
        self.shard.counters.keyframes_reused.get()
    }
}

fn fills(received: &[(Header, Vec<u8>)]) -> Vec<u8> {
    received.iter().map(|(_, payload)| *payload.last().unwrap()).collect()
}

#[test]
fn a_second_viewer_begins_with_the_keyframe_of_a_while_ago_and_nobody_is_asked() {
    let mut world = watched(30);
    let mut cleo = world.cleo_joins();
    let received = world.received_by(&mut cleo);
    assert_eq!(fills(&received), (1..=30).collect::<Vec<u8>>(), "the keyframe and all since");
    assert_eq!((world.asked(), world.reused()), (0, 1));
    let first = received[0].0;
    for (n, (header, _)) in received.iter().enumerate() {
        assert_eq!(header.sequence_number, first.sequence_number.wrapping_add(n as u16));
        assert_eq!(header.timestamp, first.timestamp.wrapping_add(n as u32), "a tick apart: none is waited for");
    }
    // From here on frames are as far apart as they were captured.
    world.shard.outgoing().clear();
    world.now += FRAME;
    let packet = world.sealed(31, false);
    world.receive(&mut [packet]);
    let (next, last) = (world.received_by(&mut cleo), received[29].0);
    assert_eq!(fills(&next), [31]);
    assert_eq!(next[0].0.timestamp.wrapping_sub(last.timestamp), 3_000);
    assert_eq!(next[0].0.sequence_number, last.sequence_number.wrapping_add(1));
    assert_eq!(world.bert_received().len(), 1, "the others' stream is as it was");
}

#[test]
fn media_from_the_cache_waits_until_a_client_that_was_just_answered_can_take_it() {
    for (age, asked, begun) in [(FRAME, 0, vec![1, 2, 3]), (Duration::from_secs(3), 1, Vec::new())] {
        let mut world = watched(3);
        world.now += age;
        let joins = request("cleo", "recvonly", Vec::new());
        let (events, mut cleo) = enter(&mut world.shard, world.now, 2, joins, Connected::new(3));
        world.events.push(events);
        let key = world.shard.peer_of(SeatId(2));
        let settled = world.now + ANSWERED_SETTLING;
        world.shard.peers[key].settle_until(settled);
        world.shard.request_awaited_keyframes(world.now, key);
        world.shard.arm_peer(key);
        assert!(world.received_by(&mut cleo).is_empty());
        assert_eq!(world.asked(), asked, "the publisher is asked at once for what is not in the cache");
        while world.now < settled {
            world.now = world.shard.poll_timeout().unwrap().min(settled);
            world.shard.handle_timeout(world.now);
        }
        assert_eq!(fills(&world.received_by(&mut cleo)), begun);
        assert_eq!((world.asked(), world.reused()), (asked, 1 - asked));
    }
}

#[test]
fn a_keyframe_too_long_ago_or_with_a_gap_behind_it_is_asked_for_anew() {
    let mut world = watched(5);
    world.now += Duration::from_secs(2);
    let mut cleo = world.cleo_joins();
    assert!(world.received_by(&mut cleo).is_empty());
    assert_eq!((world.asked(), world.reused()), (1, 0));

    let mut world = World::new();
    let mut packets = [1, 2, 4].map(|sequence| world.sealed(sequence, sequence == 1));
    world.receive(&mut packets);
    let mut cleo = world.cleo_joins();
    assert!(world.received_by(&mut cleo).is_empty());
    assert_eq!((world.asked(), world.reused()), (1, 0));
    // What was missing came late: now there is a whole beginning, and the next look finds it.
    let packet = world.sealed(3, false);
    world.receive(&mut [packet]);
    world.shard.outgoing().clear();
    let key = world.shard.peer_of(SeatId(2));
    world.shard.request_awaited_keyframes(world.now, key);
    assert_eq!(fills(&world.received_by(&mut cleo)), [1, 2, 3, 4]);
}

#[test]
fn what_arrived_and_was_not_forwarded_yet_is_sent_once() {
    let mut world = watched(3);
    let arrival = Arrival { from: world.anna.0, socket: 0, local_ip: None };
    for sequence in [4, 6, 5] {
        let mut packet = world.sealed(sequence, false);
        world.shard.handle_datagram(world.now, arrival, &mut packet);
    }
    let mut cleo = world.cleo_joins();
    while world.shard.forward(world.now) {}
    assert_eq!(fills(&world.received_by(&mut cleo)), [1, 2, 3, 4, 5, 6]);
    assert_eq!(world.bert_received().iter().map(|(_, fill, _)| *fill).collect::<Vec<u8>>(), [4, 6, 5]);
    let refused: u64 = world.shard.counters.dropped.iter().map(|(_, count)| count).sum();
    assert_eq!(refused, 0, "the stream refuses them itself, SRTP need not");
}

#[test]
fn who_pauses_and_resumes_begins_with_the_keyframe_that_passed_meanwhile() {
    let mut world = watched(3);
    let (room, _) = world.shard.rooms.iter().next().unwrap();
    let bert = world.shard.peer_of(SeatId(1));
    let want = |world: &mut World, wanted| {
        let track = world.shard.peers[bert].outbound.subscriptions().next().unwrap().track.clone();
        world.shard.peers[bert].outbound.by_track(&track).unwrap().wanted = wanted;
        world.shard.select_layer(world.now, room, bert, 0);
    };
    let high = Wanted::quality(Quality::High);
    want(&mut world, Wanted::NOTHING);
    let mut missed = [4, 5].map(|sequence| world.sealed(sequence, false));
    world.receive(&mut missed);
    // The old keyframe has been shown already: going back to it would show the past.
    want(&mut world, high);
    assert_eq!((world.bert_received().len(), world.asked(), world.reused()), (0, 1, 0));
    want(&mut world, Wanted::NOTHING);
    let mut passed = [6, 7].map(|sequence| world.sealed(sequence, sequence == 6));
    world.receive(&mut passed);
    want(&mut world, high);
    let fills: Vec<u8> = world.bert_received().iter().map(|(_, fill, _)| *fill).collect();
    assert_eq!((fills, world.asked(), world.reused()), (vec![6, 7], 1, 1));
}

#[test]
fn a_storm_of_joins_asks_the_publisher_for_few_keyframes_and_leaves_nobody_waiting() {
    let mut world = World::new();
    let mut ends = Vec::new();
    let (mut sequence, mut keyframe_due, mut asked) = (0, None, 0);
    // A hundred joins in a second, 2.4 Mbit/s: keyframes of 50 packets 50 ms after each request, else 5 packets a frame.
    for tick in 0..250u64 {
        world.now += Duration::from_millis(10);
        let now = world.now;
        world.shard.handle_timeout(now);
        if tick < 100 {
            let joins = request(&format!("viewer {tick}"), "recvonly", Vec::new());
            let (events, end) = enter(&mut world.shard, now, 2 + tick, joins, Connected::new(10 + tick as u16));
            let key = world.shard.peer_of(SeatId(2 + tick));
            world.shard.request_awaited_keyframes(now, key);
            ends.push((events, end, now));
        }
        let keyframe = keyframe_due.take_if(|due| *due <= now).is_some();
        if keyframe || tick % 3 == 0 {
            let len = if keyframe { 50 } else { 8 };
            let mut frame: Vec<Vec<u8>> = (1..=len)
                .map(|n| {
                    let timestamp = 900 * tick as u32;
                    sealed_at(&mut world.anna, Ssrc(77), sequence + n, timestamp, keyframe && n == 1, n == len)
                })
                .collect();
            sequence += len;
            world.receive(&mut frame);
        }
        if world.asked() > asked {
            asked = world.asked();
            keyframe_due.get_or_insert(now + Duration::from_millis(50));
        }
    }
    assert!((1..=3).contains(&asked), "{asked} keyframes asked for in 2.5 s");
    let waits: Vec<bool> =
        world.shard.peers.iter().flat_map(|(_, peer)| peer.outbound.subscriptions()).map(awaits).collect();
    assert_eq!(waits, vec![false; 101]);
    assert!(world.reused() >= 80, "{} of 100 began with what was there", world.reused());
}

fn awaits(subscription: &outbound::Subscription) -> bool {
    subscription.stream.awaits_keyframe().is_some()
}

#[test]
fn a_viewer_that_asks_again_and_again_is_passed_on_once_a_second_at_most() {
    let mut world = watched(3);
    let bert = world.shard.peer_of(SeatId(1));
    let media = world.shard.peers[bert].outbound.subscriptions().next().unwrap().stream.target().ssrc;
    let arrival = Arrival { from: world.bert.0, socket: 0, local_ip: None };
    for sequence in 4..=600 {
        world.now += Duration::from_millis(10);
        let (mut compound, mut packet) = (Vec::new(), Vec::new());
        let mut writer = Writer { out: &mut compound };
        writer.receiver_report(Ssrc(5), &[]);
        writer.picture_loss_indication(Ssrc(5), media);
        world.bert.1.outbound.seal_rtcp(&compound, &mut packet).unwrap();
        world.shard.handle_datagram(world.now, arrival, &mut packet);
        // Every request is answered at once, with a keyframe of one packet.
        let asked = world.asked();
        world.shard.handle_timeout(world.now);
        let packet = world.sealed(sequence, world.asked() > asked || sequence % 100 == 0);
        world.receive(&mut [packet]);
        world.shard.outgoing().clear();
    }
    assert_eq!(world.shard.counters.keyframe_requests_in.get(), 597);
    assert!((2..=6).contains(&world.asked()), "{} in 6 s", world.asked());
}

#[test]
fn one_who_joins_on_another_shard_begins_with_the_keyframe_in_the_cache_there() {
    let (mut legs, mut anna, mut bert) = legs::Legs::with_anna_and_bert(2);
    let mut packets: Vec<_> = (1..=6).map(|n| sealed(&mut anna, Ssrc(77), n, n == 1, 500)).collect();
    legs.receive(SeatId(0), anna.0, &mut packets);
    assert_eq!(legs.received(SeatId(1), &mut bert).len(), 6);
    let asked = legs.sum(|c| c.keyframe_requests_out.get());
    // Home takes one more, and then the others go where Bert is.
    let seats = [SeatId(2), SeatId(3)];
    let mut ends: Vec<End> = Vec::new();
    for name in ["cleo", "dora"] {
        ends.push(legs.join(request(name, "recvonly", Vec::new())));
    }
    let mirrored = |legs: &legs::Legs, seat: SeatId| {
        let (shard, key) = legs.place(seat);
        let room = legs.shards[shard].peers[key].room;
        let mut sources = legs.shards[shard].rooms[room].sources.iter();
        sources.any(|(_, source)| matches!(source.origin, Origin::Shard(_)))
    };
    assert!(seats.iter().any(|seat| mirrored(&legs, *seat)), "one of them is not on Anna's shard");
    for (seat, end) in seats.iter().zip(&mut ends) {
        let (shard, key) = legs.place(*seat);
        let now = legs.now;
        legs.shards[shard].request_awaited_keyframes(now, key);
        legs.exchange();
        let fills: Vec<u8> = legs.received(*seat, end).iter().map(|(_, fill, _)| *fill).collect();
        assert_eq!(fills, [1, 2, 3, 4, 5, 6]);
    }
    assert_eq!(legs.sum(|c| c.keyframe_requests_out.get()), asked);
    assert_eq!(legs.sum(|c| c.keyframes_reused.get()), 2);
}

#[test]
fn a_wish_that_meets_the_keyframe_on_its_way_between_shards_asks_for_no_other() {
    for meets in [true, false] {
        let (mut legs, mut anna, mut bert) = legs::Legs::with_anna_and_bert(2);
        let delta = sealed(&mut anna, Ssrc(77), 1, false, 500);
        legs.receive(SeatId(0), anna.0, &mut [delta]);
        let (shard, key) = legs.place(SeatId(1));
        // It was asked for when the camera began; now is long after.
        let asked = legs.sum(|c| c.keyframe_requests_out.get());
        legs.now += Duration::from_secs(5);
        let now = legs.now;
        legs.shards[shard].request_awaited_keyframes(now, key);
        let wish = legs.shards[shard].links().take_messages(ShardId(0));
        assert_eq!(wish.len(), 1);
        let mut keyframe = [sealed(&mut anna, Ssrc(77), 2, true, 500)];
        if meets {
            legs.receive_alone(SeatId(0), anna.0, &mut keyframe);
        }
        legs.shards[0].handle_leg(now, ShardId(1), wish);
        if !meets {
            legs.receive_alone(SeatId(0), anna.0, &mut keyframe);
        }
        legs.exchange();
        legs.after(Duration::from_secs(1));
        assert_eq!(legs.sum(|c| c.keyframe_requests_out.get()), asked + u64::from(!meets));
        assert_eq!(legs.received(SeatId(1), &mut bert).len(), 1);
    }
}
