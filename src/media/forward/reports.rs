//! What a subscriber and this server tell each other of a stream by RTCP (RFC 3550, section 6.4): its reception reports, the sender
//! reports, and what both say of the way between them.
//!
//! What always holds: a report about another stream changes nothing; a round trip time is of a sender report that was made.

use std::time::{Duration, Instant};

use super::{SendStream, Viewer};
use crate::media::clock;
use crate::wire::rtcp::{ReceptionReport, SenderInfo};

impl SendStream {
    /// The subscriber reported on this SSRC, or on that of its retransmissions. A report on another one is ignored. Gives the round trip
    /// time where this report tells it.
    pub fn handle_report(&mut self, now: Instant, report: &ReceptionReport) -> Option<Duration> {
        if let Some(recovery) = &mut self.recovery {
            if report.ssrc == recovery.ssrc().0 {
                recovery.reported_again(report.fraction_lost);
                return None;
            }
            if report.ssrc == self.target.ssrc.0 {
                recovery.reported(report.fraction_lost);
            }
        }
        if report.ssrc != self.target.ssrc.0 {
            return None;
        }
        self.mid_known = true;
        self.fraction_lost = report.fraction_lost;
        self.jitter = report.jitter;
        let answered = self.sent_reports.iter().flatten().find(|(middle, _)| *middle == report.last_sender_report);
        let (_, sent) = answered?;
        let elapsed = now.saturating_duration_since(*sent);
        self.round_trip_time = Some(elapsed.saturating_sub(clock::from_short(report.delay_since_last)));
        self.round_trip_time
    }

    /// After a report: a subscriber that loses packets is asked to hold pictures back for long enough to get them again.
    pub fn hold_back(&mut self, now: Instant, viewer: Viewer) {
        if self.video {
            self.cushion.reported(now, viewer, self.fraction_lost, self.round_trip_time.unwrap_or_default());
        }
    }

    /// The sender report for the subscriber: publisher's NTP clock carried over where known, else `ntp_now` (32.32). `None` before the first packet.
    /// Remembers the report, for the round trip time.
    pub fn sender_report(&mut self, now: Instant, ntp_now: u64) -> Option<SenderInfo> {
        let (ntp, rtp_timestamp) = self.timestamp.report(now, ntp_now)?;
        self.sent_reports.rotate_right(1);
        if let Some(newest) = self.sent_reports.first_mut() {
            *newest = Some((clock::ntp_middle(ntp), now));
        }
        Some(SenderInfo {
            ssrc: self.target.ssrc,
            ntp,
            rtp_timestamp,
            packets: self.packets as u32,
            octets: self.bytes as u32,
        })
    }

    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of payload.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Loss of the last report, 0 to 255; 0 before one.
    pub fn fraction_lost(&self) -> u8 {
        self.fraction_lost
    }

    /// Interarrival jitter of the last report (RFC 3550, A.8).
    pub fn jitter(&self) -> Duration {
        let nanos = u64::from(self.jitter) * 1_000_000_000 / u64::from(self.target.clock_rate.max(1));
        Duration::from_nanos(nanos)
    }

    /// The least playout delay the subscriber is asked for; `None` while it was never asked for any.
    pub fn held_back(&self) -> Option<Duration> {
        self.cushion.delay()
    }

    /// From the last report that answered a sender report (RFC 3550, section 6.4.1).
    pub fn round_trip_time(&self) -> Option<Duration> {
        self.round_trip_time
    }
}
