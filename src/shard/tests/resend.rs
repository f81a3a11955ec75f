//! Scenarios of subscribers that ask for packets again: what they get, how often, how much, and what they do not get.

use rand::Rng;

use super::*;
use crate::wire::rtcp::{ReceptionReport, Writer};

const RTX: PayloadType = PayloadType(97);
const MS: Duration = Duration::from_millis(1);
/// Between two packets of Anna's camera: 250 a second.
const APART: Duration = Duration::from_millis(4);

/// An offer of a receiver that has NACK and RTX.
pub(super) fn repairing(identity: &str) -> JoinRequest {
    let Offer { id, sdp } = offer("recvonly");
    let rtx = "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtcp-fb:96 nack\r\n";
    let sdp = sdp.replace("SAVPF 96", "SAVPF 96 97") + rtx;
    JoinRequest { offer: Some(Offer { id, sdp }), ..request(identity, "recvonly", Vec::new()) }
}

fn world() -> World {
    World::of(request("anna", "sendonly", vec![camera()]), repairing("bert"))
}

/// A retransmission.
struct Again {
    header: Header,
    extensions: Vec<(u8, Vec<u8>)>,
    original: u16,
    payload: Vec<u8>,
}

/// What was sent again to a participant, since the last look.
fn again(shard: &mut Shard, now: Instant, to: &mut End) -> Vec<Again> {
    let batch = shard.outgoing();
    let mut found = Vec::new();
    for transmit in batch.transmits().iter().filter(|transmit| transmit.route.to == to.0) {
        for datagram in batch.contents(transmit).chunks(transmit.segment) {
            let mut packet = datagram.to_vec();
            let header = Header::parse(&packet).unwrap();
            if header.payload_type != RTX {
                continue;
            }
            let (sequence, len) = (header.sequence_number, header.len);
            let opened = to.1.inbound.open_rtp(now, header.ssrc.0, sequence, len, &mut packet).unwrap();
            packet.truncate(opened);
            let (original, payload) = header.payload(&packet).unwrap().split_first_chunk().unwrap();
            let extensions = header.extensions(&packet).map(|(id, value)| (id, value.to_vec())).collect();
            found.push(Again {
                header,
                extensions,
                original: u16::from_be_bytes(*original),
                payload: payload.to_vec(),
            });
        }
    }
    batch.clear();
    found
}

/// The RTCP that names these packets of a stream.
pub(super) fn nack(from: &mut End, media: Ssrc, numbers: &[u16]) -> Vec<u8> {
    let entries: Vec<(u16, u16)> = numbers.iter().map(|number| (*number, 0)).collect();
    nack_entries(from, media, &entries)
}

fn nack_entries(from: &mut End, media: Ssrc, entries: &[(u16, u16)]) -> Vec<u8> {
    let mut compound = Vec::new();
    Writer { out: &mut compound }.receiver_report(Ssrc(5), &[]);
    let words = 2 + entries.len() as u16;
    compound.extend([0x81, 205]);
    compound.extend(words.to_be_bytes());
    compound.extend([0, 0, 0, 5]);
    compound.extend(media.0.to_be_bytes());
    for (packet_id, bitmask) in entries {
        compound.extend(packet_id.to_be_bytes());
        compound.extend(bitmask.to_be_bytes());
    }
    sealed_rtcp(from, &compound)
}

pub(super) fn sealed_rtcp(from: &mut End, compound: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    from.1.outbound.seal_rtcp(compound, &mut packet).unwrap();
    packet
}

pub(super) fn report(from: &mut End, blocks: &[(Ssrc, u8)]) -> Vec<u8> {
    let block = |(ssrc, fraction_lost): &(Ssrc, u8)| ReceptionReport {
        ssrc: ssrc.0,
        fraction_lost: *fraction_lost,
        ..ReceptionReport::default()
    };
    let mut compound = Vec::new();
    Writer { out: &mut compound }.receiver_report(Ssrc(5), &blocks.iter().map(block).collect::<Vec<_>>());
    sealed_rtcp(from, &compound)
}

impl World {
    pub(super) fn bert_sends(&mut self, mut datagram: Vec<u8>) {
        let arrival = Arrival { from: self.bert.0, socket: 0, local_ip: None };
        self.shard.handle_datagram(self.now, arrival, &mut datagram);
    }

