//! Scenarios of packets lost on the way from Anna: what she is asked for, what becomes of what she sends again, and what Bert gets.

use super::*;
use crate::wire::rtcp::{self, Report};

const VP8: PayloadType = PayloadType(96);
const RTX: PayloadType = PayloadType(97);
const MEDIA: Ssrc = Ssrc(77);
const REPAIR: Ssrc = Ssrc(78);
const MID: (u8, &[u8]) = (1, b"0");
/// Longer than a gap is left alone where nothing was late lately, and than the first request waits for its answer.
const TOLERANCE: Duration = Duration::from_millis(10);
const ROUND_TRIP: Duration = Duration::from_millis(125);

/// With NACK, and RTX where `rtx`.
fn recovering(rtx: bool) -> Offer {
    let mut offer = offer("sendonly");
    offer.sdp += "a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n";
    if rtx {
        offer.sdp = offer.sdp.replace("SAVPF 96", "SAVPF 96 97");
        offer.sdp += "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
    }
    offer
}

/// With encodings q and h.
fn simulcast() -> Offer {
    let mut offer = recovering(true);
    offer.sdp += "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
        a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n\
        a=rid:q send\r\na=rid:h send\r\na=simulcast:send q;h\r\n";
    offer
}

fn world(annas: Offer) -> World {
    let anna = JoinRequest { offer: Some(annas), ..request("anna", "sendonly", vec![camera()]) };
    World::of(anna, request("bert", "recvonly", Vec::new()))
}

/// A packet as it is on the wire.
fn seal(
    from: &mut End,
    ssrc: Ssrc,
    payload_type: PayloadType,
    sequence: u16,
    of: u16,
    elements: &[(u8, &[u8])],
    payload: &mut [u8],
) -> Vec<u8> {
    let mut writer = HeaderWriter::new(true, payload_type, sequence, 3_000 * u32::from(of), ssrc);
    elements.iter().for_each(|(id, value)| assert!(writer.extension(*id, value)));
    let mut packet = vec![0; 2_048];
    let plain = Plain::new(u64::from(sequence), writer.finish(), payload);
    let len = from.1.outbound.seal_rtp(plain, &mut packet).unwrap();
    packet.truncate(len);
    packet
}

/// What a packet of a camera with this number carries.
fn payload(sequence: u16, keyframe: bool) -> Vec<u8> {
    [vec![0x10, u8::from(!keyframe)], vec![sequence as u8; 300]].concat()
}

fn sent_again(sequence: u16, keyframe: bool) -> Vec<u8> {
    [sequence.to_be_bytes().to_vec(), payload(sequence, keyframe)].concat()
}

/// What a participant was asked for.
#[derive(PartialEq, Eq, Debug)]
enum Asked {
    Packet(Ssrc, u16),
    Keyframe(Ssrc),
}

impl World {
    fn media(&mut self, sequences: impl IntoIterator<Item = u16>) {
        let mut packets: Vec<_> = sequences.into_iter().map(|n| self.sealed_from(MEDIA, n, n == 1, 300)).collect();
        self.receive(&mut packets);
    }

    /// `sequence` of the repair stream brings packet `of`.
    fn again(&mut self, sequence: u16, of: u16) {
        let packet = seal(&mut self.anna, REPAIR, RTX, sequence, of, &[MID], &mut sent_again(of, of == 1));
        self.receive(&mut [packet]);
    }

    /// Lets time pass in steps of at most 10 ms. What is sent meanwhile is kept.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = (self.now + Duration::from_millis(10)).min(end);
            self.shard.handle_timeout(self.now);
            while self.shard.forward(self.now) {}
        }
    }

    /// What Anna was asked for since, and what was reported to her as lost.
    fn annas_feedback(&mut self) -> (Vec<Asked>, i32) {
        let (mut asked, mut lost) = (Vec::new(), 0);
        let batch = self.shard.outgoing();
        for transmit in batch.transmits().iter().filter(|transmit| transmit.route.to == self.anna.0) {
            for datagram in batch.contents(transmit).chunks(transmit.segment) {
                assert!(datagram.len() <= 1_200);
                let mut packet = datagram.to_vec();
                let len = self.anna.1.inbound.open_rtcp(self.now, &mut packet).unwrap();
                for report in rtcp::read(&packet[..len]) {
                    match report {
                        Report::Nack { media, packet_id, bitmask } => {
                            let behind = (1..=16).filter(|n| bitmask & (1 << (n - 1)) != 0);
                            let numbers = [0].into_iter().chain(behind).map(|n| packet_id.wrapping_add(n));
                            asked.extend(numbers.map(|number| Asked::Packet(media, number)));
                        }
                        Report::KeyframeRequest { media, .. } => asked.push(Asked::Keyframe(media)),
                        Report::Reception { report, .. } => lost = report.cumulative_lost,
                        _ => {}
                    }
                }
            }
        }
        self.shard.outgoing().clear();
        (asked, lost)
    }

    fn wanted(&mut self) -> Vec<Asked> {
        self.annas_feedback().0
    }

    /// RTX packets taken for something, useless, padding and malformed.
    fn rtx(&self) -> [u64; 4] {
        let c = &self.shard.counters;
        [&c.recovered, &c.rtx_useless, &c.rtx_padding, &c.rtx_malformed].map(|counter| counter.get())
    }
}

