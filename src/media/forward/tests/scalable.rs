//! Random wishes for layers, loss, reordering and duplication, for every kind of scalable stream: no frame goes out in part, and
//! with each frame all it refers to, unless the network lost it.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;

use super::encoder::{Encoded, Encoder, Frame, Mode};
use super::*;
use crate::wire::codec::dependency_descriptor::Structure;

const PICTURES: usize = 1_200;
const PICTURE_TIME: Duration = Duration::from_millis(33);
const MOST_DELAY: Duration = Duration::from_millis(90);
/// Pictures within which a wish is fulfilled where nothing is lost: the keyframe that is asked for, or two cycles of temporal layers.
const REACHED: usize = 24;

const fn mode(codec: Codec, described: bool, spatial: u8, temporal: u8, key: bool) -> Mode {
    Mode { codec, described, spatial, temporal, key }
}

/// One encoding with spatial layers.
const SVC: [Mode; 9] = [
    mode(Codec::Vp9, false, 1, 2, false),
    mode(Codec::Vp9, false, 2, 2, false),
    mode(Codec::Vp9, false, 3, 3, false),
    mode(Codec::Vp9, false, 3, 3, true),
    mode(Codec::Vp9, true, 3, 3, true),
    mode(Codec::Av1, true, 1, 3, false),
    mode(Codec::Av1, true, 2, 2, true),
    mode(Codec::Av1, true, 3, 3, false),
    mode(Codec::Av1, true, 3, 3, true),
];
/// Three encodings of one spatial layer.
const SIMULCAST: [Mode; 7] = [
    mode(Codec::Vp8, false, 1, 1, false),
    mode(Codec::Vp8, false, 1, 2, false),
    mode(Codec::Vp8, false, 1, 3, false),
    mode(Codec::Vp8, true, 1, 3, false),
    mode(Codec::H264, true, 1, 2, false),
    mode(Codec::Vp9, false, 1, 3, false),
    mode(Codec::Av1, true, 1, 3, false),
];

#[derive(Clone, Copy)]
struct Odds {
    loss: f64,
    reorder: f64,
    duplicate: f64,
    wish: f64,
    seed: u64,
}

const PERFECT: Odds = Odds { loss: 0.0, reorder: 0.0, duplicate: 0.0, wish: 0.04, seed: 0 };

/// What became of a frame's packets, by their place in it.
#[derive(Default)]
struct Outcome {
    forwarded: BTreeSet<u64>,
    /// Came, while the stream was being forwarded in the same run, and were not forwarded.
    withheld: BTreeSet<u64>,
    run: usize,
}

struct World {
    mode: Mode,
    odds: Odds,
    random: StdRng,
    stream: SendStream,
    frames: Vec<Frame>,
    outcomes: BTreeMap<usize, Outcome>,
    /// Run and packet.
    outputs: Vec<(usize, Received)>,
    /// Of the subscriber.
    structure: Option<Box<Structure>>,
    /// Runs of one encoding; the first packet of the present one, and what was added to its counters.
    run: usize,
    first: u64,
    offsets: BTreeSet<(usize, u16)>,
    wanted: Option<Selection>,
    wished: usize,
    fulfilled: u32,
    changes: u32,
}

impl World {
    fn new(mode: Mode, odds: Odds) -> World {
        let payload_types = [(mode.codec, PayloadType(100))];
        World {
            mode,
            odds,
            random: StdRng::seed_from_u64(odds.seed),
            stream: send_stream(&payload_types, odds.seed),
            frames: Vec::new(),
            outcomes: BTreeMap::new(),
            outputs: Vec::new(),
            structure: None,
            run: 0,
            first: 0,
            offsets: BTreeSet::new(),
            wanted: None,
            wished: 0,
            fulfilled: 0,
            changes: 0,
        }
    }

    fn run(mut self, encodings: usize) -> World {
        let start = Instant::now();
        let mut encoders: Vec<_> =
            (0..encodings).map(|encoding| Encoder::new(self.mode, encoding, &mut self.random)).collect();
        let mut network: BTreeMap<(Instant, u64), (Sent, usize)> = BTreeMap::new();
        let mut serial = 0;
        for picture in 0..PICTURES {
            let now = start + PICTURE_TIME * picture as u32;
            let asked = self.stream.awaits_keyframe();
            for encoder in &mut encoders {
                let keyframe = picture == 0
                    || self.random.random_ratio(1, 200)
                    || asked == Some(encoder.encoding) && self.random.random_ratio(1, 3);
                for Encoded { sent, frame } in encoder.encode(keyframe, &mut self.frames, &mut self.random) {
                    let copies = if self.random.random_bool(self.odds.duplicate) { 2 } else { 1 };
                    for _ in 0..copies {
                        serial += 1;
                        let late = self.random.random_bool(self.odds.reorder);
                        let delay = if late { MOST_DELAY.mul_f64(self.random.random()) } else { Duration::ZERO };
                        if !self.random.random_bool(self.odds.loss) {
                            network.insert((now + delay, serial), (sent.clone(), frame));
                        }
                    }
                }
            }
            let later = network.split_off(&(now + PICTURE_TIME, 0));
            let (arrivals, mut wishes) = (std::mem::replace(&mut network, later), self.wishes(picture));
            let at = self.random.random_range(0..=arrivals.len());
            for (index, ((arrival, _), (sent, frame))) in arrivals.into_iter().enumerate() {
                if index == at {
                    self.wish(picture, wishes.take());
                }
                self.arrive(arrival, &sent, frame);
            }
            self.wish(picture, wishes);
            self.look(picture);
        }
        self
    }

