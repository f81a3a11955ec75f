//! A participant's flight recorder: what was decided about it (`decisions`), what was measured each second of the last minute
//! (`series`), and, while that is asked for, the headers of its packets (`headers`), written as pcapng (draft-ietf-opsawg-pcapng) by `pcapng`. `archive` keeps it for a while after its participant left.
//!
//! Sans-IO. What always holds: the memory of one participant is bounded by constants of `limits`; of media nothing is kept but
//! headers; while headers are not recorded, a packet costs the look at one `Option`, and with them nothing is allocated once the
//! ring has its size.

pub mod archive;
pub mod decisions;
pub mod headers;
pub mod pcapng;
pub mod rate;
pub mod series;

use std::time::{Duration, Instant};

use crate::limits;
use crate::media::forward::SendStream;
use crate::media::layers::Selection;
use crate::room::model::{Identity, ParticipantId, RoomName};
use crate::wire::Ssrc;
use decisions::{Decision, Decisions, Entry};
use headers::{Captured, Direction, Headers, Kind};
use series::{Sample, Series};

/// Whose recorder it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    pub room: RoomName,
    pub identity: Identity,
    pub id: ParticipantId,
}

#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    decisions: Decisions,
    series: Series,
    /// Counts since the last sample.
    counted: Sample,
    headers: Option<Box<Headers>>,
}

/// What a recorder held at some moment: plain values that may leave the shard.
#[derive(Clone, Debug)]
pub struct Recording {
    pub subject: Subject,
    /// Unix time at which the recorder's times count from, milliseconds.
    pub began_unix_ms: i64,
    pub decisions: Vec<Entry>,
    /// The second at which the last sample was taken, since the recorder began.
    pub sampled: Duration,
    pub samples: Vec<Sample>,
    /// `None` where headers were never recorded.
    pub headers: Option<Captured>,
    /// The participant has left.
    pub left: bool,
}

impl Recorder {
    pub fn new(now: Instant) -> Recorder {
        let (decisions, series) = (Decisions::default(), Series::default());
        Recorder { began: now, decisions, series, counted: Sample::default(), headers: None }
    }

    pub fn began(&self) -> Instant {
        self.began
    }

    /// Notes a decision; `ssrc` is that of the stream it is about, where it is about one.
    pub fn decided(&mut self, now: Instant, ssrc: Option<Ssrc>, decision: Decision) {
        self.counted.count(decision);
        self.decisions.push(now.saturating_duration_since(self.began), ssrc, decision);
    }

    /// Packets of a stream of the participant's were asked for again, and others given up.
    pub fn missed(&mut self, now: Instant, ssrc: Ssrc, asked: u32, given_up: u32) {
        if asked > 0 {
            self.decided(now, Some(ssrc), Decision::NackSent { packets: asked });
        }
        if given_up > 0 {
            self.decided(now, Some(ssrc), Decision::GivenUp { packets: given_up });
        }
    }

    /// What is to be sent of a stream was chosen anew; `before` was chosen last.
    pub fn chosen(&mut self, now: Instant, stream: &SendStream, before: Option<Selection>) {
        if stream.chosen() == before {
            return;
        }
        let decision = match stream.chosen() {
            None => Decision::Paused,
            Some(Selection { encoding, layers }) => Decision::LayerChosen {
                encoding: u8::try_from(encoding).unwrap_or(u8::MAX),
                spatial: layers.spatial,
                temporal: layers.temporal,
            },
        };
        self.decided(now, Some(stream.target().ssrc), decision);
    }

    /// The participant asked for a keyframe of a stream.
    /// `freezes`: its picture seems to stand still since.
    pub fn keyframe_requested(&mut self, now: Instant, ssrc: Ssrc, freezes: bool) {
        self.decided(now, Some(ssrc), Decision::KeyframeRequested { times: 1 });
        if freezes {
            self.decided(now, Some(ssrc), Decision::FreezeBegan);
        }
    }

    /// How long pictures of a stream are to be held back was looked at; `before` held until now.
    pub fn held_back(&mut self, now: Instant, stream: &SendStream, before: Option<Duration>) {
        if let Some(delay) = stream.held_back().filter(|delay| Some(*delay) != before) {
            let delay_ms = u32::try_from(delay.as_millis()).unwrap_or(u32::MAX);
            self.decided(now, Some(stream.target().ssrc), Decision::HeldBack { delay_ms });
        }
    }