    /// Bert asks, and gets.
    fn bert_lacks(&mut self, media: Ssrc, numbers: &[u16]) -> Vec<Again> {
        let datagram = nack(&mut self.bert, media, numbers);
        self.bert_sends(datagram);
        again(&mut self.shard, self.now, &mut self.bert)
    }

    /// The SSRCs of what Bert gets, and of what is sent again.
    pub(super) fn berts_ssrcs(&self) -> (Ssrc, Ssrc) {
        let bert = self.shard.peer_of(SeatId(1));
        let stream = &self.shard.peers[bert].outbound.subscriptions().next().unwrap().stream;
        (stream.target().ssrc, stream.rtx_ssrc().unwrap())
    }

    /// Some packets of Anna's, the first of which begins a keyframe; what Bert gets.
    fn flow(&mut self, numbers: std::ops::RangeInclusive<u16>) -> Vec<(Header, Vec<u8>)> {
        let first = *numbers.start();
        let mut packets: Vec<_> = numbers.map(|sequence| self.sealed(sequence, sequence == first)).collect();
        self.receive(&mut packets);
        let received = packets_of(self);
        self.shard.outgoing().clear();
        received
    }

    fn refused(&self) -> Vec<u64> {
        self.shard.counters.nacks_refused.iter().map(|(_, count)| count).collect()
    }
}

fn packets_of(world: &mut World) -> Vec<(Header, Vec<u8>)> {
    packets(&mut world.shard, world.now, &mut world.bert)
}

#[test]
fn what_is_lost_is_sent_again_as_it_was_under_its_own_ssrc_and_numbers() {
    let mut world = world();
    let sent = world.flow(1..=6);
    let (media, rtx) = world.berts_ssrcs();
    let wanted = [sent[0].0.sequence_number, sent[3].0.sequence_number];
    let got = world.bert_lacks(media, &wanted);
    assert_eq!(got.len(), 2);
    for (again, (header, payload)) in got.iter().zip([&sent[0], &sent[3]]) {
        assert_eq!((again.header.ssrc, again.original, &again.payload), (rtx, header.sequence_number, payload));
        assert_eq!((again.header.timestamp, again.header.marker), (header.timestamp, header.marker));
        assert_eq!(again.extensions, [(1, b"0".to_vec())], "the mid, which Bert may need");
        assert!(!again.header.has_padding);
    }
    assert_eq!(got[1].header.sequence_number, got[0].header.sequence_number.wrapping_add(1));
    let counters = &world.shard.counters;
    assert_eq!((counters.nacked_packets.get(), counters.rtx_packets_out.get()), (2, 2));
    assert!(counters.rtx_bytes_out.get() > 2_000);
    // The cache is as it was: what comes next to others is what Anna sent.
    let (_events, mut cleo) = enter(&mut world.shard, world.now, 2, repairing("cleo"), Connected::new(3));
    let key = world.shard.peer_of(SeatId(2));
    world.shard.request_awaited_keyframes(world.now, key);
    let cleos: Vec<_> =
        packets(&mut world.shard, world.now, &mut cleo).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(cleos, sent.into_iter().map(|(_, payload)| payload).collect::<Vec<_>>());
}

#[test]
fn padding_that_was_added_for_a_run_is_not_repeated() {
    let mut world = world();
    let lens = [1_000, 1_005, 990];
    let mut packets: Vec<_> =
        lens.iter().zip(1..).map(|(len, n)| world.sealed_from(Ssrc(77), n, n == 1, *len)).collect();
    world.receive(&mut packets);
    let sent = packets_of(&mut world);
    assert!(sent[0].0.has_padding && sent[2].0.has_padding);
    let (media, _) = world.berts_ssrcs();
    let numbers: Vec<u16> = sent.iter().map(|(header, _)| header.sequence_number).collect();
    let got = world.bert_lacks(media, &numbers);
    assert!(got.iter().all(|again| !again.header.has_padding));
    assert_eq!(got.iter().map(|again| again.payload.len() - 2).collect::<Vec<_>>(), lens);
}

