//! The VP9 payload descriptor (RFC 9628, section 4.2), in flexible and non-flexible mode: layers, references, and the scalability
//! structure; picture id and TL0PICIDX rewritten in place.
//!
//! What always holds: a descriptor's `counters_len` bytes lie inside the payload it was read from.

use super::dependency_descriptor::Layer;

/// Spatial layers a scalability structure may have.
pub const SPATIAL_LAYERS: usize = 8;
/// Most bytes up to TL0PICIDX: flags, picture id of 15 bits, layers, TL0PICIDX.
pub const COUNTERS_BYTES: usize = 5;
/// References of a picture in flexible mode.
const REFERENCES: usize = 3;

/// VP9 payload descriptor: what a forwarder decides by and rewrites.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vp9Descriptor {
    /// Bytes up to picture id and TL0PICIDX, whichever comes last.
    pub counters_len: u8,
    /// 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// True when `picture_id` takes 15 bits (the M bit).
    pub long_picture_id: bool,
    /// Non-flexible mode only.
    pub tl0_pic_idx: Option<u8>,
    /// SID and TID.
    pub layer: Layer,
    /// After this picture, higher temporal layers do not depend on anything of theirs before it (the U bit).
    pub switching_up: bool,
    /// The frame depends on that of the spatial layer below in the same picture (the D bit).
    pub inter_layer: bool,
    /// The frame depends on earlier pictures (the P bit).
    pub inter_picture: bool,
    /// No frame of a higher spatial layer depends on this one (the Z bit).
    pub not_reference_above: bool,
    pub starts_frame: bool,
    pub ends_frame: bool,
    /// A scalability structure follows (the V bit).
    pub has_structure: bool,
}

/// The scalability structure (section 4.2.1), as far as it says which layers there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScalabilityStructure {
    /// 1 to 8.
    pub spatial_layers: u8,
    /// Pixels, by spatial id.
    pub sizes: [Option<(u16, u16)>; SPATIAL_LAYERS],
    /// Pictures of a group; 0 when it says nothing of them.
    pub pictures: u8,
    /// Temporal layers of those, at least 1.
    pub temporal_layers: u8,
}

/// Reads a payload front to back.
struct Cursor<'a> {
    payload: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.payload.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn two_bytes(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }
}

/// Reads the descriptor; `None` when the payload ends inside it. References and structure are read over.
pub fn parse(payload: &[u8]) -> Option<Vp9Descriptor> {
    let mut cursor = Cursor { payload, at: 0 };
    let descriptor = parse_fields(&mut cursor)?;
    skip_references(&mut cursor)?;
    if descriptor.has_structure {
        parse_structure(&mut cursor)?;
    }
    Some(descriptor)
}

fn parse_fields(cursor: &mut Cursor<'_>) -> Option<Vp9Descriptor> {
    let flags = cursor.byte()?;
    let (flexible, has_layers) = (flags & 0x10 != 0, flags & 0x20 != 0);
    let mut descriptor = Vp9Descriptor {
        inter_picture: flags & 0x40 != 0,
        starts_frame: flags & 0x08 != 0,
        ends_frame: flags & 0x04 != 0,
        has_structure: flags & 0x02 != 0,
        not_reference_above: flags & 0x01 != 0,
        ..Vp9Descriptor::default()
    };
    if flags & 0x80 != 0 {
        let high = cursor.byte()?;
        descriptor.long_picture_id = high & 0x80 != 0;
        let mut id = u16::from(high & 0x7f);
        if descriptor.long_picture_id {
            id = (id << 8) | u16::from(cursor.byte()?);
        }
        descriptor.picture_id = Some(id);
    }
    if has_layers {
        let layers = cursor.byte()?;
        descriptor.layer = Layer { spatial: layers >> 1 & 0x07, temporal: layers >> 5 };
        descriptor.switching_up = layers & 0x10 != 0;
        descriptor.inter_layer = layers & 0x01 != 0;
        if !flexible {
            descriptor.tl0_pic_idx = Some(cursor.byte()?);
        }
    }
    descriptor.counters_len = cursor.at as u8; // COUNTERS_BYTES at most
    Some(descriptor)
}

