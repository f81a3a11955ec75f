//! Who joins, what each sends, and what each is to receive.
//!
//! What always holds: a scenario is bounded by [`CLIENTS`], and knows how many streams its clients receive in all.

use std::time::Duration;

use crate::client::format::Kind;
use crate::client::send::Shape;
use crate::signalling::Protocol;
use crate::signalling::session::{Encoding, Layer, Plan, TrackPlan};

/// Most clients of one run: each takes two file descriptors.
pub const CLIENTS: usize = 10_000;

/// Simulcast encodings low to high: rid, and the share of the highest one's packets.
const ENCODINGS: [(&str, f64); 3] = [("q", 0.1), ("h", 0.3), ("f", 1.0)];
const LAYERS: [Layer; 3] = [Layer::Low, Layer::Medium, Layer::High];

/// What happens while it is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Course {
    /// Nothing: everybody stays.
    Steady,
    /// So many more join at once, and the window is the time that takes.
    Storm { joiners: usize },
    /// So many viewers a second leave, and as many others join.
    Churn { per_second: f64 },
    /// The highest packet rate is searched for.
    Max,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    pub name: &'static str,
    /// Rooms of the same kind side by side; what follows is of each.
    pub rooms: usize,
    /// Publish, and watch each other.
    pub speakers: usize,
    /// Only watch.
    pub viewers: usize,
    pub course: Course,
    /// Speakers send three encodings; a third of the others wants each.
    pub simulcast: bool,
    pub connections: Connections,
}

/// What a client of the run is: the protocol decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// One participant, with all it sends and receives.
    OfEach,
    /// One that publishes, or one that watches one speaker.
    OfEachWatched,
    /// One that publishes, or one that watches everybody but one.
    OfEachWay,
}

/// The media of one publisher.
#[derive(Clone, Copy, Debug)]
pub struct Media {
    pub video: Option<Shape>,
    pub audio: Option<Shape>,
}

/// How much of what arrives is decrypted.
#[derive(Clone, Copy, Debug)]
pub struct Verification {
    /// Of the first so many clients every packet is.
    pub whole_clients: usize,
    /// Of the others every so many-th packet of a stream is; 0 is none.
    pub every: u32,
}

impl Scenario {
    pub const fn steady(name: &'static str, speakers: usize, viewers: usize) -> Scenario {
        let (course, connections) = (Course::Steady, Connections::OfEach);
        Scenario { name, rooms: 1, speakers, viewers, course, simulcast: false, connections }
    }

    /// As clients of this protocol play it.
    pub fn by(&self, protocol: &Protocol) -> Scenario {
        let connections = match protocol {
            Protocol::Livekit => Connections::OfEach,
            Protocol::Http(endpoints) if endpoints.others => Connections::OfEachWay,
            Protocol::Http(_) => Connections::OfEachWatched,
        };
        Scenario { connections, ..*self }
    }

    /// Whom the connections beside the speakers' own watch, or are: each speaker all others, then each viewer all speakers.
    fn watched(&self, connection: usize) -> Option<String> {
        match self.connections {
            Connections::OfEach => None,
            Connections::OfEachWatched => Some(self.watched_one(connection)),
            Connections::OfEachWay => Some(match connection.checked_sub(self.listening_speakers()) {
                None => speaker_name(connection),
                Some(viewer) => viewer_name(viewer),
            }),
        }
    }

    fn watched_one(&self, connection: usize) -> String {
        let others = self.receivers_of_speaker();
        let speaker = match connection.checked_sub(others * self.speakers) {
            Some(connection) => connection % self.speakers,
            // The next ones after oneself.
            None => (connection / others + 1 + connection % others) % self.speakers,
        };
        speaker_name(speaker)
    }

    /// Speakers that there is somebody to watch for.
    fn listening_speakers(&self) -> usize {
        if self.speakers > 1 { self.speakers } else { 0 }
    }

