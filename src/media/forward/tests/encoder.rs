//! A model of an encoder with layers: which frames there are, which of them each refers to, and how its packets say so, by the
//! codec's own descriptor or by the dependency descriptor.

use rand::Rng;

use super::*;
use crate::wire::codec::dependency_descriptor::{Indication, Structure};

/// How a stream is scalable, and how it says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mode {
    pub codec: Codec,
    /// By the dependency descriptor, else by the codec's own.
    pub described: bool,
    pub spatial: u8,
    pub temporal: u8,
    /// Spatial layers refer to each other at keyframes only (L*T*_KEY).
    pub key: bool,
}

/// What only the model knows of a frame.
pub struct Frame {
    pub encoding: usize,
    pub layer: Layer,
    /// Frames, by their place in the list of all.
    pub references: Vec<usize>,
    pub number: u16,
    /// First sequence number, and how many.
    pub packets: (u64, u64),
}

/// A packet, and the frame it is of.
pub struct Encoded {
    pub sent: Sent,
    pub frame: usize,
}

pub struct Encoder {
    pub mode: Mode,
    pub encoding: usize,
    pub sequence: u64,
    pub timestamp: u32,
    pub number: u16,
    pub picture_id: u16,
    pub tl0: u8,
    pub offset: u8,
    /// Pictures since the last keyframe.
    position: usize,
    /// Frames of this cycle of temporal layers refer to nothing above the base before it.
    sync: bool,
    /// The newest frame of each layer.
    newest: [[Option<usize>; 3]; 3],
    structure: Option<Box<Structure>>,
}

/// What one picture is.
#[derive(Clone, Copy)]
struct Picture {
    keyframe: bool,
    temporal: u8,
    /// The frame before of temporal layer 1 is of the same cycle.
    after_middle: bool,
    sync: bool,
}

impl Encoder {
    pub fn new(mode: Mode, encoding: usize, random: &mut StdRng) -> Encoder {
        Encoder {
            mode,
            encoding,
            sequence: random.random_range(1 << 16..1 << 17),
            timestamp: random.random(),
            number: random.random(),
            picture_id: random.random_range(0..1 << 15),
            tl0: random.random(),
            offset: random.random_range(0..64),
            position: 0,
            sync: true,
            newest: [[None; 3]; 3],
            structure: None,
        }
    }

    /// The packets of the next picture.
    pub fn encode(&mut self, keyframe: bool, frames: &mut Vec<Frame>, random: &mut StdRng) -> Vec<Encoded> {
        self.timestamp = self.timestamp.wrapping_add(3_000);
        let picture = self.begin(keyframe);
        let mut packets: Vec<Encoded> = Vec::new();
        for spatial in 0..self.mode.spatial {
            let layer = Layer { spatial, temporal: picture.temporal };
            let count = random.random_range(1..4);
            frames.push(Frame {
                encoding: self.encoding,
                layer,
                references: self.references(layer, picture, frames.len()),
                number: self.number,
                packets: (self.sequence + 1, count),
            });
            let written = if keyframe && spatial == 0 { Some(self.written()) } else { None };
            for index in 0..count {
                let structure = written.as_ref().filter(|_| index == 0);
                packets.push(self.packet(frames, picture, (index == 0, index + 1 == count), structure));
            }
            self.newest[usize::from(spatial)][usize::from(picture.temporal)] = Some(frames.len() - 1);
            self.number = self.number.wrapping_add(1);
        }
        packets.last_mut().unwrap().sent.marker = true;
        packets
    }

    fn begin(&mut self, keyframe: bool) -> Picture {
        let cycle = 1usize << (self.mode.temporal - 1);
        self.position = if keyframe { 0 } else { self.position + 1 };
        let place = self.position % cycle;
        if place == 0 {
            self.sync = keyframe || !self.sync;
        }
        if keyframe {
            self.newest = [[None; 3]; 3];
            self.offset = (self.offset + 25) % 64;
        }
        let temporal = match (self.mode.temporal, place) {
            (_, 0) => 0,
            (2, _) | (3, 2) => 1,
            _ => 2,
        };
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.tl0 = self.tl0.wrapping_add(u8::from(temporal == 0));
        Picture { keyframe, temporal, after_middle: place == 3, sync: self.sync }
    }

    fn references(&self, layer: Layer, picture: Picture, frame: usize) -> Vec<usize> {
        let newest = self.newest[usize::from(layer.spatial)];
        let mut references = Vec::new();
        if !picture.keyframe {
            references.extend(newest[0]);
            if layer.temporal > 0 && !picture.sync {
                references.extend(newest[usize::from(layer.temporal)]);
            }
            if layer.temporal == 2 && picture.after_middle {
                references.extend(newest[1]);
            }
        }
        if layer.spatial > 0 && (picture.keyframe || !self.mode.key) {
            references.push(frame - 1);
        }
        references.sort_unstable();
        references.dedup();
        references
    }

