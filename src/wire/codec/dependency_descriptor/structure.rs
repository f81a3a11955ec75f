//! The template dependency structure (AV1 RTP specification, appendix A.4.1 and A.4.2): what the frames of a coded video sequence
//! have in common, so that a packet need only name a template.
//!
//! What always holds: everything a structure may hold has room in it (64 templates, 32 decode targets), so that taking the next
//! one over allocates nothing. Chains are read over: they tell a receiver of loss, and what is forwarded is decided without them.

use super::Layer;
use crate::wire::codec::bits::BitReader;

/// Largest ids (table A.1).
pub const SPATIAL_LAYERS: usize = 4;
pub const TEMPORAL_LAYERS: usize = 8;
const TEMPLATES: usize = 64;
const DECODE_TARGETS: usize = 32;

/// Relation of a frame to a decode target (table A.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Indication {
    NotPresent,
    Discardable,
    /// All that follows of the decode target can be decoded if this frame can.
    Switch,
    Required,
}

impl Indication {
    pub(super) fn from_bits(bits: u64) -> Indication {
        match bits & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }
}

/// What frames of one kind have in common.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Template {
    pub layer: Layer,
    /// Two bits for each decode target.
    pub indications: u64,
    /// Bit n: refers to the frame n + 1 before.
    pub references: u32,
}

/// A structure, and what follows from it for each pair of layers.
#[derive(Clone, Debug)]
pub struct Structure {
    template_id_offset: u8,
    templates: [Template; TEMPLATES],
    template_count: usize,
    decode_targets: usize,
    chains: usize,
    /// The highest layers of each decode target's frames.
    target_layers: [Layer; DECODE_TARGETS],
    /// For each pair of layers, the decode target that has most of it: at spatial id times eight plus temporal id.
    best: [u8; SPATIAL_LAYERS * TEMPORAL_LAYERS],
    /// Pixels, by spatial id.
    sizes: [Option<(u32, u32)>; SPATIAL_LAYERS],
}

impl Structure {
    /// Reads `template_dependency_structure()`; `None` when it ends early or breaks its bounds.
    pub(super) fn read(reader: &mut BitReader<'_>) -> Option<Structure> {
        let mut structure = Structure {
            template_id_offset: reader.bits(6)? as u8,
            templates: [Template::default(); TEMPLATES],
            template_count: 0,
            decode_targets: reader.bits(5)? as usize + 1,
            chains: 0,
            target_layers: [Layer::default(); DECODE_TARGETS],
            best: [0; SPATIAL_LAYERS * TEMPORAL_LAYERS],
            sizes: [None; SPATIAL_LAYERS],
        };
        structure.read_layers(reader)?;
        structure.read_indications(reader)?;
        structure.read_references(reader)?;
        structure.read_chains(reader)?;
        if reader.flag()? {
            structure.read_sizes(reader)?;
        }
        structure.find_targets();
        Some(structure)
    }

    fn used(&mut self) -> impl Iterator<Item = &mut Template> {
        self.templates.iter_mut().take(self.template_count)
    }

    fn read_layers(&mut self, reader: &mut BitReader<'_>) -> Option<()> {
        let mut layer = Layer::default();
        loop {
            self.templates.get_mut(self.template_count)?.layer = layer;
            self.template_count += 1;
            match reader.bits(2)? {
                0 => {}
                1 => layer.temporal += 1,
                2 => layer = Layer { spatial: layer.spatial + 1, temporal: 0 },
                _ => return Some(()),
            }
            if usize::from(layer.spatial) >= SPATIAL_LAYERS || usize::from(layer.temporal) >= TEMPORAL_LAYERS {
                return None;
            }
        }
    }

    fn read_indications(&mut self, reader: &mut BitReader<'_>) -> Option<()> {
        let targets = self.decode_targets;
        self.used().try_for_each(|template| {
            template.indications = read_indications(reader, targets)?;
            Some(())
        })
    }

    fn read_references(&mut self, reader: &mut BitReader<'_>) -> Option<()> {
        self.used().try_for_each(|template| {
            while reader.flag()? {
                template.references |= 1 << reader.bits(4)?;
            }
            Some(())
        })
    }

