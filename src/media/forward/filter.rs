//! Which packets of the encoding that is forwarded belong to the layers that are: scalable video of one RTP stream (RFC 9628 for
//! VP9, the dependency descriptor for any codec), temporal layers of VP8 (RFC 7741).
//!
//! What always holds: layers change between two pictures, so that no frame is forwarded in part, whatever the order its packets
//! come in; to more layers only where nothing that follows of them refers to what was withheld: at a keyframe, or where
//! the stream says so; to fewer spatial layers only while all frames of these were forwarded too, else at a keyframe.

use super::Packet;
use crate::media::clock::is_later;
use crate::wire::codec::dependency_descriptor::Indication;
use crate::wire::codec::{FrameDependency, Layer, PayloadDescriptor, PayloadInfo};

/// Changes of layers remembered for late packets: they come within the reach of a few pictures, in each of which one may change.
const CHANGES: usize = 4;

/// The layers forwarded from a picture on.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// RTP timestamp of the first picture.
    from: u32,
    layers: Layer,
}

/// Decides for one encoding at a time; begins anew with the next.
#[derive(Debug)]
pub struct LayerFilter {
    /// The highest layers that should be forwarded.
    wanted: Layer,
    /// Newest first.
    changes: [Change; CHANGES],
    /// Timestamp of the newest picture.
    picture: u32,
    /// Spatial layers of which something was withheld in that picture, one bit each.
    withheld: u8,
    /// Timestamp of the newest keyframe.
    keyframe: u32,
    /// Spatial layers of which something was withheld since that keyframe, out of temporal layers that were forwarded.
    broken: u8,
    /// Highest spatial layer since that keyframe, and of these pictures without the newest.
    seen: u8,
    top: u8,
    /// The newest change of spatial layers that did not come with a keyframe.
    announced: Option<u32>,
    frames: FrameWindow,
}

impl LayerFilter {
    pub fn new() -> LayerFilter {
        let change = Change { from: 0, layers: Layer::default() };
        LayerFilter {
            wanted: Layer::default(),
            changes: [change; CHANGES],
            picture: 0,
            withheld: 0,
            keyframe: 0,
            broken: 0,
            seen: 0,
            top: 0,
            announced: None,
            frames: FrameWindow::default(),
        }
    }

    /// Begins with an encoding at the packet that starts its keyframe, which is forwarded.
    pub fn join(&mut self, first: &Packet, wanted: Layer) {
        let timestamp = first.header.timestamp;
        *self = LayerFilter {
            wanted,
            changes: [Change { from: timestamp, layers: wanted }; CHANGES],
            picture: timestamp,
            keyframe: timestamp,
            ..LayerFilter::new()
        };
        if let Some(dependency) = &first.info.dependency {
            self.frames.insert(dependency.frame_number);
        }
    }

    pub fn want(&mut self, layers: Layer) {
        self.wanted = layers;
    }

    /// The layers forwarded now.
    pub fn layers(&self) -> Layer {
        let [newest, ..] = self.changes;
        newest.layers
    }

    /// What is wanted comes with a keyframe, not before.
    pub fn awaits_keyframe(&self) -> bool {
        self.wanted.spatial != self.layers().spatial && !self.reaches(self.wanted.spatial)
    }

    /// Whether a packet is forwarded.
    pub fn admits(&mut self, record: &Packet) -> bool {
        let (timestamp, layer) = (record.header.timestamp, record.info.layer());
        if is_later(timestamp, self.picture) {
            self.begin_picture(timestamp);
        }
        if timestamp == self.picture {
            self.begin_layers(record, layer);
            self.seen = self.seen.max(layer.spatial);
        }
        let layers = self.layers_at(timestamp);
        let admitted = self.needs(&record.info, layer, layers);
        if !admitted {
            self.withhold(timestamp, layer, layers);
        } else if let Some(dependency) = &record.info.dependency {
            self.frames.insert(dependency.frame_number);
        }
        admitted
    }

    /// Whether an admitted packet is the last of its picture, which it may not have been for the publisher.
    pub fn ends_picture(&self, record: &Packet) -> bool {
        let highest = self.layers_at(record.header.timestamp).spatial;
        record.info.ends_frame() && record.info.layer().spatial == highest
    }

    /// The highest spatial layer, when it is to be told to the subscriber with this packet: layers changed with its picture, and no
    /// keyframe tells it.
    pub fn announces(&self, record: &Packet) -> Option<u8> {
        let timestamp = record.header.timestamp;
        self.announced.filter(|from| *from == timestamp).map(|_| self.layers_at(timestamp).spatial)
    }

    fn begin_picture(&mut self, timestamp: u32) {
        self.picture = timestamp;
        self.withheld = 0;
        self.top = self.seen;
        let now = self.layers();
        if now == self.wanted {
            return;
        }
        let spatial = if self.reaches(self.wanted.spatial) { self.wanted.spatial } else { now.spatial };
        let temporal = now.temporal.min(self.wanted.temporal);
        self.change(Layer { spatial, temporal });
    }

    /// Whether the next picture may be forwarded up to this spatial layer, keyframe or not.
    fn reaches(&self, spatial: u8) -> bool {
        let now = self.layers().spatial;
        if spatial >= now {
            return spatial == now || self.seen <= now; // no layer was withheld
        }
        let below = u8::MAX.checked_shr(u32::from(7 - spatial.min(7))).unwrap_or(0);
        self.broken & below == 0
    }

