//! H.265 payload structures (RFC 7798, section 4.4), as far as they tell keyframes. Without DONL fields, which WebRTC does not use
//! (`sprop-max-don-diff` is 0).

use super::h264::aggregated;

/// NAL unit types (ITU-T H.265, table 7-1; RFC 7798, section 4.4).
const VIDEO_PARAMETER_SET: u8 = 32;
const SEQUENCE_PARAMETER_SET: u8 = 33;
const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;

/// Whether the packet starts a keyframe: a parameter set, which senders repeat before each IDR picture, alone, aggregated or as a first
/// fragment. An IDR slice starts nothing, as in H.264.
pub fn starts_keyframe(payload: &[u8]) -> bool {
    let Some(([header, _], body)) = payload.split_first_chunk::<2>() else {
        return false;
    };
    match unit_type(*header) {
        AGGREGATION => aggregated(body).any(|header| is_parameter_set(unit_type(header))),
        FRAGMENTATION => body.first().is_some_and(|fu| fu & 0x80 != 0 && is_parameter_set(fu & 0x3f)),
        other => is_parameter_set(other),
    }
}

fn unit_type(header: u8) -> u8 {
    (header >> 1) & 0x3f
}

fn is_parameter_set(unit_type: u8) -> bool {
    matches!(unit_type, VIDEO_PARAMETER_SET | SEQUENCE_PARAMETER_SET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_units() {
        assert!(starts_keyframe(&[32 << 1, 1]), "VPS");
        assert!(starts_keyframe(&[33 << 1, 1]), "SPS");
        assert!(!starts_keyframe(&[19 << 1, 1, 0xaf]), "IDR_W_RADL without its parameter sets");
        assert!(!starts_keyframe(&[20 << 1, 1, 0xaf]), "IDR_N_LP without its parameter sets");
        assert!(!starts_keyframe(&[1 << 1, 1, 0xaf]), "trailing picture");
        assert!(!starts_keyframe(&[34 << 1, 1]), "PPS alone");
        assert!(!starts_keyframe(&[32 << 1]), "half a header");
    }

    #[test]
    fn aggregates_and_fragments() {
        assert!(starts_keyframe(&[48 << 1, 1, 0, 2, 35 << 1, 1, 0, 2, 32 << 1, 1]));
        assert!(!starts_keyframe(&[48 << 1, 1, 0, 9, 32 << 1, 1]), "longer than the packet");
        assert!(starts_keyframe(&[49 << 1, 1, 0x80 | 33]));
        assert!(!starts_keyframe(&[49 << 1, 1, 33]), "middle");
        assert!(!starts_keyframe(&[49 << 1, 1, 0x80 | 1]), "trailing picture");
        assert!(!starts_keyframe(&[49 << 1, 1]));
    }
}
