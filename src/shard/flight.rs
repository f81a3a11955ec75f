//! Flight recorders of the participants hosted here: what is measured each second, whose headers are recorded, and what is kept of
//! those who left.
//!
//! What always holds: headers of at most `limits::RECORDED_PARTICIPANTS` participants are recorded at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shard;
use super::leg::RoomKey;
use super::outbound::Subscription;
use super::reports::REPORT_INTERVAL;
use super::source::Encoding;
use crate::limits;
use crate::recorder::decisions::Decision;
use crate::recorder::series::Sample;
use crate::recorder::{Recorder, Recording, Subject};
use crate::room::model::{Identity, RoomName};
use crate::room::participant::ParticipantKey;

/// What became of a wish to have headers recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// For so long from now on.
    For(Duration),
    /// No longer, and what was recorded is forgotten.
    Ended,
    /// Too many are recorded already.
    Full,
}

impl Shard {
    /// Measures the second that ends now.
    pub(super) fn sample(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(entry) = self.rooms.get_mut(peer.room) else { return };
        let mut sample = Sample::default();
        for source in peer.inbound.sources() {
            let source = entry.sources.get_mut(source);
            source.into_iter().flat_map(|source| &mut source.encodings).for_each(|encoding| {
                encoding.sample(now, &mut sample);
            });
        }
        peer.outbound.subscriptions_mut().for_each(|subscription| subscription.sample(now, &mut sample));
        if let Some(estimate) = peer.estimate(now) {
            sample.estimated_bitrate = u32::try_from(estimate.bps()).unwrap_or(u32::MAX);
            self.counters.quality.estimate.observe(estimate.bytes_in(REPORT_INTERVAL) as f64);
        }
        peer.recorder.sampled(now, sample);
    }

    pub(super) fn note_offer(&mut self, now: Instant, key: usize, applied: bool) {
        if let Some(peer) = self.peers.get_mut(key) {
            let decision = if applied { Decision::OfferAnswered } else { Decision::OfferRefused };
            peer.recorder.decided(now, None, decision);
        }
    }

    /// Records the headers of a participant that was just taken in, where all are to be.
    pub(super) fn record_newcomer(&mut self, now: Instant, room: RoomKey, participant: ParticipantKey) {
        if !self.record_headers {
            return;
        }
        if let Some((_, key)) = self.hosted(room, participant) {
            self.record_peer(now, key, Some(limits::RECORDING_TIME));
        }
    }

    /// Records the headers of a participant for a while, or no longer. `None` when it is not hosted here.
    pub(super) fn record(
        &mut self,
        now: Instant,
        room: &RoomName,
        identity: &Identity,
        time: Option<Duration>,
    ) -> Option<Recorded> {
        let key = self.peer_named(room, identity)?;
        self.record_peer(now, key, time)
    }

    fn record_peer(&mut self, now: Instant, key: usize, time: Option<Duration>) -> Option<Recorded> {
        let recorded = self.peers.iter().filter(|(_, peer)| peer.recorder.has_headers()).count();
        let recorder = &mut self.peers.get_mut(key)?.recorder;
        let Some(time) = time else {
            recorder.forget_headers();
            return Some(Recorded::Ended);
        };
        if recorded >= limits::RECORDED_PARTICIPANTS && !recorder.has_headers() {
            return Some(Recorded::Full);
        }
        let time = time.min(limits::RECORDING_TIME);
        recorder.record_headers(now, now + time);
        Some(Recorded::For(time))
    }

    fn peer_named(&self, room: &RoomName, identity: &Identity) -> Option<usize> {
        let named = |subject: &Subject| subject.room == *room && subject.identity == *identity;
        self.peers.iter().find(|(_, peer)| named(&peer.subject)).map(|(key, _)| key)
    }

    /// What is recorded of a participant, present or gone.
    pub(super) fn recording(&self, room: &RoomName, identity: &Identity) -> Option<Arc<Recording>> {
        let present = self.peer_named(room, identity).and_then(|key| self.peers.get(key));
        let present = present.map(|peer| {
            let began = self.wall.unix_ms(peer.recorder.began());
            Arc::new(peer.recorder.recording(&peer.subject, began))
        });
        present.or_else(|| self.archive.find(room, identity))
    }

    /// Keeps what was recorded of a participant that is gone.
    pub(super) fn keep_recording(&mut self, now: Instant, subject: Subject, recorder: Recorder) {
        let began = self.wall.unix_ms(recorder.began());
        self.archive.keep(now, recorder.into_recording(subject, began));
    }
}

impl Encoding {
    fn sample(&mut self, now: Instant, sample: &mut Sample) {
        if let Some(stream) = &self.stream {
            let bitrate = self.tally.rate.look(now, stream.bytes());
            sample.add_received(bitrate, stream.fraction_lost(), stream.jitter());
        }
    }
}

impl Subscription {
    fn sample(&mut self, now: Instant, sample: &mut Sample) {
        let stream = &self.stream;
        let bitrate = self.tally.rate.look(now, stream.bytes());
        sample.add_sent(bitrate, stream.fraction_lost(), stream.jitter(), stream.round_trip_time());
    }
}
