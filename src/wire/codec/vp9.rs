//! The VP9 payload descriptor (RFC 9628, section 4.2), as far as it tells keyframes.

/// Whether the packet starts a keyframe: not inter-picture predicted, beginning of a frame, spatial layer 0 (which is the only
/// layer that a decoder can start from).
pub fn starts_keyframe(payload: &[u8]) -> bool {
    spatial_layer_of_intra_start(payload) == Some(0)
}

/// The spatial layer of a packet that begins a frame without inter-picture prediction.
fn spatial_layer_of_intra_start(payload: &[u8]) -> Option<u8> {
    let flags = *payload.first()?;
    let (has_picture_id, predicted, has_layers, begins) =
        (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x20 != 0, flags & 0x08 != 0);
    if predicted || !begins {
        return None;
    }
    let mut at = 1;
    if has_picture_id {
        at += if *payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    if !has_layers {
        return Some(0);
    }
    Some((*payload.get(at)? >> 1) & 0x07)
}

#[cfg(test)]
mod tests {
    use super::*;

    const I: u8 = 0x80;
    const P: u8 = 0x40;
    const L: u8 = 0x20;
    const F: u8 = 0x10;
    const B: u8 = 0x08;

    #[test]
    fn a_keyframe_begins_unpredicted_in_layer_0() {
        assert!(starts_keyframe(&[B]));
        assert!(starts_keyframe(&[I | B, 0x12]));
        assert!(starts_keyframe(&[I | L | F | B, 0x92, 0x34, 0b0010_0000]));
        assert!(starts_keyframe(&[I | L | B, 0x12, 0b0000_0001, 7]), "the D bit is not the layer");
    }

    #[test]
    fn predicted_later_and_upper_layer_packets_are_none() {
        assert!(!starts_keyframe(&[B | P]));
        assert!(!starts_keyframe(&[0]));
        assert!(!starts_keyframe(&[L | F | B, 0b0000_0010]), "spatial layer 1");
        assert!(!starts_keyframe(&[I | L | B, 0x92, 0x34, 0b0000_0100, 7]), "spatial layer 2");
    }

    #[test]
    fn a_cut_descriptor_is_no_keyframe() {
        let payload = [I | L | B, 0x92, 0x34, 0];
        for len in [0, 1, 2, 3] {
            assert!(!starts_keyframe(&payload[..len]), "{len} bytes");
        }
        assert!(starts_keyframe(&payload));
    }
}