    /// A new wish, now and then; to be made in the middle of a picture.
    fn wishes(&mut self, picture: usize) -> Option<Option<Selection>> {
        let due = picture > 0 && self.random.random_bool(self.odds.wish);
        if !due && picture > 0 {
            return None;
        }
        if self.random.random_ratio(1, 12) {
            return Some(None);
        }
        let spatial = [0, 1, 2, 7][self.random.random_range(0..4)];
        let temporal = [0, 1, 2, 7][self.random.random_range(0..4)];
        let encoding = self.frames.iter().rev().take(3).map(|frame| frame.encoding).max().unwrap_or(0);
        let encoding = if self.random.random_ratio(1, 2) { self.random.random_range(0..=encoding) } else { 0 };
        Some(Some(Selection { encoding, layers: Layer { spatial, temporal } }))
    }

    fn wish(&mut self, picture: usize, wish: Option<Option<Selection>>) {
        if let Some(wish) = wish {
            self.stream.select(wish);
            (self.wanted, self.wished) = (wish, picture);
        }
    }

    fn arrive(&mut self, now: Instant, sent: &Sent, frame: usize) {
        let before = self.stream.origin();
        let received = forward(&mut self.stream, now, sent);
        let origin = Origin { encoding: sent.encoding, ssrc: sent.ssrc };
        if self.stream.origin() != before {
            self.run += 1;
            self.first = sent.sequence;
            self.structure = None;
            self.changes += 1;
        }
        let run = self.run;
        let joined = self.stream.origin() == Some(origin) && sent.sequence >= self.first;
        let outcome = self.outcomes.entry(frame).or_default();
        match received {
            Some(received) => {
                outcome.forwarded.insert(sent.sequence);
                outcome.run = run;
                self.check_counters(sent, frame, &received);
                self.outputs.push((run, received));
            }
            None if joined && !outcome.forwarded.contains(&sent.sequence) => {
                outcome.withheld.insert(sent.sequence);
                outcome.run = run;
            }
            None => {}
        }
    }

    /// Within a run, frame numbers and VP9's picture ids keep their distances; descriptors are read with what the subscriber got.
    fn check_counters(&mut self, sent: &Sent, frame: usize, received: &Received) {
        let picture = |payload: &[u8]| codec::vp9::parse(payload).unwrap().picture_id.unwrap();
        if self.mode.codec == Codec::Vp9 {
            let offset = picture(&received.payload).wrapping_sub(picture(&sent.payload)) & 0x7fff;
            self.offsets.insert((2 * self.run, offset));
        }
        let Some((_, value)) = received.extensions.iter().find(|(id, _)| *id == DEPENDENCY) else { return };
        let read = dependency_descriptor::read(value, &mut self.structure);
        let number = dependency_descriptor::frame_number(value).unwrap();
        self.offsets.insert((2 * self.run + 1, number.wrapping_sub(self.frames[frame].number)));
        if self.odds.loss + self.odds.reorder == 0.0 {
            assert_eq!(read.unwrap().layer, self.frames[frame].layer, "templates are found");
        }
    }

    /// Where nothing is lost, a wish is fulfilled soon.
    fn look(&mut self, picture: usize) {
        let lossless = self.odds.loss + self.odds.reorder == 0.0;
        if !lossless || picture != self.wished + REACHED {
            return;
        }
        let effective = |selection: Selection| (selection.encoding, self.mode.effective(selection.layers));
        assert_eq!(
            self.stream.selected().map(effective),
            self.wanted.map(effective),
            "{:?} picture {picture} {:?}",
            self.mode,
            self.stream.filter
        );
        assert_eq!(self.stream.awaits_keyframe(), None);
        self.fulfilled += 1;
    }

    /// No frame in part, and with each all it refers to.
    fn check_frames(&self) -> usize {
        let mut forwarded = 0;
        for (index, outcome) in self.outcomes.iter().filter(|(_, outcome)| !outcome.forwarded.is_empty()) {
            let frame = &self.frames[*index];
            forwarded += 1;
            assert!(
                outcome.withheld.is_empty(),
                "{:?} frame {index} {:?} in part: {:?} of {:?} withheld",
                self.mode,
                frame.layer,
                outcome.withheld,
                frame.packets
            );
            for reference in &frame.references {
                let referred = self.outcomes.get(reference);
                let withheld = referred.is_some_and(|referred| {
                    referred.forwarded.is_empty() && !referred.withheld.is_empty() && referred.run == outcome.run
                });
                assert!(!withheld, "{:?} frame {index} {:?} refers to {reference}", self.mode, frame.layer);
            }
        }
        forwarded
    }

