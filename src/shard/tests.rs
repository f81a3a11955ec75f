//! Scenarios of a whole shard without sockets: one publisher, one subscriber, real SRTP on both sides.

mod standing;

use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::limits;
use crate::negotiation::MediaKind;
use crate::room::command::Offer;
use crate::room::model::{Announcement, TrackSource};
use crate::room::tests as room_tests;
use crate::transport::srtp::Srtp;
use crate::transport::tests::Connected;
use crate::wire::PayloadType;
use crate::wire::rtp::{Header, HeaderWriter};

fn offer(direction: &str) -> Offer {
    let digest = ["AB"; 32].join(":");
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na={direction}\r\n\
         a=ice-ufrag:remo\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 {digest}\r\na=setup:actpass\r\n\
         a=msid:s cam\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=rtpmap:96 VP8/90000\r\n"
    );
    Offer { id: 1, sdp }
}

fn request(identity: &str, direction: &str, announcements: Vec<Announcement>) -> JoinRequest {
    JoinRequest { offer: Some(offer(direction)), announcements, ..room_tests::request(identity, room_tests::grants()) }
}

/// A shard in which Anna publishes a camera that Bert receives.
struct World {
    shard: Shard,
    now: Instant,
    anna: (SocketAddr, Srtp),
    bert: (SocketAddr, Srtp),
    events: Vec<mpsc::Receiver<Event>>,
}

/// Lets a participant in whose transport is connected already.
fn enter(
    shard: &mut Shard,
    now: Instant,
    seat: u64,
    request: JoinRequest,
    end: Connected,
) -> (mpsc::Receiver<Event>, (SocketAddr, Srtp)) {
    let (sender, receiver) = mpsc::channel(limits::EVENT_QUEUE);
    let seat = SeatId(seat);
    shard.handle_message(now, Message::Join { seat, request: Box::new(request), events: sender });
    let key = shard.by_seat[&seat];
    shard.peers[key].transport = end.transport;
    shard.peers[key].learn_path(end.address, send::LocalEnd { socket: 0, ip: None });
    shard.by_address.insert(end.address, key);
    (receiver, (end.address, end.peer))
}

/// What the publisher announces.
fn camera() -> Announcement {
    Announcement {
        client_id: "cam".to_owned(),
        kind: MediaKind::Video,
        source: TrackSource::Camera,
        muted: false,
        layers: Vec::new(),
        opaque: Bytes::new(),
    }
}

impl World {
    fn new() -> World {
        World::of(request("anna", "sendonly", vec![camera()]), request("bert", "recvonly", Vec::new()))
    }

    fn of(annas: JoinRequest, berts: JoinRequest) -> World {
        let (anna, bert) = (Connected::new(1), Connected::new(2));
        let now = anna.now.max(bert.now);
        let room = RoomConfig {
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            max_participants: 0,
        };
        let mut shard = Shard::new(ShardConfig {
            room,
            certificate: Arc::new(Certificate::generate()),
            candidates: vec![SocketAddr::from(([192, 0, 2, 1], 7882))],
            wall: WallClock::new(now, Duration::from_secs(1_000_000_000)),
            random: Box::new(StdRng::seed_from_u64(3)),
            counters: Arc::default(),
        });
        let (annas_events, anna) = enter(&mut shard, now, 0, annas, anna);
        let (berts_events, bert) = enter(&mut shard, now, 1, berts, bert);
        shard.outgoing().clear();
        World { shard, now, anna, bert, events: vec![annas_events, berts_events] }
    }

    /// One of Anna's packets as it is on the wire.
    fn sealed(&mut self, sequence: u16, keyframe: bool) -> Vec<u8> {
        self.sealed_from(Ssrc(77), sequence, keyframe)
    }

