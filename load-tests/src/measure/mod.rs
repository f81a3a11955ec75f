//! What is measured: the clients' counters, delays, and the server process as the kernel sees it.
//!
//! What always holds: counters only grow; a window is the difference of two readings of all of them.

pub mod delay;
pub mod kernel;
pub mod process;

/// Simulcast encodings told apart.
pub const ENCODINGS: usize = 3;

/// What all clients counted since the start. Streams and clients that ended stay counted.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Totals {
    /// RTP packets received of any stream, and bytes of their datagrams.
    pub packets: u64,
    pub bytes: u64,
    pub audio_packets: u64,
    pub video_packets: u64,
    /// Decrypted packets by simulcast encoding, low to high.
    pub by_encoding: [u64; ENCODINGS],
    pub retransmissions: u64,
    /// By sequence numbers: from each stream's first packet to its highest, those that came (once), those that came late,
    /// those that came again.
    pub expected: u64,
    pub received: u64,
    pub late: u64,
    pub duplicates: u64,
    /// Packets decrypted, those whose authentication failed, those whose content was not what was sent.
    pub verified: u64,
    pub unauthentic: u64,
    pub damaged: u64,
    /// Datagrams that are nothing that was negotiated.
    pub unexpected: u64,
    pub receive_calls: u64,
    /// RTP packets sent by publishers, failures of sealing or sending, times a stream was so late that it skipped bursts.
    pub sent_packets: u64,
    pub send_errors: u64,
    pub late_bursts: u64,
    pub rtcp_received: u64,
    pub rtcp_sent: u64,
    pub keyframe_requests: u64,
    /// Streams received now, and clients connected now.
    pub streams: u64,
    pub connected: u64,
    /// Clients whose transport failed or was closed by the server.
    pub failed: u64,
}

impl Totals {
    /// What was counted since `earlier`; what is a state and no counter stays as it is.
    pub fn since(&self, earlier: &Totals) -> Totals {
        let by_encoding = std::array::from_fn(|index| {
            let of = |totals: &Totals| totals.by_encoding.get(index).copied().unwrap_or_default();
            of(self).saturating_sub(of(earlier))
        });
        macro_rules! differences {
            ($($field:ident),*) => {
                Totals { $($field: self.$field.saturating_sub(earlier.$field),)* by_encoding, ..*self }
            };
        }
        differences!(
            packets,
            bytes,
            audio_packets,
            video_packets,
            retransmissions,
            expected,
            received,
            late,
            duplicates,
            verified,
            unauthentic,
            damaged,
            unexpected,
            receive_calls,
            sent_packets,
            send_errors,
            late_bursts,
            rtcp_received,
            rtcp_sent,
            keyframe_requests,
            failed
        )
    }

    /// Share that did not come of what was sent to so many receivers each: sees streams that stopped, too.
    pub fn missing(&self, receivers: usize) -> f64 {
        let wanted = self.sent_packets as f64 * receivers as f64;
        if wanted > 0.0 { (1.0 - self.received as f64 / wanted).max(0.0) } else { 0.0 }
    }

    /// Share of packets lost, by sequence numbers.
    pub fn loss(&self) -> f64 {
        let lost = self.expected.saturating_sub(self.received);
        if self.expected == 0 { 0.0 } else { lost as f64 / self.expected as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_difference_but_states_stay() {
        let before = Totals { packets: 10, expected: 10, received: 10, streams: 3, connected: 2, ..Totals::default() };
        let after = Totals { packets: 110, expected: 110, received: 85, streams: 4, connected: 5, ..Totals::default() };
        let window = after.since(&before);
        assert_eq!((window.packets, window.expected, window.received), (100, 100, 75));
        assert_eq!((window.streams, window.connected), (4, 5));
        assert!((window.loss() - 0.25).abs() < 1e-9);
        assert_eq!(Totals::default().loss(), 0.0);
    }

    #[test]
    fn a_stream_that_stops_is_missing_though_nothing_is_lost() {
        let window = Totals { sent_packets: 100, received: 150, expected: 150, ..Totals::default() };
        assert_eq!((window.loss(), window.missing(2)), (0.0, 0.25));
        assert_eq!(window.missing(1), 0.0, "never below nothing");
    }
}