    /// More layers from the newest picture on, where it is one that allows it.
    fn begin_layers(&mut self, record: &Packet, layer: Layer) {
        if record.info.starts_keyframe && self.withheld == 0 {
            (self.keyframe, self.broken, self.seen, self.top) = (self.picture, 0, 0, 0);
            self.change(self.wanted);
            self.announced = None;
            return;
        }
        let now = self.layers();
        if now == self.wanted || self.withheld & bit(layer.spatial) != 0 {
            return;
        }
        let reached = match (&record.info.dependency, &record.info.descriptor) {
            (Some(dependency), _) => self.switched(dependency, now),
            (None, PayloadDescriptor::Vp9(vp9)) if vp9.switching_up && layer.temporal <= now.temporal => {
                Some(Layer { temporal: self.wanted.temporal, ..now })
            }
            (None, PayloadDescriptor::Vp8(vp8)) if vp8.layer_sync && layer.temporal == now.temporal + 1 => {
                Some(Layer { temporal: layer.temporal, ..now })
            }
            _ => None,
        };
        let grows = |reached: &Layer| {
            reached.spatial >= now.spatial && (now.temporal..=self.wanted.temporal).contains(&reached.temporal)
        };
        if let Some(reached) = reached.filter(grows) {
            self.change(reached);
        }
    }

    /// The layers a frame opens that can be decoded with what was forwarded: it says so for the decode target, and all frames it
    /// refers to were forwarded. Spatial layers begin with the lowest, since of the others the marker is out.
    fn switched(&self, dependency: &FrameDependency, now: Layer) -> Option<Layer> {
        if !self.frames.hold(dependency) {
            return None;
        }
        let opens = |layers: &Layer| dependency.indication(*layers) == Indication::Switch;
        let wanted = Some(self.wanted).filter(|_| dependency.layer.spatial == 0 && self.withheld == 0);
        let above = Layer { temporal: self.wanted.temporal, ..now };
        wanted.filter(opens).or_else(|| Some(above).filter(opens))
    }

    fn change(&mut self, layers: Layer) {
        let now = self.layers();
        if layers == now {
            return;
        }
        if layers.spatial != now.spatial {
            self.announced = Some(self.picture);
        }
        self.changes.rotate_right(1);
        if let Some(newest) = self.changes.first_mut() {
            *newest = Change { from: self.picture, layers };
        }
    }

    /// The layers that hold for a picture; for one from before all that is remembered, the oldest.
    fn layers_at(&self, timestamp: u32) -> Layer {
        let [newest, .., oldest] = self.changes;
        if !is_later(newest.from, timestamp) {
            return newest.layers;
        }
        let before = self.changes.iter().find(|change| !is_later(change.from, timestamp));
        before.map_or(oldest.layers, |change| change.layers)
    }

    fn needs(&self, info: &PayloadInfo, layer: Layer, layers: Layer) -> bool {
        if let Some(dependency) = &info.dependency {
            return dependency.indication(layers) != Indication::NotPresent;
        }
        let within = layer.spatial <= layers.spatial && layer.temporal <= layers.temporal;
        match &info.descriptor {
            // Nothing above refers to it, and there is something above.
            PayloadDescriptor::Vp9(vp9) if vp9.not_reference_above => {
                within && layer.spatial >= layers.spatial.min(self.top)
            }
            _ => within,
        }
    }

    fn withhold(&mut self, timestamp: u32, layer: Layer, layers: Layer) {
        if timestamp == self.picture {
            self.withheld |= bit(layer.spatial);
        }
        if layer.temporal <= layers.temporal && !is_later(self.keyframe, timestamp) {
            self.broken |= bit(layer.spatial);
        }
    }
}

/// Spatial ids are below 8.
fn bit(spatial: u8) -> u8 {
    1u8.checked_shl(spatial.into()).unwrap_or(0)
}

/// Frame numbers (of the dependency descriptor) that were forwarded, as far back as a frame may say that it refers to.
#[derive(Clone, Copy, Default, Debug)]
struct FrameWindow {
    newest: u16,
    /// Bit n: the frame n before `newest`.
    forwarded: u64,
}

impl FrameWindow {
    fn insert(&mut self, number: u16) {
        let ahead = number.wrapping_sub(self.newest);
        if ahead < 1 << 15 {
            self.forwarded = self.forwarded.checked_shl(ahead.into()).unwrap_or(0) | 1;
            self.newest = number;
        } else {
            let behind = self.newest.wrapping_sub(number);
            self.forwarded |= 1u64.checked_shl(behind.into()).unwrap_or(0);
        }
    }

    /// Whether all that a frame refers to is among them.
    fn hold(&self, dependency: &FrameDependency) -> bool {
        let ahead = dependency.frame_number.wrapping_sub(self.newest) as i16;
        // Bit n: the frame n + 1 before this one.
        let before = match ahead {
            1.. => self.forwarded.checked_shl(ahead.unsigned_abs().into()).unwrap_or(0) >> 1,
            _ => self.forwarded.checked_shr(u32::from(ahead.unsigned_abs()) + 1).unwrap_or(0),
        };
        !dependency.refers_further && u64::from(dependency.references) & !before == 0
    }
}
