//! From packets to decodable frames (RFC 7741): a frame is whole from its start to its marker; a delta frame is decodable when
//! the frame before it was decoded, a keyframe always.
//!
//! What always holds: frames are given in order; what lies before a given frame is never given again; at most [`PIECES`]
//! packets are held.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Packets held: a receiver's packet buffer is as large.
const PIECES: usize = 2_048;

/// A packet of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub timestamp: u32,
    pub marker: bool,
    pub starts_frame: bool,
    pub keyframe: bool,
    pub picture_id: Option<u16>,
    /// Which simulcast encoding it is of, low to high.
    pub encoding: u8,
    pub payload_bytes: usize,
    /// When the publisher encoded it, and when it came.
    pub sent: Duration,
    pub received: Duration,
    pub repaired: bool,
}

/// A frame that can be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    pub timestamp: u32,
    pub keyframe: bool,
    pub picture_id: Option<u16>,
    pub encoding: u8,
    pub first: i64,
    pub last: i64,
    pub bytes: usize,
    pub sent: Duration,
    /// When it was whole.
    pub received: Duration,
    /// Packets of it came as retransmissions.
    pub repaired: bool,
    /// It follows the frame that was decoded before it, or is the first.
    pub continuous: bool,
}

#[derive(Default)]
pub struct FrameBuffer {
    pieces: BTreeMap<i64, Piece>,
    /// Where keyframes begin that were not decoded.
    keyframes: BTreeSet<i64>,
    /// Last number of the frame decoded last.
    decoded: Option<i64>,
    pub duplicates: u64,
    pub overflows: u64,
}

impl FrameBuffer {
    /// Takes a packet. `false` for one that is here or was decoded already.
    pub fn insert(&mut self, sequence: i64, piece: Piece) -> bool {
        if self.decoded.is_some_and(|decoded| sequence <= decoded) || self.pieces.contains_key(&sequence) {
            self.duplicates += 1;
            return false;
        }
        if self.pieces.len() >= PIECES {
            self.overflows += 1;
            self.pieces.clear();
            self.keyframes.clear();
        }
        if piece.keyframe {
            self.keyframes.insert(sequence);
        }
        self.pieces.insert(sequence, piece);
        true
    }

    /// The next frame that can be decoded now; it counts as decoded.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let next = self.next_in_order();
        let frame = next.or_else(|| self.keyframes.iter().find_map(|start| self.frame_at(*start)))?;
        let continuous = next.is_some() || self.decoded.is_none();
        self.decoded = Some(frame.last);
        self.pieces = self.pieces.split_off(&(frame.last + 1));
        self.keyframes = self.keyframes.split_off(&(frame.last + 1));
        Some(Frame { continuous, ..frame })
    }

    /// The frame behind the one decoded last. Packets without payload between them are padding.
    fn next_in_order(&self) -> Option<Frame> {
        let mut start = self.decoded? + 1;
        while self.pieces.get(&start).is_some_and(|piece| piece.payload_bytes == 0) {
            start += 1;
        }
        self.frame_at(start)
    }

    fn frame_at(&self, first: i64) -> Option<Frame> {
        let start = self.pieces.get(&first).filter(|piece| piece.starts_frame)?;
        let mut frame = Frame {
            timestamp: start.timestamp,
            keyframe: start.keyframe,
            picture_id: start.picture_id,
            encoding: start.encoding,
            first,
            last: first,
            bytes: 0,
            sent: start.sent,
            received: start.received,
            repaired: false,
            continuous: true,
        };
        for (sequence, (number, piece)) in (first..).zip(self.pieces.range(first..)) {
            if sequence != *number || piece.timestamp != start.timestamp {
                return None;
            }
            frame.bytes += piece.payload_bytes;
            frame.received = frame.received.max(piece.received);
            frame.repaired |= piece.repaired;
            frame.last = sequence;
            if piece.marker {
                return Some(frame);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of three packets, a keyframe every ten.
    fn piece(sequence: i64) -> Piece {
        Piece {
            timestamp: (sequence / 3) as u32 * 3_000,
            marker: sequence % 3 == 2,
            starts_frame: sequence % 3 == 0,
            keyframe: sequence % 30 == 0,
            picture_id: Some((sequence / 3) as u16),
            encoding: 0,
            payload_bytes: 100,
            sent: Duration::ZERO,
            received: Duration::ZERO,
            repaired: false,
        }
    }

    /// Frame numbers in the order they become decodable.
    fn decoded(sequences: impl IntoIterator<Item = i64>) -> Vec<(u32, bool)> {
        let mut buffer = FrameBuffer::default();
        let mut frames = Vec::new();
        for sequence in sequences {
            buffer.insert(sequence, piece(sequence));
            frames.extend(std::iter::from_fn(|| buffer.next_frame()).map(|f| (f.timestamp / 3_000, f.continuous)));
        }
        frames
    }

    #[test]
    fn frames_come_in_order_whatever_the_order_of_packets() {
        let all: Vec<(u32, bool)> = (0..5).map(|n| (n, true)).collect();
        assert_eq!(decoded(0..15), all);
        assert_eq!(decoded([0, 2, 1, 5, 4, 3, 8, 9, 10, 11, 6, 7, 12, 13, 14]), all);
        assert_eq!(decoded((0..15).flat_map(|n| [n, n])), all, "duplicates");
    }

    #[test]
    fn a_lost_packet_stops_decoding_until_it_comes_or_a_keyframe() {
        assert_eq!(decoded((0..12).filter(|n| *n != 4)), [(0, true)]);
        assert_eq!(decoded((0..12).filter(|n| *n != 4).chain([4])), [(0, true), (1, true), (2, true), (3, true)]);
        assert_eq!(decoded((0..36).filter(|n| *n != 4)), [(0, true), (10, false), (11, true)]);
    }

    #[test]
    fn decoding_begins_at_a_keyframe() {
        assert_eq!(decoded(6..33), [(10, true)]);
    }
}
