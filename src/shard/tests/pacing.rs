//! Scenarios of a subscriber whose packets are numbered: what it gets at once, what waits, and in which order it comes.

use super::resend::repairing;
use super::*;
use crate::shard::downlink::START;

const MS: Duration = Duration::from_millis(1);
/// Id of the transport-wide number in these offers.
const NUMBER: u8 = 3;
const NUMBERED: &str = "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\na=rtcp-fb:96 transport-cc\r\n";

/// A receiver with NACK, RTX and transport-wide feedback.
pub(super) fn numbered(identity: &str) -> JoinRequest {
    let mut request = repairing(identity);
    request.offer.iter_mut().for_each(|offer| offer.sdp += NUMBERED);
    request
}

fn world() -> World {
    World::of(request("anna", "sendonly", vec![camera()]), numbered("bert"))
}

/// What a participant was sent since: the number on its way, and the byte that fills the payload.
fn numbers(world: &mut World) -> Vec<(u16, u8)> {
    let batch = world.shard.outgoing();
    let mut found = Vec::new();
    for transmit in batch.transmits().iter().filter(|transmit| transmit.route.to == world.bert.0) {
        for datagram in batch.contents(transmit).chunks(transmit.segment) {
            let mut packet = datagram.to_vec();
            let header = Header::parse(&packet).unwrap();
            if header.payload_type.0 < 96 {
                continue;
            }
            let number = header.extensions(&packet).find(|(id, _)| *id == NUMBER).unwrap().1.try_into().unwrap();
            let (sequence, len) = (header.sequence_number, header.len);
            let opened = world.bert.1.inbound.open_rtp(world.now, header.ssrc.0, sequence, len, &mut packet).unwrap();
            found.push((u16::from_be_bytes(number), packet[opened - 1]));
        }
    }
    batch.clear();
    found
}

impl World {
    /// A frame of so many packets, received at once; the first of all begins a keyframe.
    fn frame(&mut self, first: u16, packets: u16) {
        let last = first + packets - 1;
        let mut frame: Vec<_> = (first..=last).map(|n| self.sealed_part(n, n == 1, n == last)).collect();
        self.receive(&mut frame);
    }

    /// Lets time pass, timers included; gives what Bert was sent, and when.
    fn passes(&mut self, time: Duration) -> Vec<(Instant, (u16, u8))> {
        let (end, mut sent) = (self.now + time, Vec::new());
        while let Some(due) = self.shard.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.shard.handle_timeout(self.now);
            let at = self.now;
            sent.extend(numbers(self).into_iter().map(|packet| (at, packet)));
        }
        self.now = end;
        sent
    }
}

#[test]
fn packets_carry_the_numbers_of_their_way_repetitions_too() {
    let mut world = world();
    world.frame(1, 4);
    assert_eq!(numbers(&mut world), [(0, 1), (1, 2), (2, 3), (3, 4)]);
    let (media, _) = world.berts_ssrcs();
    let bert = world.shard.peer_of(SeatId(1));
    let first = world.shard.peers[bert].outbound.subscriptions().next().unwrap().stream.find_recent(3).unwrap();
    let lost = first.output();
    let nack = super::resend::nack(&mut world.bert, media, &[lost]);
    world.bert_sends(nack);
    assert_eq!(numbers(&mut world), [(4, 1)], "the retransmission is on the same way");
}

#[test]
fn who_was_not_offered_numbers_gets_everything_at_once() {
    let mut world = World::new();
    world.frame(1, 200);
    assert_eq!(world.bert_received().len(), 200);
}

#[test]
fn a_frame_of_the_rate_leaves_at_once_and_a_large_one_at_the_pace_in_order() {
    let mut world = world();
    world.frame(1, 10);
    assert_eq!(numbers(&mut world).len(), 10, "a frame of 2 Mbit/s at 25 frames a second");
    world.now += 40 * MS;
    world.frame(11, 100);
    let at_once = numbers(&mut world);
    assert!((20..30).contains(&at_once.len()), "{}", at_once.len());
    // What comes meanwhile does not overtake.
    world.frame(111, 5);
    let began = world.now;
    let later = world.passes(400 * MS);
    let fills: Vec<u8> = at_once.iter().chain(later.iter().map(|(_, packet)| packet)).map(|(_, fill)| *fill).collect();
    assert_eq!(fills, (11..=115).collect::<Vec<u8>>());
    let (last, _) = later.last().unwrap();
    let fastest = START.scaled(2.5).time_for(75 * 1_050);
    assert!(*last - began >= fastest && *last - began < 3 * fastest, "{:?} of {fastest:?}", *last - began);
}

