//! Transport-wide feedback as it came (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1), read in place.
//!
//! What always holds: nothing is allocated; what is told of no more than [`limits::FEEDBACK_STATUSES`] packets counts; statuses
//! that are cut off refuse the message, deltas that are cut off end it.

use super::REFERENCE_TICKS;
use crate::limits;

/// Bytes before the first chunk: base, count of statuses, reference time, count of feedback.
const HEADER: usize = 8;

/// One feedback message: borrows the FCI.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedFeedback<'a> {
    base: u16,
    statuses: u16,
    reference: u32,
    count: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

/// A chunk, of which statuses are left.
#[derive(Clone, Copy)]
enum Chunk {
    Run {
        symbol: u8,
        left: u16,
    },
    /// Symbols of `bits` each, the next one on top of the 14 low bits.
    Vector {
        symbols: u16,
        bits: u8,
        left: u16,
    },
}

impl<'a> ReceivedFeedback<'a> {
    /// `None` where the header or a chunk is cut off, or nothing is told.
    pub fn parse(fci: &'a [u8]) -> Option<ReceivedFeedback<'a>> {
        let (header, rest) = fci.split_first_chunk::<HEADER>()?;
        let [b0, b1, s0, s1, r0, r1, r2, count] = *header;
        let statuses = u16::from_be_bytes([s0, s1]);
        let (chunks, deltas) = rest.split_at_checked(chunks_len(rest, statuses)?)?;
        (statuses > 0).then_some(ReceivedFeedback {
            base: u16::from_be_bytes([b0, b1]),
            statuses,
            reference: u32::from_be_bytes([0, r0, r1, r2]),
            count,
            chunks,
            deltas,
        })
    }

    /// The first number it tells of.
    pub fn base(&self) -> u16 {
        self.base
    }

    /// Counts messages, wrapping.
    pub fn count(&self) -> u8 {
        self.count
    }

    /// Multiples of 64 ms since any epoch, of 24 bits: what arrivals count from.
    pub fn reference(&self) -> u32 {
        self.reference
    }

    /// Each number told of with its arrival, in ticks of 250 us since the reference time; `None`: not arrived so far.
    pub fn arrivals(&self) -> Arrivals<'a> {
        let left = self.statuses.min(limits::FEEDBACK_STATUSES);
        let empty = Chunk::Run { symbol: 0, left: 0 };
        Arrivals { number: self.base, left, chunk: empty, chunks: self.chunks, deltas: self.deltas, at: 0 }
    }
}

/// How many bytes the chunks of so many statuses take; `None` where they are cut off.
fn chunks_len(rest: &[u8], statuses: u16) -> Option<usize> {
    let (mut told, mut len) = (0_u32, 0);
    for chunk in rest.chunks(2) {
        if told >= u32::from(statuses) {
            return Some(len);
        }
        told += u32::from(Chunk::parse(u16::from_be_bytes(chunk.try_into().ok()?)).left());
        len += 2;
    }
    (told >= u32::from(statuses)).then_some(len)
}

impl Chunk {
    fn parse(chunk: u16) -> Chunk {
        match chunk >> 14 {
            0 | 1 => Chunk::Run { symbol: (chunk >> 13 & 0b11) as u8, left: chunk & 0x1fff },
            0b10 => Chunk::Vector { symbols: chunk & 0x3fff, bits: 1, left: 14 },
            _ => Chunk::Vector { symbols: chunk & 0x3fff, bits: 2, left: 7 },
        }
    }

    fn left(self) -> u16 {
        match self {
            Chunk::Run { left, .. } | Chunk::Vector { left, .. } => left,
        }
    }

    fn next(&mut self) -> Option<u8> {
        match self {
            Chunk::Run { left: 0, .. } | Chunk::Vector { left: 0, .. } => None,
            Chunk::Run { symbol, left } => {
                *left -= 1;
                Some(*symbol)
            }
            Chunk::Vector { symbols, bits, left } => {
                *left -= 1;
                let symbol = *symbols >> (14 - *bits);
                *symbols = *symbols << *bits & 0x3fff;
                Some(symbol as u8)
            }
        }
    }
}

/// Iterates over what one message tells.
pub struct Arrivals<'a> {
    number: u16,
    left: u16,
    chunk: Chunk,
    chunks: &'a [u8],
    deltas: &'a [u8],
    /// Of the last that arrived.
    at: i64,
}

