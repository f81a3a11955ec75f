//! What the association behind it does not bound: how much a peer can make it hold.
//!
//! The library counts payload bytes against its window, not chunks; accepts the next chunk in order even when the window is used up;
//! and keeps stream resets that wait for data without a limit. The guard reads each packet before it, and the SACKs it sends.
//! What always holds: at most twice the receive buffer, [`CHUNKS`] chunks and [`WAITING_RESETS`] resets are held.

use crate::limits;

/// DATA chunks that arrived and were not delivered; 256 complete messages of the largest size have as many.
const CHUNKS: usize = 16_384;
/// Resets waiting for data. RFC 6525, section 5.1 allows a peer one at a time.
const WAITING_RESETS: usize = 8;
/// Resets over the life of an association.
const RESETS: usize = 4 * limits::SCTP_STREAMS as usize;

const COMMON_HEADER_BYTES: usize = 12;
const DATA: u8 = 0;
const INIT: u8 = 1;
const SACK: u8 = 3;
const ABORT: u8 = 6;
const ERROR: u8 = 9;
const RECONFIG: u8 = 130;
const FORWARD_TSN: u8 = 192;
const OUTGOING_RESET_REQUEST: u16 = 13;

/// What to do with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Pass,
    Drop,
    /// The peer does not play by the rules.
    Abort,
}

pub(super) struct Guard {
    /// What is held at most, as announced: the window of an empty queue.
    buffer: u32,
    window: u32,
    /// Bytes that arrived since the window was used up.
    overrun: usize,
    chunks: usize,
    /// The cumulative TSN of the last SACK.
    acknowledged: Option<u32>,
    resets: usize,
    waiting_resets: usize,
    /// The newest TSN that a reset waits for.
    awaited: u32,
}

impl Guard {
    pub fn new(buffer: u32) -> Guard {
        Guard {
            buffer,
            window: buffer,
            overrun: 0,
            chunks: 0,
            acknowledged: None,
            resets: 0,
            waiting_resets: 0,
            awaited: 0,
        }
    }

    /// Looks at a packet from the peer.
    pub fn inspect(&mut self, packet: &[u8]) -> Verdict {
        if !is_well_formed(packet) {
            return Verdict::Drop;
        }
        let mut verdict = Verdict::Pass;
        for (kind, body) in chunks(packet) {
            verdict = match kind {
                DATA => self.inspect_data(body),
                RECONFIG => self.inspect_reset(body),
                FORWARD_TSN => self.inspect_forward(body),
                _ => Verdict::Pass,
            };
            if verdict != Verdict::Pass {
                break;
            }
        }
        if self.window == 0 {
            self.overrun += packet.len();
        }
        if self.overrun > self.buffer as usize || self.chunks > CHUNKS || self.resets > RESETS {
            return Verdict::Abort;
        }
        verdict
    }

    fn inspect_data(&mut self, body: &[u8]) -> Verdict {
        let stream = u16_at(body, 4);
        if stream.is_none_or(|stream| stream >= limits::SCTP_STREAMS) {
            return Verdict::Drop;
        }
        self.chunks += 1;
        Verdict::Pass
    }

    fn inspect_reset(&mut self, body: &[u8]) -> Verdict {
        if u16_at(body, 0) != Some(OUTGOING_RESET_REQUEST) {
            return Verdict::Pass;
        }
        let Some(last) = u32_at(body, 12) else {
            return Verdict::Drop;
        };
        self.resets += 1;
        if self.acknowledged.is_none_or(|acknowledged| is_after(last, acknowledged)) {
            if self.waiting_resets >= WAITING_RESETS {
                return Verdict::Drop;
            }
            self.waiting_resets += 1;
            if self.waiting_resets == 1 || is_after(last, self.awaited) {
                self.awaited = last;
            }
        }
        Verdict::Pass
    }

