//! Template ids of dependency descriptors towards one subscriber (AV1 RTP specification, appendix A.4.2): those of different
//! encodings, and of structures that follow each other, never meet.
//!
//! What always holds: while one encoding is forwarded its ids are moved by one and the same number.

use crate::wire::codec::dependency_descriptor::{Structure, template_ids};

/// Decode targets a structure may have.
const DECODE_TARGETS: usize = 32;

#[derive(Debug)]
pub struct Templates {
    /// Added to the publisher's ids, modulo 64.
    pub shift: u8,
    /// The id after those of the newest structure, as the subscriber sees them.
    next: Option<u8>,
    /// Of the newest structure: the highest spatial layer of each decode target.
    spatial: [u8; DECODE_TARGETS],
    pub decode_targets: usize,
    /// Counts changes of the two above, wrapping.
    pub structure: u8,
}

impl Templates {
    pub fn new() -> Templates {
        Templates { shift: 0, next: None, spatial: [0; DECODE_TARGETS], decode_targets: 0, structure: 0 }
    }

    /// A packet carries this structure. `joins` when it is the first of an encoding.
    pub fn take(&mut self, structure: &Structure, joins: bool) {
        let (offset, count) = template_ids(structure);
        if let Some(next) = self.next.filter(|_| joins) {
            self.shift = next.wrapping_sub(offset) & 63;
        }
        self.next = Some(offset.wrapping_add(self.shift).wrapping_add(count) & 63);
        let before = (self.decode_targets, self.spatial);
        self.decode_targets = structure.decode_targets();
        for (target, spatial) in self.spatial.iter_mut().enumerate() {
            *spatial = structure.target_layer(target).spatial;
        }
        self.structure = self.structure.wrapping_add(u8::from(before != (self.decode_targets, self.spatial)));
    }

    /// The decode targets, one bit each, that need no spatial layer above this one.
    pub fn active(&self, spatial: u8) -> u32 {
        let targets = self.spatial.iter().take(self.decode_targets).enumerate();
        targets.filter(|(_, layer)| **layer <= spatial).fold(0, |mask, (target, _)| mask | 1 << target)
    }

    /// Whether some decode target needs a spatial layer above this one.
    pub fn reach_above(&self, spatial: u8) -> bool {
        self.spatial.iter().take(self.decode_targets).any(|layer| *layer > spatial)
    }
}