#[test]
fn a_lost_packet_is_asked_for_and_reaches_bert_under_its_own_number_and_payload_type() {
    let mut world = world(recovering(true));
    world.media([1, 2, 4, 5]);
    let before = world.bert_received();
    assert_eq!(before.iter().map(|(_, fill, _)| *fill).collect::<Vec<_>>(), [1, 2, 4, 5]);
    assert_eq!(world.wanted(), [], "it may only be late");
    world.pass(TOLERANCE);
    assert_eq!(world.wanted(), [Asked::Packet(MEDIA, 3)]);

    world.again(900, 3);
    let packets = world.bert_packets();
    let [(header, fill)] = packets.as_slice() else { panic!("{}", packets.len()) };
    assert_eq!((header.payload_type, header.sequence_number, *fill), (VP8, before[0].0 + 2, 3));
    assert!(header.marker);
    world.again(901, 3);
    assert_eq!((world.bert_received(), world.rtx()), (vec![], [1, 1, 0, 0]), "once is enough");

    world.pass(Duration::from_secs(3));
    assert_eq!(world.annas_feedback(), (vec![], 1), "lost on the way, whatever was done about it");
    assert_eq!(world.shard.counters.given_up.get(), 0);
}

#[test]
fn a_request_is_repeated_by_round_trip_and_what_is_given_up_asks_for_one_keyframe() {
    let mut world = world(recovering(true));
    world.media([1, 2]);
    world.wanted();
    world.media([5, 7]);
    world.pass(TOLERANCE + 2 * ROUND_TRIP + TOLERANCE);
    let three = [3, 4, 6].map(|n| Asked::Packet(MEDIA, n));
    assert_eq!(world.wanted(), three.iter().chain(&three).chain(&three).map(copy).collect::<Vec<_>>());
    world.pass(Duration::from_secs(1));
    let asked = world.wanted();
    assert_eq!(asked.last(), Some(&Asked::Keyframe(MEDIA)));
    assert_eq!(asked.iter().filter(|asked| matches!(asked, Asked::Keyframe(_))).count(), 1);
    world.media([8, 9]);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.wanted(), []);
    assert_eq!(world.shard.counters.given_up.get(), 3);
}

fn copy(asked: &Asked) -> Asked {
    match asked {
        Asked::Packet(ssrc, number) => Asked::Packet(*ssrc, *number),
        Asked::Keyframe(ssrc) => Asked::Keyframe(*ssrc),
    }
}

#[test]
fn what_nobody_receives_is_neither_asked_for_nor_replaced() {
    let mut world = world(recovering(true));
    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(1) });
    world.shard.outgoing().clear();
    world.media([1, 3, 700]);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.wanted(), []);
}

#[test]
fn a_hole_asks_for_a_keyframe_at_once_and_for_nothing_else() {
    let mut world = world(recovering(true));
    world.media([1]);
    world.wanted();
    world.media([2_000, 2_001]);
    world.pass(TOLERANCE);
    assert_eq!(world.wanted(), [Asked::Keyframe(MEDIA)]);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.wanted(), []);
}

#[test]
fn packets_that_overtake_each_other_cause_nothing() {
    let mut world = world(recovering(true));
    world.media([1]);
    world.wanted();
    for burst in 0..20 {
        let first = 2 + burst * 21;
        world.media((first + 1..first + 21).chain([first]));
        world.pass(Duration::from_millis(30));
    }
    world.pass(Duration::from_secs(2));
    assert_eq!(world.annas_feedback(), (vec![], 0));
}

#[test]
fn without_rtx_a_packet_is_sent_again_as_it_was() {
    let mut world = world(recovering(false));
    world.media([1, 3]);
    let lost = world.sealed_from(MEDIA, 2, false, 300);
    world.pass(TOLERANCE);
    assert_eq!(world.wanted().last(), Some(&Asked::Packet(MEDIA, 2)));
    world.pass(Duration::from_millis(100));
    world.receive(&mut [lost]);
    assert_eq!(world.bert_received().iter().map(|(_, fill, _)| *fill).collect::<Vec<_>>(), [2]);
    assert_eq!(world.rtx(), [1, 0, 0, 0]);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.annas_feedback(), (vec![], 0));
}

