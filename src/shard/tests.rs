//! Scenarios of a whole shard without sockets: one publisher, one subscriber, real SRTP on both sides.

mod allocation;
mod inspecting;
mod joining;
mod legs;
mod milestones;
mod moving;
mod pacing;
mod paused_layers;
mod red;
mod renditions;
mod resend;
mod standing;
mod uplink;
mod watch;

use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::event_queue::{EventReceiver, event_queue};
use super::milestones::JoinWatch;
use super::outbound::Outbound;
use super::*;
use crate::limits;
use crate::negotiation::MediaKind;
use crate::room::command::{JoinRequest, Offer};
use crate::room::event::Event;
use crate::room::model::{Announcement, TrackSource};
use crate::room::tests as room_tests;
use crate::transport::Transport;
use crate::transport::srtp::{Plain, Srtp};
use crate::transport::tests::Connected;
use crate::wire::rtp::{Header, HeaderWriter};
use crate::wire::{PayloadType, Ssrc};

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

impl Shard {
    /// Place of the peer that has a seat at home here and is hosted here.
    fn peer_of(&self, seat: SeatId) -> usize {
        let (serial, participant) = self.by_seat[&seat];
        self.rooms[self.by_key[&RoomKey { home: self.id, serial }]].participants[&participant]
    }
}

/// A shard of the directory's.
fn shard(id: ShardId, now: Instant, directory: &Arc<Directory>, room_spread: Option<NonZeroUsize>) -> Shard {
    Shard::new(ShardConfig {
        id,
        room: RoomConfig {
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            max_participants: 0,
        },
        certificate: Arc::new(Certificate::generate()),
        candidates: vec![SocketAddr::from(([192, 0, 2, 1], 7882))],
        wall: WallClock::new(now, Duration::from_secs(1_000_000_000)),
        random: Box::new(StdRng::seed_from_u64(3 + id.0 as u64)),
        counters: directory.shards()[id.0].clone(),
        directory: directory.clone(),
        room_spread,
        record_headers: false,
    })
}

fn camera() -> Announcement {
    Announcement {
        client_id: "cam".to_owned(),
        kind: MediaKind::Video,
        source: TrackSource::Camera,
        muted: false,
        layers: Vec::new(),
        opaque: Bytes::new(),
        mime_type: None,
        backup: None,
    }
}

/// A participant's address and SRTP session.
type End = (SocketAddr, Srtp);

/// A packet of a camera as it is on the wire; `sequence` fills its payload.
fn sealed(from: &mut End, ssrc: Ssrc, sequence: u16, keyframe: bool, len: usize) -> Vec<u8> {
    sealed_with(from, ssrc, sequence, keyframe, len, true)
}

fn sealed_with(from: &mut End, ssrc: Ssrc, sequence: u16, keyframe: bool, len: usize, marker: bool) -> Vec<u8> {
    seal(from, HeaderWriter::new(marker, PayloadType(96), sequence, 3_000 * u32::from(sequence), ssrc), keyframe, len)
}

/// One of a frame of several.
fn sealed_at(from: &mut End, ssrc: Ssrc, sequence: u16, timestamp: u32, keyframe: bool, marker: bool) -> Vec<u8> {
    seal(from, HeaderWriter::new(marker, PayloadType(96), sequence, timestamp, ssrc), keyframe, 1_000)
}

fn seal(from: &mut End, mut writer: HeaderWriter, keyframe: bool, len: usize) -> Vec<u8> {
    assert!(writer.extension(1, b"0"));
    let sequence = Header::parse(writer.finish()).unwrap().sequence_number;
    let mut payload = vec![0x10, u8::from(!keyframe)];
    payload.extend(vec![sequence as u8; len]);
    let mut packet = vec![0; 2_048];
    let plain = Plain::new(u64::from(sequence), writer.finish(), &mut payload);
    let len = from.1.outbound.seal_rtp(plain, &mut packet).unwrap();
    packet.truncate(len);
    packet
}

/// What a shard has sent to a participant since: headers and payloads.
fn packets(shard: &mut Shard, now: Instant, to: &mut End) -> Vec<(Header, Vec<u8>)> {
    let batch = shard.outgoing();
    let mut packets = Vec::new();
    for transmit in batch.transmits().iter().filter(|transmit| transmit.route.to == to.0) {
        for datagram in batch.contents(transmit).chunks(transmit.segment) {
            let mut packet = datagram.to_vec();
            let header = Header::parse(&packet).unwrap();
            // RTCP travels the same way and is not looked at here (RFC 5761, section 4).
            if header.payload_type.0 < 96 {
                continue;
            }
            let (sequence, len) = (header.sequence_number, header.len);
            let opened = to.1.inbound.open_rtp(now, header.ssrc.0, sequence, len, &mut packet);
            packet.truncate(opened.unwrap());
            packets.push((header, Header::parse(&packet).unwrap().payload(&packet).unwrap().to_vec()));
        }
    }
    packets
}

