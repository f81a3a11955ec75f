//! The dependency descriptor header extension (RTP Payload Format for AV1, appendix A): which layers a frame belongs to, which
//! frames it refers to, and which decode targets need it. Any codec may come with it; payloads may then be opaque.
//!
//! What always holds: any bytes give an answer; what is rewritten stays where it lies, but for a bitmask of active decode targets,
//! which makes room for itself.

use super::bits::{BitReader, BitWriter};

mod structure;

pub use structure::{Indication, SPATIAL_LAYERS, Structure, TEMPORAL_LAYERS};

/// Bytes of the mandatory fields.
const MANDATORY_BYTES: usize = 3;
/// Largest descriptor: the two-byte form of header extensions holds no more (RFC 8285, section 4.3).
pub const DESCRIPTOR_BYTES: usize = 255;

/// Which layers something belongs to; 0 is the base.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Layer {
    pub spatial: u8,
    pub temporal: u8,
}

/// What a packet says of its frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameDependency {
    /// Two bits for each pair of layers.
    indications: u64,
    /// Bit n: the frame refers to the frame n + 1 before.
    pub references: u32,
    /// It refers to frames further back than `references` can say.
    pub refers_further: bool,
    pub frame_number: u16,
    pub layer: Layer,
    pub starts_frame: bool,
    pub ends_frame: bool,
}

impl FrameDependency {
    /// How somebody who is given all frames of up to these layers needs this one.
    pub fn indication(&self, up_to: Layer) -> Indication {
        let spatial = usize::from(up_to.spatial).min(SPATIAL_LAYERS - 1);
        let temporal = usize::from(up_to.temporal).min(TEMPORAL_LAYERS - 1);
        Indication::from_bits(self.indications >> (2 * (spatial * TEMPORAL_LAYERS + temporal)))
    }
}

/// The flags of the extended fields; all false where there are none.
#[derive(Clone, Copy, Default)]
struct Flags {
    structure: bool,
    active_targets: bool,
    custom_indications: bool,
    custom_references: bool,
    custom_chains: bool,
}

impl Flags {
    fn read(reader: &mut BitReader<'_>) -> Option<Flags> {
        Some(Flags {
            structure: reader.flag()?,
            active_targets: reader.flag()?,
            custom_indications: reader.flag()?,
            custom_references: reader.flag()?,
            custom_chains: reader.flag()?,
        })
    }
}

/// Reads a descriptor. A structure that comes with it takes the place of `structure`, which the next packets need. `None` when the
/// value is malformed, or names a template that no structure has.
pub fn read(value: &[u8], structure: &mut Option<Box<Structure>>) -> Option<FrameDependency> {
    let (mandatory, extended) = value.split_first_chunk::<MANDATORY_BYTES>()?;
    let mut reader = BitReader::new(extended);
    let flags = if extended.is_empty() { Flags::default() } else { Flags::read(&mut reader)? };
    if flags.structure {
        let read = Structure::read(&mut reader)?;
        match structure {
            Some(known) => **known = read,
            None => *structure = Some(Box::new(read)),
        }
    }
    let structure = structure.as_deref()?;
    if flags.active_targets {
        reader.skip(structure.decode_targets())?;
    }
    let mut template = structure.template(mandatory[0] & 0x3f)?;
    if flags.custom_indications {
        template.indications = structure::read_indications(&mut reader, structure.decode_targets())?;
    }
    let mut refers_further = false;
    if flags.custom_references {
        (template.references, refers_further) = read_references(&mut reader)?;
    }
    Some(FrameDependency {
        indications: structure.by_layers(template.indications),
        references: template.references,
        refers_further,
        frame_number: u16::from_be_bytes([mandatory[1], mandatory[2]]),
        layer: template.layer,
        starts_frame: mandatory[0] & 0x80 != 0,
        ends_frame: mandatory[0] & 0x40 != 0,
    })
}

/// `frame_fdiffs()`: as bits, and whether some lie further back than these can say.
fn read_references(reader: &mut BitReader<'_>) -> Option<(u32, bool)> {
    let (mut references, mut further) = (0, false);
    loop {
        let size = reader.bits(2)? as usize;
        if size == 0 {
            return Some((references, further));
        }
        match 1u32.checked_shl(reader.bits(4 * size)?) {
            Some(bit) => references |= bit,
            None => further = true,
        }
    }
}

