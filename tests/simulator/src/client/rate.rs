//! What a publisher makes of transport-wide feedback: the loss-based part of a congestion controller
//! (draft-ietf-rmcat-gcc-02, section 6). The delay-based part is not modelled.
//!
//! What always holds: the rate stays between a tenth of the greatest and the greatest.

use std::time::Duration;

use rtc_shared::marshal::Unmarshal;
use rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, SymbolTypeTcc, TransportLayerCc};

/// Loss above which the rate is cut, and below which it grows.
const HIGH: f64 = 0.10;
const LOW: f64 = 0.02;
/// Growth for each report.
const GROWTH: f64 = 1.05;
/// Feedback is judged once so much time of it is there.
const WINDOW: Duration = Duration::from_secs(1);

pub struct RateControl {
    greatest: u64,
    rate: u64,
    reported: u64,
    lost: u64,
    judged: Duration,
    /// How often the rate was cut.
    pub cuts: u64,
}

impl RateControl {
    pub fn new(greatest: u64) -> RateControl {
        RateControl { greatest, rate: greatest, reported: 0, lost: 0, judged: Duration::ZERO, cuts: 0 }
    }

    /// A feedback packet, with its RTCP header. Gives a new rate when there is one.
    pub fn feedback(&mut self, now: Duration, packet: &[u8]) -> Option<u64> {
        let feedback = TransportLayerCc::unmarshal(&mut &*packet).ok()?;
        let lost = statuses(&feedback).filter(|symbol| *symbol == SymbolTypeTcc::PacketNotReceived).count();
        self.reported += u64::from(feedback.packet_status_count);
        self.lost += lost as u64;
        if now < self.judged + WINDOW {
            return None;
        }
        let share = self.lost as f64 / self.reported.max(1) as f64;
        (self.reported, self.lost, self.judged) = (0, 0, now);
        self.judge(share)
    }

    fn judge(&mut self, share: f64) -> Option<u64> {
        let factor = match share {
            share if share > HIGH => 1.0 - 0.5 * share,
            share if share < LOW => GROWTH,
            _ => return None,
        };
        self.cuts += u64::from(factor < 1.0);
        self.rate = ((self.rate as f64 * factor) as u64).clamp(self.greatest / 10, self.greatest);
        Some(self.rate)
    }
}

fn statuses(feedback: &TransportLayerCc) -> impl Iterator<Item = SymbolTypeTcc> + '_ {
    let of_chunk = |chunk: &PacketStatusChunk| match chunk {
        PacketStatusChunk::RunLengthChunk(run) => {
            vec![run.packet_status_symbol; usize::from(run.run_length)]
        }
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
    };
    feedback.packet_chunks.iter().flat_map(of_chunk).take(usize::from(feedback.packet_status_count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfumato::wire::Ssrc;
    use sfumato::wire::rtcp::transport_feedback::Feedback;

    /// One second of feedback in which every so many-th packet is lost.
    fn rate_after(seconds: u64, lost_every: usize) -> (u64, u64) {
        let mut control = RateControl::new(1_000_000);
        let mut rate = 1_000_000;
        for second in 1..=seconds {
            let arrival = |n: usize| (n % lost_every != 1).then(|| Duration::from_millis(n as u64));
            let mut bytes = Vec::new();
            Feedback::new(Ssrc(1), Ssrc(2), 0, 0, (0..101).map(arrival)).write(&mut bytes);
            rate = control.feedback(Duration::from_secs(second), &bytes).unwrap_or(rate);
        }
        (rate, control.cuts)
    }

    #[test]
    fn heavy_loss_cuts_and_little_does_not() {
        assert_eq!(rate_after(10, 100), (1_000_000, 0));
        let (rate, cuts) = rate_after(10, 5);
        assert!((300_000..400_000).contains(&rate) && cuts == 10, "{rate} {cuts}");
    }

    #[test]
    fn noise_is_no_feedback() {
        assert_eq!(RateControl::new(1).feedback(Duration::from_secs(9), &[0x8f, 205, 0, 1, 2]), None);
    }
}
