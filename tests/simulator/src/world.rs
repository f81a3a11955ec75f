//! Virtual time and what happens in it: the server's shard, the clients, and the links between them.
//!
//! What always holds: things happen in the order of their times, and of their making where those are equal; the clock is read
//! once, for the moment that virtual time counts from; everything that is traced follows from the seed.

pub mod samples;
pub mod tap;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfumato::clock::WallClock;
use sfumato::limits;
use sfumato::negotiation::MediaKind;
use sfumato::room::RoomConfig;
use sfumato::room::command::{Command, JoinRequest, NoData, Offer};
use sfumato::room::event::Event;
use sfumato::room::model::{Announcement, Grants, Identity, Layer, Quality, RoomName, TrackId, TrackSource, Wanted};
use sfumato::shard::directory::Directory;
use sfumato::shard::event_queue::{EventReceiver, EventSender, event_queue};
use sfumato::shard::leg::ShardId;
use sfumato::shard::mailbox::{Message, SeatId};
use sfumato::shard::milestones::JoinWatch;
use sfumato::shard::{Arrival, Shard, ShardConfig};
use sfumato::telemetry::counters::ShardCounters;
use sfumato::transport::Certificate;
use sfumato_load::client::format::Kind;
use sfumato_load::link::{Link, LinkConfig};

use crate::client::independent::Independent;
use crate::client::receiver::Decoded;
use crate::client::{Client, EPOCH, Plan};
use crate::trace::{Mark, Trace, nanoseconds};
pub use samples::Sample;
pub use tap::Tap;

/// Where the server's media port is.
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 7_882);

/// A client's place in the world.
pub type ClientId = usize;

/// Both directions of a client's path to the server.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Path {
    pub up: LinkConfig,
    pub down: LinkConfig,
}

