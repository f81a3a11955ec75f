//! How far a participant has come on its way into a call: each milestone noted once, where it happens, with the time it is told.
//! Of them come the histograms and outcomes of joins, and a report to whoever watches the join.
//!
//! What always holds: one value a participant, of fixed size; a milestone that was noted costs one comparison from then on; a watcher
//! is told once at most, and nobody waits for it.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Shard;
use super::peer::Peer;
use crate::media::layers::{Picture, Wanted};
use crate::negotiation::MediaKind;
use crate::room::model::{ParticipantId, RoomId};
use crate::telemetry::counters::ShardCounters;
use crate::transport::CloseReason;

/// How long after a participant was connected its watcher waits for the first media at most.
pub const MEDIA_PATIENCE: Duration = Duration::from_secs(15);

/// What a join brings along to be measured by.
#[derive(Debug)]
pub struct JoinWatch {
    asked: Instant,
    watcher: Option<oneshot::Sender<JoinReport>>,
}

impl JoinWatch {
    /// `asked`: when the client's request was there.
    pub fn new(asked: Instant) -> JoinWatch {
        JoinWatch { asked, watcher: None }
    }

    /// The same, with the end at which the report arrives; none arrives of a participant who was not let in.
    pub fn observed(asked: Instant) -> (JoinWatch, oneshot::Receiver<JoinReport>) {
        let (watcher, report) = oneshot::channel();
        (JoinWatch { asked, watcher: Some(watcher) }, report)
    }
}

/// Who was let in, for its host.
#[derive(Debug)]
pub struct Admission {
    pub watch: JoinWatch,
    pub let_in: Instant,
    pub room: RoomId,
    pub participant: ParticipantId,
}

/// What a watcher is told once the join is over, well or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinReport {
    pub room: RoomId,
    pub participant: ParticipantId,
    pub milestones: Milestones,
    pub expected: Expected,
    pub outcome: JoinOutcome,
}

/// When what happened, in the order in which it usually does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Milestones {
    /// The client asked to join.
    pub asked: Instant,
    /// Its room let it in.
    pub let_in: Instant,
    /// Its first offer was answered.
    pub answered: Option<Instant>,
    /// The first authenticated ICE check came.
    pub checked: Option<Instant>,
    /// The first DTLS record came.
    pub greeted: Option<Instant>,
    /// DTLS is done: SRTP keys exist.
    pub connected: Option<Instant>,
    /// The first authenticated RTP packet came from it.
    pub received: Option<Instant>,
    /// The first RTP packet was forwarded to it.
    pub forwarded: Option<Instant>,
    /// The first keyframe was begun towards it.
    pub pictured: Option<Instant>,
    /// When the report was made: the last of these, or the end of patience, or of the participant.
    pub told: Instant,
}

/// How a join ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinOutcome {
    Connected,
    /// No authenticated check came in time.
    IceTimedOut,
    /// The handshake failed or did not end in time.
    DtlsFailed,
    FingerprintMismatch,
    /// The participant was gone first.
    Abandoned,
}

impl JoinOutcome {
    /// As metrics and traces call it.
    pub fn name(self) -> &'static str {
        match self {
            JoinOutcome::Connected => "connected",
            JoinOutcome::IceTimedOut => "ice_timed_out",
            JoinOutcome::DtlsFailed => "dtls_failed",
            JoinOutcome::FingerprintMismatch => "fingerprint_mismatch",
            JoinOutcome::Abandoned => "abandoned",
        }
    }
}

/// What of its first media a participant that was just connected can expect at once.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Expected {
    /// It publishes.
    pub received: bool,
    /// Something it is subscribed to flows.
    pub forwarded: bool,
    /// And a picture is among that.
    pub pictured: bool,
}

/// A participant on its way.
pub struct Progress {
    room: RoomId,
    participant: ParticipantId,
    milestones: Milestones,
    expected: Expected,
    /// Once it cannot change any more.
    outcome: Option<JoinOutcome>,
    watcher: Option<oneshot::Sender<JoinReport>>,
}

impl Progress {
    pub fn new(admission: Admission) -> Progress {
        let Admission { watch, let_in, room, participant } = admission;
        let milestones = Milestones {
            asked: watch.asked,
            let_in,
            answered: None,
            checked: None,
            greeted: None,
            connected: None,
            received: None,
            forwarded: None,
            pictured: None,
            told: let_in,
        };
        Progress { room, participant, milestones, expected: Expected::default(), outcome: None, watcher: watch.watcher }
    }

    /// For logs.
    pub fn room(&self) -> &RoomId {
        &self.room
    }

    /// For logs.
    pub fn participant(&self) -> &ParticipantId {
        &self.participant
    }

    pub fn answered(&mut self, now: Instant) {
        note(&mut self.milestones.answered, now);
    }

    pub fn checked(&mut self, now: Instant, counters: &ShardCounters) {
        if note(&mut self.milestones.checked, now) {
            counters.ice.connected.add(1);
        }
    }

    pub fn greeted(&mut self, now: Instant) {
        note(&mut self.milestones.greeted, now);
    }

    pub fn connected(&mut self, now: Instant, expected: Expected, counters: &ShardCounters) {
        if !note(&mut self.milestones.connected, now) {
            return;
        }
        counters.dtls.connected.add(1);
        let took = now.saturating_duration_since(self.milestones.asked);
        counters.join_duration.observe_duration(took);
        tracing::info!(room = %self.room, participant = %self.participant, ms = took.as_millis() as u64, "participant connected");
        (self.expected, self.outcome) = (expected, Some(JoinOutcome::Connected));
        self.tell_if_complete(now);
    }