    /// The library counts up to the new TSN one by one, however far it is.
    fn inspect_forward(&self, body: &[u8]) -> Verdict {
        let skipped = self.acknowledged.zip(u32_at(body, 0)).map(|(from, to)| to.wrapping_sub(from));
        let is_behind = |skipped| skipped >= 1 << 31;
        match skipped {
            Some(skipped) if is_behind(skipped) || skipped as usize <= CHUNKS => Verdict::Pass,
            _ => Verdict::Drop,
        }
    }

    /// Looks at a packet of the association: its SACKs say what it holds.
    pub fn observe(&mut self, packet: &[u8]) {
        for (_, body) in chunks(packet).filter(|(kind, _)| *kind == SACK) {
            let (Some(acknowledged), Some(window)) = (u32_at(body, 0), u32_at(body, 4)) else {
                continue;
            };
            self.acknowledged = Some(acknowledged);
            self.window = window;
            if window > 0 {
                self.overrun = 0;
            }
            if window >= self.buffer {
                self.chunks = 0;
            }
            if !is_after(self.awaited, acknowledged) {
                self.waiting_resets = 0;
            }
        }
    }

    /// So many chunks were delivered.
    pub fn delivered(&mut self, chunks: usize) {
        self.chunks = self.chunks.saturating_sub(chunks);
    }
}

/// Whether the packet's first chunk is INIT (RFC 9260, section 3.3.2).
pub(super) fn is_init(packet: &[u8]) -> bool {
    packet.get(COMMON_HEADER_BYTES) == Some(&INIT)
}

/// Whether chunks fill the packet, and causes an ABORT or ERROR: there the library slices by a length without asking.
fn is_well_formed(packet: &[u8]) -> bool {
    let body = packet.get(COMMON_HEADER_BYTES..).unwrap_or_default();
    let mut bare = chunks(packet).filter(|(kind, _)| matches!(*kind, ABORT | ERROR));
    !body.is_empty() && is_filled(body) && bare.all(|(_, causes)| is_filled(causes))
}

/// Whether records of type, length and value fill the bytes, the last one's padding aside.
fn is_filled(bytes: &[u8]) -> bool {
    let filled = records(bytes).fold(0, |at, (_, value)| at + (4 + value.len()).next_multiple_of(4));
    bytes.len() <= filled && filled <= bytes.len() + 3
}

/// Type and value of each chunk, up to the first malformed one.
fn chunks(packet: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    records(packet.get(COMMON_HEADER_BYTES..).unwrap_or_default())
}