impl Path {
    /// Nothing but delay, the same both ways.
    pub fn with_round_trip(time: Duration) -> Path {
        Path { up: LinkConfig::delayed(time / 2), down: LinkConfig::delayed(time / 2) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Direction {
    Up,
    Down,
}

enum Happening {
    ToServer(SocketAddr, Vec<u8>),
    ToClient(ClientId, SocketAddr, Vec<u8>),
    Signal(Message),
    Event(ClientId, Event),
}

/// In the order of time, then of making.
struct Scheduled {
    at: Duration,
    number: u64,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// A client with all that is around it.
pub struct Place {
    pub client: Client,
    pub up: Link,
    pub down: Link,
    pub up_tap: Tap,
    pub down_tap: Tap,
    address: SocketAddr,
    events: EventReceiver,
    timer: Option<Duration>,
    sends: bool,
    /// What it receives.
    tracks: Vec<TrackId>,
    /// The encoding of the frame decoded last.
    layer: Option<u8>,
    /// In the place of the model.
    pub independent: Option<Box<Independent>>,
}

/// A frame that was decoded at a client.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    pub client: ClientId,
    pub ssrc: u32,
    pub decoded: Decoded,
}

pub struct World {
    base: Instant,
    now: Duration,
    shard: Shard,
    pub counters: Arc<ShardCounters>,
    certificate: Arc<Certificate>,
    random: StdRng,
    happenings: BinaryHeap<Reverse<Scheduled>>,
    made: u64,
    pub places: Vec<Place>,
    timers: BTreeSet<(Duration, ClientId)>,
    addresses: HashMap<SocketAddr, ClientId>,
    last_address: u32,
    media_began: Option<Duration>,
    pub trace: Trace,
    /// Bytes of each frame by its time of encoding.
    encoded: BTreeMap<Duration, usize>,
    /// Frames that were not what was encoded.
    pub wrong_frames: u64,
    /// Kept where `keep_frames` is set.
    pub frames: Vec<Watched>,
    pub keep_frames: bool,
    /// Each 100 ms from media's beginning on, of whoever receives video.
    pub samples: Vec<Sample>,
    sampled: Option<Duration>,
    pub faults: Vec<String>,
}

impl World {
    pub fn new(seed: u64) -> World {
        let base = Instant::now();
        let mut random = StdRng::seed_from_u64(seed);
        let counters = Arc::<ShardCounters>::default();
        let certificate = Arc::new(Certificate::generate());
        let shard = Shard::new(ShardConfig {
            id: ShardId(0),
            room: RoomConfig {
                empty_timeout: Duration::from_secs(300),
                departure_timeout: Duration::from_secs(20),
                max_participants: 0,
            },
            certificate: Arc::clone(&certificate),
            candidates: vec![SocketAddr::from(SERVER)],
            wall: WallClock::new(base, EPOCH),
            random: Box::new(StdRng::seed_from_u64(random.random())),
            counters: Arc::clone(&counters),
            directory: Arc::new(Directory::new(vec![Arc::clone(&counters)])),
            room_spread: None,
            record_headers: false,
        });
        World {
            base,
            now: Duration::ZERO,
            shard,
            counters,
            certificate,
            random,
            happenings: BinaryHeap::new(),
            made: 0,
            places: Vec::new(),
            timers: BTreeSet::new(),
            addresses: HashMap::new(),
            last_address: 0,
            media_began: None,
            trace: Trace::default(),
            encoded: BTreeMap::new(),
            wrong_frames: 0,
            frames: Vec::new(),
            keep_frames: false,
            samples: Vec::new(),
            sampled: None,
            faults: Vec::new(),
        }
    }

    pub fn now(&self) -> Duration {
        self.now
    }

    /// A moment of virtual time as the core sees it.
    pub fn instant(&self, at: Duration) -> Instant {
        self.base + at
    }

    /// When media began.
    pub fn media_began(&self) -> Duration {
        self.media_began.unwrap_or_default()
    }

    /// A client asks to join over its path; media may begin at once where it has begun for others.
    pub fn join(&mut self, plan: Plan, path: Path) -> ClientId {
        let (id, events) = self.settle(plan, path);
        let offer =
            self.places.get_mut(id).and_then(|place| place.client.negotiation.offer(self.certificate.fingerprint()));
        self.ask_to_join(id, events, offer);
        id
    }

    /// As [`join`](Self::join), with a peer connection that is none of ours, which watches one video.
    pub fn join_independent(&mut self, identity: &str, path: Path) -> ClientId {
        let (id, events) = self.settle(Plan::viewer(identity, 0), path);
        let now = self.base + self.now;
        let address = self.places.get(id).map_or(SocketAddr::from(SERVER), |place| place.address);
        let made = Independent::new(now, address).and_then(|mut peer| Ok((peer.offer(now)?, peer)));
        match (made, self.places.get_mut(id)) {
            (Ok((sdp, peer)), Some(place)) => {
                place.independent = Some(Box::new(peer));
                self.ask_to_join(id, events, Some((1, sdp)));
            }
            (Err(error), _) => self.faults.push(format!("{identity}: {error}")),
            (Ok(_), None) => {}
        }
        id
    }

    /// A client's place, and where it will be told of the room.
    fn settle(&mut self, plan: Plan, path: Path) -> (ClientId, EventSender) {
        let id = self.places.len();
        let (sender, events) = event_queue(limits::EVENT_QUEUE);
        let client = Client::new(self.base, self.now, plan, id as u16, self.random.random());
        let (up, down) = (Link::new(path.up, self.random.random()), Link::new(path.down, self.random.random()));
        let address = self.draw_address(id);
        self.places.push(Place {
            client,
            up,
            down,
            up_tap: Tap::default(),
            down_tap: Tap::default(),
            address,
            events,
            timer: None,
            sends: false,
            tracks: Vec::new(),
            layer: None,
            independent: None,
        });
        (id, sender)
    }

    fn ask_to_join(&mut self, id: ClientId, events: EventSender, offer: Option<(u32, String)>) {
        if let Some(request) =
            offer.and_then(|(id_of_offer, sdp)| self.join_request(id, Offer { id: id_of_offer, sdp }))
        {
            let (seat, watch) = (SeatId(id as u64), JoinWatch::new(self.base + self.now));
            self.signal(id, Message::Join { seat, request: Box::new(request), events, watch });
        }
    }

    fn draw_address(&mut self, id: ClientId) -> SocketAddr {
        self.last_address += 1;
        let [_, a, b, c] = self.last_address.to_be_bytes();
        let address = SocketAddr::from(([10, a, b, c], 50_000));
        self.addresses.insert(address, id);
        address
    }

    fn join_request(&self, id: ClientId, offer: Offer) -> Option<JoinRequest> {
        let Client { negotiation, plan, .. } = &self.places.get(id)?.client;
        let simulcast = plan.simulcast;
        let announcement = |(kind, track): (Kind, &str)| Announcement {
            client_id: track.to_owned(),
            kind: if kind == Kind::Audio { MediaKind::Audio } else { MediaKind::Video },
            source: if kind == Kind::Audio { TrackSource::Microphone } else { TrackSource::Camera },
            muted: false,
            layers: if simulcast && kind == Kind::Video { layers() } else { Vec::new() },
            mime_type: None,
            backup: None,
            opaque: Bytes::new(),
        };
        let announcements = negotiation.tracks().map(announcement).collect();
        Some(JoinRequest {
            room: RoomName::new("room"),
            identity: Identity::new(&plan.identity),
            name: String::new(),
            metadata: String::new(),
            attributes: BTreeMap::new(),
            grants: everything(),
            auto_subscribe: true,
            auto_subscribe_data: false,
            follow: None,
            offer: Some(offer),
            announcements,
            opaque: Bytes::new(),
            data_protocol: Arc::new(NoData),
        })
    }

    /// A message reaches the server after the delay of the client's way there; signalling itself loses nothing.
    fn signal(&mut self, id: ClientId, message: Message) {
        let delay = self.places.get(id).map_or(Duration::ZERO, |place| place.up.config().delay);
        self.schedule(self.now + delay, Happening::Signal(message));
    }

    fn schedule(&mut self, at: Duration, what: Happening) {
        self.made += 1;
        self.happenings.push(Reverse(Scheduled { at, number: self.made, what }));
    }

    /// From now on the client's path is another one.
    pub fn set_path(&mut self, id: ClientId, path: Path) {
        if let Some(place) = self.places.get_mut(id) {
            place.up.set(path.up);
            place.down.set(path.down);
        }
    }

    /// The client wants this of all that it receives.
    pub fn want(&mut self, id: ClientId, wanted: Wanted) {
        let tracks = self.places.get(id).map(|place| place.tracks.clone()).unwrap_or_default();
        let command = Command::Want { tracks, wanted };
        self.signal(id, Message::Command { seat: SeatId(id as u64), command });
    }

    /// The client has another address from now on, and knows it.
    pub fn move_client(&mut self, id: ClientId) {
        let address = self.draw_address(id);
        let Some(place) = self.places.get_mut(id) else { return };
        self.addresses.remove(&std::mem::replace(&mut place.address, address));
        let now = self.base + self.now;
        place.client.connection.iter_mut().for_each(|connection| connection.moved(now));
        self.pump_client(id);
    }

    /// Whoever is connected begins to send; so will those who connect later. The trace begins.
    pub fn begin_media(&mut self) {
        self.media_began = Some(self.now);
        self.sampled = Some(self.now);
        self.trace.begin();
        (0..self.places.len()).for_each(|id| self.begin_if_connected(id));
    }

    fn begin_if_connected(&mut self, id: ClientId) {
        let Some(place) = self.places.get_mut(id) else { return };
        if self.media_began.is_some() && !place.sends && place.client.is_connected() {
            place.sends = true;
            place.client.begin(self.now);
            self.arm(id);
        }
    }

    /// Everything that happens before `until` happens.
    pub fn run_until(&mut self, until: Duration) {
        while let Some(next) = self.next().filter(|next| *next < until) {
            self.sample_until(next);
            self.now = self.now.max(next);
            self.step();
        }
        self.sample_until(until);
        self.now = self.now.max(until);
    }

    /// When something happens next.
    fn next(&self) -> Option<Duration> {
        let happening = self.happenings.peek().map(|Reverse(scheduled)| scheduled.at);
        let shard = self.shard.poll_timeout().map(|at| at.saturating_duration_since(self.base));
        let client = self.timers.first().map(|(at, _)| *at);
        [happening, shard, client].into_iter().flatten().min()
    }

    fn step(&mut self) {
        let mut heard = false;
        while self.happenings.peek().is_some_and(|Reverse(scheduled)| scheduled.at <= self.now) {
            let Some(Reverse(scheduled)) = self.happenings.pop() else { break };
            heard |= self.happen(scheduled.what);
        }
        let now = self.base + self.now;
        // As a shard's thread does: what is due is done whenever something woke it, which may be before it would have been woken for that.
        if heard || self.shard.poll_timeout().is_some_and(|at| at <= now) {
            self.shard.handle_timeout(now);
            self.pump_shard();
        }
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= self.now) {
            self.timers.pop_first();
            let Some(place) = self.places.get_mut(id) else { continue };
            place.timer = None;
            match &mut place.independent {
                Some(peer) => peer.on_timeout(now),
                None => place.client.on_timeout(self.now),
            }
            self.pump_client(id);
        }
    }

    /// True when the server heard something.
    fn happen(&mut self, what: Happening) -> bool {
        let now = self.base + self.now;
        match what {
            Happening::ToServer(from, mut datagram) => {
                self.shard.handle_datagram(now, Arrival { from, socket: 0, local_ip: None }, &mut datagram);
                true
            }
            Happening::Signal(message) => {
                self.shard.handle_message(now, message);
                true
            }
            Happening::ToClient(id, address, mut datagram) => {
                // What was under way to an address that the client left is lost.
                if let Some(place) = self.places.get_mut(id).filter(|place| place.address == address) {
                    match &mut place.independent {
                        Some(peer) => peer.handle(now, SocketAddr::from(SERVER), address, &datagram),
                        None => place.client.handle(self.now, &mut datagram),
                    }
                    self.pump_client(id);
                }
                false
            }
            Happening::Event(id, event) => {
                self.on_event(id, event);
                false
            }
        }
    }

    /// Sends what the server wants sent, and tells clients what it tells them.
    fn pump_shard(&mut self) {
        let now = self.base + self.now;
        loop {
            let more = self.shard.forward(now);
            let batch = self.shard.outgoing();
            let mut datagrams = Vec::new();
            for transmit in batch.transmits() {
                let contents = batch.contents(transmit);
                let to = transmit.route.to;
                datagrams.extend(contents.chunks(transmit.segment.max(1)).map(|datagram| (to, datagram.to_vec())));
            }
            batch.clear();
            for (to, datagram) in datagrams {
                // An address that a client left leads nowhere.
                if let Some(id) = self.addresses.get(&to).copied() {
                    self.transmit(Direction::Down, id, datagram);
                }
            }
            if !more {
                break;
            }
        }
        for id in 0..self.places.len() {
            while let Some(event) = self.places.get_mut(id).and_then(|place| place.events.try_recv().ok()) {
                let delay = self.places.get(id).map_or(Duration::ZERO, |place| place.down.config().delay);
                if is_heard(&event) {
                    self.schedule(self.now + delay, Happening::Event(id, event));
                }
            }
        }
    }

    fn on_event(&mut self, id: ClientId, event: Event) {
        let Some(place) = self.places.get_mut(id) else { return };
        match event {
            Event::Answer { id: offer, sdp, tracks_by_mid } => {
                if let Some(peer) = &mut place.independent {
                    peer.answered(self.base + self.now, &sdp);
                    return self.pump_client(id);
                }
                place.tracks = tracks_by_mid.into_iter().map(|(_, track)| track).collect();
                if let Err(fault) = place.client.answered(self.now, &self.certificate, offer, &sdp) {
                    self.faults.push(format!("{}: {fault}", place.client.plan.identity));
                }
            }
            // It watches one video, and offers no more.
            Event::SectionsNeeded { .. } if place.independent.is_some() => return,
            Event::SectionsNeeded { audio, video } => {
                place.client.negotiation.ask(audio as usize, video as usize);
            }
            Event::LayersWanted { codecs, .. } => {
                let highest = codecs.iter().filter_map(|codec| codec.highest).max();
                place.client.layers_wanted(highest.map(|quality| quality as u8));
            }
            other => self.faults.push(format!("{}: {other:?}", place.client.plan.identity)),
        }
        self.offer(id);
        self.pump_client(id);
    }

    /// Makes the next offer, where one was asked for.
    fn offer(&mut self, id: ClientId) {
        let Some(place) = self.places.get_mut(id) else { return };
        if let Some((offer, sdp)) = place.client.negotiation.offer(self.certificate.fingerprint()) {
            let command = Command::Offer(Offer { id: offer, sdp });
            self.signal(id, Message::Command { seat: SeatId(id as u64), command });
        }
    }

    /// Sends what a client wants sent, notes what it decoded, and when it is to be called again.
    fn pump_client(&mut self, id: ClientId) {
        self.begin_if_connected(id);
        let Some(place) = self.places.get_mut(id) else { return };
        if let Some(peer) = &mut place.independent {
            place.client.out.extend(std::iter::from_fn(|| peer.poll_transmit()));
        }
        for datagram in std::mem::take(&mut place.client.out) {
            self.transmit(Direction::Up, id, datagram);
        }
        self.note_frames(id);
        self.arm(id);
    }

    fn arm(&mut self, id: ClientId) {
        let Some(place) = self.places.get_mut(id) else { return };
        let due = match &mut place.independent {
            Some(peer) => peer.due().map(|at| at.saturating_duration_since(self.base)),
            None => place.client.due(),
        };
        let due = due.map(|due| due.max(self.now));
        if due == place.timer {
            return;
        }
        if let Some(timer) = place.timer {
            self.timers.remove(&(timer, id));
        }
        place.timer = due;
        self.timers.extend(due.map(|due| (due, id)));
    }

    fn transmit(&mut self, direction: Direction, id: ClientId, datagram: Vec<u8>) {
        let Some(place) = self.places.get_mut(id) else { return };
        let (link, tap, mark) = match direction {
            Direction::Up => (&mut place.up, &mut place.up_tap, Mark::Uplink),
            Direction::Down => (&mut place.down, &mut place.down_tap, Mark::Downlink),
        };
        let arrivals = link.send(self.now, datagram.len());
        if let Some(header) = tap.note(self.now, &datagram, arrivals) {
            let time = |at: Option<Duration>| at.map_or(u64::MAX, nanoseconds);
            let fate = [time(arrivals.first), time(arrivals.second)];
            self.trace.record(mark, self.now, &[&[id as u64, datagram.len() as u64], &header[..], &fate].concat());
        }
        let address = place.address;
        let happening = |datagram| match direction {
            Direction::Up => Happening::ToServer(address, datagram),
            Direction::Down => Happening::ToClient(id, address, datagram),
        };
        if let Some(at) = arrivals.second {
            self.schedule(at, happening(datagram.clone()));
        }
        if let Some(at) = arrivals.first {
            self.schedule(at, happening(datagram));
        }
    }

    fn note_frames(&mut self, id: ClientId) {
        let Some(place) = self.places.get_mut(id) else { return };
        let client = &mut place.client;
        for video in &mut client.videos {
            self.encoded.extend(video.encoded.drain(..).map(|frame| (frame.sent, frame.bytes)));
        }
        for receiver in client.receivers.values_mut().filter(|receiver| !receiver.decoded.is_empty()) {
            for decoded in receiver.decoded.drain(..) {
                let frame = decoded.frame;
                place.layer = Some(frame.encoding);
                self.wrong_frames += u64::from(self.encoded.get(&frame.sent) != Some(&frame.bytes));
                let words = [id as u64, frame.timestamp.into(), frame.bytes as u64, frame.keyframe.into()];
                self.trace.record(Mark::Frame, self.now, &words);
                decoded.shown.into_iter().for_each(|at| self.trace.record(Mark::Rendered, at, &[id as u64]));
                if self.keep_frames {
                    self.frames.push(Watched { client: id, ssrc: receiver.ssrc, decoded });
                }
            }
        }
    }

    /// The call ends: pictures that stand still count as frozen.
    pub fn end(&mut self) {
        let now = self.now;
        let receivers = self.places.iter_mut().flat_map(|place| place.client.receivers.values_mut());
        receivers.flat_map(|receiver| &mut receiver.playouts).for_each(|playout| playout.freezes.end(now));
    }
}

/// What clients act on.
fn is_heard(event: &Event) -> bool {
    matches!(
        event,
        Event::Answer { .. }
            | Event::SectionsNeeded { .. }
            | Event::LayersWanted { .. }
            | Event::Refused(_)
            | Event::OfferRefused { .. }
            | Event::SubscriptionFailed { .. }
            | Event::Removed(_)
    )
}

/// Sizes of simulcast encodings, low to high.
fn layers() -> Vec<Layer> {
    let sizes = [(Quality::Low, 320, 180), (Quality::Medium, 640, 360), (Quality::High, 1_280, 720)];
    sizes.map(|(quality, width, height)| Layer { quality, width, height }).to_vec()
}

fn everything() -> Grants {
    Grants {
        publish: true,
        publish_sources: Vec::new(),
        publish_data: false,
        subscribe: true,
        update_own_metadata: false,
        hidden: false,
        recorder: false,
        agent: false,
    }
}