    pub fn describe(&self) -> String {
        let Scenario { name, rooms, speakers, viewers, course, .. } = *self;
        let course = match course {
            Course::Steady => String::new(),
            Course::Storm { joiners } => format!(", {joiners} join at once"),
            Course::Churn { per_second } => format!(", {per_second} leave and join a second"),
            Course::Max => ", highest rate".to_owned(),
        };
        let rooms = if rooms == 1 { String::new() } else { format!("{rooms} x ") };
        match viewers {
            0 => format!("{rooms}{name} of {speakers}{course}"),
            _ => format!("{rooms}{name} {speakers} -> {viewers}{course}"),
        }
    }

    /// Short enough for a file's name.
    pub fn slug(&self) -> String {
        let rooms = if self.rooms == 1 { String::new() } else { format!("{}x", self.rooms) };
        format!("{rooms}{}-{}-{}", self.name, self.speakers, self.viewers)
    }

    /// Clients there before the window begins.
    pub fn clients(&self) -> usize {
        self.rooms * self.clients_of_room()
    }

    fn clients_of_room(&self) -> usize {
        self.speakers
            + match self.connections {
                Connections::OfEach => self.viewers,
                Connections::OfEachWatched => (self.receivers_of_speaker() + self.viewers) * self.speakers,
                Connections::OfEachWay => self.listening_speakers() + self.viewers,
            }
    }

    /// Speakers that receive each.
    fn receivers_of_speaker(&self) -> usize {
        self.speakers - 1
    }

    /// Most clients at any time.
    pub fn most_clients(&self) -> usize {
        match self.course {
            Course::Storm { joiners } => self.clients().saturating_add(joiners),
            _ => self.clients(),
        }
    }

    /// Who receives what one publishes.
    pub fn receivers(&self) -> usize {
        self.receivers_of_speaker() + self.viewers
    }

    /// Streams that one client receives.
    fn streams_of(&self, plan: &Plan, media: &Media) -> usize {
        let publishes = !plan.tracks.is_empty();
        let watched = match self.connections {
            Connections::OfEach => self.speakers - usize::from(publishes),
            Connections::OfEachWatched => usize::from(!publishes),
            Connections::OfEachWay => match &plan.watches {
                None => 0,
                Some(own) => self.speakers - usize::from(own.starts_with(SPEAKER)),
            },
        };
        watched * media.tracks()
    }

    /// Streams that these clients receive together.
    pub fn streams(&self, plans: &[Plan], media: &Media) -> u64 {
        plans.iter().map(|plan| self.streams_of(plan, media) as u64).sum()
    }

    /// The clients from the `first`th on, speakers before viewers.
    pub fn plans(&self, clients: std::ops::Range<usize>, media: &Media, verification: Verification) -> Vec<Plan> {
        clients.map(|index| self.plan(index, media, verification)).collect()
    }

    fn plan(&self, client: usize, media: &Media, verification: Verification) -> Plan {
        // Whoever comes during the window comes into the only room.
        let (room, index) = match self.rooms {
            1 => (0, client),
            _ => (client / self.clients_of_room(), client % self.clients_of_room()),
        };
        let publishes = index < self.speakers;
        let alone = self.speakers == 1 || self.connections != Connections::OfEach;
        // Speakers that receive nothing: the first that do are counted from behind them.
        let receiver = index.checked_sub(if alone { self.speakers } else { 0 });
        let whole = receiver.is_some_and(|receiver| receiver < verification.whole_clients);
        Plan {
            identity: if publishes { speaker_name(index) } else { viewer_name(index) },
            tracks: if publishes { media.plans(self.simulcast) } else { Vec::new() },
            verify_every: if whole { 1 } else { verification.every },
            // The rooms' bursts are spread over the interval too.
            phase: (index as f64 + room as f64 / self.rooms as f64) / self.speakers.max(1) as f64 % 1.0,
            room,
            watches: index.checked_sub(self.speakers).and_then(|connection| self.watched(connection)),
            wish: if self.simulcast { LAYERS.get(index % LAYERS.len()).copied() } else { None },
        }
    }
}

const SPEAKER: &str = "speaker-";