/// The same as sequence number, the byte that fills the payload, and its length.
fn received(shard: &mut Shard, now: Instant, to: &mut End) -> Vec<(u16, u8, usize)> {
    // Padding alone has no payload.
    let told = |(header, payload): (Header, Vec<u8>)| Some((header.sequence_number, *payload.last()?, payload.len()));
    packets(shard, now, to).into_iter().filter_map(told).collect()
}

/// Puts a connected transport in the place of the one that waits for its participant.
fn connect(shard: &mut Shard, key: usize, end: Connected) -> End {
    shard.peers[key].transport = end.transport;
    shard.peers[key].learn_path(end.address, send::LocalEnd { socket: 0, ip: None });
    shard.by_address.insert(end.address, key);
    (end.address, end.peer)
}

/// A shard in which Anna publishes a camera that Bert receives.
struct World {
    shard: Shard,
    now: Instant,
    anna: End,
    bert: End,
    events: Vec<EventReceiver>,
}

/// Lets a participant in whose transport is connected already.
fn enter(shard: &mut Shard, now: Instant, seat: u64, request: JoinRequest, end: Connected) -> (EventReceiver, End) {
    let (sender, receiver) = event_queue(limits::EVENT_QUEUE);
    let seat = SeatId(seat);
    shard.handle_message(
        now,
        Message::Join { seat, request: Box::new(request), events: sender, watch: JoinWatch::new(now) },
    );
    let key = shard.peer_of(seat);
    (receiver, connect(shard, key, end))
}

impl World {
    fn new() -> World {
        World::of(request("anna", "sendonly", vec![camera()]), request("bert", "recvonly", Vec::new()))
    }

    fn of(annas: JoinRequest, berts: JoinRequest) -> World {
        let (anna, bert) = (Connected::new(1), Connected::new(2));
        let now = anna.now.max(bert.now);
        let mut shard = shard(ShardId(0), now, &Arc::new(Directory::new(vec![Arc::default()])), None);
        let (annas_events, anna) = enter(&mut shard, now, 0, annas, anna);
        let (berts_events, bert) = enter(&mut shard, now, 1, berts, bert);
        shard.outgoing().clear();
        World { shard, now, anna, bert, events: vec![annas_events, berts_events] }
    }

    /// One of Anna's packets as it is on the wire.
    fn sealed(&mut self, sequence: u16, keyframe: bool) -> Vec<u8> {
        self.sealed_from(Ssrc(77), sequence, keyframe, 1_000)
    }

    /// A packet of a frame of several; the last one carries the marker.
    fn sealed_part(&mut self, sequence: u16, keyframe: bool, last: bool) -> Vec<u8> {
        sealed_with(&mut self.anna, Ssrc(77), sequence, keyframe, 1_000, last)
    }

    fn sealed_from(&mut self, ssrc: Ssrc, sequence: u16, keyframe: bool, len: usize) -> Vec<u8> {
        sealed(&mut self.anna, ssrc, sequence, keyframe, len)
    }

    /// Hands one batch to the shard, as if it had been received at once.
    fn receive(&mut self, packets: &mut [Vec<u8>]) {
        let arrival = Arrival { from: self.anna.0, socket: 0, local_ip: None };
        for packet in packets {
            self.shard.handle_datagram(self.now, arrival, packet);
        }
        while self.shard.forward(self.now) {}
    }

    /// What Bert has received since: sequence number, the byte that fills the payload, and its length.
    fn bert_received(&mut self) -> Vec<(u16, u8, usize)> {
        let received = received(&mut self.shard, self.now, &mut self.bert);
        self.shard.outgoing().clear();
        received
    }

    /// The same with whole headers.
    fn bert_packets(&mut self) -> Vec<(Header, u8)> {
        let packets = packets(&mut self.shard, self.now, &mut self.bert);
        let received = packets.into_iter().map(|(header, payload)| (header, *payload.last().unwrap())).collect();
        self.shard.outgoing().clear();
        received
    }
}

#[test]
fn reordered_packets_arrive_in_the_order_they_came_under_their_own_numbers() {
    let mut world = World::new();
    let mut packets = [1, 2, 4, 3, 5].map(|sequence| world.sealed(sequence, sequence == 1));
    world.receive(&mut packets);
    let received = world.bert_received();
    let fills: Vec<u8> = received.iter().map(|(_, fill, _)| *fill).collect();
    assert_eq!(fills, [1, 2, 4, 3, 5]);
    let first = received[0].0;
    let numbers: Vec<u16> = received.iter().map(|(sequence, ..)| sequence.wrapping_sub(first)).collect();
    assert_eq!(numbers, [0, 1, 3, 2, 4]);
}

/// How many datagrams each run to Bert has.
fn runs(world: &mut World) -> Vec<usize> {
    let to = world.bert.0;
    let transmits = world.shard.outgoing().transmits().iter();
    transmits.filter(|transmit| transmit.route.to == to).map(send::Transmit::datagrams).collect()
}

#[test]
fn what_one_batch_brings_leaves_as_one_run() {
    let mut world = World::new();
    let mut packets: Vec<_> = (1..=9).map(|sequence| world.sealed(sequence, sequence == 1)).collect();
    world.receive(&mut packets);
    assert_eq!(runs(&mut world), [9]);
    assert_eq!(world.bert_received().len(), 9);
}