/// P_DIFF, up to three of them, in flexible mode (F and P set).
fn skip_references(cursor: &mut Cursor<'_>) -> Option<()> {
    if cursor.payload.first()? & 0x50 != 0x50 {
        return Some(());
    }
    for _ in 0..REFERENCES {
        if cursor.byte()? & 0x01 == 0 {
            break;
        }
    }
    Some(())
}

/// The pictures a frame refers to in flexible mode, as distances of picture ids (P_DIFF); 0 stands for none.
pub fn references(payload: &[u8]) -> [u8; REFERENCES] {
    let mut references = [0; REFERENCES];
    let mut cursor = Cursor { payload, at: 0 };
    if parse_fields(&mut cursor).is_none() || payload.first().is_none_or(|flags| flags & 0x50 != 0x50) {
        return references;
    }
    for reference in &mut references {
        let Some(byte) = cursor.byte() else { break };
        *reference = byte >> 1;
        if byte & 0x01 == 0 {
            break;
        }
    }
    references
}

/// The structure of a payload that has one.
pub fn scalability_structure(payload: &[u8]) -> Option<ScalabilityStructure> {
    let mut cursor = Cursor { payload, at: 0 };
    let descriptor = parse_fields(&mut cursor)?;
    skip_references(&mut cursor)?;
    if descriptor.has_structure { parse_structure(&mut cursor) } else { None }
}

fn parse_structure(cursor: &mut Cursor<'_>) -> Option<ScalabilityStructure> {
    let flags = cursor.byte()?;
    let spatial_layers = (flags >> 5) + 1;
    let mut structure = ScalabilityStructure { spatial_layers, temporal_layers: 1, ..ScalabilityStructure::default() };
    if flags & 0x10 != 0 {
        for size in structure.sizes.iter_mut().take(spatial_layers.into()) {
            *size = Some((cursor.two_bytes()?, cursor.two_bytes()?));
        }
    }
    if flags & 0x08 != 0 {
        structure.pictures = cursor.byte()?;
        for _ in 0..structure.pictures {
            let picture = cursor.byte()?;
            structure.temporal_layers = structure.temporal_layers.max((picture >> 5) + 1);
            cursor.at += usize::from(picture >> 2 & 0x03);
        }
    }
    (cursor.at <= cursor.payload.len()).then_some(structure)
}

/// Whether the packet starts a keyframe: not inter-picture predicted, beginning of a frame, spatial layer 0 (which is the only
/// layer that a decoder can start from).
pub fn starts_keyframe(descriptor: &Vp9Descriptor) -> bool {
    !descriptor.inter_picture && descriptor.starts_frame && descriptor.layer.spatial == 0
}