fn speaker_name(index: usize) -> String {
    format!("{SPEAKER}{index}")
}

fn viewer_name(index: usize) -> String {
    format!("viewer-{index}")
}

impl Media {
    fn tracks(&self) -> usize {
        usize::from(self.video.is_some()) + usize::from(self.audio.is_some())
    }

    fn plans(&self, simulcast: bool) -> Vec<TrackPlan> {
        let single = |shape| vec![Encoding { rid: None, shape }];
        let audio = self.audio.map(|shape| TrackPlan { kind: Kind::Audio, encodings: single(shape) });
        let video = self.video.map(|shape| TrackPlan {
            kind: Kind::Video,
            encodings: if simulcast { encodings(shape) } else { single(shape) },
        });
        audio.into_iter().chain(video).collect()
    }

    /// RTP packets one publisher sends in a second, of its highest encoding.
    pub fn packets_per_second(&self) -> f64 {
        [self.video, self.audio].into_iter().flatten().map(Shape::packets_per_second).sum()
    }
}

/// Encodings low to high: the same frame rate with fewer packets to a frame.
fn encodings(highest: Shape) -> Vec<Encoding> {
    let encoding = |(rid, share): (&str, f64)| Encoding {
        rid: Some(rid.to_owned()),
        shape: Shape { burst: (f64::from(highest.burst) * share).round().max(1.0) as u32, ..highest },
    };
    ENCODINGS.into_iter().map(encoding).collect()
}

impl Shape {
    /// Bursts of `burst` packets that make `rate` packets a second.
    pub fn of_rate(rate: f64, burst: u32, packet_bytes: usize, uneven: bool) -> Shape {
        let every = Duration::from_secs_f64(f64::from(burst) / rate.max(0.001));
        Shape { every, burst, packet_bytes, uneven }
    }

