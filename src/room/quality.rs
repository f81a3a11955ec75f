//! Connection quality: from measured loss and round-trip time to the grade participants are shown.

use std::time::Duration;

use super::Room;
use super::event::Event;
use super::model::{ConnectionQuality, ParticipantState};
use super::participant::ParticipantKey;
use super::shared::Shared;

/// How often quality is assessed.
pub(super) const QUALITY_INTERVAL: Duration = Duration::from_secs(5);

/// One participant's network, both directions taken together.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MeasuredNetwork {
    pub participant: ParticipantKey,
    /// Worst share of packets lost of the streams to and from it, 0 to 1.
    pub loss: f32,
    pub round_trip_time: Option<Duration>,
}

/// Loss that recovery hides from viewers, loss that they see, and delay that makes people interrupt each other
/// (ITU-T G.114: 150 ms one way is good, 400 ms the limit).
const GOOD_LOSS: f32 = 0.02;
const POOR_LOSS: f32 = 0.08;
const GOOD_RTT: Duration = Duration::from_millis(300);
const POOR_RTT: Duration = Duration::from_millis(800);

/// The grade of one network. Never `Lost`: that is for a transport that is gone.
pub fn grade(network: &MeasuredNetwork) -> ConnectionQuality {
    let rtt = network.round_trip_time.unwrap_or_default();
    if network.loss >= POOR_LOSS || rtt >= POOR_RTT {
        ConnectionQuality::Poor
    } else if network.loss >= GOOD_LOSS || rtt >= GOOD_RTT {
        ConnectionQuality::Good
    } else {
        ConnectionQuality::Excellent
    }
}

impl Room {
    /// Tells grades that changed to the participant itself and to those subscribed to it.
    pub fn networks_measured(&mut self, networks: &[MeasuredNetwork]) {
        let mut changes = Vec::new();
        for network in networks {
            let Some(participant) = self.participants.get_mut(&network.participant) else {
                continue;
            };
            let quality = grade(network);
            if participant.info.state != ParticipantState::Active || participant.quality == Some(quality) {
                continue;
            }
            participant.quality = Some(quality);
            changes.push((network.participant, (participant.info.id.clone(), quality)));
        }
        self.tell_receivers(&changes, Event::Quality);
    }

    /// A participant that has just connected learns how the others are.
    pub(super) fn tell_known_qualities(&mut self, key: ParticipantKey) {
        let known: Vec<_> =
            self.visible_others(key).filter_map(|other| Some((other.info.id.clone(), other.quality?))).collect();
        if !known.is_empty() {
            self.tell(key, Event::Quality(Shared::new(known)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(loss: f32, rtt_ms: u64) -> MeasuredNetwork {
        let round_trip_time = Some(Duration::from_millis(rtt_ms));
        MeasuredNetwork { participant: ParticipantKey(0), loss, round_trip_time }
    }

    #[test]
    fn the_worse_of_loss_and_delay_decides() {
        assert_eq!(grade(&network(0.0, 20)), ConnectionQuality::Excellent);
        assert_eq!(grade(&network(0.03, 20)), ConnectionQuality::Good);
        assert_eq!(grade(&network(0.0, 400)), ConnectionQuality::Good);
        assert_eq!(grade(&network(0.10, 20)), ConnectionQuality::Poor);
        assert_eq!(grade(&network(0.0, 900)), ConnectionQuality::Poor);
    }
}
