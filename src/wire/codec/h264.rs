//! H.264 payload structures (RFC 6184, section 5.2), as far as they tell keyframes.

/// NAL unit types (ITU-T H.264, table 7-1; RFC 6184, table 1).
const SEQUENCE_PARAMETER_SET: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Whether the packet starts a keyframe: a sequence parameter set, alone, aggregated or as a first fragment. WebRTC senders repeat it
/// before each IDR picture (RFC 7742, section 6.2). An IDR slice starts nothing: when it overtakes its parameter set, a decoder that was
/// given another encoding until then would read it by the old one.
pub fn starts_keyframe(payload: &[u8]) -> bool {
    let Some((&header, body)) = payload.split_first() else {
        return false;
    };
    match header & 0x1f {
        STAP_A => aggregated(body).any(is_parameter_set),
        FU_A => body.first().is_some_and(|fu| fu & 0x80 != 0 && is_parameter_set(*fu)),
        _ => is_parameter_set(header),
    }
}

fn is_parameter_set(nal_header: u8) -> bool {
    nal_header & 0x1f == SEQUENCE_PARAMETER_SET
}

/// The first header byte of each NAL unit of an aggregation packet (of H.265 too); stops at one that does not fit.
pub(super) fn aggregated(mut units: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (size, rest) = units.split_first_chunk::<2>()?;
        let (unit, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        units = rest;
        unit.first().copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_units() {
        assert!(starts_keyframe(&[0x67, 0x42]), "SPS");
        assert!(!starts_keyframe(&[0x65, 0x88]), "IDR without its parameter set");
        assert!(!starts_keyframe(&[0x41, 0x9a]), "non-IDR slice");
        assert!(!starts_keyframe(&[0x68, 0xce]), "PPS alone");
        assert!(!starts_keyframe(&[]));
    }

    #[test]
    fn an_aggregate_is_searched_to_its_end_and_no_further() {
        assert!(starts_keyframe(&[0x78, 0, 1, 0x09, 0, 2, 0x67, 0x42]), "SPS second");
        assert!(!starts_keyframe(&[0x78, 0, 1, 0x09, 0, 1, 0x41]));
        assert!(!starts_keyframe(&[0x78, 0, 9, 0x67, 0x42]), "longer than the packet");
        assert!(!starts_keyframe(&[0x78, 0, 0, 0, 1, 0x67]), "an empty unit ends it");
        assert!(!starts_keyframe(&[0x78, 0]));
    }

    #[test]
    fn only_the_first_fragment_starts() {
        assert!(starts_keyframe(&[0x7c, 0x87, 0]), "start of a parameter set");
        assert!(!starts_keyframe(&[0x7c, 0x07, 0]), "middle of a parameter set");
        assert!(!starts_keyframe(&[0x7c, 0x81, 0]), "start of a non-IDR slice");
        assert!(!starts_keyframe(&[0x7c]));
    }
}
