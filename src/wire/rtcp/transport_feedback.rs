//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1), written and read.

mod received;

use std::time::Duration;

pub use received::{ReceivedFeedback, reference_ticks_between};

use super::super::ids::Ssrc;

/// Packets one feedback may cover: with two bytes of delta each it stays below 1,100 bytes.
pub const MAX_STATUSES: usize = 480;
/// Unit of a delta.
pub const TICK: Duration = Duration::from_micros(250);
/// Unit of the reference time: 64 ms.
const REFERENCE_TICKS: i64 = 256;
/// Statuses of two bits that fit one status vector chunk.
const VECTOR: usize = 7;

/// How one packet arrived: the two-bit symbols of the draft.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Lost = 0,
    SmallDelta = 1,
    LargeDelta = 2,
}

/// One feedback message.
pub struct Feedback {
    sender: Ssrc,
    media: Ssrc,
    base: u16,
    count: u8,
    /// 24 bits, multiples of 64 ms.
    reference: u32,
    statuses: Vec<Status>,
    deltas: Vec<u8>,
}

impl Feedback {
    /// `arrivals` in order of sequence from `base`, since any fixed epoch; `None` for what did not arrive; the first must
    /// have arrived. Ends early at a delta that two bytes cannot hold.
    pub fn new(
        sender: Ssrc,
        media: Ssrc,
        base: u16,
        count: u8,
        arrivals: impl Iterator<Item = Option<Duration>>,
    ) -> Feedback {
        let mut feedback =
            Feedback { sender, media, base, count, reference: 0, statuses: Vec::new(), deltas: Vec::new() };
        let mut previous = None;
        for arrival in arrivals.take(MAX_STATUSES) {
            let Some(ticks) = arrival.map(ticks) else {
                feedback.statuses.push(Status::Lost);
                continue;
            };
            let from = *previous.get_or_insert_with(|| {
                let reference = ticks.div_euclid(REFERENCE_TICKS);
                feedback.reference = (reference & 0xff_ffff) as u32;
                reference * REFERENCE_TICKS
            });
            let Ok(delta) = i16::try_from(ticks - from) else { break };
            previous = Some(ticks);
            feedback.push_delta(delta);
        }
        while feedback.statuses.last() == Some(&Status::Lost) {
            feedback.statuses.pop();
        }
        feedback
    }

    fn push_delta(&mut self, delta: i16) {
        match u8::try_from(delta) {
            Ok(small) => {
                self.statuses.push(Status::SmallDelta);
                self.deltas.push(small);
            }
            Err(_) => {
                self.statuses.push(Status::LargeDelta);
                self.deltas.extend(delta.to_be_bytes());
            }
        }
    }

    /// First sequence number covered.
    pub fn base(&self) -> u16 {
        self.base
    }

    /// How many sequence numbers are covered; the last one arrived.
    pub fn statuses(&self) -> usize {
        self.statuses.len()
    }

    /// Appends the RTCP packet (PT 205, FMT 15).
    pub fn write(&self, out: &mut Vec<u8>) {
        let chunks = self.statuses.len().div_ceil(VECTOR);
        let unpadded = 20 + 2 * chunks + self.deltas.len();
        let padded = unpadded.next_multiple_of(4);
        let padding = padded - unpadded;
        let words = u16::try_from(padded / 4 - 1).unwrap_or(u16::MAX);
        out.push(0x80 | if padding > 0 { 0x20 } else { 0 } | 15);
        out.push(205);
        out.extend(words.to_be_bytes());
        out.extend(self.sender.0.to_be_bytes());
        out.extend(self.media.0.to_be_bytes());
        out.extend(self.base.to_be_bytes());
        out.extend(u16::try_from(self.statuses.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend((self.reference << 8 | u32::from(self.count)).to_be_bytes());
        for chunk in self.statuses.chunks(VECTOR) {
            // A status vector chunk of two-bit symbols: bits 1 1, then seven symbols.
            let symbols = (0..VECTOR).map(|i| chunk.get(i).map_or(0, |status| *status as u16));
            let vector = symbols.fold(0b11, |vector, symbol| vector << 2 | symbol);
            out.extend(vector.to_be_bytes());
        }
        out.extend(&self.deltas);
        for left in (1..=padding).rev() {
            out.push(if left == 1 { padding as u8 } else { 0 });
        }
    }
}

fn ticks(arrival: Duration) -> i64 {
    i64::try_from(arrival.as_micros() / TICK.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc_shared::marshal::Unmarshal;
    use rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, SymbolTypeTcc, TransportLayerCc};

    fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    #[test]
    fn another_implementation_reads_the_same_arrivals() {
        let arrivals = [ms(1_000), ms(1_010), None, ms(1_005), ms(1_200), None, None, ms(1_201), None];
        let feedback = Feedback::new(Ssrc(1), Ssrc(2), 65_533, 9, arrivals.into_iter());
        let mut bytes = Vec::new();
        feedback.write(&mut bytes);
        assert_eq!(bytes.len() % 4, 0);
        let read = TransportLayerCc::unmarshal(&mut bytes.as_slice()).unwrap();
        assert_eq!((read.sender_ssrc, read.media_ssrc), (1, 2));
        assert_eq!((read.base_sequence_number, read.packet_status_count, read.fb_pkt_count), (65_533, 8, 9));
        assert_eq!(read.reference_time, 1_000 / 64);
        let symbols: Vec<SymbolTypeTcc> = read
            .packet_chunks
            .iter()
            .flat_map(|chunk| match chunk {
                PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
                PacketStatusChunk::RunLengthChunk(_) => panic!("only vectors are written"),
            })
            .take(8)
            .collect();
        use SymbolTypeTcc::{
            PacketNotReceived as Lost, PacketReceivedLargeDelta as Large, PacketReceivedSmallDelta as Small,
        };
        assert_eq!(symbols, [Small, Small, Lost, Large, Large, Lost, Lost, Small]);
        let deltas: Vec<i64> = read.recv_deltas.iter().map(|delta| delta.delta).collect();
        assert_eq!(deltas, [40_000, 10_000, -5_000, 195_000, 1_000]);
    }

    #[test]
    fn a_delta_that_does_not_fit_ends_the_feedback() {
        let arrivals = [ms(0), None, ms(9_000), ms(9_001)];
        let feedback = Feedback::new(Ssrc(1), Ssrc(2), 0, 0, arrivals.into_iter());
        assert_eq!(feedback.statuses(), 1);
    }

    #[test]
    fn the_largest_feedback_fits_a_datagram() {
        let arrivals = (0..10_000).map(|i| ms(if i % 2 == 0 { i * 100 } else { 0 }));
        let mut bytes = Vec::new();
        Feedback::new(Ssrc(1), Ssrc(2), 0, 0, arrivals).write(&mut bytes);
        assert!(bytes.len() <= 1_150, "{}", bytes.len());
    }
}
