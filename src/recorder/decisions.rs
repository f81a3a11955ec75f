//! What the server decided about one participant, newest last, in a ring.
//!
//! What always holds: at most `limits::RECORDED_DECISIONS` are kept; the same about the same stream within a second is one entry
//! that counts, so that a flood of requests displaces nothing but what is older than it by many seconds.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use crate::limits;
use crate::wire::Ssrc;

/// Entries from the newest backwards that are looked through for one to add to.
const LOOK_BACK: usize = 8;
/// How far apart decisions that are counted together may be.
const TOGETHER: Duration = Duration::from_secs(1);

/// Something that was decided, or that decided something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// ICE and DTLS are done.
    Connected,
    /// Media goes to another address of the participant from now on.
    PathChanged,
    OfferAnswered,
    OfferRefused,
    /// What is to be sent from the next possible frame on; layers of an encoding above those it has mean all.
    LayerChosen {
        encoding: u8,
        spatial: u8,
        temporal: u8,
    },
    /// Nothing of the stream is wanted, or nothing there is.
    Paused,
    /// A keyframe of this encoding was sent: it is what is sent from now on.
    LayerSwitched {
        encoding: u8,
    },
    /// The stream goes on from the track's other codec.
    RenditionChanged,
    /// The picture began with a keyframe in the cache and what followed it.
    CaughtUp {
        packets: u32,
    },
    /// The participant asked for a keyframe (RFC 4585, section 6.3.1; RFC 5104, section 4.3.1).
    KeyframeRequested {
        times: u32,
    },
    /// The participant was asked for one.
    KeyframeAsked {
        times: u32,
    },
    /// The participant's decoder seems to stand still.
    FreezeBegan,
    /// The participant asked for packets (RFC 4585, section 6.2.1): what was sent again, and what was not and why.
    Nack {
        packets: u32,
        gone: u16,
        too_soon: u16,
        over_budget: u16,
    },
    /// The participant was asked for packets of its own.
    NackSent {
        packets: u32,
    },
    /// Packets of its own that came again.
    Recovered {
        packets: u32,
    },
    /// Packets of its own that did not.
    GivenUp {
        packets: u32,
    },
    /// What its way takes was found to be this.
    Estimated {
        kbps: u32,
    },
    /// Its way takes less of the stream than it wants, again all, or nothing.
    BandwidthLimited,
    BandwidthSuffices,
    BandwidthPaused,
    /// The least playout delay it is asked for.
    HeldBack {
        delay_ms: u32,
    },
}

/// A decision, and when it was made and how often within a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Since the recorder began, milliseconds.
    pub at_ms: u32,
    pub ssrc: Option<Ssrc>,
    pub decision: Decision,
}

#[derive(Debug, Default)]
pub struct Decisions {
    entries: VecDeque<Entry>,
}

impl Decisions {
    /// `at`: since the recorder began.
    pub fn push(&mut self, at: Duration, ssrc: Option<Ssrc>, decision: Decision) {
        let at_ms = u32::try_from(at.as_millis()).unwrap_or(u32::MAX);
        let together = TOGETHER.as_millis() as u32;
        let recent = self.entries.iter_mut().rev().take(LOOK_BACK);
        let mut alike =
            recent.take_while(|entry| at_ms.saturating_sub(entry.at_ms) < together).filter(|entry| entry.ssrc == ssrc);
        if alike.any(|entry| entry.decision.add(decision)) {
            return;
        }
        if self.entries.len() >= limits::RECORDED_DECISIONS {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at_ms, ssrc, decision });
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    #[cfg(test)]
    pub fn capacity_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }
}

impl Decision {
    /// Takes another of the same kind in, where they are counted or the newest is enough. False where each is told.
    fn add(&mut self, other: Decision) -> bool {
        use Decision::*;
        match (self, other) {
            (KeyframeRequested { times }, KeyframeRequested { times: more })
            | (KeyframeAsked { times }, KeyframeAsked { times: more }) => *times = times.saturating_add(more),
            (NackSent { packets }, NackSent { packets: more })
            | (Recovered { packets }, Recovered { packets: more })
            | (GivenUp { packets }, GivenUp { packets: more }) => *packets = packets.saturating_add(more),
            (
                Nack { packets, gone, too_soon, over_budget },
                Nack { packets: p, gone: g, too_soon: t, over_budget: o },
            ) => {
                *packets = packets.saturating_add(p);
                *gone = gone.saturating_add(g);
                *too_soon = too_soon.saturating_add(t);
                *over_budget = over_budget.saturating_add(o);
            }
            // The newest is what holds.
            (HeldBack { delay_ms: held }, HeldBack { delay_ms: newest })
            | (Estimated { kbps: held }, Estimated { kbps: newest }) => *held = newest,
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_same_about_one_stream_within_a_second_is_counted_together() {
        let mut decisions = Decisions::default();
        let nack = |packets| Decision::Nack { packets, gone: 1, too_soon: 0, over_budget: 0 };
        decisions.push(ms(0), Some(Ssrc(1)), nack(3));
        decisions.push(ms(10), Some(Ssrc(2)), nack(5));
        decisions.push(ms(20), Some(Ssrc(1)), Decision::KeyframeRequested { times: 1 });
        decisions.push(ms(900), Some(Ssrc(1)), nack(4));
        decisions.push(ms(1_000), Some(Ssrc(1)), nack(2));
        let seen: Vec<_> = decisions.iter().map(|entry| (entry.at_ms, entry.ssrc.unwrap().0, entry.decision)).collect();
        assert_eq!(
            seen,
            [
                (0, 1, Decision::Nack { packets: 7, gone: 2, too_soon: 0, over_budget: 0 }),
                (10, 2, nack(5)),
                (20, 1, Decision::KeyframeRequested { times: 1 }),
                (1_000, 1, nack(2)),
            ]
        );
    }

    #[test]
    fn of_delays_within_a_second_the_newest_is_told_and_what_is_no_count_stays_apart() {
        let mut decisions = Decisions::default();
        [300, 400]
            .into_iter()
            .for_each(|delay_ms| decisions.push(ms(0), Some(Ssrc(1)), Decision::HeldBack { delay_ms }));
        assert_eq!(
            decisions.iter().map(|entry| entry.decision).collect::<Vec<_>>(),
            [Decision::HeldBack { delay_ms: 400 }]
        );
        let mut decisions = Decisions::default();
        (0..3).for_each(|n| decisions.push(ms(n), Some(Ssrc(1)), Decision::LayerSwitched { encoding: 1 }));
        assert_eq!(decisions.iter().count(), 3);
    }

    #[test]
    fn the_oldest_go_first_and_a_flood_of_one_kind_displaces_one_a_second() {
        let mut decisions = Decisions::default();
        for n in 0..limits::RECORDED_DECISIONS as u64 + 5 {
            decisions.push(ms(2_000 * n), None, Decision::Connected);
        }
        assert_eq!(decisions.iter().count(), limits::RECORDED_DECISIONS);
        assert_eq!(decisions.iter().next().unwrap().at_ms, 10_000);
        let end = 2_000 * (limits::RECORDED_DECISIONS as u64 + 5);
        (0..10_000).for_each(|n| decisions.push(ms(end + n), None, Decision::KeyframeRequested { times: 1 }));
        let kept = decisions.iter().filter(|entry| entry.decision == Decision::Connected).count();
        assert_eq!(kept, limits::RECORDED_DECISIONS - 10);
    }
}
