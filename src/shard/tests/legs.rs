//! Scenarios of a room on two shards, stepped by hand: Anna publishes on its home, Bert receives on the other; and the same
//! the other way round.

use super::super::leg::{LegMessage, Order};
use super::super::switchboard::{Incoming, Switchboard};
use super::*;
use crate::room::model::{Quality, Wanted};
use crate::wire::rtcp::Writer;

pub(super) const ANNA: SeatId = SeatId(0);
pub(super) const BERT: SeatId = SeatId(1);
pub(super) const CLEO: SeatId = SeatId(2);

/// A room whose participants are spread over the shards as they join.
pub(super) struct Legs {
    pub(super) shards: Vec<Shard>,
    boards: Vec<Switchboard>,
    pub(super) now: Instant,
    pub(super) events: Vec<EventReceiver>,
}

impl Legs {
    pub(super) fn new(shards: usize) -> Legs {
        let now = Instant::now() + Duration::from_secs(10);
        let directory = Arc::new(Directory::new((0..shards).map(|_| Arc::default()).collect()));
        let shard = |id| shard(ShardId(id), now, &directory, NonZeroUsize::new(1));
        let shards: Vec<Shard> = (0..shards).map(shard).collect();
        let boards = Switchboard::connect(shards.len());
        Legs { shards, boards, now, events: Vec::new() }
    }

    /// With Anna, who publishes, at home, and Bert, who receives, on the last shard.
    pub(super) fn with_anna_and_bert(shards: usize) -> (Legs, End, End) {
        let mut legs = Legs::new(shards);
        let anna = legs.join(request("anna", "sendonly", vec![camera()]));
        let bert = legs.join(request("bert", "recvonly", Vec::new()));
        assert_eq!((legs.place(ANNA).0, legs.place(BERT).0), (0, shards - 1));
        (legs, anna, bert)
    }

    /// Seats are numbered in the order of joins.
    pub(super) fn join(&mut self, request: JoinRequest) -> End {
        self.ask_to_join(request);
        self.connect(SeatId(self.events.len() as u64 - 1))
    }

    /// No more offers after this: the transport is not the one they are about.
    pub(super) fn connect(&mut self, seat: SeatId) -> End {
        let end = Connected::new(seat.0 as u16 + 1);
        let (shard, key) = self.place(seat);
        let end = connect(&mut self.shards[shard], key, end);
        self.discard_sent();
        end
    }

    pub(super) fn ask_to_join(&mut self, request: JoinRequest) {
        self.ask_to_join_watched(request, JoinWatch::new(self.now));
    }

    pub(super) fn ask_to_join_watched(&mut self, request: JoinRequest, watch: JoinWatch) {
        let seat = SeatId(self.events.len() as u64);
        let (sender, receiver) = event_queue(limits::EVENT_QUEUE);
        self.events.push(receiver);
        self.tell_home(Message::Join { seat, request: Box::new(request), events: sender, watch });
    }

    pub(super) fn tell_home(&mut self, message: Message) {
        self.shards[0].handle_message(self.now, message);
        self.exchange();
    }

    /// The shard that hosts a participant, and its peer there.
    pub(super) fn place(&self, seat: SeatId) -> (usize, usize) {
        let (serial, participant) = self.shards[0].by_seat[&seat];
        let room = RoomKey { home: ShardId(0), serial };
        let on = |shard: &Shard| {
            let room = shard.by_key.get(&room)?;
            shard.rooms[*room].participants.get(&participant).copied()
        };
        let mut places = self.shards.iter().enumerate().filter_map(|(index, shard)| Some((index, on(shard)?)));
        let place = places.next().expect("hosted somewhere");
        assert_eq!(places.next(), None, "hosted once");
        place
    }

