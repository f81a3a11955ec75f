//! What was measured of one participant in each second of the last minute.
//!
//! What always holds: at most `limits::SERIES_SAMPLES` samples are kept, one for each report interval in which it was connected.

use std::collections::VecDeque;
use std::time::Duration;

use super::decisions::Decision;
use crate::limits;

/// One second of a participant, over all its streams.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sample {
    /// RTP that it sends, bit/s.
    pub received_bitrate: u32,
    /// RTP payload that is sent to it, bit/s; what is sent again is left out.
    pub sent_bitrate: u32,
    /// What its way was found to take, bit/s; 0 where that is not known.
    pub estimated_bitrate: u32,
    /// The worst of its streams' shares of packets lost on the way here, in 1/256.
    pub received_loss: u8,
    /// The worst share that it reported as lost, in 1/256.
    pub sent_loss: u8,
    /// Keyframes it asked for.
    pub keyframe_requests: u8,
    /// Freezes that began.
    pub freezes: u8,
    /// Least of its streams', milliseconds; `None` before it was measured.
    pub round_trip_ms: Option<u16>,
    /// Greatest interarrival jitter of what it sends, in 1/10 ms.
    pub received_jitter: u16,
    /// The greatest that it reported, in 1/10 ms.
    pub sent_jitter: u16,
    /// Packets it asked for again, and those that were sent.
    pub nacked: u16,
    pub retransmitted: u16,
}

impl Sample {
    /// Takes in what a decision counts.
    pub fn count(&mut self, decision: Decision) {
        match decision {
            Decision::KeyframeRequested { .. } => self.keyframe_requests = self.keyframe_requests.saturating_add(1),
            Decision::FreezeBegan => self.freezes = self.freezes.saturating_add(1),
            Decision::Nack { packets, gone, too_soon, over_budget } => {
                let sent = u16::try_from(packets).unwrap_or(u16::MAX);
                self.retransmitted = self.retransmitted.saturating_add(sent);
                let asked = [sent, gone, too_soon, over_budget].into_iter();
                self.nacked = asked.fold(self.nacked, u16::saturating_add);
            }
            _ => {}
        }
    }

    /// Takes in a stream that the participant sends: its rate, loss in 1/256 and jitter.
    pub fn add_received(&mut self, bitrate: u32, loss: u8, jitter: Duration) {
        self.received_bitrate = self.received_bitrate.saturating_add(bitrate);
        self.received_loss = self.received_loss.max(loss);
        self.received_jitter = self.received_jitter.max(tenths(jitter));
    }

    /// The same of a stream that is sent to it.
    pub fn add_sent(&mut self, bitrate: u32, loss: u8, jitter: Duration, round_trip_time: Option<Duration>) {
        self.sent_bitrate = self.sent_bitrate.saturating_add(bitrate);
        self.sent_loss = self.sent_loss.max(loss);
        self.sent_jitter = self.sent_jitter.max(tenths(jitter));
        let round_trip = round_trip_time.map(|time| u16::try_from(time.as_millis()).unwrap_or(u16::MAX));
        self.round_trip_ms = self.round_trip_ms.into_iter().chain(round_trip).min();
    }
}

/// In 1/10 ms.
fn tenths(time: Duration) -> u16 {
    u16::try_from(time.as_micros() / 100).unwrap_or(u16::MAX)
}

#[derive(Debug, Default)]
pub struct Series {
    samples: VecDeque<Sample>,
    last: Duration,
}

impl Series {
    /// `at`: since the recorder began.
    pub fn push(&mut self, at: Duration, sample: Sample) {
        if self.samples.len() >= limits::SERIES_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.last = at;
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }

    pub fn newest(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// When the newest was taken, since the recorder began.
    pub fn last(&self) -> Duration {
        self.last
    }

    #[cfg(test)]
    pub fn capacity_bytes(&self) -> usize {
        self.samples.capacity() * size_of::<Sample>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_kept_oldest_first() {
        let mut series = Series::default();
        for n in 0..=limits::SERIES_SAMPLES as u32 {
            series.push(Duration::from_secs(n.into()), Sample { sent_bitrate: n, ..Sample::default() });
        }
        let rates: Vec<u32> = series.iter().map(|sample| sample.sent_bitrate).collect();
        assert_eq!(rates, (1..=limits::SERIES_SAMPLES as u32).collect::<Vec<_>>());
        assert_eq!((series.newest().unwrap().sent_bitrate, series.last()), (60, Duration::from_secs(60)));
    }
}