    fn sealed_from(&mut self, ssrc: Ssrc, sequence: u16, keyframe: bool) -> Vec<u8> {
        let mut writer = HeaderWriter::new(true, PayloadType(96), sequence, 3_000 * u32::from(sequence), ssrc);
        assert!(writer.extension(1, b"0"));
        let mut payload = vec![0x10, u8::from(!keyframe)];
        payload.extend([sequence as u8; 1_000]);
        let mut packet = Vec::new();
        let sent = self.anna.1.outbound.seal_rtp(u64::from(sequence), writer.finish(), &[], &payload, &mut packet);
        sent.unwrap();
        packet
    }

    /// Hands one batch to the shard, as if it had been received at once.
    fn receive(&mut self, packets: &[Vec<u8>], buffer: &mut [u8]) {
        let arrival = Arrival { from: self.anna.0, socket: 0, local_ip: None };
        let mut at = 0;
        for packet in packets {
            buffer[at..at + packet.len()].copy_from_slice(packet);
            self.shard.handle_datagram(self.now, arrival, buffer, at..at + packet.len());
            at += packet.len();
        }
        self.shard.end_batch(self.now, buffer);
    }

    /// What Bert has received since: sequence number and the byte that fills the payload.
    fn bert_received(&mut self) -> Vec<(u16, u8)> {
        self.bert_packets().into_iter().map(|(header, fill)| (header.sequence_number, fill)).collect()
    }

    /// The same with the whole header.
    fn bert_packets(&mut self) -> Vec<(Header, u8)> {
        let batch = self.shard.outgoing();
        let mut received = Vec::new();
        for transmit in batch.transmits().iter().filter(|transmit| transmit.route.to == self.bert.0) {
            for datagram in batch.contents(transmit).chunks(transmit.segment) {
                let mut packet = datagram.to_vec();
                let header = Header::parse(&packet).unwrap();
                // RTCP travels the same way and is not looked at here.
                if header.payload_type != PayloadType(96) {
                    continue;
                }
                let (sequence, len) = (header.sequence_number, header.len);
                let opened = self.bert.1.inbound.open_rtp(self.now, header.ssrc.0, sequence, len, &mut packet);
                received.push((header, packet[opened.unwrap() - 1]));
            }
        }
        self.shard.outgoing().clear();
        received
    }
}

#[test]
fn reordered_packets_arrive_in_the_order_they_came_under_their_own_numbers() {
    let mut world = World::new();
    let packets = [1, 2, 4, 3, 5].map(|sequence| world.sealed(sequence, sequence == 1));
    world.receive(&packets, &mut vec![0; 16_384]);
    let received = world.bert_received();
    let fills: Vec<u8> = received.iter().map(|(_, fill)| *fill).collect();
    assert_eq!(fills, [1, 2, 4, 3, 5]);
    let first = received[0].0;
    let numbers: Vec<u16> = received.iter().map(|(sequence, _)| sequence.wrapping_sub(first)).collect();
    assert_eq!(numbers, [0, 1, 3, 2, 4]);
}

#[test]
fn what_one_batch_brings_leaves_as_one_run() {
    let mut world = World::new();
    let packets: Vec<_> = (1..=9).map(|sequence| world.sealed(sequence, sequence == 1)).collect();
    world.receive(&packets, &mut vec![0; 16_384]);
    let to = world.bert.0;
    let runs: Vec<usize> = world
        .shard
        .outgoing()
        .transmits()
        .iter()
        .filter(|transmit| transmit.route.to == to)
        .map(send::Transmit::datagrams)
        .collect();
    assert_eq!(runs, [9]);
    assert_eq!(world.bert_received().len(), 9);
}