    /// Lets the shards take from each other until nobody has anything more.
    pub(super) fn exchange(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for (shard, board) in self.shards.iter_mut().zip(&mut self.boards) {
                let counters = shard.counters.clone();
                quiet &= shard.links().is_idle();
                board.hand_over(shard.links(), &counters);
                while let Some(incoming) = board.take() {
                    quiet = false;
                    match incoming {
                        Incoming::Messages(from, messages) => shard.handle_leg(self.now, from, messages),
                        Incoming::Media(from, batch) => {
                            shard.handle_media(self.now, from, &batch);
                            board.give_back(from, batch);
                            while shard.forward(self.now) {}
                        }
                    }
                    board.hand_over(shard.links(), &counters);
                }
            }
        }
    }

    /// Hands a batch to the shard that hosts its sender, as if it had been received at once, and to no other yet.
    pub(super) fn receive_alone(&mut self, seat: SeatId, from: SocketAddr, packets: &mut [Vec<u8>]) {
        let (shard, _) = self.place(seat);
        let arrival = Arrival { from, socket: 0, local_ip: None };
        for packet in packets {
            self.shards[shard].handle_datagram(self.now, arrival, packet);
        }
        while self.shards[shard].forward(self.now) {}
    }

    pub(super) fn receive(&mut self, seat: SeatId, from: SocketAddr, packets: &mut [Vec<u8>]) {
        self.receive_alone(seat, from, packets);
        self.exchange();
    }

    pub(super) fn received(&mut self, seat: SeatId, to: &mut End) -> Vec<(u16, u8, usize)> {
        let (shard, _) = self.place(seat);
        let received = received(&mut self.shards[shard], self.now, to);
        self.shards[shard].outgoing().clear();
        received
    }

    /// Headers and payloads; to be followed by [`discard_sent`](Self::discard_sent).
    pub(super) fn packets(&mut self, seat: SeatId, to: &mut End) -> Vec<(Header, Vec<u8>)> {
        let (shard, _) = self.place(seat);
        packets(&mut self.shards[shard], self.now, to)
    }

    pub(super) fn discard_sent(&mut self) {
        self.shards.iter_mut().for_each(|shard| shard.outgoing().clear());
    }

    pub(super) fn sum(&self, figure: impl Fn(&ShardCounters) -> u64) -> u64 {
        self.shards.iter().map(|shard| figure(&shard.counters)).sum()
    }

    /// What a participant was told since, without what is drawn at random.
    pub(super) fn told(&mut self, seat: SeatId) -> Vec<String> {
        let events = &mut self.events[seat.0 as usize];
        std::iter::from_fn(|| events.try_recv().ok()).map(|event| outline(&event)).collect()
    }

    pub(super) fn after(&mut self, time: Duration) {
        self.now += time;
        for shard in &mut self.shards {
            shard.handle_timeout(self.now);
        }
        self.exchange();
    }
}

/// Time after which news that can wait were told.
const NEWS: Duration = Duration::from_millis(200);