    fn check_offsets(&self) {
        let runs: BTreeSet<_> = self.offsets.iter().map(|(run, _)| run).collect();
        assert_eq!(runs.len(), self.offsets.len(), "one offset for each run");
    }

    /// On a perfect network numbers have no gap, each picture ends with the only marker, and VP8's picture ids count.
    fn check_continuity(&self) {
        for pair in self.outputs.windows(2) {
            let [(run, before), (next_run, after)] = pair else { panic!() };
            assert_eq!(after.sequence, before.sequence + 1);
            assert!(!clock::is_later(before.timestamp, after.timestamp));
            let (marked, ends) = (before.header[1] & 0x80 != 0, before.timestamp != after.timestamp);
            // A pause may come in the middle of a picture.
            assert!(marked == ends || run != next_run, "a marker ends each picture");
            if self.mode.codec == Codec::Vp8 {
                let step = picture_id(after).wrapping_sub(picture_id(before)) & 0x7fff;
                assert_eq!(step, u16::from(ends), "picture ids count pictures");
            }
        }
    }
}

#[test]
fn on_a_perfect_network_every_wish_is_fulfilled_and_nothing_is_missing() {
    let all = SVC.map(|mode| (mode, 1)).into_iter().chain(SIMULCAST.map(|mode| (mode, 3)));
    for (mode, encodings) in all {
        let world = World::new(mode, PERFECT).run(encodings);
        let forwarded = world.check_frames();
        world.check_offsets();
        world.check_continuity();
        assert!(forwarded > 400 && world.fulfilled > 10, "{mode:?}: {forwarded} frames, {} wishes", world.fulfilled);
    }
}

#[test]
fn loss_and_reordering_show_no_frame_in_part_and_none_without_what_it_refers_to() {
    for (index, mode) in SVC.into_iter().chain(SIMULCAST).enumerate() {
        for seed in 0..4 {
            let odds = Odds {
                loss: [0.0, 0.02, 0.15][seed as usize % 3],
                reorder: [0.3, 0.05][seed as usize % 2],
                duplicate: 0.03,
                wish: 0.1,
                seed: 100 * index as u64 + seed,
            };
            let world = World::new(mode, odds).run(if index < SVC.len() { 1 } else { 3 });
            let forwarded = world.check_frames();
            world.check_offsets();
            assert!(forwarded > 200, "{mode:?}: {forwarded} frames");
        }
    }
}

#[test]
fn a_keyframe_tells_which_decode_targets_are_left() {
    let now = Instant::now();
    let mode = mode(Codec::Av1, true, 3, 3, false);
    let mut random = StdRng::seed_from_u64(1);
    let mut encoder = Encoder::new(mode, 0, &mut random);
    let mut stream = send_stream(&[(Codec::Av1, PayloadType(41))], 1);
    let mut frames = Vec::new();
    let mut first_descriptor = |stream: &mut SendStream, keyframe| {
        let mut values = Vec::new();
        for Encoded { sent, .. } in encoder.encode(keyframe, &mut frames, &mut random) {
            let received = forward(stream, now, &sent);
            let value = received.and_then(|r| r.extensions.into_iter().find(|(id, _)| *id == DEPENDENCY));
            values.extend(value.map(|(_, value)| value));
        }
        values.swap_remove(0)
    };
    // The flag of the mask is the second of the extended fields; behind the structure's nine targets of three layers it holds these.
    let masked = |value: &[u8]| value[3] & 0x40 != 0;
    stream.select(Some(Selection { encoding: 0, layers: Layer { spatial: 1, temporal: 7 } }));
    let key = first_descriptor(&mut stream, true);
    let mut plain = [0; dependency_descriptor::DESCRIPTOR_BYTES];
    assert!(masked(&key), "of three spatial layers two are forwarded");
    let same = dependency_descriptor::with_active_targets(&key, 9, 0b000_111_111, &mut plain).unwrap();
    assert_eq!(plain[..same], key, "a mask of the first six narrows nothing");
    assert!(!masked(&first_descriptor(&mut stream, false)), "said once");
    stream.select(Some(Selection { encoding: 0, layers: Layer { spatial: 0, temporal: 7 } }));
    assert!(masked(&first_descriptor(&mut stream, false)), "layers changed without a keyframe");
    assert!(!masked(&first_descriptor(&mut stream, false)));
    stream.select(Some(Selection::all(0)));
    assert_eq!(stream.awaits_keyframe(), Some(0));
    assert!(!masked(&first_descriptor(&mut stream, true)), "all of them");
}