#[test]
fn nothing_is_allocated_for_a_forwarded_packet() {
    let mut world = World::new();
    let mut buffer = vec![0; 16_384];
    let mut batches: Vec<Vec<Vec<u8>>> =
        (0..60).map(|batch| (1..=5).map(|n| world.sealed(batch * 5 + n, batch == 0 && n == 1)).collect()).collect();
    let steady = batches.split_off(20);
    for batch in &batches {
        world.receive(batch, &mut buffer);
        assert_eq!(world.bert_received().len(), 5);
    }
    let counts = allocation_counter::measure(|| {
        for batch in &steady {
            world.receive(batch, &mut buffer);
            world.shard.outgoing().clear();
        }
    });
    assert_eq!(world.shard.counters.packets_out.get(), 300);
    assert_eq!(counts.count_total, 0, "{counts:?}");
}

#[test]
fn a_leaving_publisher_takes_its_source_and_subscriptions_along() {
    let mut world = World::new();
    assert_eq!((world.shard.counters.tracks.get(), world.shard.counters.subscriptions.get()), (1, 1));
    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(0) });
    assert_eq!((world.shard.counters.tracks.get(), world.shard.counters.subscriptions.get()), (0, 0));
    assert!(world.shard.rooms.iter().all(|(_, room)| room.sources.is_empty() && room.peers.len() == 1));
    assert!(!world.shard.by_address.contains_key(&world.anna.0));
}

#[test]
fn an_address_that_was_taken_over_comes_back_with_its_owners_next_check() {
    let mut world = World::new();
    let (anna, bert) = (world.shard.by_seat[&SeatId(0)], world.shard.by_seat[&SeatId(1)]);
    let address = world.anna.0;
    world.shard.claim_address(bert, address);
    assert!(world.shard.peers[anna].paths.is_empty());
    world.shard.claim_address(anna, address);
    assert_eq!(world.shard.by_address[&address], anna);
}

#[test]
fn restarts_of_ice_leave_two_generations_of_credentials() {
    let mut world = World::new();
    for restart in 0..5 {
        let mut again = offer("sendonly");
        again.sdp = again.sdp.replace("ice-ufrag:remo", &format!("ice-ufrag:remo{restart}"));
        let (now, certificate) = (world.now, world.shard.certificate.clone());
        world.shard.peers[0].transport = Transport::new(now, certificate, &mut StdRng::seed_from_u64(restart));
        world.shard.handle_message(now, Message::Command { seat: SeatId(0), command: Command::Offer(again) });
    }
    assert_eq!(world.shard.peers[0].ufrags.len(), 2);
    assert_eq!(world.shard.by_ufrag.values().filter(|key| **key == 0).count(), 2);
}

#[test]
fn the_streams_of_one_publisher_are_bounded() {
    let mut world = World::new();
    let mut buffer = vec![0; 2_048];
    for ssrc in 1..=200 {
        let packet = world.sealed_from(Ssrc(ssrc), 1, true);
        world.receive(&[packet], &mut buffer);
    }
    assert_eq!(world.shard.peers[0].inbound.streams(), limits::RECEIVE_STREAMS);
    assert_eq!(
        world.shard.counters.dropped.iter().find(|(label, _)| *label == "too_many_streams").map(|d| d.1),
        Some(136)
    );
}

#[test]
fn a_client_is_asked_for_no_more_sections_than_an_offer_may_have() {
    let mut session = crate::negotiation::Session::new(1);
    session.apply_offer(&offer("recvonly").sdp).unwrap();
    let mut outbound = Outbound::default();
    outbound.waiting = (0..2 * limits::RECEIVE_SECTIONS)
        .map(|index| outbound::Waiting {
            track: crate::room::model::TrackId::new(&format!("TR_{index}")),
            source: index,
            publisher: crate::room::model::ParticipantId::new("PA_a"),
            kind: MediaKind::Video,
            codecs: session.sections()[0].codecs.clone(),
            wanted: crate::media::layers::Wanted::Nothing,
        })
        .collect();
    let most = limits::RECEIVE_SECTIONS as u32 - 1;
    assert_eq!(outbound.sections_to_ask(&session, false), Some((0, most)));
    assert_eq!(outbound.sections_to_ask(&session, false), None, "already asked");
}
