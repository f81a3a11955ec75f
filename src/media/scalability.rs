//! Which layers an encoding turns out to have, and how many pictures a second: from the layers of its packets, and from what its
//! keyframes say (the dependency descriptor's structure, VP9's scalability structure).
//!
//! What always holds: it grows to at most 8 spatial and 8 temporal layers; a packet costs a few comparisons.

use std::time::{Duration, Instant};

use super::clock;
use super::forward::Packet;
use crate::wire::codec::dependency_descriptor::Structure;
use crate::wire::codec::{PayloadDescriptor, vp9};

/// Spatial ids there may be (RFC 9628: three bits).
pub const SPATIAL_LAYERS: usize = 8;
/// A spatial layer that is silent for so long while others flow was switched off by its encoder. Long enough for a screen
/// share of a few pictures a second.
const LAYER_SILENCE: Duration = Duration::from_secs(1);
/// RTP time over which pictures are counted: a second.
const RATE_UNITS: u32 = 90_000;

/// What is known of an encoding's layers.
#[derive(Clone, Debug)]
pub struct Scalability {
    spatial_layers: u8,
    temporal_layers: u8,
    sizes: [Option<(u32, u32)>; SPATIAL_LAYERS],
    /// When a packet of each spatial layer last came, or the layer was said to be.
    last_seen: [Option<Instant>; SPATIAL_LAYERS],
    /// Timestamp of the newest picture.
    picture: Option<u32>,
    /// The first of those that are counted now, and how many came after it.
    counted: (u32, u32),
    frame_rate: Option<u32>,
    /// What was found at the last review: layers that flow, one bit each, and the frame rate.
    reviewed: (u8, u32),
}

impl Default for Scalability {
    fn default() -> Scalability {
        Scalability {
            spatial_layers: 1,
            temporal_layers: 1,
            sizes: [None; SPATIAL_LAYERS],
            last_seen: [None; SPATIAL_LAYERS],
            picture: None,
            counted: (0, 0),
            frame_rate: None,
            reviewed: (1, 0),
        }
    }
}

impl Scalability {
    /// A packet of the encoding. True when layers appeared that were not known.
    pub fn observe(&mut self, now: Instant, packet: &Packet) -> bool {
        let layer = packet.info.layer();
        let before = (self.spatial_layers, self.temporal_layers);
        self.spatial_layers = before.0.max(layer.spatial + 1);
        self.temporal_layers = before.1.max(layer.temporal + 1);
        if let Some(seen) = self.last_seen.get_mut(usize::from(layer.spatial)) {
            *seen = Some(now);
        }
        self.count(packet.header.timestamp);
        before != (self.spatial_layers, self.temporal_layers)
    }

    /// A keyframe says what follows it. True when that is something else than before.
    pub fn describe(&mut self, now: Instant, packet: &Packet, structure: Option<&Structure>, payload: &[u8]) -> bool {
        let before = (self.spatial_layers, self.temporal_layers, self.sizes);
        if let Some(structure) = structure.filter(|_| packet.info.dependency.is_some()) {
            self.replace(now, structure.spatial_layers(), structure.temporal_layers());
            for (spatial, size) in (0..).zip(&mut self.sizes) {
                *size = structure.size(spatial);
            }
        } else if let PayloadDescriptor::Vp9(_) = packet.info.descriptor
            && let Some(structure) = vp9::scalability_structure(payload)
        {
            self.replace(now, structure.spatial_layers, structure.temporal_layers);
            let pixels = |(width, height): (u16, u16)| (u32::from(width), u32::from(height));
            for (size, said) in self.sizes.iter_mut().zip(structure.sizes) {
                *size = said.map(pixels);
            }
        }
        before != (self.spatial_layers, self.temporal_layers, self.sizes)
    }

    pub(super) fn replace(&mut self, now: Instant, spatial: u8, temporal: u8) {
        (self.spatial_layers, self.temporal_layers) = (spatial, temporal);
        for seen in self.last_seen.iter_mut().take(spatial.into()) {
            seen.get_or_insert(now);
        }
    }

    /// Pictures in a second of RTP time; one that came late is not counted.
    fn count(&mut self, timestamp: u32) {
        if self.picture.is_some_and(|newest| !clock::is_later(timestamp, newest)) {
            return;
        }
        if self.picture.replace(timestamp).is_none() {
            self.counted = (timestamp, 0);
            return;
        }
        self.counted.1 += 1;
        let units = timestamp.wrapping_sub(self.counted.0);
        if units >= RATE_UNITS {
            let rate = u64::from(self.counted.1) * u64::from(RATE_UNITS);
            self.frame_rate = u32::try_from(rate.div_ceil(units.into())).ok();
            self.counted = (timestamp, 0);
        }
    }

    /// True when, since the last review, layers fell silent or came back, or the frame rate moved by more than a quarter.
    pub fn review(&mut self) -> bool {
        let flowing = (0..SPATIAL_LAYERS).filter(|spatial| self.flows(*spatial)).fold(0u8, |mask, s| mask | 1 << s);
        let (before, rate_before) = self.reviewed;
        let rate = self.frame_rate.unwrap_or(rate_before);
        let moved = rate.abs_diff(rate_before) > rate_before / 4;
        self.reviewed = (flowing, if moved { rate } else { rate_before });
        moved || flowing != before
    }

    /// Spatial layers, 1 to 8.
    pub fn spatial_layers(&self) -> usize {
        self.spatial_layers.into()
    }

    /// Temporal layers, 1 to 8.
    pub fn temporal_layers(&self) -> u8 {
        self.temporal_layers
    }

    /// Pixels of a spatial layer, where the encoder says them.
    pub fn size(&self, spatial: usize) -> Option<(u32, u32)> {
        self.sizes.get(spatial).copied().flatten()
    }

    /// Whether a spatial layer flows, as far as the encoding does.
    pub fn flows(&self, spatial: usize) -> bool {
        let newest = self.last_seen.iter().flatten().max();
        let seen = self.last_seen.get(spatial).copied().flatten();
        seen.zip(newest).is_some_and(|(seen, newest)| newest.saturating_duration_since(seen) < LAYER_SILENCE)
    }

    /// Pictures a second, all temporal layers taken together; `None` before the first second has passed.
    pub fn frame_rate(&self) -> Option<u32> {
        self.frame_rate
    }
}