#[test]
fn a_packet_reaches_bert_however_many_went_out_meanwhile() {
    for rtx in [true, false] {
        let mut world = world(recovering(rtx));
        let lost = world.sealed_from(MEDIA, 2, false, 300);
        world.media([1]);
        for first in (3..900).step_by(10) {
            world.pass(Duration::from_millis(10));
            world.media(first..first + 10);
            world.shard.outgoing().clear();
        }
        if rtx {
            world.again(1, 2)
        } else {
            world.receive(&mut [lost])
        }
        assert_eq!(world.bert_received().iter().map(|(_, fill, _)| *fill).collect::<Vec<_>>(), [2], "{rtx}");
    }
}

#[test]
fn nothing_is_asked_of_a_publisher_that_did_not_offer_it() {
    let mut world = World::new();
    world.media([1]);
    world.wanted();
    world.media([3, 1_000]);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.wanted(), []);
}

#[test]
fn each_layer_is_recovered_by_its_own_stream() {
    let mut world = world(simulcast());
    let (q, h) = ((2, b"q".as_slice()), (2, b"h".as_slice()));
    let mut packets = Vec::new();
    for n in [1, 2, 4] {
        packets.push(seal(&mut world.anna, Ssrc(1), VP8, n, n, &[MID, q], &mut payload(n, n == 1)));
        packets.push(seal(&mut world.anna, Ssrc(2), VP8, 500 + n, n, &[MID, h], &mut payload(100 + n, n == 1)));
    }
    world.receive(&mut packets);
    let before = world.bert_received();
    let fills: Vec<u8> = before.iter().map(|(_, fill, _)| *fill).collect();
    assert!(fills.ends_with(&[102, 104]), "{fills:?}");
    world.pass(TOLERANCE);
    let asked = world.wanted();
    assert_eq!(asked, [Asked::Packet(Ssrc(1), 3), Asked::Packet(Ssrc(2), 503)]);

    let (repaired_q, repaired_h) = ((3, b"q".as_slice()), (3, b"h".as_slice()));
    let mut again = |ssrc, rid, osn: u16, fill: u16| {
        let mut payload = [osn.to_be_bytes().to_vec(), payload(fill, false)].concat();
        seal(&mut world.anna, Ssrc(ssrc), RTX, 7, 3, &[MID, rid], &mut payload)
    };
    let mut packets = [again(3, repaired_q, 3, 3), again(4, repaired_h, 503, 103)];
    world.receive(&mut packets);
    let number = before.iter().find(|(_, fill, _)| *fill == 102).unwrap().0 + 1;
    assert_eq!(world.bert_received(), [(number, 103, 302)], "the layer Bert gets");
    assert_eq!(world.rtx(), [2, 0, 0, 0], "and the other is whole too, for whoever switches to it");
}

#[test]
fn a_keyframe_that_is_sent_again_begins_a_stream() {
    let mut world = world(recovering(true));
    // The first packets are not the keyframe's.
    world.media([2, 4]);
    assert_eq!(world.bert_received(), []);
    world.pass(TOLERANCE);
    let packet = seal(&mut world.anna, REPAIR, RTX, 1, 3, &[MID], &mut sent_again(3, true));
    world.receive(&mut [packet]);
    assert_eq!(world.bert_received().len(), 1);
    world.media([5]);
    assert_eq!(world.bert_received().len(), 1);
}

#[test]
fn retransmissions_of_any_number_and_length_do_nothing_to_the_call() {
    let mut world = world(recovering(true));
    let mut sequence = 0;
    let mut again = |world: &mut World, payload: &mut [u8]| {
        sequence += 1;
        let packet = seal(&mut world.anna, REPAIR, RTX, sequence, 3, &[MID], payload);
        world.receive(&mut [packet]);
    };
    again(&mut world, &mut sent_again(3, true));
    assert_eq!(world.rtx(), [0, 1, 0, 0], "there is no stream yet");
    world.media([1, 2, 4]);
    assert_eq!(world.bert_received().len(), 3);

    // Every number but the missing one.
    for number in (0..=u16::MAX).filter(|number| *number != 3).step_by(13) {
        again(&mut world, &mut sent_again(number, true));
    }
    let useless = world.rtx()[1];
    assert_eq!((world.bert_received(), world.rtx()), (vec![], [0, useless, 0, 0]));
    for len in 0..=2 {
        again(&mut world, &mut [0; 2][..len]);
    }
    assert_eq!(world.rtx(), [0, useless, 3, 0]);
    let stream =
        world.shard.rooms.iter().next().unwrap().1.sources.iter().next().unwrap().1.encodings[0].stream.as_ref();
    assert_eq!(stream.unwrap().packets(), 3, "they count for nothing");

    // Every length for the missing one, each time anew.
    let mut expected = 0;
    for len in 3..=1_400u16 {
        let number = 4 + len;
        world.media([number * 2]);
        expected += world.bert_received().len();
        let mut payload = vec![0x10; usize::from(len)];
        payload[..2].copy_from_slice(&(number * 2 - 1).to_be_bytes());
        again(&mut world, &mut payload);
        world.now += Duration::from_millis(3);
        expected += world.bert_received().len();
    }
    assert_eq!(world.rtx(), [1_398, useless, 3, 0]);
    assert_eq!(expected, 2 * 1_398);
    assert_eq!(world.shard.peers[0].inbound.streams(), 2);
}