#[test]
fn a_packet_is_sent_again_once_per_round_trip_and_ten_times_at_most() {
    let mut world = world();
    let number = [world.flow(1..=3)[1].0.sequence_number];
    let (media, _) = world.berts_ssrcs();
    let mut times = Vec::new();
    let start = world.now;
    let requests = world.shard.counters.keyframe_requests_out.get();
    for n in 0..3_000u16 {
        world.now += MS;
        if n % 10 == 0 {
            // What goes on being sent makes room for repetitions.
            let packet = world.sealed(4 + n / 10, false);
            world.receive(&mut [packet]);
            world.shard.outgoing().clear();
        }
        let got = world.bert_lacks(media, &number);
        times.extend(got.iter().map(|_| (world.now - start).as_millis()));
        assert!(got.iter().all(|again| again.payload.last() == Some(&2)));
    }
    assert_eq!(times.len(), 10);
    let requests = world.shard.counters.keyframe_requests_out.get() - requests;
    assert!(requests > 0, "who lacked it ten times asks no more");
    // Seven eighths of the 100 ms that are taken before a round trip was measured.
    assert!(times.windows(2).all(|pair| (87..=89).contains(&(pair[1] - pair[0]))), "{times:?}");
    // Later it is gone from the cache, too.
    let refused = world.refused();
    assert_eq!((refused.iter().sum::<u64>(), refused[2]), (2_990, 0), "{refused:?}");
}

#[test]
fn what_was_never_sent_or_is_nobodys_is_refused() {
    let mut world = world();
    let sent = world.flow(1..=6);
    let (media, rtx) = world.berts_ssrcs();
    let [first, last] = [0, 5].map(|n: usize| sent[n].0.sequence_number);
    let never = [first.wrapping_sub(1), last.wrapping_add(1), last.wrapping_add(0x8000)];
    assert!(world.bert_lacks(media, &never).is_empty());
    assert!(world.bert_lacks(Ssrc(12_345), &[first]).is_empty(), "nobody's stream");
    assert!(world.bert_lacks(rtx, &[first]).is_empty(), "retransmissions are not retransmitted");
    assert!(world.bert_lacks(Ssrc(77), &[first]).is_empty(), "the publisher's SSRC");
    assert_eq!(world.refused(), [6, 0, 0]);
    // Packets that Anna lost are gaps for Bert, and nothing he is sent.
    let mut packets = [7, 9].map(|sequence| world.sealed(sequence, false));
    world.receive(&mut packets);
    world.shard.outgoing().clear();
    assert!(world.bert_lacks(media, &[last.wrapping_add(2)]).is_empty());
    // Anna's stream begins anew under the same numbers.
    let packet = world.sealed_from(Ssrc(78), 2, true, 500);
    world.receive(&mut [packet]);
    world.shard.outgoing().clear();
    assert!(world.bert_lacks(media, &[sent[1].0.sequence_number]).is_empty(), "of the SSRC before");
    let fresh = world.bert_lacks(media, &[last.wrapping_add(4)]);
    assert_eq!(fresh.iter().map(|again| again.payload.len()).collect::<Vec<_>>(), [502]);
}

#[test]
fn a_receiver_without_rtx_gets_nothing_again() {
    let mut world = World::new();
    let number = world.flow(1..=3)[1].0.sequence_number;
    let bert = world.shard.peer_of(SeatId(1));
    let stream = &world.shard.peers[bert].outbound.subscriptions().next().unwrap().stream;
    assert_eq!(stream.rtx_ssrc(), None);
    let media = stream.target().ssrc;
    assert!(world.bert_lacks(media, &[number]).is_empty());
    assert_eq!(world.refused(), [1, 0, 0]);
}

#[test]
fn after_a_switch_packets_of_both_encodings_are_sent_again() {
    let mut world = paused_layers::simulcast_to(repairing("bert"));
    let (low, high) = (paused_layers::LOW, paused_layers::HIGH);
    world.send(low, 1, true);
    world.send(low, 2, false);
    world.send(high, 100, true);
    world.send(high, 101, false);
    let sent = packets_of(&mut world);
    let fills: Vec<u8> = sent.iter().map(|(_, payload)| *payload.last().unwrap()).collect();
    assert_eq!(fills, [1, 2, 100, 101]);
    world.shard.outgoing().clear();
    let (media, _) = world.berts_ssrcs();
    let numbers: Vec<u16> = sent.iter().map(|(header, _)| header.sequence_number).collect();
    let got = world.bert_lacks(media, &numbers);
    for (again, (header, payload)) in got.iter().zip(&sent) {
        assert_eq!((again.original, &again.payload), (header.sequence_number, payload));
        assert_eq!(again.header.timestamp, header.timestamp);
    }
    assert_eq!(got.len(), 4);
}