    /// Takes the measurements of a second; what was counted since the last is added.
    pub fn sampled(&mut self, now: Instant, sample: Sample) {
        let Sample { nacked, retransmitted, keyframe_requests, freezes, .. } = std::mem::take(&mut self.counted);
        let sample = Sample { nacked, retransmitted, keyframe_requests, freezes, ..sample };
        self.series.push(now.saturating_duration_since(self.began), sample);
        if self.headers.as_ref().is_some_and(|headers| headers.is_outdated(now)) {
            self.headers = None;
        }
    }

    pub fn series(&self) -> &Series {
        &self.series
    }

    /// Records headers until then; what is recorded already is kept.
    pub fn record_headers(&mut self, now: Instant, until: Instant) {
        let began = self.began;
        self.headers.get_or_insert_with(|| Box::new(Headers::new(began, limits::RECORDED_BYTES))).record(now, until);
    }

    /// Ends the recording of headers and forgets them.
    pub fn forget_headers(&mut self) {
        self.headers = None;
    }

    pub fn has_headers(&self) -> bool {
        self.headers.is_some()
    }

    /// How long headers are still recorded; `None` when they are not.
    pub fn records_for(&self, now: Instant) -> Option<Duration> {
        let left = self.headers.as_ref()?.until().saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// A packet passed: its header, or all of an RTCP compound, and the bytes it has as a whole.
    pub fn packet(&mut self, now: Instant, direction: Direction, kind: Kind, header: &[u8], len: usize) {
        if let Some(headers) = &mut self.headers {
            headers.push(now, direction, kind, header, len);
        }
    }

    /// Everything, at the end.
    pub fn into_recording(mut self, subject: Subject, began_unix_ms: i64) -> Recording {
        let headers = self.headers.take().map(|headers| headers.into_captured());
        Recording { headers, left: true, ..self.recording(&subject, began_unix_ms) }
    }

    /// A copy of everything.
    pub fn recording(&self, subject: &Subject, began_unix_ms: i64) -> Recording {
        Recording {
            subject: subject.clone(),
            began_unix_ms,
            decisions: self.decisions.iter().copied().collect(),
            sampled: self.series.last(),
            samples: self.series.iter().copied().collect(),
            headers: self.headers.as_ref().map(|headers| headers.captured()),
            left: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_that_is_full_takes_a_few_kilobytes_and_no_more() {
        let (start, mut recorder) = (Instant::now(), Recorder::new(Instant::now()));
        for n in 0..100_000u32 {
            let now = start + Duration::from_millis(u64::from(n) * 100);
            recorder.decided(now, Some(Ssrc(n)), Decision::KeyframeRequested { times: 1 });
            recorder.sampled(now, Sample { sent_bitrate: n, ..Sample::default() });
            recorder.packet(now, Direction::Sent, Kind::Rtp, &[0x80; 12], 1_200);
        }
        let bytes = recorder.decisions.capacity_bytes() + recorder.series.capacity_bytes() + size_of::<Recorder>();
        assert!(bytes <= 6 * 1024, "{bytes} bytes");
        assert!(!recorder.has_headers());
    }

    #[test]
    fn headers_are_recorded_for_as_long_as_was_asked_and_forgotten_a_while_later() {
        let (start, mut recorder) = (Instant::now(), Recorder::new(Instant::now()));
        let second = Duration::from_secs(1);
        recorder.record_headers(start, start + 10 * second);
        for n in 0..20 {
            recorder.packet(start + n * second, Direction::Received, Kind::Rtp, &[0x80; 12], 100);
        }
        assert_eq!(recorder.records_for(start + 4 * second), Some(6 * second));
        assert_eq!(recorder.records_for(start + 10 * second), None);
        let subject =
            Subject { room: RoomName::new("r"), identity: Identity::new("i"), id: ParticipantId::new("PA_x") };
        let recording = recorder.recording(&subject, 0);
        assert_eq!(recording.headers.unwrap().packets().count(), 10);
        recorder.sampled(start + 10 * second + limits::RECORDING_LIFE - second, Sample::default());
        assert!(recorder.has_headers());
        recorder.sampled(start + 10 * second + limits::RECORDING_LIFE, Sample::default());
        assert!(!recorder.has_headers());
    }
}
