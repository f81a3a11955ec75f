//! Random layer changes, loss, reordering and duplication against a model of what a subscriber must see.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;

use super::*;
use crate::media::receive::ReceiveStream;
use crate::wire::rtcp::SenderInfo;

const ENCODINGS: usize = 3;
const FRAMES: u32 = 3_000;
const FRAME_TIME: Duration = Duration::from_nanos(33_333_333);
const FRAME_UNITS: u32 = 3_000;
/// Longest way of a packet through the network.
const MOST_DELAY: Duration = Duration::from_millis(120);
const NTP: u64 = 3_900_000_000 << 32;

struct Odds {
    loss: f64,
    duplicate: f64,
    reorder: f64,
    select: f64,
    sender_reports: bool,
    seed: u64,
}

/// One packet on its way, with what only the model knows.
struct Underway {
    sent: Sent,
    /// Media packets have a frame; padding has none.
    frame: Option<u32>,
}

/// One encoding of the publisher.
struct Encoder {
    encoding: usize,
    sequence: u64,
    /// Of frame 0.
    timestamp: u32,
    picture_id: u16,
    tl0: u8,
}

impl Encoder {
    /// The packets of one frame, and now and then padding.
    fn encode(&mut self, random: &mut StdRng, frame: u32) -> Vec<Underway> {
        let keyframe = random.random_ratio(1, 20);
        let packets = random.random_range(1..5);
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.tl0 = self.tl0.wrapping_add(1);
        let mut out = Vec::new();
        for packet in 0..packets {
            let mut payload = vp8(keyframe, self.picture_id, self.tl0);
            if packet > 0 {
                payload[0] = 0x80; // S is 0
            }
            payload.extend(frame.to_be_bytes());
            let mut sent = self.packet(frame, &payload);
            sent.marker = packet == packets - 1;
            sent.padding = if random.random_ratio(1, 10) { 5 } else { 0 };
            out.push(Underway { sent, frame: Some(frame) });
        }
        if random.random_ratio(1, 8) {
            let mut sent = self.packet(frame, &[]);
            sent.padding = 255;
            out.push(Underway { sent, frame: None });
        }
        out
    }

    fn packet(&mut self, frame: u32, payload: &[u8]) -> Sent {
        self.sequence += 1;
        let mut sent = Sent::new(self.encoding, Codec::Vp8, self.sequence, payload);
        sent.timestamp = self.timestamp.wrapping_add(frame * FRAME_UNITS);
        sent
    }
}

/// A run of packets of one encoding between two switches.
struct Segment {
    first_source: u64,
    /// Highest source number that arrived.
    highest_source: u64,
    /// Padding that arrived in order, which leaves no gap.
    skipped: BTreeSet<u64>,
    /// Source number to output.
    outputs: BTreeMap<u64, Received>,
}

/// Checks what is forwarded as it comes.
#[derive(Default)]
struct Model {
    origin: Option<Origin>,
    segment: Option<Segment>,
    sequences: BTreeSet<u64>,
    newest: Option<Received>,
    switches: u32,
    late: u32,
    gaps: u32,
    /// Output timestamp at capture time 0, from the first packet.
    base: Option<u32>,
    odds_clocks: bool,
    first_of_run: bool,
}

impl Model {
    fn observe(&mut self, stream: &SendStream, under: &Underway, received: Option<Received>) {
        let origin = Origin { encoding: under.sent.encoding, ssrc: under.sent.ssrc };
        let joined = stream.origin() == Some(origin);
        let begins = joined && (self.origin != Some(origin) || self.first_of_run);
        if begins {
            let received = received.expect("a join is a forwarded packet");
            self.begin(under, origin, received);
            return;
        }
        if !joined {
            assert_eq!(received, None, "only the joined stream is forwarded");
            return;
        }
        match received {
            Some(received) => self.go_on(under, received),
            None => self.not_forwarded(under),
        }
    }

