//! The dependency descriptor header extension (RTP Payload Format for AV1, appendix A): its mandatory fields, and whether a
//! template structure is attached.
//!
//! What always holds: only the three mandatory bytes and the flags after them are read; the structure itself is not parsed.

/// Bytes of the mandatory fields.
const MANDATORY_BYTES: usize = 3;

/// Whether the packet starts a frame from which decoding can start: the first packet of a frame that carries a template dependency
/// structure. `None` when the value is too short to be a descriptor.
pub fn starts_keyframe(value: &[u8]) -> Option<bool> {
    let (mandatory, extended) = value.split_first_chunk::<MANDATORY_BYTES>()?;
    let start_of_frame = mandatory[0] & 0x80 != 0;
    let structure_present = extended.first().is_some_and(|flags| flags & 0x80 != 0);
    Some(start_of_frame && structure_present)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_start_with_a_structure_starts_a_keyframe() {
        assert_eq!(starts_keyframe(&[0x80, 0, 1, 0x80]), Some(true));
        assert_eq!(starts_keyframe(&[0x40, 0, 1, 0x80]), Some(false), "end of the frame");
        assert_eq!(starts_keyframe(&[0x80, 0, 1, 0x40]), Some(false), "active targets only");
        assert_eq!(starts_keyframe(&[0xc0, 0, 1]), Some(false), "mandatory fields only");
        for len in 0..MANDATORY_BYTES {
            assert_eq!(starts_keyframe(&[0x80; 3][..len]), None);
        }
    }

    #[test]
    fn the_frame_number_is_replaced_in_place() {
        let mut value = [0xc1, 0x12, 0x34, 0x80, 0x55];
        assert_eq!(frame_number(&value), Some(0x1234));
        set_frame_number(&mut value, 0xabcd);
        assert_eq!(value, [0xc1, 0xab, 0xcd, 0x80, 0x55]);
        let mut short = [0xc1, 0x12];
        set_frame_number(&mut short, 0);
        assert_eq!((short, frame_number(&short)), ([0xc1, 0x12], None));
    }
}
