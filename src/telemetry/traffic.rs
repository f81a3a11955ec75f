//! Packets and bytes by kind, as one shard counts them: what was received and authenticated, and what was sent.
//!
//! What always holds: bytes are those of whole SRTP, SRTCP and DTLS packets, without the headers of UDP and IP.

use super::counters::Counter;
use crate::negotiation::MediaKind;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Audio,
    Video,
    /// Sent again as a stream of its own (RFC 4588), and the padding that probes a path in such a stream.
    Rtx,
    Rtcp,
    /// DTLS: data channels, and handshakes.
    Data,
}

/// Every kind with its label.
const KINDS: [(Kind, &str); 5] =
    [(Kind::Audio, "audio"), (Kind::Video, "video"), (Kind::Rtx, "rtx"), (Kind::Rtcp, "rtcp"), (Kind::Data, "data")];

impl From<MediaKind> for Kind {
    fn from(kind: MediaKind) -> Kind {
        match kind {
            MediaKind::Audio => Kind::Audio,
            MediaKind::Video => Kind::Video,
        }
    }
}

#[derive(Default, Debug)]
struct Amount {
    packets: Counter,
    bytes: Counter,
}

/// What goes one way.
#[derive(Default, Debug)]
pub struct Flow([Amount; KINDS.len()]);

#[derive(Default, Debug)]
pub struct Traffic {
    pub received: Flow,
    pub sent: Flow,
}

impl Flow {
    pub fn count(&self, kind: Kind, packets: u64, bytes: u64) {
        if let Some(amount) = self.0.get(kind as usize) {
            amount.packets.add(packets);
            amount.bytes.add(bytes);
        }
    }

    /// Label, packets, bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64, u64)> + '_ {
        let amounts = KINDS.iter().zip(&self.0);
        amounts.map(|((_, label), amount)| (*label, amount.packets.get(), amount.bytes.get()))
    }

    /// Packets and bytes of the kinds that are meant.
    pub fn sum(&self, kinds: &[Kind]) -> (u64, u64) {
        let amounts = kinds.iter().filter_map(|kind| self.0.get(*kind as usize));
        amounts.fold((0, 0), |sum, amount| (sum.0 + amount.packets.get(), sum.1 + amount.bytes.get()))
    }
}

/// Media sent to one subscriber, summed before it is counted: counters cost more than numbers at hand.
#[derive(Clone, Copy, Default, Debug)]
pub struct Tally {
    audio: (u64, u64),
    video: (u64, u64),
}

impl Tally {
    pub fn add(&mut self, kind: MediaKind, bytes: usize) {
        let (packets, sum) = match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        };
        (*packets, *sum) = (*packets + 1, *sum + bytes as u64);
    }

    pub fn packets(&self) -> u64 {
        self.audio.0 + self.video.0
    }

    pub fn bytes(&self) -> u64 {
        self.audio.1 + self.video.1
    }

    pub fn count_in(&self, flow: &Flow) {
        for (kind, (packets, bytes)) in [(Kind::Audio, self.audio), (Kind::Video, self.video)] {
            if packets > 0 {
                flow.count(kind, packets, bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_under_its_own_label() {
        let flow = Flow::default();
        for (index, (kind, _)) in KINDS.iter().enumerate() {
            flow.count(*kind, index as u64 + 1, 100 * (index as u64 + 1));
        }
        let counted: Vec<_> = flow.iter().collect();
        let expected = [("audio", 1, 100), ("video", 2, 200), ("rtx", 3, 300), ("rtcp", 4, 400), ("data", 5, 500)];
        assert_eq!(counted, expected);
        assert_eq!(flow.sum(&[Kind::Audio, Kind::Rtx]), (4, 400));
    }

    #[test]
    fn a_tally_is_counted_by_kind_and_as_a_whole() {
        let (flow, mut tally) = (Flow::default(), Tally::default());
        [(MediaKind::Video, 1_000), (MediaKind::Audio, 80), (MediaKind::Video, 500)]
            .into_iter()
            .for_each(|(kind, bytes)| tally.add(kind, bytes));
        tally.count_in(&flow);
        assert_eq!((tally.packets(), tally.bytes()), (3, 1_580));
        assert_eq!((flow.sum(&[Kind::Audio]), flow.sum(&[Kind::Video])), ((1, 80), (2, 1_500)));
    }
}