    fn begin(&mut self, under: &Underway, origin: Origin, received: Received) {
        assert!(codec::inspect(Codec::Vp8, &under.sent.payload, None, &mut None).starts_keyframe);
        if let Some(newest) = &self.newest {
            assert_eq!(received.sequence, newest.sequence + 1, "no gap at a switch");
            assert!(clock::is_later(received.timestamp, newest.timestamp));
            assert_eq!(picture_id(&received), (picture_id(newest) + 1) & 0x7fff);
            let tl0 = |received: &Received| codec::vp8::parse(&received.payload).unwrap().tl0_pic_idx.unwrap();
            assert_eq!(tl0(&received), tl0(newest).wrapping_add(1));
        }
        self.segment = Some(Segment {
            first_source: under.sent.sequence,
            highest_source: under.sent.sequence,
            skipped: BTreeSet::new(),
            outputs: BTreeMap::new(),
        });
        self.origin = Some(origin);
        self.first_of_run = false;
        self.switches += 1;
        self.keep(under, received);
    }

    fn go_on(&mut self, under: &Underway, received: Received) {
        assert!(under.frame.is_some(), "padding is not forwarded");
        let segment = self.segment.as_mut().unwrap();
        let number = under.sent.sequence;
        assert!(number > segment.first_source, "nothing from before the switch");
        let first = &segment.outputs[&segment.first_source];
        // The heart of it: numbers are missing exactly where the source's are.
        let skipped = segment.skipped.range(..number).count() as u64;
        assert_eq!(received.sequence - first.sequence, number - segment.first_source - skipped);
        self.gaps += u32::from(number > segment.highest_source + 1);
        self.late += u32::from(number < segment.highest_source);
        segment.highest_source = segment.highest_source.max(number);
        if let Some((_, before)) = segment.outputs.range(..number).next_back() {
            assert!(!clock::is_later(before.timestamp, received.timestamp), "time goes on with numbers");
            let ids = picture_id(&received).wrapping_sub(picture_id(before)) & 0x7fff;
            let frames = received.timestamp.wrapping_sub(before.timestamp) / FRAME_UNITS;
            assert_eq!(u32::from(ids), frames, "one picture id for each frame");
        }
        self.keep(under, received);
    }

    fn not_forwarded(&mut self, under: &Underway) {
        let segment = self.segment.as_mut().unwrap();
        let number = under.sent.sequence;
        if under.frame.is_none() {
            if number > segment.highest_source {
                segment.skipped.insert(number);
                segment.highest_source = number;
            }
            return;
        }
        let known = segment.outputs.contains_key(&number) || number < segment.first_source;
        assert!(known, "only duplicates and what came before the switch are withheld");
    }

    fn keep(&mut self, under: &Underway, received: Received) {
        assert!(self.sequences.insert(received.sequence), "no number is given twice");
        assert_eq!(received.payload[5..], under.sent.payload[5..], "only the counters change");
        let frame = under.frame.unwrap();
        let base = received.timestamp.wrapping_sub(frame * FRAME_UNITS);
        let drift = base.wrapping_sub(*self.base.get_or_insert(base)) as i32;
        if self.odds_clocks {
            let most = clock::units(MOST_DELAY, 90_000) as i32 + FRAME_UNITS as i32;
            assert!((-2..=most).contains(&drift), "timestamps stay with the capture time: {drift}");
        }
        if self.newest.as_ref().is_none_or(|newest| received.sequence > newest.sequence) {
            self.newest = Some(received.clone());
        }
        let segment = self.segment.as_mut().unwrap();
        segment.outputs.insert(under.sent.sequence, received);
    }
}