#[test]
fn a_catch_up_is_spread_over_time_asked_for_once_and_a_tick_apart() {
    let mut world = World::of(request("anna", "sendonly", vec![camera()]), request("bert", "recvonly", Vec::new()));
    for sequence in 1..=90 {
        world.now += 10 * MS;
        let packet = world.sealed(sequence, sequence == 1);
        world.receive(&mut [packet]);
    }
    world.shard.outgoing().clear();
    let (events, cleo) = enter(&mut world.shard, world.now, 2, numbered("cleo"), Connected::new(3));
    world.events.push(events);
    world.shard.outgoing().clear();
    let key = world.shard.peer_of(SeatId(2));
    world.bert = cleo;
    world.shard.request_awaited_keyframes(world.now, key);
    let at_once = numbers(&mut world).len();
    assert!((20..40).contains(&at_once), "{at_once}");
    // It waits for no further keyframe, and its timer that asks again does not send anything twice.
    world.shard.request_awaited_keyframes(world.now, key);
    assert_eq!((numbers(&mut world).len(), world.asked()), (0, 0));
    let packet = world.sealed(91, false);
    world.receive(&mut [packet]);
    assert_eq!(numbers(&mut world).len(), 0, "behind what waits");
    let later = world.passes(500 * MS);
    let fills: Vec<u8> = later.iter().map(|(_, (_, fill))| *fill).collect();
    assert_eq!(fills, (at_once as u8 + 1..=91).collect::<Vec<u8>>());
}

#[test]
fn a_viewer_that_never_tells_what_arrived_is_not_held_back_for_long() {
    let mut world = world();
    world.frame(1, 1);
    world.passes(2_500 * MS);
    world.frame(2, 200);
    assert_eq!(numbers(&mut world).len(), 200);
}

#[test]
fn what_waits_is_bounded_and_nothing_is_lost_beyond() {
    let mut world = world();
    let frames = limits::PACED_PACKETS as u16 / 100 + 2;
    let mut sent = 0;
    for frame in 0..frames {
        world.frame(1 + 100 * frame, 100);
        sent += numbers(&mut world).len();
    }
    let bert = world.shard.peer_of(SeatId(1));
    let waiting = world.shard.peers[bert].downlink.as_ref().unwrap().waiting();
    assert_eq!(waiting, limits::PACED_PACKETS);
    assert_eq!(sent + waiting, 100 * usize::from(frames), "what finds no room leaves at once");
}

#[test]
fn a_source_that_ends_takes_what_waits_along() {
    let mut world = world();
    world.frame(1, 100);
    numbers(&mut world);
    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(0) });
    assert!(world.passes(1_000 * MS).is_empty());
}

#[test]
fn numbering_and_pacing_allocate_nothing() {
    let mut world = world();
    let frames = |world: &mut World, from: u16, to: u16| -> Vec<Vec<Vec<u8>>> {
        (from..to)
            .map(|frame| (1..=5).map(|n| world.sealed_part(frame * 5 + n, frame == 0 && n == 1, n == 5)).collect())
            .collect()
    };
    let (mut first, mut steady) = (frames(&mut world, 0, 300), frames(&mut world, 300, 340));
    let mut flow = |frames: &mut Vec<Vec<Vec<u8>>>| {
        for frame in frames {
            world.now += 20 * MS;
            world.receive(frame);
            world.shard.outgoing().clear();
        }
    };
    flow(&mut first);
    let counts = allocation_counter::measure(|| flow(&mut steady));
    assert_eq!(counts.count_total, 0, "{counts:?}");
    assert_eq!(world.shard.counters.packets_out.get(), 1_700);
}