impl Iterator for Arrivals<'_> {
    type Item = (u16, Option<i64>);

    fn next(&mut self) -> Option<(u16, Option<i64>)> {
        self.left = self.left.checked_sub(1)?;
        let arrived = match self.symbol()? {
            0 => None,
            1 => Some(i64::from(self.delta::<1>()?[0])),
            2 => Some(i64::from(i16::from_be_bytes(self.delta()?))),
            _ => return self.end(),
        };
        let number = self.number;
        self.number = number.wrapping_add(1);
        Some((number, arrived.map(|delta| self.advance(delta))))
    }
}

impl Arrivals<'_> {
    fn symbol(&mut self) -> Option<u8> {
        loop {
            if let Some(symbol) = self.chunk.next() {
                return Some(symbol);
            }
            let (chunk, rest) = self.chunks.split_first_chunk()?;
            (self.chunk, self.chunks) = (Chunk::parse(u16::from_be_bytes(*chunk)), rest);
        }
    }

    fn delta<const N: usize>(&mut self) -> Option<[u8; N]> {
        let Some((delta, rest)) = self.deltas.split_first_chunk() else { return self.end() };
        self.deltas = rest;
        Some(*delta)
    }

    fn advance(&mut self, delta: i64) -> i64 {
        self.at += delta;
        self.at
    }

    /// What cannot be read ends it for good: a packet after it would seem lost.
    fn end<T>(&mut self) -> Option<T> {
        self.left = 0;
        None
    }
}

