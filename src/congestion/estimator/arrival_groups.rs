//! Groups of packets sent together, and how much later than its predecessor each group arrived (draft-ietf-rmcat-gcc-02, section 5.2,
//! "Pre-filtering"; the grouping by send time and the burst rule are libwebrtc's).
//!
//! What always holds: a packet sent before the group that is open counts nothing; differences of arrival are not negative.

use super::Micros;
use super::arrivals::Arrived;

/// Packets sent within this belong together: a pacer's tick.
const GROUP: Micros = 5_000;
/// Packets that arrive within this one after another, and closer than they were sent, were held up together on the way.
const BURST_GAP: Micros = 5_000;
/// So long one burst may get.
const LONGEST_BURST: Micros = 100_000;
/// Groups in a row that end before their predecessor, after which the clock is taken for another one.
const REORDERED_GROUPS: u8 = 3;
/// Arrival that falls behind sending by more between two groups: the way stood still or the clock jumped, and neither is a queue's slope.
const LONGEST_STALL: Micros = 3_000_000;

#[derive(Clone, Copy)]
struct Group {
    first_sent: Micros,
    last_sent: Micros,
    first_arrived: Micros,
    last_arrived: Micros,
}

/// From the end of one group to the end of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta {
    pub sent: Micros,
    pub arrived: Micros,
    /// When the later one had arrived, on the subscriber's clock.
    pub at: Micros,
}

#[derive(Default)]
pub struct ArrivalGroups {
    previous: Option<Group>,
    current: Option<Group>,
    reordered: u8,
}

impl ArrivalGroups {
    /// A packet arrived; in order of arrival. The delta of a group that it ended.
    pub fn add(&mut self, packet: &Arrived) -> Option<Delta> {
        let Some(current) = &mut self.current else {
            self.current = Some(Group::of(packet));
            return None;
        };
        if packet.sent < current.first_sent {
            return None;
        }
        if current.takes(packet) {
            current.add(packet);
            return None;
        }
        let ended = *current;
        *current = Group::of(packet);
        self.end(ended)
    }

    fn end(&mut self, ended: Group) -> Option<Delta> {
        let Some(previous) = self.previous else {
            self.previous = Some(ended);
            return None;
        };
        let delta = ended.since(&previous);
        if delta.arrived < 0 {
            self.reordered += 1;
            if self.reordered >= REORDERED_GROUPS {
                *self = ArrivalGroups::default();
            }
            return None;
        }
        self.reordered = 0;
        self.previous = Some(ended);
        (delta.arrived - delta.sent < LONGEST_STALL).then_some(delta)
    }
}

impl Group {
    fn of(packet: &Arrived) -> Group {
        Group {
            first_sent: packet.sent,
            last_sent: packet.sent,
            first_arrived: packet.arrived,
            last_arrived: packet.arrived,
        }
    }

    fn takes(&self, packet: &Arrived) -> bool {
        self.bursts_with(packet) || packet.sent - self.first_sent <= GROUP
    }

    fn bursts_with(&self, packet: &Arrived) -> bool {
        let sent = packet.sent - self.last_sent;
        let arrived = packet.arrived - self.last_arrived;
        let held_up = arrived < sent && (0..=BURST_GAP).contains(&arrived);
        sent == 0 || (held_up && packet.arrived - self.first_arrived < LONGEST_BURST)
    }

    fn add(&mut self, packet: &Arrived) {
        self.last_sent = self.last_sent.max(packet.sent);
        self.last_arrived = self.last_arrived.max(packet.arrived);
    }

    fn since(&self, previous: &Group) -> Delta {
        Delta {
            sent: self.last_sent - previous.last_sent,
            arrived: self.last_arrived - previous.last_arrived,
            at: self.last_arrived,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;

    fn deltas(packets: &[(Micros, Micros)]) -> Vec<(Micros, Micros)> {
        let mut groups = ArrivalGroups::default();
        let of = |&(sent, arrived): &(Micros, Micros)| Arrived {
            number: 0,
            bytes: 1_000,
            sent: sent * MS,
            arrived: arrived * MS,
        };
        packets.iter().filter_map(|packet| groups.add(&of(packet))).map(|d| (d.sent / MS, d.arrived / MS)).collect()
    }

    #[test]
    fn packets_of_a_tick_are_a_group() {
        assert_eq!(deltas(&[(0, 50), (3, 54), (20, 70), (22, 75), (40, 91)]), [(19, 21)]);
        assert_eq!(deltas(&[(0, 50), (20, 70), (40, 95), (60, 116)]), [(20, 20), (20, 25)]);
    }

    #[test]
    fn packets_held_up_together_are_a_group() {
        let held = [(0, 50), (20, 70), (40, 150), (60, 151), (80, 152), (100, 153), (120, 170), (140, 190)];
        assert_eq!(deltas(&held), [(20, 20), (80, 83), (20, 17)]);
    }

    #[test]
    fn a_packet_that_was_overtaken_counts_nothing() {
        assert_eq!(deltas(&[(0, 50), (20, 70), (40, 90), (10, 95), (60, 110)]), [(20, 20), (20, 20)]);
    }

    #[test]
    fn arrivals_that_go_back_begin_anew() {
        let back: Vec<_> = (0..8).map(|i| (20 * i, 1_000 - 20 * i)).collect();
        assert_eq!(deltas(&back), []);
        let after: Vec<_> = back.into_iter().chain((10..20).map(|i| (20 * i, 100 + 20 * i))).collect();
        assert_eq!(deltas(&after).last(), Some(&(20, 20)));
    }

    #[test]
    fn a_stall_of_seconds_is_no_slope() {
        assert_eq!(
            deltas(&[(0, 50), (20, 70), (40, 5_000), (60, 5_020), (80, 5_045), (99, 5_060)]),
            [(20, 20), (20, 20), (20, 25)]
        );
    }
}
