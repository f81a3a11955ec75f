//! The AV1 aggregation header and OBU elements (RTP Payload Format for AV1, section 4.4), as far as they tell keyframes.

/// OBU type of a sequence header (AV1 bitstream specification, section 6.2.2).
const SEQUENCE_HEADER: u8 = 1;
/// OBU elements looked at in one packet: a keyframe's sequence header is its first, metadata may stand before it.
const ELEMENTS: usize = 8;

/// Whether the packet starts a keyframe: first packet of a coded video sequence (N bit), or one that holds a sequence header, and
/// that does not continue an earlier packet's OBU (Z bit).
pub fn starts_keyframe(payload: &[u8]) -> bool {
    let Some((&header, elements)) = payload.split_first() else {
        return false;
    };
    let (continues, count, new_sequence) = (header & 0x80 != 0, (header >> 4) & 0x03, header & 0x08 != 0);
    if continues || elements.is_empty() {
        return false;
    }
    new_sequence || obu_headers(count, elements).take(ELEMENTS).any(|obu| (obu >> 3) & 0x0f == SEQUENCE_HEADER)
}

/// The first byte of each OBU element. `count` is the W field: 0 when every element has a length, else their number, of which the
/// last has none.
fn obu_headers(count: u8, mut rest: &[u8]) -> impl Iterator<Item = u8> {
    let mut number = 0u8;
    std::iter::from_fn(move || {
        number = number.saturating_add(1);
        if number == count {
            return std::mem::take(&mut rest).first().copied();
        }
        let (len, after) = leb128(rest)?;
        let (element, after) = after.split_at_checked(len)?;
        rest = after;
        element.first().copied()
    })
}

/// A length of at most 5 bytes (AV1 bitstream specification, section 4.10.5, whose 8 would go past 32 bits), and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: u8 = 1 << 3;
    const FRAME: u8 = 6 << 3;

    #[test]
    fn the_n_bit_starts_a_sequence_unless_the_packet_continues_one() {
        assert!(starts_keyframe(&[0x18, FRAME]));
        assert!(!starts_keyframe(&[0x98, FRAME]), "Z bit");
        assert!(!starts_keyframe(&[0x10, FRAME]));
        assert!(!starts_keyframe(&[0x18]), "no element");
        assert!(!starts_keyframe(&[]));
    }

    #[test]
    fn a_sequence_header_starts_one_too() {
        assert!(starts_keyframe(&[0x10, SEQUENCE, 0]), "one element, no length");
        assert!(starts_keyframe(&[0x20, 2, SEQUENCE, 0, FRAME]), "two elements");
        assert!(starts_keyframe(&[0x00, 1, FRAME, 1, SEQUENCE]), "all with lengths");
        assert!(!starts_keyframe(&[0x20, 2, FRAME, SEQUENCE, FRAME]), "bytes inside an element");
    }

    #[test]
    fn lengths_that_lie_end_the_search() {
        assert!(!starts_keyframe(&[0x00, 9, SEQUENCE]));
        assert!(!starts_keyframe(&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, SEQUENCE]));
        assert!(!starts_keyframe(&[0x00, 0x80]));
        assert_eq!(leb128(&[0xe5, 0x8e, 0x26, 7]), Some((624_485, [7].as_slice())));
    }
}