    fn read_chains(&mut self, reader: &mut BitReader<'_>) -> Option<()> {
        let chains = reader.below(self.decode_targets as u32 + 1)?;
        self.chains = chains as usize;
        if chains == 0 {
            return Some(());
        }
        // ns(chains_cnt) as senders write it; early drafts said chains_cnt + 1.
        (0..self.decode_targets).try_for_each(|_| reader.below(chains).map(|_| ()))?;
        reader.skip(4 * self.chains * self.template_count)
    }

    fn read_sizes(&mut self, reader: &mut BitReader<'_>) -> Option<()> {
        let highest = usize::from(self.highest_spatial());
        self.sizes.iter_mut().take(highest + 1).try_for_each(|size| {
            *size = Some((reader.bits(16)? + 1, reader.bits(16)? + 1));
            Some(())
        })
    }

    fn highest_spatial(&self) -> u8 {
        let layers = self.templates.iter().take(self.template_count).map(|template| template.layer.spatial);
        layers.max().unwrap_or(0)
    }

    fn find_targets(&mut self) {
        let templates = self.templates.iter().take(self.template_count);
        for (target, layers) in self.target_layers.iter_mut().enumerate().take(self.decode_targets) {
            for template in templates.clone().filter(|template| template.indications >> (2 * target) & 3 != 0) {
                layers.spatial = layers.spatial.max(template.layer.spatial);
                layers.temporal = layers.temporal.max(template.layer.temporal);
            }
        }
        let (targets, count) = (self.target_layers, self.decode_targets);
        for (index, best) in self.best.iter_mut().enumerate() {
            let wanted = Layer { spatial: (index / TEMPORAL_LAYERS) as u8, temporal: (index % TEMPORAL_LAYERS) as u8 };
            *best = best_target(targets.get(..count).unwrap_or_default(), wanted);
        }
    }

    /// What a template says, by its id in a packet.
    pub(super) fn template(&self, id: u8) -> Option<Template> {
        let index = usize::from(id.wrapping_sub(self.template_id_offset) & 63);
        self.templates.get(index).filter(|_| index < self.template_count).copied()
    }

    /// Two bits for each pair of layers, out of two bits for each decode target.
    pub(super) fn by_layers(&self, indications: u64) -> u64 {
        let pairs = self.best.iter().enumerate();
        pairs.fold(0, |sum, (index, target)| sum | (indications >> (2 * u32::from(*target)) & 3) << (2 * index))
    }

    pub fn decode_targets(&self) -> usize {
        self.decode_targets
    }

    pub(super) fn template_id_offset(&self) -> u8 {
        self.template_id_offset
    }

    pub(super) fn template_count(&self) -> u8 {
        self.template_count as u8 // at most 64
    }

    /// Spatial layers, 1 to 4.
    pub fn spatial_layers(&self) -> u8 {
        self.highest_spatial() + 1
    }

    /// Temporal layers, 1 to 8.
    pub fn temporal_layers(&self) -> u8 {
        let layers = self.templates.iter().take(self.template_count).map(|template| template.layer.temporal);
        layers.max().unwrap_or(0) + 1
    }

    /// Pixels of a spatial layer, where the publisher says them.
    pub fn size(&self, spatial: u8) -> Option<(u32, u32)> {
        self.sizes.get(usize::from(spatial)).copied().flatten()
    }

    /// The highest layers of a decode target's frames; the base for one there is not.
    pub fn target_layer(&self, target: usize) -> Layer {
        self.target_layers.get(target).copied().unwrap_or_default()
    }
}

/// The decode target of the highest layers within `wanted`, spatial before temporal; the lowest where none is.
fn best_target(targets: &[Layer], wanted: Layer) -> u8 {
    let inside = |layers: &Layer| layers.spatial <= wanted.spatial && layers.temporal <= wanted.temporal;
    let height = |(_, layers): &(usize, &Layer)| (layers.spatial, layers.temporal);
    let within = targets.iter().enumerate().filter(|(_, layers)| inside(layers)).max_by_key(height);
    within.or_else(|| targets.iter().enumerate().min_by_key(height)).map_or(0, |(target, _)| target as u8)
}

/// Two bits for each of `targets` decode targets.
pub(super) fn read_indications(reader: &mut BitReader<'_>, targets: usize) -> Option<u64> {
    let mut indications = 0;
    for target in 0..targets {
        indications |= u64::from(reader.bits(2)?) << (2 * target);
    }
    Some(indications)
}