fn outline(event: &Event) -> String {
    match event {
        Event::Participants(participants) => {
            let one = |p: &crate::room::shared::Shared<crate::room::model::ParticipantInfo>| {
                let muted = p.tracks.iter().filter(|track| track.muted).count();
                format!("{} {:?} {} tracks, {muted} muted", p.identity, p.state, p.tracks.len())
            };
            participants.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        Event::SectionsNeeded { audio, video } => format!("SectionsNeeded {audio} {video}"),
        Event::Answer { id, tracks_by_mid, .. } => format!("Answer {id} {} tracks", tracks_by_mid.len()),
        Event::Removed(reason) => format!("Removed {reason:?}"),
        Event::Refused(error) => format!("Refused {error:?}"),
        other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    }
}

/// Numbers counted from the first.
fn from_first(received: &[(u16, u8, usize)]) -> Vec<(u16, u8, usize)> {
    let first = received.first().map_or(0, |(sequence, ..)| *sequence);
    received.iter().map(|(sequence, fill, len)| (sequence.wrapping_sub(first), *fill, *len)).collect()
}

#[test]
fn a_subscriber_gets_the_same_stream_from_one_shard_and_from_another_than_the_publishers() {
    let streams = [1, 2].map(|shards| {
        let (mut legs, mut anna, mut bert) = Legs::with_anna_and_bert(shards);
        let mut stream = Vec::new();
        // Lost, late and doubled packets, a batch each, of several sizes.
        for numbers in [vec![1, 2, 3], vec![5, 4, 7], vec![9], vec![10, 12, 11, 13]] {
            let seal = |n: &u16| sealed(&mut anna, Ssrc(77), *n, *n == 1, 900 + usize::from(*n) % 3);
            let mut packets: Vec<_> = numbers.iter().map(seal).collect();
            packets.push(packets[0].clone());
            legs.receive(ANNA, anna.0, &mut packets);
            stream.extend(legs.received(BERT, &mut bert));
        }
        assert_eq!(legs.sum(|c| c.leg_packets_out.get()) > 0, shards == 2);
        from_first(&stream)
    });
    assert_eq!(streams[0].len(), 11);
    assert_eq!(streams[0], streams[1]);
}

#[test]
fn a_publisher_on_a_leg_is_received_at_home_and_on_further_legs() {
    let mut legs = Legs::new(3);
    // Seats are in the order of joins.
    let [bert_seat, anna_seat, cleo_seat] = [SeatId(0), SeatId(1), SeatId(2)];
    legs.ask_to_join(request("bert", "recvonly", Vec::new()));
    legs.ask_to_join(request("anna", "sendonly", vec![camera()]));
    legs.ask_to_join(request("cleo", "recvonly", Vec::new()));
    legs.after(NEWS);
    // There was nothing yet for the section of the first offer.
    assert_eq!(legs.told(bert_seat).last().unwrap(), "cleo Joined 0 tracks, 0 muted");
    legs.tell_home(Message::Command { seat: bert_seat, command: Command::Offer(offer("recvonly")) });
    let seats = [bert_seat, anna_seat, cleo_seat];
    assert_eq!(seats.map(|seat| legs.place(seat).0), [0, 1, 2]);
    let [mut bert, mut anna, mut cleo] = seats.map(|seat| legs.connect(seat));
    let mut packets: Vec<_> = (1..=6).map(|n| sealed(&mut anna, Ssrc(77), n, n == 1, 800)).collect();
    legs.receive(anna_seat, anna.0, &mut packets);
    let at_home = legs.received(bert_seat, &mut bert);
    let further = legs.received(cleo_seat, &mut cleo);
    assert_eq!(at_home.len(), 6);
    assert_eq!(from_first(&at_home), from_first(&further));
    assert_eq!(legs.sum(|c| c.leg_packets_out.get()), 12, "once for each shard");
}

#[test]
fn events_come_in_the_same_order_wherever_a_participant_is_hosted() {
    let told = [1, 2].map(|shards| {
        let mut legs = Legs::new(shards);
        legs.ask_to_join(request("anna", "sendonly", vec![camera()]));
        legs.ask_to_join(request("bert", "recvonly", Vec::new()));
        let track = legs.shards[0].homes.values().next().unwrap().sources.keys().next().unwrap().0.clone();
        legs.after(NEWS);
        let say = |legs: &mut Legs, seat, command| {
            legs.tell_home(Message::Command { seat, command });
            legs.after(NEWS);
        };
        say(&mut legs, ANNA, Command::SetMuted { track: track.clone(), muted: true });
        say(&mut legs, BERT, Command::Subscribe { tracks: vec![track.clone()], subscribe: false });
        say(&mut legs, BERT, Command::Subscribe { tracks: vec![track], subscribe: true });
        say(&mut legs, BERT, Command::Offer(Offer { id: 2, ..offer("recvonly") }));
        say(&mut legs, BERT, Command::Offer(Offer { id: 3, sdp: "nonsense".to_owned() }));
        legs.ask_to_join(request("bert", "recvonly", Vec::new()));
        legs.tell_home(Message::Gone { seat: ANNA });
        legs.after(NEWS);
        [ANNA, BERT, CLEO].map(|seat| legs.told(seat))
    });
    let bert = ["Joined", "Answer 1 1 tracks", "anna Joined 1 tracks, 1 muted", "SectionsNeeded 0 0"];
    assert_eq!(told[0][1][..4], bert, "{:?}", told[0][1]);
    assert_eq!(told[0][1].last().unwrap(), "Removed DuplicateIdentity");
    assert_eq!(told[0], told[1]);
}

#[test]
fn a_publisher_on_a_leg_is_told_the_same_but_its_answer_does_not_wait_for_its_home() {
    let [at_home, on_leg] = [1, 2].map(|shards| {
        let mut legs = Legs::new(shards);
        legs.ask_to_join(request("bert", "recvonly", Vec::new()));
        legs.ask_to_join(request("anna", "sendonly", vec![camera()]));
        [SeatId(0), SeatId(1)].map(|seat| legs.told(seat))
    });
    assert_eq!(at_home[0], on_leg[0], "the subscriber");
    assert_eq!(
        at_home[1],
        ["Joined", "TrackAnnounced", "anna Joined 1 tracks, 0 muted", "FirstSubscriber", "Answer 1 0 tracks"]
    );
    assert_eq!(
        on_leg[1],
        ["Joined", "TrackAnnounced", "Answer 1 0 tracks", "anna Joined 1 tracks, 0 muted", "FirstSubscriber"]
    );
}

#[test]
fn keyframe_requests_of_a_batch_cross_once_and_reach_the_publisher_once() {
    let (mut legs, mut anna, mut bert) = Legs::with_anna_and_bert(2);
    let first = sealed(&mut anna, Ssrc(77), 1, true, 500);
    legs.receive(ANNA, anna.0, &mut [first]);
    assert_eq!(legs.received(BERT, &mut bert).len(), 1);
    let (shard, key) = legs.place(BERT);
    let ssrc = legs.shards[shard].peers[key].outbound.subscriptions().next().unwrap().stream.target().ssrc;
    let mut request = || {
        let (mut compound, mut packet) = (Vec::new(), Vec::new());
        let mut writer = Writer { out: &mut compound };
        writer.receiver_report(Ssrc(5), &[]);
        writer.picture_loss_indication(Ssrc(5), ssrc);
        bert.1.outbound.seal_rtcp(&compound, &mut packet).unwrap();
        packet
    };
    let mut requests: Vec<Vec<u8>> = (0..5).map(|_| request()).collect();
    legs.receive_alone(BERT, bert.0, &mut requests);
    assert_eq!(legs.shards[1].counters.keyframe_requests_in.get(), 5);
    let messages = legs.shards[1].links().take_messages(ShardId(0));
    assert!(matches!(messages.as_slice(), [LegMessage::KeyframeNeeded { encoding: 0, .. }]), "{}", messages.len());
    legs.shards[0].handle_leg(legs.now, ShardId(1), messages);
    assert_eq!(legs.sum(|c| c.keyframe_requests_out.get()), 1);
    let asked = legs.shards[0].outgoing().transmits().iter().filter(|transmit| transmit.route.to == anna.0).count();
    assert_eq!(asked, 1);
}

#[test]
fn whoever_leaves_takes_everything_along_on_both_shards() {
    let (mut legs, _, _) = Legs::with_anna_and_bert(2);
    let mirrored = |legs: &Legs| (legs.shards[0].by_source.len(), legs.shards[1].by_source.len());
    let handed_to = |legs: &Legs| {
        let (_, room) = legs.shards[0].rooms.iter().next().unwrap();
        room.sources.iter().map(|(_, source)| source.handed_to.len()).sum::<usize>()
    };
    assert_eq!((mirrored(&legs), handed_to(&legs)), ((1, 1), 1));
    legs.tell_home(Message::Gone { seat: BERT });
    assert_eq!((mirrored(&legs), handed_to(&legs)), ((1, 0), 0));
    assert!(legs.shards[1].rooms.is_empty() && legs.shards[1].peers.is_empty() && legs.shards[1].by_key.is_empty());

    legs.join(request("cleo", "recvonly", Vec::new()));
    assert_eq!((legs.place(CLEO).0, mirrored(&legs), handed_to(&legs)), (1, (1, 1), 1));
    legs.tell_home(Message::Gone { seat: ANNA });
    assert_eq!(mirrored(&legs), (0, 0));
    assert_eq!(legs.sum(|c| c.tracks.get() + c.subscriptions.get()), 0);
    assert!(legs.shards[0].rooms.is_empty(), "home hosts nobody");
    legs.tell_home(Message::Gone { seat: CLEO });
    legs.after(Duration::from_secs(400));
    assert_eq!(legs.sum(|c| c.rooms.get() + c.participants.get()), 0);
}

#[test]
fn a_client_that_ends_its_transport_on_a_leg_leaves_the_room() {
    let (mut legs, _, _) = Legs::with_anna_and_bert(2);
    let (shard, key) = legs.place(BERT);
    let now = legs.now;
    legs.shards[shard].put_out(now, key, LeaveReason::TransportFailed);
    legs.shards[shard].put_out(now, key, LeaveReason::TransportFailed);
    legs.exchange();
    legs.after(NEWS);
    assert_eq!(legs.told(BERT).last().unwrap(), "Removed TransportFailed");
    assert_eq!(legs.told(ANNA).last().unwrap(), "bert Disconnected 0 tracks, 0 muted");
    assert!(legs.shards[1].peers.is_empty());
}

#[test]
fn batches_that_another_shard_does_not_take_are_dropped_and_harm_nobody() {
    let (mut legs, mut anna, mut bert) = Legs::with_anna_and_bert(2);
    let mut cleo = legs.join(request("cleo", "recvonly", Vec::new()));
    assert_eq!(legs.place(CLEO).0, 0);
    let (full, over) = (limits::LEG_BATCHES as u16, 30);
    let mut at_home = Vec::new();
    for n in 1..=full + over {
        let packet = sealed(&mut anna, Ssrc(77), n, n == 1, 100);
        legs.receive_alone(ANNA, anna.0, &mut [packet]);
        let counters = legs.shards[0].counters.clone();
        legs.boards[0].hand_over(legs.shards[0].links(), &counters);
        at_home.extend(legs.received(CLEO, &mut cleo));
    }
    assert_eq!(at_home.len(), usize::from(full + over), "at home nothing is missing");
    assert_eq!(legs.sum(|c| c.leg_packets_dropped.get()), u64::from(over));
    legs.exchange();
    let before = legs.received(BERT, &mut bert);
    assert_eq!(before.len(), usize::from(full));
    let packet = sealed(&mut anna, Ssrc(77), full + over + 1, false, 100);
    legs.receive(ANNA, anna.0, &mut [packet]);
    let after = legs.received(BERT, &mut bert);
    // What was dropped is a gap, as it would be on a network.
    assert_eq!(after[0].0.wrapping_sub(before.last().unwrap().0), over + 1);
}

#[test]
fn nothing_is_allocated_for_a_packet_that_is_handed_over() {
    let (mut legs, mut anna, mut bert) = Legs::with_anna_and_bert(2);
    let mut batch = |batch: u16| -> Vec<Vec<u8>> {
        (1..=5).map(|n| sealed(&mut anna, Ssrc(77), batch * 5 + n, batch == 0 && n == 1, 1_000)).collect()
    };
    let mut batches: Vec<_> = (0..200).map(&mut batch).collect();
    let mut steady = batches.split_off(140);
    let from = anna.0;
    for batch in &mut batches {
        legs.now += Duration::from_millis(20);
        legs.receive(ANNA, from, batch);
        assert_eq!(legs.received(BERT, &mut bert).len(), 5);
    }
    let counts = allocation_counter::measure(|| {
        for batch in &mut steady {
            legs.now += Duration::from_millis(20);
            legs.receive(ANNA, from, batch);
            legs.discard_sent();
        }
    });
    assert_eq!(legs.shards[1].counters.packets_out.get(), 1_000);
    assert_eq!(counts.count_total, 0, "{counts:?}");
}

#[test]
fn a_lost_link_puts_out_whom_the_shards_shared_and_works_again_for_others() {
    let (mut legs, _, _) = Legs::with_anna_and_bert(2);
    let room = RoomKey { home: ShardId(0), serial: legs.shards[0].by_seat[&BERT].0 };
    let mib = Offer { id: 9, sdp: "x".repeat(1 << 20) };
    for _ in 0..=limits::LEG_BACKLOG_BYTES >> 20 {
        let order = Order::Offer { participant: ParticipantKey(usize::MAX), offer: mib.clone(), codecs: Vec::new() };
        legs.shards[0].links().push(ShardId(1), LegMessage::Order(room, order));
    }
    legs.after(NEWS);
    legs.after(NEWS);
    assert_eq!(legs.told(BERT).last().unwrap(), "Removed TransportFailed");
    assert_eq!(legs.told(ANNA).last().unwrap(), "bert Disconnected 0 tracks, 0 muted");
    assert!(legs.shards[1].rooms.is_empty() && legs.shards[1].peers.is_empty());
    assert_eq!(legs.sum(|c| c.legs_lost.get()), 2, "noticed by both");
    assert_eq!(legs.sum(|c| c.subscriptions.get()), 0);
    legs.ask_to_join(request("cleo", "recvonly", Vec::new()));
    assert_eq!(legs.place(CLEO).0, 1);
    assert_eq!(legs.told(CLEO)[..2], ["Joined", "Answer 1 1 tracks"]);
}

#[test]
fn participants_whose_host_has_ended_are_put_out_and_nobody_is_sent_there() {
    let (mut legs, _, _) = Legs::with_anna_and_bert(2);
    // Its ends of the queues go with its thread.
    legs.boards.truncate(1);
    legs.tell_home(Message::Command { seat: BERT, command: Command::Offer(offer("recvonly")) });
    legs.after(NEWS);
    legs.after(NEWS);
    assert_eq!(legs.told(ANNA).last().unwrap(), "bert Disconnected 0 tracks, 0 muted");
    legs.ask_to_join(request("cleo", "recvonly", Vec::new()));
    assert_eq!(legs.place(CLEO).0, 0);
}

#[test]
fn at_shutdown_everybody_is_told_once_whichever_shard_ends_first() {
    for order in [[0, 1], [1, 0]] {
        let (mut legs, _, _) = Legs::with_anna_and_bert(2);
        for shard in order {
            let (done, mut wait) = tokio::sync::oneshot::channel();
            let now = legs.now;
            legs.shards[shard].handle_message(now, Message::Shutdown { done });
            assert_eq!(wait.try_recv(), Ok(()));
        }
        legs.exchange();
        for seat in [ANNA, BERT] {
            let farewells = legs.told(seat).into_iter().filter(|told| told.starts_with("Removed")).collect::<Vec<_>>();
            assert_eq!(farewells, ["Removed ServerShutdown"], "{order:?}");
        }
        assert!(legs.shards.iter().all(|shard| shard.peers.is_empty() && shard.is_drained()));
    }
}

#[test]
fn a_change_of_what_is_wanted_reaches_a_subscriber_on_a_leg() {
    let (mut legs, mut anna, mut bert) = Legs::with_anna_and_bert(2);
    let (_, track) = {
        let home = legs.shards[0].homes.values().next().unwrap();
        (home.key, home.sources.keys().next().unwrap().0.clone())
    };
    let mut packets = |from: u16| -> Vec<Vec<u8>> {
        (from..from + 3).map(|n| sealed(&mut anna, Ssrc(77), n, n == from, 300)).collect()
    };
    let mut batches = [packets(1), packets(4), packets(7)];
    let address = legs.shards[0].by_address.keys().next().copied().unwrap();
    let mut counts = Vec::new();
    let wishes = [None, Some(Wanted::NOTHING), Some(Wanted::quality(Quality::High))];
    for (wanted, batch) in wishes.into_iter().zip(&mut batches) {
        if let Some(wanted) = wanted {
            let command = Command::Want { tracks: vec![track.clone()], wanted };
            legs.tell_home(Message::Command { seat: BERT, command });
        }
        legs.receive(ANNA, address, batch);
        counts.push(legs.received(BERT, &mut bert).len());
    }
    assert_eq!(counts, [3, 0, 6], "what is wanted again begins with the keyframe that came meanwhile");
}

#[test]
fn levels_of_all_hosts_are_taken_together() {
    let (mut legs, _, _) = Legs::with_anna_and_bert(2);
    let participants: Vec<ParticipantKey> = [ANNA, BERT].iter().map(|seat| legs.shards[0].by_seat[seat].1).collect();
    let serial = legs.shards[0].by_seat[&ANNA].0;
    let now = legs.now;
    let speaks = |legs: &mut Legs, host: usize, levels: &[f32]| {
        let participant = participants[host];
        let levels = levels.iter().map(|level| crate::room::speakers::MeasuredLevel { participant, level: *level });
        legs.shards[0].take_report(now, ShardId(host), serial, Report::Levels(levels.collect()));
        legs.shards[0].run_effects(now, serial);
        legs.exchange();
        let speakers = |event| if let Event::Speakers(speakers) = event { Some(speakers.to_vec()) } else { None };
        let events = &mut legs.events[0];
        let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).filter_map(speakers).flatten().collect();
        told.into_iter().map(|speaker| speaker.active).collect::<Vec<bool>>()
    };
    assert_eq!(speaks(&mut legs, 0, &[0.5]), [true]);
    assert!(speaks(&mut legs, 1, &[]).is_empty(), "a host where nobody speaks silences nobody elsewhere");
    assert_eq!(speaks(&mut legs, 0, &[]), [false]);
}