    pub fn received(&mut self, now: Instant) {
        if note(&mut self.milestones.received, now) {
            self.tell_if_complete(now);
        }
    }

    /// `picture`: video is among it, which begins with a keyframe.
    pub fn forwarded(&mut self, now: Instant, picture: bool, counters: &ShardCounters) {
        let first = note(&mut self.milestones.forwarded, now);
        // Who waits for others to speak does not wait for the server.
        if first && self.expected.forwarded {
            counters.first_media_duration.observe_duration(now.saturating_duration_since(self.milestones.asked));
        }
        if (picture && note(&mut self.milestones.pictured, now)) || first {
            self.tell_if_complete(now);
        }
    }

    /// The transport is given up.
    pub fn closed(&mut self, now: Instant, reason: CloseReason, counters: &ShardCounters) {
        let Milestones { answered, checked, .. } = self.milestones;
        let outcome = match reason {
            CloseReason::ConsentExpired => return counters.ice.lost.add(1),
            CloseReason::DtlsClosed => return,
            // Without an answer nobody could send a check.
            CloseReason::ConnectTimeout if answered.is_none() => return,
            CloseReason::ConnectTimeout if checked.is_none() => JoinOutcome::IceTimedOut,
            CloseReason::ConnectTimeout | CloseReason::DtlsFailed => JoinOutcome::DtlsFailed,
            CloseReason::FingerprintMismatch => JoinOutcome::FingerprintMismatch,
        };
        self.end(now, outcome, counters);
    }

    /// The participant is gone.
    pub fn gone(&mut self, now: Instant, counters: &ShardCounters) {
        if self.outcome.is_none() {
            self.end(now, JoinOutcome::Abandoned, counters);
        }
        self.tell(now);
    }

    /// From time to time once it is connected: of what does not come in time the watcher is told nothing.
    pub fn review(&mut self, now: Instant) {
        let overdue = |connected: Instant| now.saturating_duration_since(connected) >= MEDIA_PATIENCE;
        if self.watcher.is_some() && self.milestones.connected.is_some_and(overdue) {
            self.tell(now);
        }
    }

    fn end(&mut self, now: Instant, outcome: JoinOutcome, counters: &ShardCounters) {
        self.outcome = Some(outcome);
        match outcome {
            JoinOutcome::Connected => {}
            JoinOutcome::IceTimedOut => counters.ice.timed_out.add(1),
            JoinOutcome::DtlsFailed => counters.dtls.failed.add(1),
            JoinOutcome::FingerprintMismatch => counters.dtls.fingerprint_mismatch.add(1),
            JoinOutcome::Abandoned if self.milestones.answered.is_none() => {}
            JoinOutcome::Abandoned if self.milestones.checked.is_none() => counters.ice.abandoned.add(1),
            JoinOutcome::Abandoned => counters.dtls.abandoned.add(1),
        }
        self.tell(now);
    }

    fn tell_if_complete(&mut self, now: Instant) {
        let Milestones { connected, received, forwarded, pictured, .. } = self.milestones;
        let lacking = (self.expected.received && received.is_none())
            || (self.expected.forwarded && forwarded.is_none())
            || (self.expected.pictured && pictured.is_none());
        if connected.is_some() && !lacking {
            self.tell(now);
        }
    }

    fn tell(&mut self, now: Instant) {
        let Some(watcher) = self.watcher.take() else { return };
        // A watcher that does not listen any more misses nothing.
        let _ = watcher.send(JoinReport {
            room: self.room.clone(),
            participant: self.participant.clone(),
            milestones: Milestones { told: now, ..self.milestones },
            expected: self.expected,
            outcome: self.outcome.unwrap_or(JoinOutcome::Abandoned),
        });
    }
}

/// True the first time.
fn note(milestone: &mut Option<Instant>, now: Instant) -> bool {
    if milestone.is_some() {
        return false;
    }
    *milestone = Some(now);
    true
}

/// From when on the first picture of a subscription is waited for: not while nothing is wanted of it or the publisher shows nothing,
/// since then nobody could say how long that takes.
pub fn picture_awaited(now: Instant, kind: MediaKind, muted: bool, wanted: Wanted) -> Option<Instant> {
    (kind == MediaKind::Video && !muted && wanted.picture != Picture::Nothing).then_some(now)
}

impl Shard {
    pub(super) fn review_progress(&mut self, now: Instant, key: usize) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.progress.review(now);
        }
    }

    /// What a peer that is just connected will send and be sent.
    pub(super) fn expected_media(&self, key: usize) -> Expected {
        let Some(peer) = self.peers.get(key) else { return Expected::default() };
        let Some(entry) = self.rooms.get(peer.room) else { return Expected::default() };
        let mut expected = Expected { received: peer.inbound.sources().next().is_some(), ..Expected::default() };
        for source in subscribed(peer).filter_map(|source| entry.sources.get(source)).filter(|s| s.is_flowing()) {
            expected.forwarded = true;
            expected.pictured |= source.kind == MediaKind::Video;
        }
        expected
    }
}

/// What a peer is subscribed to and wants something of, in a section or not.
fn subscribed(peer: &Peer) -> impl Iterator<Item = usize> + '_ {
    let placed = peer.outbound.subscriptions().map(|subscription| (subscription.source, subscription.wanted));
    let waiting = peer.outbound.waiting.iter().map(|waiting| (waiting.source, waiting.wanted));
    placed.chain(waiting).filter(|(_, wanted)| wanted.picture != Picture::Nothing).map(|(source, _)| source)
}