/// Whether the packet starts a frame from which decoding can start: the first packet of a frame that carries a template dependency
/// structure. `None` when the value is too short to be a descriptor.
pub fn starts_keyframe(value: &[u8]) -> Option<bool> {
    let (mandatory, extended) = value.split_first_chunk::<MANDATORY_BYTES>()?;
    Some(mandatory[0] & 0x80 != 0 && has_structure(extended))
}

fn has_structure(extended: &[u8]) -> bool {
    extended.first().is_some_and(|flags| flags & 0x80 != 0)
}

/// The structure a descriptor carries.
pub fn attached_structure(value: &[u8]) -> Option<Structure> {
    let extended = value.get(MANDATORY_BYTES..).filter(|extended| has_structure(extended))?;
    let mut reader = BitReader::new(extended);
    Flags::read(&mut reader)?;
    Structure::read(&mut reader)
}

/// The frame number, 16 bits.
pub fn frame_number(value: &[u8]) -> Option<u16> {
    let [_, high, low] = *value.first_chunk::<MANDATORY_BYTES>()?;
    Some(u16::from_be_bytes([high, low]))
}

/// Replaces the frame number in a copy of a descriptor; what is too short to be one is left alone.
pub fn set_frame_number(value: &mut [u8], number: u16) {
    if let Some([_, high, low]) = value.first_chunk_mut::<MANDATORY_BYTES>() {
        [*high, *low] = number.to_be_bytes();
    }
}

/// Template ids a structure takes: its offset, and how many follow from there, modulo 64.
pub fn template_ids(structure: &Structure) -> (u8, u8) {
    (structure.template_id_offset(), structure.template_count())
}

/// Adds to the template ids of a copy of a descriptor, modulo 64: the packet's own, and the offset of a structure it carries, which
/// stands behind the five flags.
pub fn shift_templates(value: &mut [u8], shift: u8) {
    let Some((mandatory, extended)) = value.split_first_chunk_mut::<MANDATORY_BYTES>() else { return };
    let id = mandatory[0].wrapping_add(shift) & 0x3f;
    mandatory[0] = mandatory[0] & 0xc0 | id;
    if let [first, second, ..] = extended
        && *first & 0x80 != 0
    {
        let offset = ((*first & 0x07) << 3 | *second >> 5).wrapping_add(shift) & 0x3f;
        *first = *first & 0xf8 | offset >> 3;
        *second = *second & 0x1f | offset << 5;
    }
}

/// A descriptor that says which decode targets are active: one bit of `active` for each of `decode_targets`, those of the structure
/// it belongs to, except what the descriptor itself says is not. Gives the bytes written; `None` when they do not fit or the
/// descriptor is malformed.
pub fn with_active_targets(
    value: &[u8],
    decode_targets: usize,
    mut active: u32,
    out: &mut [u8; DESCRIPTOR_BYTES],
) -> Option<usize> {
    let (mandatory, extended) = value.split_first_chunk::<MANDATORY_BYTES>()?;
    let mut reader = BitReader::new(extended);
    let flags = if extended.is_empty() { Flags::default() } else { Flags::read(&mut reader)? };
    let start = reader.position();
    if flags.structure {
        Structure::read(&mut reader)?;
    }
    let structure_bits = reader.position() - start;
    if flags.active_targets {
        active &= reader.bits(decode_targets)?;
    }
    let (head, tail) = out.split_first_chunk_mut::<MANDATORY_BYTES>()?;
    *head = *mandatory;
    let mut writer = BitWriter::new(tail);
    let custom = [flags.custom_indications, flags.custom_references, flags.custom_chains];
    [flags.structure, true].into_iter().chain(custom).try_for_each(|flag| writer.flag(flag))?;
    let mut source = BitReader::new(extended);
    source.skip(start)?;
    writer.copy(&mut source, structure_bits)?;
    writer.bits(active, decode_targets)?;
    if custom.contains(&true) {
        let rest = reader.left();
        writer.copy(&mut reader, rest)?;
    }
    Some(MANDATORY_BYTES + writer.len())
}

#[cfg(test)]
pub(crate) mod writing;

#[cfg(test)]
mod tests;