/// Difference of two reference times of which either may have wrapped, in ticks: at most six days either way.
pub fn reference_ticks_between(from: u32, to: u32) -> i64 {
    // The 24 bits on top of 32 give the sign.
    let difference = (to.wrapping_sub(from) << 8) as i32 >> 8;
    i64::from(difference) * REFERENCE_TICKS
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rtc_shared::marshal::Marshal;
    use rtcp::transport_feedbacks::transport_layer_cc::{
        PacketStatusChunk, RecvDelta, RunLengthChunk, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc,
        SymbolTypeTcc, TransportLayerCc,
    };

    use super::super::Feedback;
    use super::*;
    use crate::wire::Ssrc;

    /// Header and SSRCs before the FCI.
    const BEFORE: usize = 12;

    fn written(base: u16, arrivals: &[Option<u64>]) -> Vec<u8> {
        let arrivals = arrivals.iter().map(|ticks| ticks.map(|ticks| Duration::from_micros(ticks * 250)));
        let mut bytes = Vec::new();
        Feedback::new(Ssrc(1), Ssrc(2), base, 7, arrivals).write(&mut bytes);
        bytes.split_off(BEFORE)
    }

    fn arrivals(fci: &[u8]) -> Vec<(u16, Option<i64>)> {
        ReceivedFeedback::parse(fci).map(|feedback| feedback.arrivals().collect()).unwrap_or_default()
    }

    #[test]
    fn what_our_writer_tells_is_read() {
        let told = [Some(1_000), Some(1_255), None, Some(1_020), None, None, Some(20_000), Some(20_000)];
        let fci = written(65_534, &told);
        let feedback = ReceivedFeedback::parse(&fci).unwrap();
        assert_eq!((feedback.base(), feedback.count(), feedback.reference()), (65_534, 7, 1_000 / 256));
        let numbers = (0..8).map(|i| 65_534_u16.wrapping_add(i));
        let expected: Vec<_> =
            numbers.zip(told).map(|(number, at)| (number, at.map(|at| at as i64 - 3 * 256))).collect();
        assert_eq!(arrivals(&fci), expected);
    }

    /// Run-length chunks and vectors of one bit, which our writer does not use.
    #[test]
    fn what_another_writer_tells_is_read() {
        let run = |symbol, run_length| {
            PacketStatusChunk::RunLengthChunk(RunLengthChunk {
                type_tcc: StatusChunkTypeTcc::RunLengthChunk,
                packet_status_symbol: symbol,
                run_length,
            })
        };
        let mut symbols = vec![SymbolTypeTcc::PacketNotReceived; 14];
        symbols[3] = SymbolTypeTcc::PacketReceivedSmallDelta;
        symbols[13] = SymbolTypeTcc::PacketReceivedSmallDelta;
        let vector = PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
            type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
            symbol_size: SymbolSizeTypeTcc::OneBit,
            symbol_list: symbols,
        });
        let small = |delta| RecvDelta { type_tcc_packet: SymbolTypeTcc::PacketReceivedSmallDelta, delta };
        let large = |delta| RecvDelta { type_tcc_packet: SymbolTypeTcc::PacketReceivedLargeDelta, delta };
        let packet = TransportLayerCc {
            sender_ssrc: 1,
            media_ssrc: 2,
            base_sequence_number: 100,
            packet_status_count: 2 + 8_191 + 14 + 1,
            reference_time: 0xff_ffff,
            fb_pkt_count: 255,
            packet_chunks: vec![
                run(SymbolTypeTcc::PacketReceivedSmallDelta, 2),
                run(SymbolTypeTcc::PacketNotReceived, 8_191),
                vector,
                run(SymbolTypeTcc::PacketReceivedLargeDelta, 1),
            ],
            recv_deltas: vec![small(1_000), small(63_750), small(250), small(0), large(-8_192_000)],
        };
        let bytes = packet.marshal().unwrap();
        let feedback = ReceivedFeedback::parse(&bytes[BEFORE..]).unwrap();
        assert_eq!((feedback.reference(), feedback.count()), (0xff_ffff, 255));
        let arrived: Vec<_> = feedback.arrivals().filter_map(|(number, at)| Some((number, at?))).collect();
        // What is beyond the bound is not told.
        assert_eq!(feedback.arrivals().count(), usize::from(limits::FEEDBACK_STATUSES));
        assert_eq!(arrived, [(100, 4), (101, 259)]);
        let fewer = TransportLayerCc { packet_status_count: 2 + 14 + 1, ..packet.clone() };
        let chunks = [0, 2, 3].map(|i| packet.packet_chunks[i].clone()).to_vec();
        let bytes = TransportLayerCc { packet_chunks: chunks, ..fewer }.marshal().unwrap();
        let arrived: Vec<_> =
            arrivals(&bytes[BEFORE..]).into_iter().filter_map(|(number, at)| Some((number, at?))).collect();
        assert_eq!(arrived, [(100, 4), (101, 259), (105, 260), (115, 260), (116, 260 - 32_768)]);
    }

    #[test]
    fn what_is_cut_off_at_any_byte_tells_a_part_or_nothing() {
        let told: Vec<Option<u64>> = (0..40).map(|i| (i % 3 != 1).then_some(100 + i * i * 20)).collect();
        let whole = written(9, &told);
        let all = arrivals(&whole);
        assert_eq!(all.len(), 40);
        for len in 0..whole.len() {
            let part = arrivals(&whole[..len]);
            assert!(all.starts_with(&part), "{len}");
            assert!(len >= HEADER + 2 * 40_usize.div_ceil(7) || part.is_empty(), "{len}");
        }
    }

    #[test]
    fn a_symbol_that_means_nothing_ends_it() {
        // Two-bit vector: arrived, reserved, arrived, ...
        let fci = [0, 5, 0, 7, 0, 0, 0, 0, 0b1101_1101, 0, 1, 1, 1, 1];
        assert_eq!(arrivals(&fci), [(5, Some(1))]);
    }

    #[test]
    fn a_message_that_tells_nothing_or_runs_of_nothing_is_refused() {
        assert!(ReceivedFeedback::parse(&[0, 5, 0, 0, 0, 0, 0, 0]).is_none());
        let empty_runs = [[0, 5, 0xff, 0xff, 0, 0, 0, 0].as_slice(), &[0; 1_200]].concat();
        assert!(ReceivedFeedback::parse(&empty_runs).is_none());
    }

    #[test]
    fn a_flood_of_losses_is_bounded() {
        let runs = [0x1f, 0xff].repeat(9);
        let fci = [[0, 5, 0xff, 0xff, 0, 0, 0, 0].as_slice(), &runs].concat();
        let told = arrivals(&fci);
        assert_eq!(told.len(), usize::from(limits::FEEDBACK_STATUSES));
        assert!(told.iter().all(|(_, arrival)| arrival.is_none()));
    }

    #[test]
    fn the_reference_time_wraps() {
        assert_eq!(reference_ticks_between(0xff_fffe, 3), 5 * 256);
        assert_eq!(reference_ticks_between(3, 0xff_fffe), -5 * 256);
        assert_eq!(reference_ticks_between(10, 10), 0);
    }
}