#[test]
fn padding_of_every_length_is_told_from_what_carries_something() {
    let mut world = world(recovering(true));
    world.media([1, 3]);
    let (mut padding, mut malformed) = (0, 0);
    for (sequence, (len, last)) in (1..=255u8).flat_map(|len| [(len, len), (len, 0), (len, 255)]).enumerate() {
        let mut payload = vec![0; usize::from(len)];
        payload[usize::from(len) - 1] = last;
        let mut writer = HeaderWriter::new(true, RTX, sequence as u16, 9_000, REPAIR);
        assert!(writer.extension(1, b"0"));
        writer.set_padding();
        let mut packet = vec![0; 2_048];
        let plain = Plain::new(sequence as u64, writer.finish(), &mut payload);
        let end = world.anna.1.outbound.seal_rtp(plain, &mut packet).unwrap();
        packet.truncate(end);
        world.receive(&mut [packet]);
        let valid = last == len;
        (padding, malformed) = (padding + u64::from(valid), malformed + u64::from(!valid));
    }
    assert_eq!(world.rtx(), [0, 0, padding, malformed]);
}

#[test]
fn nothing_is_allocated_for_a_packet_that_is_sent_again() {
    let mut world = world(recovering(true));
    let mut batches: Vec<[Vec<u8>; 2]> = (0..400u16)
        .map(|n| {
            let media = world.sealed_from(MEDIA, 1 + 2 * n, n == 0, 300);
            let (anna, of) = (&mut world.anna, (2 * n).max(1));
            [media, seal(anna, REPAIR, RTX, n, of, &[MID], &mut sent_again(of, false))]
        })
        .collect();
    let mut steady = batches.split_off(300);
    for batch in &mut batches {
        world.now += Duration::from_millis(5);
        world.receive(batch);
        world.shard.outgoing().clear();
    }
    let counts = allocation_counter::measure(|| {
        for batch in &mut steady {
            world.now += Duration::from_millis(5);
            world.receive(batch);
            world.shard.outgoing().clear();
        }
    });
    assert_eq!(world.rtx(), [399, 1, 0, 0]);
    assert_eq!(world.shard.counters.packets_out.get(), 799);
    assert_eq!(counts.count_total, 0, "{counts:?}");
}

#[test]
fn requests_for_many_packets_leave_in_datagrams_of_a_bounded_size() {
    let mut world = world(simulcast());
    for (ssrc, rid) in [(1, b"q".as_slice()), (2, b"h")] {
        let numbers = (0..250u16).map(|n| 1 + n * 2);
        let seal = |n: u16| seal(&mut world.anna, Ssrc(ssrc), VP8, n, n, &[MID, (2, rid)], &mut payload(n, n == 1));
        let mut packets: Vec<_> = numbers.map(seal).collect();
        world.receive(&mut packets);
        world.bert_received();
    }
    world.pass(TOLERANCE);
    let asked = world.wanted();
    let expected = [1, 2].map(|ssrc| (1..250u16).map(move |n| Asked::Packet(Ssrc(ssrc), n * 2)));
    assert_eq!(asked, expected.into_iter().flatten().collect::<Vec<_>>());
    assert_eq!(world.shard.counters.nacks_out.get(), 498);
}

#[test]
fn losses_that_were_made_good_do_not_excuse_those_of_a_subscriber() {
    let mut world = world(recovering(true));
    for n in 1..100 {
        world.media([2 * n]);
        if n % 2 == 0 {
            world.again(n, 2 * n - 1);
        }
    }
    world.pass(Duration::from_secs(1));
    let (_, room) = world.shard.rooms.iter().next().unwrap();
    let (_, source) = room.sources.iter().next().unwrap();
    assert!((0.45..0.55).contains(&source.loss()), "{}", source.loss());
    assert!((0.2..0.3).contains(&source.loss_passed_on()), "{}", source.loss_passed_on());
}
