//! What the association behind it does not bound: how much a peer can make it hold.
//!
//! It counts payload bytes against its window, not chunks; accepts the next chunk in order even when the window is used up;
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
const RECONFIG: u8 = 130;
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
    acknowledged: u32,
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
            acknowledged: 0,
            resets: 0,
            waiting_resets: 0,
            awaited: 0,
        }
    }

    /// Looks at a packet from the peer.
    pub fn inspect(&mut self, packet: &[u8]) -> Verdict {
        let mut verdict = Verdict::Pass;
        for (kind, body) in chunks(packet) {
            verdict = match kind {
                DATA => self.inspect_data(body),
                RECONFIG => self.inspect_reset(body),
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
        if is_after(last, self.acknowledged) {
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

    /// Looks at a packet of the association: its SACKs say what it holds.
    pub fn observe(&mut self, packet: &[u8]) {
        for (_, body) in chunks(packet).filter(|(kind, _)| *kind == SACK) {
            let (Some(acknowledged), Some(window)) = (u32_at(body, 0), u32_at(body, 4)) else {
                continue;
            };
            self.acknowledged = acknowledged;
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

/// Type and value of each chunk, up to the first malformed one.
fn chunks(packet: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = packet.get(COMMON_HEADER_BYTES..).unwrap_or_default();
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
    fn malformed_packets_of_every_length_are_read() {
        let mut guard = Guard::new(BUFFER);
        for sample in [data(3, 1, 100), sack(1, 2), reset(3)] {
            for len in 0..sample.len() {
                guard.inspect(&sample[..len]);
                guard.observe(&sample[..len]);
            }
        }
        assert!(guard.chunks <= 1);
    }
}