/// Writes picture id and TL0PICIDX of `descriptor` over those of `payload`. What the payload has no field for is not written.
pub fn write(descriptor: &Vp9Descriptor, payload: &mut [u8]) {
    let Some(found) = parse_fields(&mut Cursor { payload, at: 0 }) else { return };
    if let (Some(_), Some(id)) = (found.picture_id, descriptor.picture_id) {
        let [high, low] = id.to_be_bytes();
        match payload.get_mut(1..) {
            Some([first, second, ..]) if found.long_picture_id => (*first, *second) = (high | 0x80, low),
            Some([first, ..]) => *first = low & 0x7f,
            _ => return,
        }
    }
    let last = usize::from(found.counters_len).saturating_sub(1);
    if let (Some(_), Some(index), Some(slot)) = (found.tl0_pic_idx, descriptor.tl0_pic_idx, payload.get_mut(last)) {
        *slot = index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const I: u8 = 0x80;
    const P: u8 = 0x40;
    const L: u8 = 0x20;
    const F: u8 = 0x10;
    const B: u8 = 0x08;
    const E: u8 = 0x04;
    const V: u8 = 0x02;
    const Z: u8 = 0x01;

    fn keyframe(payload: &[u8]) -> bool {
        parse(payload).is_some_and(|descriptor| starts_keyframe(&descriptor))
    }

    #[test]
    fn a_keyframe_begins_unpredicted_in_layer_0() {
        assert!(keyframe(&[B]));
        assert!(keyframe(&[I | B, 0x12]));
        assert!(keyframe(&[I | L | F | B, 0x92, 0x34, 0b0010_0000]));
        assert!(keyframe(&[I | L | B, 0x12, 0b0000_0001, 7]), "the D bit is not the layer");
    }

    #[test]
    fn predicted_later_and_upper_layer_packets_are_none() {
        assert!(!keyframe(&[B | P]));
        assert!(!keyframe(&[0]));
        assert!(!keyframe(&[L | F | B, 0b0000_0010]), "spatial layer 1");
        assert!(!keyframe(&[I | L | B, 0x92, 0x34, 0b0000_0100, 7]), "spatial layer 2");
    }

    #[test]
    fn all_fields_of_both_modes_are_read() {
        let non_flexible = parse(&[I | P | L | E | Z, 0x92, 0x34, 0b0101_0011, 77, 0xaa]).unwrap();
        let expected = Vp9Descriptor {
            counters_len: 5,
            picture_id: Some(0x1234),
            long_picture_id: true,
            tl0_pic_idx: Some(77),
            layer: Layer { spatial: 1, temporal: 2 },
            switching_up: true,
            inter_layer: true,
            inter_picture: true,
            not_reference_above: true,
            starts_frame: false,
            ends_frame: true,
            has_structure: false,
        };
        assert_eq!(non_flexible, expected);
        let flexible = [I | P | L | F | B, 0x12, 0b0010_0000, 4 << 1 | 1, 9 << 1];
        let read = parse(&flexible).unwrap();
        assert_eq!((read.counters_len, read.picture_id, read.tl0_pic_idx), (3, Some(0x12), None));
        assert_eq!(references(&flexible), [4, 9, 0]);
        assert_eq!(references(&[I | P | L | B, 0x12, 0, 9 << 1, 0]), [0; 3], "not flexible");
        assert_eq!(parse(&flexible[..4]), None, "the second reference is missing");
    }

    #[test]
    fn the_structure_tells_layers_and_sizes() {
        // Two spatial layers with sizes; two pictures, of which the second has temporal id 1 and one reference.
        let payload = [B | V, 1 << 5 | 0x18, 1, 64, 0, 180, 2, 128, 1, 104, 2, 0x10, 0x34, 1];
        let structure = scalability_structure(&payload).unwrap();
        assert_eq!((structure.spatial_layers, structure.pictures, structure.temporal_layers), (2, 2, 2));
        assert_eq!(structure.sizes[..3], [Some((320, 180)), Some((640, 360)), None]);
        for len in 0..payload.len() {
            assert_eq!(scalability_structure(&payload[..len]), None, "{len} bytes");
            assert_eq!(parse(&payload[..len]), None, "{len} bytes");
        }
        assert_eq!(scalability_structure(&[B, 0]), None, "no V bit");
    }

    #[test]
    fn what_is_written_is_read_again_for_every_combination_of_fields() {
        for flags in 0..=255u8 {
            for m in [0, 0x80] {
                let mut payload = [flags, m | 0x11, 0x22, 0x32, 0x44, 0x54, 0x64, 0x74, 0x84, 0, 0, 0, 0, 0, 0, 0];
                let Some(mut descriptor) = parse(&payload) else { continue };
                let before = payload;
                write(&descriptor, &mut payload);
                assert_eq!(payload, before, "writing what was read changes nothing");
                descriptor.picture_id = descriptor.picture_id.map(|_| if m != 0 { 0x7abc } else { 0x5d });
                descriptor.tl0_pic_idx = descriptor.tl0_pic_idx.map(|_| 0xee);
                write(&descriptor, &mut payload);
                assert_eq!(
                    parse_fields(&mut Cursor { payload: &payload, at: 0 }),
                    Some(descriptor),
                    "flags {flags:#x}"
                );
                let len = usize::from(descriptor.counters_len);
                assert!(len <= COUNTERS_BYTES);
                assert_eq!(payload[len..], before[len..], "the rest is untouched");
            }
        }
    }

    #[test]
    fn a_cut_descriptor_is_none() {
        let payload = [I | L | B, 0x92, 0x34, 0, 7];
        for len in 0..payload.len() {
            assert_eq!(parse(&payload[..len]), None, "{len} bytes");
        }
        assert!(keyframe(&payload));
    }
}