    fn packet(
        &mut self,
        frames: &[Frame],
        picture: Picture,
        (starts, ends): (bool, bool),
        structure: Option<&WrittenStructure>,
    ) -> Encoded {
        self.sequence += 1;
        let frame = frames.last().unwrap();
        let mut payload = self.descriptor(frame, picture, starts, ends);
        payload.extend((frames.len() as u32 - 1).to_be_bytes());
        let mut sent = Sent::new(self.encoding, self.mode.codec, self.sequence, &payload);
        sent.timestamp = self.timestamp;
        if self.mode.described {
            let references: Vec<_> = frame
                .references
                .iter()
                .map(|frame_| u32::from(frame.number.wrapping_sub(frames[*frame_].number)))
                .collect();
            let value = WrittenFrame {
                starts,
                ends,
                structure,
                references: Some(&references),
                ..WrittenFrame::new(self.template(frame.layer, picture), frame.number)
            };
            let value = value.bytes();
            sent.info = Some(codec::inspect(sent.codec, &sent.payload, Some(&value), &mut self.structure));
            sent.extensions = vec![(13, value)];
        }
        Encoded { sent, frame: frames.len() - 1 }
    }

    /// The codec's own.
    fn descriptor(&self, frame: &Frame, picture: Picture, starts: bool, ends: bool) -> Vec<u8> {
        let Layer { spatial, temporal } = frame.layer;
        let [high, low] = self.picture_id.to_be_bytes();
        match self.mode.codec {
            Codec::Vp8 => {
                let sync = picture.sync && (temporal == 1 || temporal == 2 && !picture.after_middle);
                let start = if starts { 0x90 } else { 0x80 };
                vec![
                    start,
                    0xe0,
                    high | 0x80,
                    low,
                    self.tl0,
                    temporal << 6 | u8::from(sync) << 5,
                    u8::from(!picture.keyframe),
                ]
            }
            Codec::Vp9 => {
                let top = spatial + 1 == self.mode.spatial;
                let alone = self.mode.key && !picture.keyframe;
                let up = temporal == 2 || picture.sync;
                let flags = [(!picture.keyframe, 0x40), (starts, 0x08), (ends, 0x04), (top || alone, 0x01)];
                let flags = flags.iter().filter(|(set, _)| *set).fold(0xa0, |sum, (_, bit)| sum | bit);
                let layers = temporal << 5 | u8::from(up) << 4 | spatial << 1 | u8::from(spatial > 0 && !alone);
                vec![flags, high | 0x80, low, layers, self.tl0]
            }
            _ => vec![0x10],
        }
    }

    /// Three templates for each layer: in a keyframe, in a cycle that begins anew, in another.
    fn template(&self, layer: Layer, picture: Picture) -> u8 {
        let kind = if picture.keyframe { 0 } else { 2 - u8::from(picture.sync) };
        (self.offset + 3 * (layer.spatial * self.mode.temporal + layer.temporal) + kind) % 64
    }

    fn written(&self) -> WrittenStructure {
        let mut templates = Vec::new();
        for spatial in 0..self.mode.spatial {
            for temporal in 0..self.mode.temporal {
                for kind in 0..3 {
                    let layer = Layer { spatial, temporal };
                    let indications = self.mode.layers().map(|target| self.indication(layer, kind, target)).collect();
                    templates.push(WrittenTemplate { layer, indications, references: vec![1] });
                }
            }
        }
        let sizes = (0..u32::from(self.mode.spatial)).map(|spatial| (320 << spatial, 180 << spatial)).collect();
        WrittenStructure { offset: self.offset, templates, sizes }
    }

    fn indication(&self, layer: Layer, kind: u8, target: Layer) -> Indication {
        let (keyframe, sync) = (kind == 0, kind < 2);
        if layer.temporal > target.temporal || layer.spatial > target.spatial {
            return Indication::NotPresent;
        }
        match (keyframe, layer.spatial < target.spatial) {
            (true, _) => Indication::Switch,
            (false, true) if self.mode.key => Indication::NotPresent,
            (false, true) => Indication::Required,
            (false, false) if sync || target.temporal == 0 => Indication::Switch,
            _ => Indication::Required,
        }
    }
}

impl Mode {
    /// All pairs of layers; each is a decode target.
    pub fn layers(self) -> impl Iterator<Item = Layer> {
        let pairs = move |spatial| (0..self.temporal).map(move |temporal| Layer { spatial, temporal });
        (0..self.spatial).flat_map(pairs)
    }

    /// The same layers, by the highest there are.
    pub fn effective(self, layers: Layer) -> Layer {
        Layer { spatial: layers.spatial.min(self.spatial - 1), temporal: layers.temporal.min(self.temporal - 1) }
    }
}