#[test]
fn who_asks_for_everything_gets_less_than_a_quarter_more_and_each_packet_once_per_round_trip() {
    let mut world = world();
    let mut recent: Vec<u16> = Vec::new();
    let (mut sent, mut resent) = (0usize, 0usize);
    let mut last_sent = std::collections::HashMap::new();
    let start = world.now;
    for sequence in 1..=2_500u16 {
        world.now += APART;
        let packet = world.sealed(sequence, sequence == 1);
        world.receive(&mut [packet]);
        for (header, payload) in packets_of(&mut world) {
            recent.push(header.sequence_number);
            sent += header.len + payload.len();
        }
        world.shard.outgoing().clear();
        recent.drain(..recent.len().saturating_sub(250));
        let (media, _) = world.berts_ssrcs();
        for again in world.bert_lacks(media, &recent.clone()) {
            resent += again.header.len + again.payload.len();
            if let Some(before) = last_sent.insert(again.original, world.now) {
                assert!(world.now - before >= 87 * MS);
            }
        }
        if sequence % 250 == 0 {
            let report = report(&mut world.bert, &[(media, 0)]);
            world.bert_sends(report);
        }
    }
    assert_eq!(world.now - start, Duration::from_secs(10));
    assert!((18..25).contains(&(100 * resent / sent)), "{resent} of {sent}");
    assert!(world.refused().iter().sum::<u64>() > 100_000);
}

/// What a receiver behind a link that loses packets both ways, at random or in bursts of five, has to go without after half a second,
/// of 1,000, and what was sent again, of 100, against what was lost, of 100.
fn over_a_lossy_link(loss: f64, burst: u32, seed: u64) -> (usize, usize, usize) {
    let mut world = world();
    let mut random = StdRng::seed_from_u64(seed);
    let mut losing = 0u32;
    let mut lost = |random: &mut StdRng| {
        if losing == 0 && random.random_bool(loss / f64::from(burst)) {
            losing = burst;
        }
        let lost = losing > 0;
        losing = losing.saturating_sub(1);
        lost
    };
    // Missing since, and asked for last.
    let mut missing: std::collections::BTreeMap<u16, (Instant, Instant)> = Default::default();
    let (mut sent, mut resent, mut gone, mut without) = (0, 0, 0, 0);
    let (mut in_second, mut gone_in_second) = (0, 0);
    for sequence in 1..=15_000u16 {
        world.now += APART;
        let packet = world.sealed(sequence, sequence == 1);
        world.receive(&mut [packet]);
        for (header, _) in packets_of(&mut world) {
            (sent, in_second) = (sent + 1, in_second + 1);
            if lost(&mut random) {
                (gone, gone_in_second) = (gone + 1, gone_in_second + 1);
                missing.insert(header.sequence_number, (world.now, world.now - 100 * MS));
            }
        }
        world.shard.outgoing().clear();
        let now = world.now;
        let due: Vec<u16> =
            missing.iter().filter(|(_, (_, asked))| now - *asked >= 100 * MS).map(|(number, _)| *number).collect();
        if sequence % 5 == 0 && !due.is_empty() {
            due.iter().for_each(|number| missing.get_mut(number).unwrap().1 = now);
            let (media, _) = world.berts_ssrcs();
            for again in world.bert_lacks(media, &due) {
                resent += 1;
                if !lost(&mut random) {
                    missing.remove(&again.original);
                }
            }
        }
        let before = missing.len();
        missing.retain(|_, (since, _)| now - *since < 500 * MS);
        without += before - missing.len();
        if sequence % 250 == 0 {
            let (media, _) = world.berts_ssrcs();
            let fraction = (256 * gone_in_second / in_second).min(255) as u8;
            (in_second, gone_in_second) = (0, 0);
            let report = report(&mut world.bert, &[(media, fraction)]);
            world.bert_sends(report);
        }
    }
    (1_000 * without / sent, 100 * resent / sent, 100 * gone / sent)
}