/// Chunks, parameters and causes are alike: first byte of the type, value.
fn records(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let [kind, _, l0, l1] = *rest.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Serial number arithmetic (RFC 1982).
fn is_after(one: u32, other: u32) -> bool {
    one != other && one.wrapping_sub(other) < 1 << 31
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER: u32 = 1 << 20;

    fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; COMMON_HEADER_BYTES];
        packet.extend([kind, flags]);
        packet.extend((value.len() as u16 + 4).to_be_bytes());
        packet.extend(value);
        packet.resize(packet.len().next_multiple_of(4), 0);
        packet
    }

    fn data(flags: u8, stream: u16, payload: usize) -> Vec<u8> {
        let mut value = vec![0; 4];
        value.extend(stream.to_be_bytes());
        value.resize(12 + payload, 0);
        chunk(DATA, flags, &value)
    }

    fn sack(acknowledged: u32, window: u32) -> Vec<u8> {
        chunk(SACK, 0, &[acknowledged.to_be_bytes(), window.to_be_bytes(), [0; 4]].concat())
    }

    fn reset(last: u32) -> Vec<u8> {
        let mut value = [&OUTGOING_RESET_REQUEST.to_be_bytes()[..], &[0, 18]].concat();
        value.extend([0; 8]);
        value.extend(last.to_be_bytes());
        value.extend([0, 1]);
        chunk(RECONFIG, 0, &value)
    }

    #[test]
    fn a_message_without_end_is_stopped_once_past_the_window() {
        let mut guard = Guard::new(BUFFER);
        guard.observe(&sack(1, 0));
        let packet = data(0, 1, 1100);
        let passed = (0..10_000).take_while(|_| guard.inspect(&packet) == Verdict::Pass).count();
        assert_eq!(passed, BUFFER as usize / packet.len());
        assert_eq!(guard.inspect(&packet), Verdict::Abort);
        guard.observe(&sack(1, 10));
        assert_eq!(guard.inspect(&packet), Verdict::Pass, "a window that opened again starts anew");
    }

    #[test]
    fn a_forward_tsn_skips_no_further_than_what_may_be_on_the_way() {
        let mut guard = Guard::new(BUFFER);
        let forward = |tsn: u32| chunk(FORWARD_TSN, 0, &tsn.to_be_bytes());
        assert_eq!(guard.inspect(&forward(1)), Verdict::Drop, "nothing arrived yet");
        guard.observe(&sack(u32::MAX - 5, BUFFER));
        assert_eq!(guard.inspect(&forward(u32::MAX - 9)), Verdict::Pass, "behind, hence without effect");
        assert_eq!(guard.inspect(&forward(9)), Verdict::Pass);
        assert_eq!(guard.inspect(&forward(CHUNKS as u32)), Verdict::Drop);
        assert_eq!(guard.inspect(&forward(1 << 30)), Verdict::Drop);
        assert_eq!(guard.inspect(&chunk(FORWARD_TSN, 0, &[])), Verdict::Drop);
    }

    #[test]
    fn streams_past_the_bound_are_dropped() {
        let mut guard = Guard::new(BUFFER);
        assert_eq!(guard.inspect(&data(3, limits::SCTP_STREAMS, 1)), Verdict::Drop);
        assert_eq!(guard.inspect(&data(3, limits::SCTP_STREAMS - 1, 1)), Verdict::Pass);
    }

    #[test]
    fn chunks_that_are_never_delivered_are_counted() {
        let mut guard = Guard::new(BUFFER);
        let packet = data(3, 1, 1);
        for _ in 0..CHUNKS {
            assert_eq!(guard.inspect(&packet), Verdict::Pass);
        }
        assert_eq!(guard.inspect(&packet), Verdict::Abort);
        guard.delivered(1000);
        assert_eq!(guard.inspect(&packet), Verdict::Pass);
        guard.observe(&sack(1, BUFFER));
        assert_eq!(guard.chunks, 0, "an empty queue holds none");
    }

    #[test]
    fn resets_that_wait_for_data_are_few_and_all_resets_are_counted() {
        let mut guard = Guard::new(BUFFER);
        guard.observe(&sack(100, BUFFER));
        for _ in 0..WAITING_RESETS {
            assert_eq!(guard.inspect(&reset(200)), Verdict::Pass);
        }
        assert_eq!(guard.inspect(&reset(200)), Verdict::Drop);
        assert_eq!(guard.inspect(&reset(100)), Verdict::Pass, "nothing to wait for");
        guard.observe(&sack(200, BUFFER));
        assert_eq!(guard.inspect(&reset(300)), Verdict::Pass);
        for _ in 0..RESETS {
            guard.inspect(&reset(1));
        }
        assert_eq!(guard.inspect(&reset(1)), Verdict::Abort);
    }

    #[test]
    fn packets_that_their_chunks_do_not_fill_are_dropped() {
        let mut guard = Guard::new(BUFFER);
        for sample in [data(3, 1, 100), sack(1, 2), reset(3)] {
            assert_eq!(guard.inspect(&sample), Verdict::Pass);
            let end = sample.len() - if sample[12] == RECONFIG { 2 } else { 0 };
            for len in 0..end {
                assert_eq!(guard.inspect(&sample[..len]), Verdict::Drop, "{len} of {end}");
                guard.observe(&sample[..len]);
            }
            for length in (0..4).chain(end as u16..2000) {
                let mut wrong = sample.clone();
                wrong[14..16].copy_from_slice(&length.to_be_bytes());
                assert_eq!(guard.inspect(&wrong), Verdict::Drop, "length {length}");
            }
        }
        assert_eq!(guard.chunks, 1);
    }
}