    pub fn packets_per_second(self) -> f64 {
        f64::from(self.burst) / self.every.as_secs_f64()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn media() -> Media {
        Media { video: Some(Shape::of_rate(250.0, 10, 1_100, false)), audio: Some(Shape::of_rate(50.0, 1, 100, false)) }
    }

    const VERIFICATION: Verification = Verification { whole_clients: 2, every: 16 };

    fn all(scenario: &Scenario) -> Vec<Plan> {
        scenario.plans(0..scenario.clients(), &media(), VERIFICATION)
    }

    #[test]
    fn a_fan_out_has_one_publisher_and_a_stream_of_each_kind_for_each_viewer() {
        let scenario = Scenario::steady("fanout", 1, 50);
        let plans = all(&scenario);
        assert_eq!(plans.len(), 51);
        assert_eq!(plans.iter().filter(|plan| !plan.tracks.is_empty()).count(), 1);
        assert_eq!(scenario.streams(&plans, &media()), 100);
        assert_eq!(plans[0].tracks.len(), 2);
        let verified: Vec<u32> = plans[1..5].iter().map(|plan| plan.verify_every).collect();
        assert_eq!(verified, [1, 1, 16, 16]);
    }

    #[test]
    fn in_a_meeting_everybody_receives_everybody_else() {
        let scenario = Scenario::steady("meeting", 10, 0);
        let plans = all(&scenario);
        assert_eq!(scenario.streams(&plans, &media()), 180);
        assert_eq!((plans[0].phase, plans[5].phase), (0.0, 0.5), "bursts are spread over the interval");
        assert_eq!(plans[0].verify_every, 1);
    }

    #[test]
    fn meetings_side_by_side_are_rooms_of_their_own() {
        let scenario = Scenario { rooms: 3, ..Scenario::steady("meetings", 10, 0) };
        let plans = all(&scenario);
        assert_eq!((plans.len(), scenario.streams(&plans, &media())), (30, 3 * 180));
        let of_room = |room| plans.iter().filter(move |plan| plan.room == room).map(|plan| plan.identity.clone());
        assert!((1..3).all(|room| of_room(room).eq(of_room(0))));
        assert_eq!(of_room(2).count(), 10);
        let mut phases: Vec<u64> = plans.iter().map(|plan| (plan.phase * 1e6) as u64).collect();
        phases.sort_unstable();
        phases.dedup();
        assert_eq!(phases.len(), 30, "no two burst at once");
    }

    #[test]
    fn in_a_webinar_speakers_watch_each_other_too() {
        let scenario = Scenario::steady("webinar", 3, 100);
        assert_eq!(scenario.streams(&all(&scenario), &media()), 3 * 2 * 2 + 100 * 3 * 2);
        assert_eq!(scenario.receivers(), 102);
    }

    #[test]
    fn by_http_each_connection_watches_one_speaker() {
        let connections = Connections::OfEachWatched;
        let scenario = Scenario { connections, ..Scenario::steady("webinar", 3, 2) };
        let plans = all(&scenario);
        assert_eq!(plans.len(), 3 + 3 * 2 + 2 * 3);
        assert_eq!(scenario.streams(&plans, &media()), (3 * 2 + 2 * 3) * 2);
        assert_eq!(scenario.receivers(), 4, "of each packet");
        let watched: Vec<&str> = plans.iter().filter_map(|plan| plan.watches.as_deref()).collect();
        for (speaker, of_speaker) in watched[..6].chunks(2).enumerate() {
            assert!(!of_speaker.contains(&speaker_name(speaker).as_str()), "nobody watches itself");
        }
        assert_eq!(watched[6..], ["speaker-0", "speaker-1", "speaker-2"].repeat(2));
        let each = |name: &str| watched.iter().filter(|watched| **watched == name).count();
        assert_eq!([each("speaker-0"), each("speaker-1"), each("speaker-2")], [4; 3]);
        let fan_out = Scenario { connections, ..Scenario::steady("fanout", 1, 50) };
        assert_eq!((fan_out.clients(), fan_out.streams(&all(&fan_out), &media())), (51, 100));
        assert_eq!(all(&fan_out)[1].verify_every, 1);
    }

    #[test]
    fn with_a_connection_each_way_one_watches_all_others() {
        let connections = Connections::OfEachWay;
        let scenario = Scenario { connections, ..Scenario::steady("webinar", 3, 2) };
        let plans = all(&scenario);
        assert_eq!(plans.len(), 3 + 3 + 2);
        let names: Vec<&str> = plans.iter().filter_map(|plan| plan.watches.as_deref()).collect();
        assert_eq!(names, ["speaker-0", "speaker-1", "speaker-2", "viewer-0", "viewer-1"]);
        assert_eq!(scenario.streams(&plans, &media()), (3 * 2 + 2 * 3) * 2);
        assert_eq!(
            (plans[3].verify_every, plans[5].verify_every),
            (1, 16),
            "the first that receive are verified whole"
        );
        let fan_out = Scenario { connections, ..Scenario::steady("fanout", 1, 50) };
        assert_eq!((fan_out.clients(), fan_out.streams(&all(&fan_out), &media())), (51, 100));
    }

    #[test]
    fn simulcast_encodings_share_a_frame_rate_and_viewers_differ_in_what_they_want() {
        let scenario = Scenario { simulcast: true, ..Scenario::steady("layers", 1, 30) };
        let plans = all(&scenario);
        let video = plans[0].tracks.last().unwrap();
        let bursts: Vec<(u32, Duration)> = video.encodings.iter().map(|e| (e.shape.burst, e.shape.every)).collect();
        let every = Duration::from_millis(40);
        assert_eq!(bursts, [(1, every), (3, every), (10, every)]);
        let wanting = |layer| plans[1..].iter().filter(|plan| plan.wish == Some(layer)).count();
        assert_eq!(LAYERS.map(wanting), [10; 3]);
    }

    #[test]
    fn rates_are_what_was_asked() {
        assert!((media().packets_per_second() - 300.0).abs() < 1e-6);
        assert_eq!(media().video.unwrap().every, Duration::from_millis(40));
        assert_eq!(media().audio.unwrap().every, Duration::from_millis(20));
    }
}
