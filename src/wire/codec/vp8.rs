//! The VP8 payload descriptor (RFC 7741, section 4.2), read and rewritten in place.
//!
//! What always holds: a descriptor's `len` bytes lie inside the payload it was read from.

/// Largest descriptor, bytes: flags, extension flags, picture id of 15 bits, TL0PICIDX, TID/KEYIDX.
pub const DESCRIPTOR_BYTES: usize = 6;

/// VP8 payload descriptor (RFC 7741, section 4.2): values, and where they lie so that they can be rewritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vp8Descriptor {
    /// Bytes of the descriptor.
    pub len: u8,
    /// 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// True when `picture_id` takes 15 bits (the M bit).
    pub long_picture_id: bool,
    pub tl0_pic_idx: Option<u8>,
    pub temporal_id: Option<u8>,
    /// The frame depends on no frames but those of temporal layer 0 (the Y bit).
    pub layer_sync: bool,
    pub starts_frame: bool,
}

/// Reads the descriptor; `None` when the payload ends inside it.
pub fn parse(payload: &[u8]) -> Option<Vp8Descriptor> {
    let first = *payload.first()?;
    let mut descriptor = Vp8Descriptor {
        len: 1,
        // S and a partition index of 0.
        starts_frame: first & 0x17 == 0x10,
        ..Vp8Descriptor::default()
    };
    if first & 0x80 == 0 {
        return Some(descriptor);
    }
    let flags = *payload.get(1)?;
    let mut at = 2;
    if flags & 0x80 != 0 {
        let high = *payload.get(at)?;
        at += 1;
        descriptor.long_picture_id = high & 0x80 != 0;
        let mut id = u16::from(high & 0x7f);
        if descriptor.long_picture_id {
            id = (id << 8) | u16::from(*payload.get(at)?);
            at += 1;
        }
        descriptor.picture_id = Some(id);
    }
    if flags & 0x40 != 0 {
        descriptor.tl0_pic_idx = Some(*payload.get(at)?);
        at += 1;
    }
    if flags & 0x30 != 0 {
        let layer = *payload.get(at)?;
        at += 1;
        descriptor.temporal_id = (flags & 0x20 != 0).then_some(layer >> 6);
        descriptor.layer_sync = flags & 0x20 != 0 && layer & 0x20 != 0;
    }
    descriptor.len = at as u8; // DESCRIPTOR_BYTES at most
    Some(descriptor)
}

/// Whether the packet starts a keyframe: the frame's first packet, with the P bit of the VP8 payload header (section 4.3) at 0.
pub fn starts_keyframe(descriptor: &Vp8Descriptor, payload: &[u8]) -> bool {
    descriptor.starts_frame && payload.get(usize::from(descriptor.len)).is_some_and(|byte| byte & 0x01 == 0)
}

/// Writes picture id and TL0PICIDX of `descriptor` over those of `payload`. What the payload has no field for is not written.
pub fn write(descriptor: &Vp8Descriptor, payload: &mut [u8]) {
    let Some(found) = parse(payload) else { return };
    let mut at = 2;
    if let (Some(_), Some(id)) = (found.picture_id, descriptor.picture_id) {
        let [high, low] = id.to_be_bytes();
        match payload.get_mut(at..) {
            Some([first, second, ..]) if found.long_picture_id => (*first, *second) = (high | 0x80, low),
            Some([first, ..]) => *first = low & 0x7f,
            _ => return,
        }
    }
    if found.picture_id.is_some() {
        at += if found.long_picture_id { 2 } else { 1 };
    }
    if let (Some(_), Some(index), Some(slot)) = (found.tl0_pic_idx, descriptor.tl0_pic_idx, payload.get_mut(at)) {
        *slot = index;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_descriptor_is_one_byte() {
        let descriptor = parse(&[0x10, 0x00]).unwrap();
        assert_eq!(descriptor.len, 1);
        assert!(descriptor.starts_frame);
        assert_eq!(descriptor.picture_id, None);
        assert!(starts_keyframe(&descriptor, &[0x10, 0x00]));
        assert!(!starts_keyframe(&descriptor, &[0x10, 0x01]), "P bit");
        assert!(!starts_keyframe(&descriptor, &[0x10]), "no payload header");
    }

    #[test]
    fn only_the_start_of_partition_0_starts_a_frame() {
        assert!(!parse(&[0x00, 0x00]).unwrap().starts_frame);
        assert!(!parse(&[0x11, 0x00]).unwrap().starts_frame, "partition 1");
        assert!(parse(&[0x30, 0x00]).unwrap().starts_frame, "non-reference frame");
    }

    #[test]
    fn all_fields_are_read() {
        let payload = [0x90, 0xf0, 0x92, 0x34, 0x56, 0x80, 0x00];
        let descriptor = parse(&payload).unwrap();
        assert_eq!(usize::from(descriptor.len), DESCRIPTOR_BYTES);
        assert_eq!(descriptor.picture_id, Some(0x1234));
        assert!(descriptor.long_picture_id);
        assert_eq!(descriptor.tl0_pic_idx, Some(0x56));
        assert_eq!((descriptor.temporal_id, descriptor.layer_sync), (Some(2), false));
        assert!(parse(&[0x90, 0x20, 0xa0]).unwrap().layer_sync);
        assert!(!parse(&[0x90, 0x10, 0xa0]).unwrap().layer_sync, "no T, no Y");
        let short = parse(&[0x90, 0x80, 0x12, 0x00]).unwrap();
        assert_eq!((short.picture_id, short.long_picture_id, short.len), (Some(0x12), false, 3));
    }

    #[test]
    fn a_key_index_alone_takes_a_byte_but_gives_no_temporal_id() {
        let descriptor = parse(&[0x80, 0x10, 0xff]).unwrap();
        assert_eq!((descriptor.len, descriptor.temporal_id), (3, None));
    }

    #[test]
    fn every_cut_inside_the_descriptor_is_none() {
        let payload = [0x90, 0xf0, 0x92, 0x34, 0x56, 0x80];
        for len in 0..payload.len() {
            assert_eq!(parse(&payload[..len]), None, "{len} bytes");
        }
        assert!(parse(&payload).is_some());
    }

    #[test]
    fn what_is_written_is_read_again_for_every_combination_of_fields() {
        for flags in 0..=255u8 {
            for m in [0, 0x80] {
                let mut payload = [0x90, flags, m | 0x11, 0x22, 0x33, 0x44, 0x55, 0x66];
                let mut descriptor = parse(&payload).unwrap();
                let before = payload;
                write(&descriptor, &mut payload);
                assert_eq!(payload, before, "writing what was read changes nothing");
                descriptor.picture_id = descriptor.picture_id.map(|_| if m != 0 { 0x7abc } else { 0x5d });
                descriptor.tl0_pic_idx = descriptor.tl0_pic_idx.map(|_| 0xee);
                write(&descriptor, &mut payload);
                assert_eq!(parse(&payload), Some(descriptor), "flags {flags:#x}");
                assert_eq!(payload[descriptor.len.into()..], before[descriptor.len.into()..], "the rest is untouched");
            }
        }
    }
}
