//! Redundant audio data (RFC 2198, section 3): the primary encoding of a packet, and the payload types in its block headers.
//!
//! What always holds: at most [`REDUNDANT_BLOCKS`] redundant blocks are accepted, whose lengths all lie inside the payload.

use crate::wire::PayloadType;

/// Redundant blocks before the primary one. libwebrtc sends one or two, at most nine.
pub const REDUNDANT_BLOCKS: usize = 9;
/// Bytes of the longest run of block headers: four for each redundant block, one for the primary.
pub const HEADERS_BYTES: usize = 4 * REDUNDANT_BLOCKS + 1;

/// A payload's block headers and its primary block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Red<'a> {
    /// 4 bytes for each redundant block and 1 for the primary.
    pub headers: &'a [u8],
    /// Payload type of the primary block.
    pub payload_type: PayloadType,
    /// The primary block, the last one; often the only one with new sound.
    pub primary: &'a [u8],
}

/// Reads a payload; `None` when it is malformed or has more blocks than are accepted.
pub fn parse(payload: &[u8]) -> Option<Red<'_>> {
    let mut redundant = 0usize;
    let mut at = 0;
    for _ in 0..=REDUNDANT_BLOCKS {
        let first = *payload.get(at)?;
        if first & 0x80 == 0 {
            let (headers, blocks) = payload.split_at_checked(at + 1)?;
            return Some(Red { headers, payload_type: PayloadType(first), primary: blocks.get(redundant..)? });
        }
        // Fourteen bits of timestamp offset, then ten of length.
        let [_, _, high, low] = *payload.get(at..)?.first_chunk()?;
        redundant += usize::from(u16::from_be_bytes([high & 0x03, low]));
        at += 4;
    }
    None
}

/// Replaces the payload type `from` by `to` in a copy of a payload's block headers, as [`Red::headers`] gives them.
pub fn set_payload_type(headers: &mut [u8], from: PayloadType, to: PayloadType) {
    for first in headers.iter_mut().step_by(4) {
        if *first & 0x7f == from.0 {
            *first = (*first & 0x80) | (to.0 & 0x7f);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_primary_follows_one_byte() {
        let red = parse(&[111, 1, 2, 3]).unwrap();
        assert_eq!((red.payload_type, red.primary), (PayloadType(111), [1, 2, 3].as_slice()));
        assert_eq!(red.headers, [111]);
    }

    #[test]
    fn the_primary_follows_the_redundant_blocks() {
        let payload = [0x80 | 111, 0x0f, 0x00, 2, 0x80 | 111, 0x07, 0x80, 1, 111, 10, 11, 20, 30, 31];
        let red = parse(&payload).unwrap();
        assert_eq!(red.headers.len(), 9);
        assert_eq!(red.primary, [30, 31]);
    }

    #[test]
    fn lengths_outside_the_payload_and_cut_headers_are_refused() {
        assert_eq!(parse(&[]), None);
        for len in 1..4 {
            assert_eq!(parse(&[0x80 | 111, 0, 0, 0][..len]), None, "{len} bytes");
        }
        assert_eq!(parse(&[0x80 | 111, 0, 0, 0]), None, "no primary header");
        assert_eq!(parse(&[0x80 | 111, 0, 3, 0xff, 111, 1, 2]), None, "1,023 bytes claimed");
        assert!(parse(&[0x80 | 111, 0, 0, 2, 111, 1, 2]).unwrap().primary.is_empty());
    }

    #[test]
    fn one_block_too_many_is_refused() {
        let with_blocks = |count: usize| {
            let mut payload = [0x80 | 111, 0, 0, 0].repeat(count);
            payload.extend([111, 42]);
            payload
        };
        assert_eq!(parse(&with_blocks(REDUNDANT_BLOCKS)).unwrap().primary, [42]);
        assert_eq!(parse(&with_blocks(REDUNDANT_BLOCKS)).unwrap().headers.len(), HEADERS_BYTES);
        assert_eq!(parse(&with_blocks(REDUNDANT_BLOCKS + 1)), None);
    }

    #[test]
    fn payload_types_are_replaced_in_every_block_header() {
        let mut headers = [0x80 | 111, 111, 111, 111, 0x80 | 13, 0, 0, 0, 111];
        set_payload_type(&mut headers, PayloadType(111), PayloadType(96));
        assert_eq!(headers, [0x80 | 96, 111, 111, 111, 0x80 | 13, 0, 0, 0, 96]);
    }
}