fn run(odds: &Odds) -> Model {
    let mut random = StdRng::seed_from_u64(odds.seed);
    let start = Instant::now();
    let mut stream = send_stream(&[VP8], odds.seed);
    let mut model = Model { odds_clocks: odds.sender_reports, ..Model::default() };
    let mut encoders: Vec<_> = (0..ENCODINGS)
        .map(|encoding| Encoder {
            encoding,
            sequence: random.random_range(1 << 16..1 << 17),
            timestamp: random.random(),
            picture_id: random.random_range(0..1 << 15),
            tl0: random.random(),
        })
        .collect();
    let mut receivers: Vec<_> =
        (0..ENCODINGS).map(|encoding| ReceiveStream::new(Ssrc(1000 + encoding as u32), 90_000)).collect();
    if odds.sender_reports {
        for (receiver, encoder) in receivers.iter_mut().zip(&encoders) {
            // Each encoding's report was made at a moment of its own.
            let after = FRAME_TIME * encoder.encoding as u32;
            let info = SenderInfo {
                ssrc: receiver.ssrc(),
                ntp: clock::ntp_after(NTP, after),
                rtp_timestamp: encoder.timestamp.wrapping_add(encoder.encoding as u32 * FRAME_UNITS),
                packets: 0,
                octets: 0,
            };
            receiver.handle_sender_report(start, &info);
        }
    }
    let mut network: BTreeMap<(Instant, u32), Underway> = BTreeMap::new();
    let mut serial = 0;
    for frame in 0..FRAMES {
        let now = start + FRAME_TIME * frame;
        for encoder in &mut encoders {
            for under in encoder.encode(&mut random, frame) {
                let copies = if random.random_bool(odds.duplicate) { 2 } else { 1 };
                for _ in 0..copies {
                    serial += 1;
                    let delay = if random.random_bool(odds.reorder) {
                        MOST_DELAY.mul_f64(random.random())
                    } else {
                        Duration::ZERO
                    };
                    if !random.random_bool(odds.loss) {
                        let copy = Underway { sent: under.sent.clone(), frame: under.frame };
                        network.insert((now + delay, serial), copy);
                    }
                }
            }
        }
        if random.random_bool(odds.select) {
            let wanted = random.random_range(0..=ENCODINGS);
            stream.select(Some(wanted).filter(|wanted| *wanted < ENCODINGS).map(Selection::all));
            model.first_of_run |= stream.current().is_none();
        }
        let later = network.split_off(&(now + FRAME_TIME, 0));
        for ((arrival, _), mut under) in std::mem::replace(&mut network, later) {
            let receiver = &mut receivers[under.sent.encoding];
            let packet = under.sent.bytes();
            let header = Header::parse(&packet).unwrap();
            receiver.receive(arrival, &header, packet.len());
            under.sent.clock = receiver.clock_reference();
            let received = forward(&mut stream, arrival, &under.sent);
            model.observe(&stream, &under, received);
        }
    }
    assert_eq!(stream.packets(), model.sequences.len() as u64);
    model
}

#[test]
fn a_perfect_network_gives_contiguous_numbers() {
    let model = run(&Odds { loss: 0.0, duplicate: 0.0, reorder: 0.0, select: 0.05, sender_reports: true, seed: 1 });
    let (first, last) = (model.sequences.first().unwrap(), model.sequences.last().unwrap());
    assert_eq!(last - first + 1, model.sequences.len() as u64);
    assert_eq!((model.gaps, model.late), (0, 0));
    assert!(model.switches > 30, "{}", model.switches);
}

#[test]
fn loss_reordering_and_duplication_break_no_rule() {
    for seed in 0..12 {
        let model = run(&Odds {
            loss: [0.0, 0.02, 0.2][seed as usize % 3],
            duplicate: 0.05,
            reorder: [0.05, 0.5][seed as usize % 2],
            select: 0.03,
            sender_reports: seed % 4 < 2,
            seed,
        });
        assert!(model.switches > 20, "{} switches", model.switches);
        assert!(model.late > 100 && model.gaps > 100, "{} late, {} gaps", model.late, model.gaps);
    }
}
