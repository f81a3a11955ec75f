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
const CHANGES: usize = 6;

/// What holds from a picture on.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// RTP timestamp of the first picture.
    from: u32,
    /// The layers that are forwarded.
    layers: Layer,
    /// The highest spatial layer of the stream, as far as was seen since the keyframe.
    top: u8,
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
    /// Spatial layers of which something was forwarded or withheld in that picture, one bit each.
    admitted: u8,
    withheld: u8,
    /// Timestamp of the newest keyframe.
    keyframe: u32,
    /// Spatial layers of which something was withheld since that keyframe, out of temporal layers that were forwarded.
    broken: u8,
    /// Highest spatial layer since that keyframe.
    seen: u8,
    /// The newest change of spatial layers that did not come with a keyframe.
    announced: Option<u32>,
    frames: FrameWindow,
}

impl LayerFilter {
    pub fn new() -> LayerFilter {
        let change = Change { from: 0, layers: Layer::default(), top: 0 };
        LayerFilter {
            wanted: Layer::default(),
            changes: [change; CHANGES],
            picture: 0,
            admitted: 0,
            withheld: 0,
            keyframe: 0,
            broken: 0,
            seen: 0,
            announced: None,
            frames: FrameWindow::default(),
        }
    }

    /// Begins with an encoding at the packet that starts its keyframe, which is forwarded.
    pub fn join(&mut self, first: &Packet, wanted: Layer) {
        let timestamp = first.header.timestamp;
        *self = LayerFilter {
            wanted,
            changes: [Change { from: timestamp, layers: wanted, top: 0 }; CHANGES],
            picture: timestamp,
            admitted: 1,
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
        self.newest().layers
    }

    fn newest(&self) -> Change {
        let [newest, ..] = self.changes;
        newest
    }

    /// What is wanted comes with a keyframe, not before.
    pub fn awaits_keyframe(&self) -> bool {
        let now = self.layers().spatial;
        self.wanted.spatial > now || self.wanted.spatial < now && !self.is_whole(self.wanted.spatial)
    }

    /// Whether a packet is forwarded.
    pub fn admits(&mut self, record: &Packet) -> bool {
        let (timestamp, layer) = (record.header.timestamp, record.info.layer());
        if is_later(timestamp, self.picture) {
            self.begin_picture(record, layer);
        }
        if timestamp == self.picture {
            self.begin_layers(record, layer);
            self.seen = self.seen.max(layer.spatial);
        }
        let change = self.at(timestamp);
        let admitted = is_needed(&record.info, change.layers, change.top);
        if !admitted {
            self.withhold(timestamp, layer, change.layers);
            return false;
        }
        if timestamp == self.picture {
            self.admitted |= bit(layer.spatial);
        }
        if let Some(dependency) = &record.info.dependency {
            self.frames.insert(dependency.frame_number);
        }
        true
    }

    /// Whether an admitted packet is the last of its picture, which it may not have been for the publisher.
    pub fn ends_picture(&self, record: &Packet) -> bool {
        // The layers are looked for where a frame ends only.
        record.info.ends_frame() && record.info.layer().spatial == self.at(record.header.timestamp).layers.spatial
    }

    /// The highest spatial layer, when it is to be told to the subscriber with this packet: layers changed with its picture, and no
    /// keyframe tells it.
    pub fn announces(&self, record: &Packet) -> Option<u8> {
        let timestamp = record.header.timestamp;
        self.announced.filter(|from| *from == timestamp).map(|_| self.at(timestamp).layers.spatial)
    }

    /// Fewer layers from this picture on, where that can be.
    fn begin_picture(&mut self, record: &Packet, layer: Layer) {
        self.picture = record.header.timestamp;
        (self.admitted, self.withheld) = (0, 0);
        let Change { layers: now, top, .. } = self.newest();
        if now == self.wanted && top == self.seen {
            return;
        }
        let mut layers = Layer { temporal: now.temporal.min(self.wanted.temporal), ..now };
        // A lower layer that is forwarded now will go on to be all that is needed.
        let below = layer.spatial <= self.wanted.spatial && self.wanted.spatial < now.spatial;
        if below && self.is_whole(self.wanted.spatial) && is_needed(&record.info, layers, self.seen) {
            layers.spatial = self.wanted.spatial;
        }
        self.change(layers, self.seen);
    }

    /// Whether nothing of the spatial layers up to this one was withheld since the keyframe.
    fn is_whole(&self, spatial: u8) -> bool {
        let up_to = u8::MAX.checked_shr(u32::from(7 - spatial.min(7))).unwrap_or(0);
        self.broken & up_to == 0
    }

    /// A keyframe opens all layers; it closes those of which it has brought nothing yet.
    fn begin_keyframe(&mut self) {
        (self.keyframe, self.broken, self.seen) = (self.picture, 0, 0);
        let above = self.admitted.checked_shr(u32::from(self.wanted.spatial) + 1).unwrap_or(0);
        self.change(if above == 0 { self.wanted } else { self.layers() }, 0);
        self.announced = None;
    }

    /// More layers from the newest picture on, where it is one that allows it.
    fn begin_layers(&mut self, record: &Packet, layer: Layer) {
        if record.info.starts_keyframe && self.withheld == 0 {
            return self.begin_keyframe();
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
            self.change(reached, self.newest().top);
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

    /// From the newest picture on.
    fn change(&mut self, layers: Layer, top: u8) {
        let now = self.newest();
        if (layers, top) == (now.layers, now.top) {
            return;
        }
        if layers.spatial != now.layers.spatial {
            self.announced = Some(self.picture);
        }
        self.changes.rotate_right(1);
        if let Some(newest) = self.changes.first_mut() {
            *newest = Change { from: self.picture, layers, top };
        }
    }

    /// What holds for a picture; for one from before all that is remembered, the oldest.
    fn at(&self, timestamp: u32) -> Change {
        let [newest, .., oldest] = self.changes;
        if !is_later(newest.from, timestamp) {
            return newest;
        }
        self.changes.iter().find(|change| !is_later(change.from, timestamp)).copied().unwrap_or(oldest)
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

/// Whether a packet is needed by somebody who gets these layers, of an encoding whose highest spatial layer is `top`.
pub fn is_needed(info: &PayloadInfo, layers: Layer, top: u8) -> bool {
    if let Some(dependency) = &info.dependency {
        return dependency.indication(layers) != Indication::NotPresent;
    }
    let layer = info.layer();
    let within = layer.spatial <= layers.spatial && layer.temporal <= layers.temporal;
    match &info.descriptor {
        // Nothing above refers to it, and there is something above.
        PayloadDescriptor::Vp9(vp9) if vp9.not_reference_above => within && layer.spatial >= layers.spatial.min(top),
        _ => within,
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
        if self.forwarded == 0 {
            self.newest = number;
        }
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
