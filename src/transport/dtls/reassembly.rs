//! Handshake messages from fragments, in order (RFC 6347, section 4.2.3).
//!
//! What always holds: what is kept grows with what arrived, never with what a length field claims, and over the whole handshake
//! stays below `limits::HANDSHAKE_BYTES`; each fragment costs a scan of at most [`FRAGMENTS`] others.

use std::collections::BTreeMap;

use super::record::Fragment;
use crate::limits;
use crate::transport::DropReason;

/// Fragments of one message: 16 KiB in pieces of 256 bytes.
const FRAGMENTS: usize = 64;
/// Messages ahead of the next one that are kept: the longest flight has five.
const MESSAGES_AHEAD: u16 = 16;
/// Longest message: what fits one record (RFC 5246, section 6.2.1).
const MESSAGE_BYTES: usize = 16_000;
/// What keeping a fragment costs beside its bytes.
const FRAGMENT_OVERHEAD: usize = 32;

/// A whole message.
pub(super) struct Message {
    pub kind: u8,
    pub sequence: u16,
    pub body: Vec<u8>,
}

struct Partial {
    kind: u8,
    length: usize,
    /// Offsets and bytes, by offset.
    fragments: Vec<(usize, Vec<u8>)>,
}

/// The messages that have arrived from `next` on.
pub(super) struct Reassembly {
    next: u16,
    messages: BTreeMap<u16, Partial>,
    /// Everything ever kept: what was taken out is kept by the state machine behind.
    spent: usize,
}

impl Reassembly {
    pub fn starting_at(next: u16) -> Reassembly {
        Reassembly { next, messages: BTreeMap::new(), spent: 0 }
    }

    /// Number of the next message that was not taken yet.
    pub fn next(&self) -> u16 {
        self.next
    }

    /// Whether a part of the next message has arrived.
    pub fn has_begun(&self) -> bool {
        self.messages.contains_key(&self.next)
    }

    pub fn add(&mut self, fragment: Fragment<'_>) -> Result<(), DropReason> {
        let ahead = fragment.sequence.checked_sub(self.next).ok_or(DropReason::Dtls)?;
        let is_void = fragment.body.is_empty() && fragment.length > 0;
        if ahead >= MESSAGES_AHEAD || fragment.length > MESSAGE_BYTES || is_void {
            return Err(DropReason::Dtls);
        }
        let cost = fragment.body.len() + FRAGMENT_OVERHEAD;
        if self.spent + cost > limits::HANDSHAKE_BYTES {
            return Err(DropReason::HandshakeTooLong);
        }
        let message = self.messages.entry(fragment.sequence).or_insert(Partial {
            kind: fragment.kind,
            length: fragment.length,
            fragments: Vec::new(),
        });
        if message.add(fragment)? {
            self.spent += cost;
        }
        Ok(())
    }

    /// Types and bodies of the complete messages from the next one on, without a gap.
    pub fn run(&self) -> impl Iterator<Item = (u8, Option<Vec<u8>>)> + '_ {
        (self.next..)
            .map_while(|sequence| self.messages.get(&sequence))
            .take_while(|partial| partial.is_complete())
            .map(|partial| (partial.kind, partial.assemble()))
    }

    /// Takes the next `count` messages out.
    pub fn take(&mut self, count: usize) -> Vec<Message> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let Some(partial) = self.messages.remove(&self.next) else {
                break;
            };
            taken.push(Message {
                kind: partial.kind,
                sequence: self.next,
                body: partial.assemble().unwrap_or_default(),
            });
            self.next = self.next.wrapping_add(1);
        }
        taken
    }
}

impl Partial {
    /// Keeps the fragment unless it brings nothing new. `true` when kept.
    fn add(&mut self, fragment: Fragment<'_>) -> Result<bool, DropReason> {
        if fragment.kind != self.kind || fragment.length != self.length {
            return Err(DropReason::Dtls);
        }
        let at = self.fragments.partition_point(|(offset, _)| *offset < fragment.offset);
        let there = self.fragments.get(at).filter(|(offset, _)| *offset == fragment.offset);
        if there.is_some_and(|(_, body)| body.len() >= fragment.body.len()) {
            return Ok(false);
        }
        if self.fragments.len() >= FRAGMENTS {
            return Err(DropReason::HandshakeTooLong);
        }
        self.fragments.insert(at, (fragment.offset, fragment.body.to_vec()));
        Ok(true)
    }