#[test]
fn a_receiver_that_loses_packets_gets_them_and_not_much_more() {
    for (loss, burst, most_without) in [(0.05, 1, 1), (0.2, 1, 2), (0.3, 1, 6), (0.2, 5, 10)] {
        let (without, resent, lost) = over_a_lossy_link(loss, burst, 7);
        println!("loss {loss} by {burst}: {without} per mille without, {resent} % resent for {lost} % lost");
        assert!(without <= most_without, "{loss} by {burst}: {without} per mille are missing");
        assert!(2 * resent <= 3 * lost, "{loss} by {burst}: {resent} % for a loss of {lost} %");
        assert!(lost >= (70.0 * loss) as usize, "the link loses {lost} %");
    }
}

#[test]
fn a_datagram_that_names_thousands_has_some_hundred_looked_for() {
    let mut world = world();
    world.flow(1..=200);
    let (media, _) = world.berts_ssrcs();
    let entries: Vec<(u16, u16)> = (0..340).map(|n| (17 * n, u16::MAX)).collect();
    let datagram = nack_entries(&mut world.bert, media, &entries);
    assert!(datagram.len() < 1_500);
    world.bert_sends(datagram);
    assert_eq!(world.shard.counters.nacked_packets.get(), limits::NACKED_PACKETS as u64);
}

#[test]
fn nothing_is_allocated_for_what_can_be_or_is_sent_again() {
    let mut world = world();
    let mut batches: Vec<Vec<Vec<u8>>> =
        (0..190).map(|batch| (1..=5).map(|n| world.sealed(batch * 5 + n, batch == 0 && n == 1)).collect()).collect();
    let mut steady = batches.split_off(150);
    let first = {
        world.receive(&mut batches.remove(0));
        packets_of(&mut world)[0].0.sequence_number
    };
    let (media, _) = world.berts_ssrcs();
    for (batch, number) in batches.iter_mut().zip(1..) {
        world.now += Duration::from_millis(20);
        world.receive(batch);
        world.bert_lacks(media, &[first.wrapping_add(number)]);
    }
    let mut nacks: Vec<Vec<u8>> = (0..40u16)
        .map(|batch| {
            nack(
                &mut world.bert,
                media,
                &[first.wrapping_add(5 * (150 + batch)), first.wrapping_add(5 * (140 + batch))],
            )
        })
        .collect();
    let arrival = Arrival { from: world.bert.0, socket: 0, local_ip: None };
    let counts = allocation_counter::measure(|| {
        for (batch, nack) in steady.iter_mut().zip(&mut nacks) {
            world.now += Duration::from_millis(20);
            world.receive(batch);
            world.shard.handle_datagram(world.now, arrival, nack);
            world.shard.outgoing().clear();
        }
    });
    assert_eq!(world.shard.counters.packets_out.get(), 950);
    assert!(world.shard.counters.rtx_packets_out.get() >= 50, "{}", world.shard.counters.rtx_packets_out.get());
    assert_eq!(counts.count_total, 0, "{counts:?}");
}

#[test]
fn a_subscriber_on_another_shard_is_served_from_the_cache_there() {
    let mut legs = legs::Legs::new(2);
    let mut anna = legs.join(request("anna", "sendonly", vec![camera()]));
    let mut bert = legs.join(repairing("bert"));
    let mut sent: Vec<_> = (1..=6).map(|n| sealed(&mut anna, Ssrc(77), n, n == 1, 500)).collect();
    legs.receive(SeatId(0), anna.0, &mut sent);
    let received = legs.received(SeatId(1), &mut bert);
    let (shard, key) = legs.place(SeatId(1));
    assert_eq!((shard, received.len()), (1, 6));
    let media = legs.shards[shard].peers[key].outbound.subscriptions().next().unwrap().stream.target().ssrc;
    let mut asks = nack(&mut bert, media, &[received[4].0]);
    let arrival = Arrival { from: bert.0, socket: 0, local_ip: None };
    let now = legs.now;
    legs.shards[shard].handle_datagram(now, arrival, &mut asks);
    let got = again(&mut legs.shards[shard], now, &mut bert);
    assert_eq!(
        got.iter().map(|again| (again.original, again.payload.len())).collect::<Vec<_>>(),
        [(received[4].0, 502)]
    );
}