#[test]
fn a_frame_in_two_batches_leaves_as_one_run_where_many_watch() {
    let mut world = World::new();
    let others: Vec<_> = (2..5)
        .map(|seat| {
            let request = request(&format!("viewer {seat}"), "recvonly", Vec::new());
            enter(&mut world.shard, world.now, seat, request, Connected::new(seat as u16 + 1))
        })
        .collect();
    world.shard.outgoing().clear();
    let mut frame: Vec<_> = (1..=6).map(|n| world.sealed_part(n, n == 1, n == 6)).collect();
    let mut rest = frame.split_off(2);
    world.receive(&mut frame);
    assert!(runs(&mut world).is_empty(), "waits for the rest");
    world.receive(&mut rest);
    assert_eq!(runs(&mut world), [6]);
    assert_eq!(world.bert_received().len(), 6);

    let mut lost_end: Vec<_> = (7..=8).map(|n| world.sealed_part(n, false, false)).collect();
    world.receive(&mut lost_end);
    let due = world.shard.poll_timeout().unwrap();
    assert!(due <= world.now + Duration::from_millis(1), "soon");
    world.now = due;
    world.shard.handle_timeout(due);
    while world.shard.forward(due) {}
    assert_eq!(runs(&mut world), [2]);
    assert_eq!(others.len(), 3);
}

#[test]
fn packets_that_differ_by_some_bytes_are_padded_to_one_run_and_carry_what_they_carried() {
    let mut world = World::new();
    let lens = [1_000, 1_001, 1_001, 990, 900, 910, 1_000];
    let sealed = |(n, len): (usize, &usize)| world.sealed_from(Ssrc(77), n as u16 + 1, n == 0, *len);
    let mut packets: Vec<_> = lens.iter().enumerate().map(sealed).collect();
    world.receive(&mut packets);
    // The shorter of the next size ends the first run.
    assert_eq!(runs(&mut world), [5, 1, 1]);
    let payloads: Vec<usize> = world.bert_received().iter().map(|(.., len)| len - 2).collect();
    assert_eq!(payloads, lens, "without the padding");
}

#[test]
fn nothing_is_allocated_for_a_forwarded_packet() {
    let mut world = World::new();
    let mut batches: Vec<Vec<Vec<u8>>> =
        (0..140).map(|batch| (1..=5).map(|n| world.sealed(batch * 5 + n, batch == 0 && n == 1)).collect()).collect();
    let mut steady = batches.split_off(100);
    for batch in &mut batches {
        world.now += Duration::from_millis(20);
        world.receive(batch);
        assert_eq!(world.bert_received().len(), 5);
    }
    let counts = allocation_counter::measure(|| {
        for batch in &mut steady {
            world.now += Duration::from_millis(20);
            world.receive(batch);
            world.shard.outgoing().clear();
        }
    });
    assert_eq!(world.shard.counters.packets_out.get(), 700);
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
    let (anna, bert) = (world.shard.peer_of(SeatId(0)), world.shard.peer_of(SeatId(1)));
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
    for ssrc in 1..=200 {
        let packet = world.sealed_from(Ssrc(ssrc), 1, true, 1_000);
        world.receive(&mut [packet]);
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
            rendition: crate::room::model::Rendition::Primary,
            other: None,
            source: index,
            publisher: crate::room::model::ParticipantId::new("PA_a"),
            kind: MediaKind::Video,
            codecs: session.sections()[0].codecs.clone(),
            wanted: crate::media::layers::Wanted::NOTHING,
            awaited: None,
        })
        .collect();
    let most = limits::RECEIVE_SECTIONS as u32 - 1;
    assert_eq!(outbound.sections_to_ask(&session, false), Some((0, most)));
    assert_eq!(outbound.sections_to_ask(&session, false), None, "already asked");
}

#[test]
fn a_room_that_was_to_close_stays_for_a_join_on_its_way() {
    let mut world = World::new();
    let room = crate::room::model::RoomName::new("r");
    for seat in [0, 1] {
        world.shard.handle_message(world.now, Message::Gone { seat: SeatId(seat) });
    }
    assert!(world.shard.directory.enter(&room, 0, || {}), "an adaptor has sent a join");
    let mut now = world.now + Duration::from_secs(400);
    world.shard.handle_timeout(now);
    assert_eq!(world.shard.counters.rooms.get(), 1);
    let (events, _keep) = event_queue(limits::EVENT_QUEUE);
    let (seat, request) = (SeatId(2), Box::new(request("cleo", "recvonly", Vec::new())));
    let join = Message::Join { seat, request, events, watch: JoinWatch::new(now) };
    world.shard.handle_message(now, join);
    world.shard.handle_message(now, Message::Gone { seat: SeatId(2) });
    now += Duration::from_secs(400);
    world.shard.handle_timeout(now);
    assert_eq!(world.shard.counters.rooms.get(), 0);
}
