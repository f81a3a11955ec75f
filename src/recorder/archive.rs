//! Recorders of participants that have left, for a while.
//!
//! What always holds: at most `limits::RECORDINGS_KEPT` recordings, `limits::RECORDINGS_KEPT_BYTES` of headers among them, and none
//! for longer than `limits::RECORDING_LIFE`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::Recording;
use crate::limits;
use crate::room::model::{Identity, RoomName};

#[derive(Debug, Default)]
pub struct Archive {
    /// In the order in which they left.
    kept: VecDeque<(Instant, Arc<Recording>)>,
}

impl Archive {
    pub fn keep(&mut self, now: Instant, recording: Recording) {
        self.kept.push_back((now, Arc::new(Recording { left: true, ..recording })));
        while self.kept.len() > limits::RECORDINGS_KEPT || self.bytes() > limits::RECORDINGS_KEPT_BYTES {
            self.kept.pop_front();
        }
    }

    fn bytes(&self) -> usize {
        self.kept.iter().filter_map(|(_, recording)| recording.headers.as_ref()).map(|headers| headers.bytes()).sum()
    }

    /// When the oldest is to be forgotten.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.kept.front().map(|(left, _)| *left + limits::RECORDING_LIFE)
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|at| at <= now) {
            self.kept.pop_front();
        }
    }

    /// That of the latest stay of a participant.
    pub fn find(&self, room: &RoomName, identity: &Identity) -> Option<Arc<Recording>> {
        let of = |recording: &Recording| recording.subject.room == *room && recording.subject.identity == *identity;
        self.kept.iter().rev().find(|(_, recording)| of(recording)).map(|(_, recording)| recording.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::headers::{Direction, Kind};
    use super::super::{Recorder, Subject};
    use super::*;
    use crate::room::model::ParticipantId;

    fn left(now: Instant, identity: &str, headers: bool) -> Recording {
        let subject = Subject {
            room: RoomName::new("den"),
            identity: Identity::new(identity),
            id: ParticipantId::new(&format!("PA_{identity}")),
        };
        let mut recorder = Recorder::new(now);
        if headers {
            recorder.record_headers(now, now + Duration::from_secs(60));
            (0..20_000).for_each(|_| recorder.packet(now, Direction::Sent, Kind::Rtcp, &[0; 500], 500));
        }
        recorder.recording(&subject, 0)
    }

    #[test]
    fn a_recording_is_found_by_names_until_its_life_ends() {
        let (now, mut archive) = (Instant::now(), Archive::default());
        archive.keep(now, left(now, "anna", false));
        archive.keep(now + Duration::from_secs(1), left(now, "bert", false));
        let find = |archive: &Archive, name| archive.find(&RoomName::new("den"), &Identity::new(name));
        assert!(find(&archive, "anna").unwrap().left);
        assert!(find(&archive, "cleo").is_none());
        assert!(archive.find(&RoomName::new("attic"), &Identity::new("anna")).is_none());
        assert_eq!(archive.poll_timeout(), Some(now + limits::RECORDING_LIFE));
        archive.handle_timeout(now + limits::RECORDING_LIFE);
        assert!(find(&archive, "anna").is_none() && find(&archive, "bert").is_some());
    }

    #[test]
    fn number_and_bytes_are_bounded_and_the_oldest_go_first() {
        let (now, mut archive) = (Instant::now(), Archive::default());
        (0..=limits::RECORDINGS_KEPT).for_each(|n| archive.keep(now, left(now, &n.to_string(), false)));
        assert_eq!(archive.kept.len(), limits::RECORDINGS_KEPT);
        assert!(archive.find(&RoomName::new("den"), &Identity::new("0")).is_none());
        for n in 0..40 {
            archive.keep(now, left(now, &n.to_string(), true));
            assert!(archive.bytes() <= limits::RECORDINGS_KEPT_BYTES);
        }
        assert!(archive.bytes() > limits::RECORDINGS_KEPT_BYTES / 2, "the bound was reached");
        assert!(archive.find(&RoomName::new("den"), &Identity::new("39")).is_some());
    }
}