    fn is_complete(&self) -> bool {
        let reached = self.fragments.iter().try_fold(0, |reached: usize, (offset, body)| {
            (*offset <= reached).then(|| reached.max(offset + body.len()))
        });
        !self.fragments.is_empty() && reached == Some(self.length)
    }

    fn assemble(&self) -> Option<Vec<u8>> {
        let mut whole: Vec<u8> = Vec::with_capacity(self.fragments.iter().map(|(_, body)| body.len()).sum());
        for (offset, body) in &self.fragments {
            let overlap = whole.len().checked_sub(*offset)?;
            whole.extend(body.get(overlap..).unwrap_or_default());
        }
        (whole.len() == self.length).then_some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(sequence: u16, length: usize, offset: usize, body: &[u8]) -> Fragment<'_> {
        Fragment { kind: 11, length, sequence, offset, body }
    }

    fn bodies(reassembly: &Reassembly) -> Vec<Vec<u8>> {
        reassembly.run().filter_map(|(_, body)| body).collect()
    }

    #[test]
    fn fragments_in_any_order_repeated_and_overlapping_make_the_message() {
        let whole: Vec<u8> = (0..100).collect();
        let mut reassembly = Reassembly::starting_at(2);
        for (from, to) in [(60, 100), (0, 10), (60, 100), (5, 70), (0, 3), (0, 10)] {
            reassembly.add(fragment(2, 100, from, &whole[from..to])).unwrap();
        }
        assert_eq!(bodies(&reassembly), std::slice::from_ref(&whole));
        assert_eq!(reassembly.take(5)[0].body, whole);
        assert_eq!(reassembly.next(), 3);
        assert_eq!(reassembly.add(fragment(2, 100, 0, &whole)), Err(DropReason::Dtls), "taken already");
    }

    #[test]
    fn a_gap_holds_back_what_follows() {
        let mut reassembly = Reassembly::starting_at(0);
        reassembly.add(fragment(1, 1, 0, b"b")).unwrap();
        assert!(bodies(&reassembly).is_empty());
        reassembly.add(fragment(0, 2, 1, b"a")).unwrap();
        assert!(bodies(&reassembly).is_empty(), "the first byte is missing");
        reassembly.add(fragment(0, 2, 0, b"A")).unwrap();
        assert_eq!(bodies(&reassembly), [b"Aa".to_vec(), b"b".to_vec()]);
    }

    #[test]
    fn an_empty_message_is_complete_and_an_empty_fragment_is_refused() {
        let mut reassembly = Reassembly::starting_at(0);
        assert_eq!(reassembly.add(fragment(0, 5, 0, b"")), Err(DropReason::Dtls));
        reassembly.add(fragment(0, 0, 0, b"")).unwrap();
        assert_eq!(bodies(&reassembly), [Vec::<u8>::new()]);
    }

    #[test]
    fn fragments_that_disagree_about_their_message_are_refused() {
        let mut reassembly = Reassembly::starting_at(0);
        reassembly.add(fragment(0, 10, 0, b"12345")).unwrap();
        assert_eq!(reassembly.add(fragment(0, 11, 5, b"67890")), Err(DropReason::Dtls));
    }

    #[test]
    fn a_bomb_of_fragments_stays_within_the_bounds() {
        let mut reassembly = Reassembly::starting_at(0);
        let bytes = [0u8; 1000];
        let mut refused = 0;
        for sequence in 0..MESSAGES_AHEAD + 3 {
            for offset in 0..2000 {
                refused += usize::from(reassembly.add(fragment(sequence, MESSAGE_BYTES, offset * 7, &bytes)).is_err());
            }
        }
        assert!(refused > 30_000);
        let kept: usize = reassembly.messages.values().flat_map(|m| &m.fragments).map(|(_, b)| b.len()).sum();
        assert!(kept <= limits::HANDSHAKE_BYTES);
        assert!(reassembly.messages.values().all(|message| message.fragments.len() <= FRAGMENTS));
        assert!(reassembly.messages.len() <= usize::from(MESSAGES_AHEAD));
        assert_eq!(reassembly.add(fragment(9, MESSAGE_BYTES + 1, 0, b"x")), Err(DropReason::Dtls));
    }

    #[test]
    fn the_sum_over_a_handshake_is_bounded_too() {
        let mut reassembly = Reassembly::starting_at(0);
        let bytes = vec![0u8; 2000];
        let outcome = (0..1000).try_for_each(|sequence| {
            reassembly.add(fragment(sequence, bytes.len(), 0, &bytes))?;
            reassembly.take(1);
            Ok(())
        });
        assert_eq!(outcome, Err(DropReason::HandshakeTooLong));
    }
}
