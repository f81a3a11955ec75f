//! What subscribers ask for again (RFC 4585, section 6.2.1), from the caches of the encodings (RFC 4588).
//!
//! What always holds: one datagram has at most `limits::NACKED_PACKETS` packets looked for; what was never sent to a subscriber is
//! not sent to it now; nothing is allocated but the batch's room.

use std::time::Instant;

use super::Shard;
use super::outlet::Outlet;
use crate::media::forward::Refusal;
use crate::recorder::decisions::Decision;
use crate::telemetry::traffic::Kind;
use crate::wire::Ssrc;

/// The sequence numbers of a NACK's entry: the first, and those after it whose bits are set.
pub fn nacked_numbers(packet_id: u16, bitmask: u16) -> impl Iterator<Item = u16> {
    let following = (0..16u16).filter(move |bit| bitmask & (1 << bit) != 0);
    std::iter::once(packet_id).chain(following.map(move |bit| packet_id.wrapping_add(bit + 1)))
}

impl Shard {
    /// Sends a peer again what it asks for of one stream, as far as it may have it; `left` counts down.
    pub(super) fn resend(
        &mut self,
        now: Instant,
        key: usize,
        media: Ssrc,
        numbers: impl Iterator<Item = u16>,
        left: &mut usize,
    ) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let room = peer.room;
        let Some(entry) = self.rooms.get_mut(room) else { return };
        let Some((mut outlet, outbound)) = Outlet::of(now, peer, &mut self.batch, &mut self.written, &self.counters)
        else {
            return;
        };
        let mut subscription = outbound.by_ssrc(media).filter(|s| s.stream.target().ssrc == media);
        let (mut packets, mut bytes, mut asked) = (0, 0, 0);
        let mut hopeless = false;
        let (mut gone, mut too_soon, mut over_budget) = (0u16, 0u16, 0u16);
        for number in numbers.take(*left) {
            asked += 1;
            let sent = match &mut subscription {
                Some(subscription) => match entry.sources.get_mut(subscription.source) {
                    Some(source) => outlet.send_again(source, &mut subscription.stream, number),
                    None => Err(Refusal::Gone),
                },
                None => Err(Refusal::Gone),
            };
            match sent {
                Ok((len, is_last_time)) => {
                    (packets, bytes) = (packets + 1, bytes + len as u64);
                    hopeless |= is_last_time;
                }
                Err(reason) => {
                    self.counters.nacks_refused.count(reason);
                    let refused = match reason {
                        Refusal::Gone => &mut gone,
                        Refusal::TooSoon => &mut too_soon,
                        Refusal::OverBudget => &mut over_budget,
                    };
                    *refused = refused.saturating_add(1);
                }
            }
        }
        *left -= asked;
        if let Some(subscription) = &mut subscription {
            subscription.tally.count_nacks(asked, packets);
            outlet.decided(media, Decision::Nack { packets: packets as u32, gone, too_soon, over_budget });
        }
        self.counters.nacked_packets.add(asked as u64);
        self.counters.rtx_packets_out.add(packets);
        self.counters.rtx_bytes_out.add(bytes);
        self.counters.traffic.sent.count(Kind::Rtx, packets, bytes);
        // A receiver asks no further, and would wait for seconds before it asks for a keyframe.
        let needed =
            subscription.filter(|_| hopeless).and_then(|s| Some((s.source, s.keyframe_needed()?, s.stream.wish(now))));
        if let Some((source, encoding, wish)) = needed {
            self.request_keyframe(now, room, source, encoding, wish);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_its_first_and_those_of_its_bits() {
        assert_eq!(nacked_numbers(7, 0).collect::<Vec<_>>(), [7]);
        assert_eq!(nacked_numbers(65_534, 0b1000_0000_0000_0101).collect::<Vec<_>>(), [65_534, 65_535, 1, 14]);
        assert_eq!(nacked_numbers(0, u16::MAX).count(), 17);
    }
}
