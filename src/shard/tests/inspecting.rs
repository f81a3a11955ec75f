//! Scenarios of somebody who looks into a call: over two shards, of what was asked again, and of who left.

use tokio::sync::oneshot;

use super::legs::{ANNA, BERT, Legs};
use super::*;
use crate::recorder::Recording;
use crate::recorder::decisions::Decision;
use crate::recorder::headers::{Direction, Kind};
use crate::room::model::Identity;
use crate::shard::inspect::{PeerSnapshot, Question, Recorded, RoomSnapshot, Traffic};
use crate::wire::rtcp::Writer;

/// Asks one shard and gives what it says.
fn ask<T>(shard: &mut Shard, now: Instant, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> T {
    let (answer, mut wait) = oneshot::channel();
    shard.handle_message(now, Message::Inspect(question(answer)));
    wait.try_recv().expect("answered at once")
}

fn den() -> RoomName {
    room_tests::request("x", room_tests::grants()).room
}

impl Legs {
    fn ask<T>(&mut self, shard: usize, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> T {
        ask(&mut self.shards[shard], self.now, question)
    }

    fn room(&mut self) -> RoomSnapshot {
        self.ask(0, |answer| Question::Room { name: den(), from: 0, answer }).expect("the room is at home")
    }

    /// Everybody as their hosts see them, in the order of their joining.
    fn peers(&mut self) -> Vec<PeerSnapshot> {
        let snapshot = self.room();
        let (room, participants): (_, Vec<_>) = (snapshot.room.key, snapshot.members.iter().map(|m| m.key).collect());
        let hosted = |shard| {
            let participants = participants.clone();
            self.ask(shard, |answer| Question::Participants { room, participants, answer })
        };
        let mut peers: Vec<PeerSnapshot> = (0..2).flat_map(hosted).collect();
        peers.sort_by_key(|peer| peer.key);
        peers
    }
}

#[test]
fn a_room_on_two_shards_is_told_of_by_both() {
    let (mut legs, mut anna, mut bert) = Legs::with_anna_and_bert(2);
    for seat in [ANNA, BERT] {
        // Its transport was connected without its knowing.
        let (shard, key) = legs.place(seat);
        legs.shards[shard].arm_peer(key);
    }
    let second = Duration::from_secs(1);
    for batch in 0..5u16 {
        let mut packets: Vec<_> =
            (1..=10).map(|n| sealed(&mut anna, Ssrc(77), 10 * batch + n, batch == 0 && n == 1, 1_000)).collect();
        legs.receive(ANNA, anna.0, &mut packets);
        assert_eq!(legs.received(BERT, &mut bert).len(), 10);
        legs.after(second);
        legs.discard_sent();
    }
    let snapshot = legs.room();
    let hosts: Vec<_> = snapshot.members.iter().map(|member| (member.identity.as_str(), member.shard)).collect();
    assert_eq!(hosts, [("anna", 0), ("bert", 1)]);
    assert_eq!((snapshot.room.shards.as_slice(), snapshot.room.participants), (&[0, 1][..], 2));
    assert_eq!(snapshot.members[0].tracks[0].source, "camera");

    let peers = legs.peers();
    assert_eq!(peers.len(), 2);
    let encoding = &peers[0].published[0].encodings[0];
    assert_eq!((encoding.ssrc, encoding.packets, encoding.active), (Some(77), 50, true));
    assert_eq!(peers[0].published[0].mime_type, "video/VP8");
    assert_eq!(peers[0].published[0].handed_to_shards, [1]);
    // Ten packets a second of a thousand bytes, and headers.
    assert!((80_000..84_000).contains(&encoding.bitrate_bps), "{}", encoding.bitrate_bps);
    let sent = &peers[1].subscriptions[0];
    assert_eq!((sent.packets, sent.track.clone()), (50, peers[0].published[0].track.clone()));
    assert_eq!((sent.wanted.as_str(), sent.sent.as_ref().map(|sent| sent.encoding)), ("high", Some(0)));
    assert!((80_000..84_000).contains(&sent.bitrate_bps), "{}", sent.bitrate_bps);
    assert!(peers[0].subscriptions.is_empty() && peers[1].published.is_empty());
    assert_eq!(peers.iter().map(|peer| peer.samples.len()).collect::<Vec<_>>(), [5, 5]);
    assert_eq!(peers[1].samples[4].sent_bitrate, sent.bitrate_bps);

    let key = snapshot.room.key;
    let traffic = [0, 1].map(|shard| legs.ask(shard, |answer| Question::Traffic { rooms: vec![key], answer }));
    let [home, leg] = traffic.map(|traffic: Vec<Traffic>| (traffic[0].received_bitrate, traffic[0].sent_bitrate));
    assert_eq!((home, leg), ((encoding.bitrate_bps.into(), 0), (0, sent.bitrate_bps.into())));
    let elsewhere = legs.ask(1, |answer| Question::Room { name: den(), from: 0, answer });
    assert!(elsewhere.is_none(), "only the home knows the room by name");
}

#[test]
fn rooms_are_listed_with_the_largest_first_and_no_more_than_asked() {
    let (mut legs, ..) = Legs::with_anna_and_bert(1);
    for room in ["cellar", "attic"] {
        legs.ask_to_join(JoinRequest { room: RoomName::new(room), ..request("cleo", "recvonly", Vec::new()) });
    }
    let list = |legs: &mut Legs, most| {
        let list = legs.ask(0, |answer| Question::Rooms { most, answer });
        (list.total, list.rooms.iter().map(|room| room.name.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(list(&mut legs, 9), (3, vec![den().to_string(), "attic".to_owned(), "cellar".to_owned()]));
    assert_eq!(list(&mut legs, 1), (3, vec![den().to_string()]));
}

#[test]
fn nobody_is_answered_who_listens_no_more() {
    let (mut legs, ..) = Legs::with_anna_and_bert(1);
    let (answer, wait) = oneshot::channel();
    drop(wait);
    let now = legs.now;
    let record = Question::Record { room: den(), identity: Identity::new("anna"), time: Some(Duration::MAX), answer };
    legs.shards[0].handle_message(now, Message::Inspect(record));
    assert!(legs.peers_of_one().iter().all(|peer| peer.recording_seconds.is_none()), "nothing was done");
}

impl Legs {
    /// Of a room on one shard.
    fn peers_of_one(&mut self) -> Vec<PeerSnapshot> {
        let snapshot = self.room();
        let (room, participants) = (snapshot.room.key, snapshot.members.iter().map(|m| m.key).collect());
        self.ask(0, |answer| Question::Participants { room, participants, answer })
    }
}

impl World {
    fn record(&mut self, identity: &str, time: Option<Duration>) -> Option<Recorded> {
        let identity = Identity::new(identity);
        ask(&mut self.shard, self.now, |answer| Question::Record { room: den(), identity, time, answer })
    }

    fn recording(&mut self, identity: &str) -> Option<Arc<Recording>> {
        let identity = Identity::new(identity);
        ask(&mut self.shard, self.now, |answer| Question::Recording { room: den(), identity, answer })
    }

    fn recorded(&mut self, identity: &str) -> Vec<(Direction, Kind, Vec<u8>, usize)> {
        let recording = self.recording(identity).unwrap();
        let packets = recording.headers.as_ref().unwrap().packets();
        packets.map(|packet| (packet.direction, packet.kind, packet.header.to_vec(), packet.len)).collect()
    }

    fn bert_asks_for_a_keyframe(&mut self) {
        let media = self.bert_peer().outbound.subscriptions().next().unwrap().stream.target().ssrc;
        let mut compound = Vec::new();
        let mut writer = Writer { out: &mut compound };
        writer.receiver_report(Ssrc(5), &[]);
        writer.picture_loss_indication(Ssrc(5), media);
        let mut datagram = Vec::new();
        self.bert.1.outbound.seal_rtcp(&compound, &mut datagram).unwrap();
        let arrival = Arrival { from: self.bert.0, socket: 0, local_ip: None };
        self.shard.handle_datagram(self.now, arrival, &mut datagram);
    }

    fn bert_peer(&self) -> &super::super::peer::Peer {
        &self.shard.peers[self.shard.peer_of(SeatId(1))]
    }
}

#[test]
fn headers_are_recorded_both_ways_on_demand_and_payload_never() {
    let mut world = World::new();
    let first = world.sealed(1, true);
    world.receive(&mut [first]);
    assert!(world.recording("anna").unwrap().headers.is_none(), "not before it is asked for");
    for name in ["anna", "bert"] {
        let time = Duration::from_secs(30);
        assert_eq!(world.record(name, Some(time)), Some(Recorded::For(time)));
    }
    assert_eq!(world.record("nobody", Some(Duration::from_secs(1))), None);
    let mut packets = [2, 3].map(|sequence| world.sealed(sequence, false));
    world.receive(&mut packets);
    world.bert_asks_for_a_keyframe();

    let anna = world.recorded("anna");
    let [media, .., asked] = anna.as_slice() else { panic!("{anna:?}") };
    let header = Header::parse(&media.2).unwrap();
    assert_eq!((media.0, media.1, header.ssrc, header.sequence_number), (Direction::Received, Kind::Rtp, Ssrc(77), 2));
    assert_eq!(media.2.len(), header.len, "the header and nothing more");
    assert!(media.3 > 1_000, "the length is that of the packet");
    assert_eq!((asked.0, asked.1), (Direction::Sent, Kind::Rtcp));
    let bert = world.recorded("bert");
    let kinds: Vec<_> = bert.iter().map(|(direction, kind, ..)| (*direction, *kind)).collect();
    let forwarded = (Direction::Sent, Kind::Rtp);
    assert_eq!(kinds, [forwarded, forwarded, (Direction::Received, Kind::Rtcp)]);
    // The byte that fills payloads is the packet's number; of the second packet's header none is.
    assert!(bert[..2].iter().all(|(_, _, header, _)| header.len() <= 24));

    assert_eq!(world.record("bert", None), Some(Recorded::Ended));
    assert!(world.recording("bert").unwrap().headers.is_none());
}

#[test]
fn a_recording_outlives_its_participant_for_a_while() {
    let mut world = World::new();
    world.record("bert", Some(Duration::from_secs(30)));
    let first = world.sealed(1, true);
    world.receive(&mut [first]);
    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(1) });
    let recording = world.recording("bert").unwrap();
    assert!(recording.left && recording.headers.as_ref().unwrap().packets().count() >= 1);
    let switched =
        |entry: &crate::recorder::decisions::Entry| entry.decision == Decision::LayerSwitched { encoding: 0 };
    assert!(recording.decisions.iter().any(switched), "{:?}", recording.decisions);
    let due = world.shard.poll_timeout().unwrap();
    assert!(due <= world.now + limits::RECORDING_LIFE);
    world.now += limits::RECORDING_LIFE;
    world.shard.handle_timeout(world.now);
    assert!(world.recording("bert").is_none());
}

#[test]
fn no_more_are_recorded_at_once_than_memory_is_set_aside_for() {
    let (mut legs, ..) = Legs::with_anna_and_bert(1);
    for n in 0..limits::RECORDED_PARTICIPANTS {
        legs.ask_to_join(request(&format!("guest {n}"), "recvonly", Vec::new()));
        let identity = Identity::new(&format!("guest {n}"));
        let time = Some(Duration::MAX);
        let recorded = legs.ask(0, |answer| Question::Record { room: den(), identity, time, answer });
        assert_eq!(recorded, Some(Recorded::For(limits::RECORDING_TIME)), "{n}");
    }
    let anna = |legs: &mut Legs| {
        let (identity, time) = (Identity::new("anna"), Some(Duration::from_secs(1)));
        legs.ask(0, |answer| Question::Record { room: den(), identity, time, answer })
    };
    assert_eq!(anna(&mut legs), Some(Recorded::Full));
    assert_eq!(legs.room().members.len(), limits::DEBUG_PARTICIPANTS, "a page");
    let from = limits::DEBUG_PARTICIPANTS;
    let rest = legs.ask(0, |answer| Question::Room { name: den(), from, answer }).unwrap();
    assert_eq!(rest.members.len(), limits::RECORDED_PARTICIPANTS + 2 - from);
    let identity = Identity::new("guest 7");
    legs.ask(0, |answer| Question::Record { room: den(), identity, time: None, answer });
    assert_eq!(anna(&mut legs), Some(Recorded::For(Duration::from_secs(1))));
}

#[test]
fn where_everybody_is_recorded_newcomers_are_from_their_joining_on() {
    let mut legs = Legs::new(1);
    legs.shards[0].record_headers = true;
    legs.ask_to_join(request("anna", "sendonly", vec![camera()]));
    assert_eq!(legs.peers_of_one()[0].recording_seconds, Some(limits::RECORDING_TIME.as_secs()));
}

#[test]
fn subscriptions_that_do_not_fit_an_answer_are_counted() {
    let (legs, ..) = Legs::with_anna_and_bert(1);
    let room = *legs.shards[0].by_key.keys().next().unwrap();
    let bert = legs.shards[0].by_seat[&BERT].1;
    let told = |most| {
        let peers = legs.shards[0].peer_snapshots(legs.now, room, &[bert], most);
        (peers[0].subscriptions.len(), peers[0].subscriptions_omitted)
    };
    assert_eq!([told(0), told(1), told(9)], [(0, 1), (1, 0), (1, 0)]);
}

#[test]
fn a_keyframe_wished_for_in_the_midst_of_a_picture_is_a_freeze_until_it_comes() {
    let mut world = World::new();
    let first = world.sealed(1, true);
    world.receive(&mut [first]);
    world.now += Duration::from_secs(8);
    world.bert_asks_for_a_keyframe();
    world.now += Duration::from_millis(300);
    world.bert_asks_for_a_keyframe();
    let seen = |world: &World| {
        let subscription = world.bert_peer().outbound.subscriptions().next().unwrap();
        let freezes = subscription.freezes();
        (freezes.count, freezes.total.as_millis(), freezes.lasts, subscription.tally.keyframe_requests)
    };
    assert_eq!(seen(&world), (1, 0, true, 2), "its time is counted with the next report");
    world.now += Duration::from_millis(100);
    let keyframe = world.sealed(2, true);
    world.receive(&mut [keyframe]);
    world.now += Duration::from_secs(1);
    let bert = world.shard.peer_of(SeatId(1));
    world.shard.observe_subscriptions(world.now, bert);
    assert_eq!(seen(&world), (1, 400, false, 2));
    let decisions: Vec<_> = world.recording("bert").unwrap().decisions.iter().map(|entry| entry.decision).collect();
    let of = |decision| decisions.iter().filter(|made| **made == decision).count();
    assert_eq!((of(Decision::FreezeBegan), of(Decision::KeyframeRequested { times: 2 })), (1, 1), "{decisions:?}");
}

#[test]
fn recording_headers_allocates_nothing_once_the_ring_has_its_size() {
    let mut world = World::new();
    world.record("anna", Some(Duration::from_secs(3_600)));
    world.record("bert", Some(Duration::from_secs(3_600)));
    let batch = |world: &mut World, number: u16| -> Vec<Vec<u8>> {
        (1..=10).map(|n| world.sealed_from(Ssrc(77), number * 10 + n, number == 0 && n == 1, 200)).collect()
    };
    // A minute and more, so that the rings turn over.
    let mut batches: Vec<_> = (0..400).map(|number| batch(&mut world, number)).collect();
    let mut steady = batches.split_off(350);
    let pass = |world: &mut World, packets: &mut Vec<Vec<u8>>| {
        world.now += Duration::from_millis(200);
        world.receive(packets);
        world.shard.outgoing().clear();
    };
    batches.iter_mut().for_each(|packets| pass(&mut world, packets));
    let counts = allocation_counter::measure(|| steady.iter_mut().for_each(|packets| pass(&mut world, packets)));
    assert_eq!(counts.count_total, 0, "{counts:?}");
    assert!(world.recorded("bert").len() > 2_000);
}
