//! Active speakers: from measured audio levels to the changes that are told, and to whom.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::Event;
use super::model::{ParticipantId, Speaker};
use super::participant::ParticipantKey;
use super::{Effect, Room};

/// How often levels are looked at: fast enough to follow a conversation, slow enough not to flicker.
pub(super) const SPEAKER_INTERVAL: Duration = Duration::from_millis(400);
/// Steps a level is rounded to, so that small changes are not told.
const LEVEL_STEPS: f32 = 8.0;
/// Below this linear level somebody no longer counts as speaking: -35 dBov, where breath and fans begin.
const AUDIBLE: f32 = 0.017_8;

/// The loudest audio track of a participant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MeasuredLevel {
    pub participant: ParticipantKey,
    /// 0 (silent) to 1.
    pub level: f32,
}

/// Who speaks, as last told.
#[derive(Default)]
pub(super) struct Speakers {
    levels: BTreeMap<ParticipantId, f32>,
}

impl Speakers {
    pub fn forget(&mut self, participant: &ParticipantId) {
        self.levels.remove(participant);
    }

    /// Takes the level of one participant; gives what is to be told when it changed.
    fn update(&mut self, participant: &ParticipantId, level: f32) -> Option<Speaker> {
        let active = level >= AUDIBLE;
        let level = if active { (level.min(1.0) * LEVEL_STEPS).ceil() / LEVEL_STEPS } else { 0.0 };
        let before =
            if active { self.levels.insert(participant.clone(), level) } else { self.levels.remove(participant) };
        let changed = before.unwrap_or(0.0) != level;
        changed.then(|| Speaker { participant: participant.clone(), level, active })
    }
}

impl Room {
    /// Levels of everybody who sends audio; whoever is missing is silent.
    pub fn levels_measured(&mut self, levels: &[MeasuredLevel]) {
        let mut changes: Vec<(ParticipantKey, Speaker)> = Vec::new();
        for (key, participant) in &self.participants {
            let own = levels.iter().filter(|measured| measured.participant == *key).map(|measured| measured.level);
            let level = own.fold(0.0, f32::max);
            if let Some(speaker) = self.speakers.update(&participant.info.id, level) {
                changes.push((*key, speaker));
            }
        }
        if changes.is_empty() {
            return;
        }
        for (key, participant) in &self.participants {
            let heard = |from: &ParticipantKey| from == key || participant.subscribed.values().any(|p| p == from);
            let speakers: Vec<Speaker> =
                changes.iter().filter(|(from, _)| heard(from)).map(|(_, speaker)| speaker.clone()).collect();
            if !speakers.is_empty() {
                self.effects.push(Effect::Tell { to: *key, event: Event::Speakers(speakers) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_of_level_are_not_told_and_silence_is_told_once() {
        let mut speakers = Speakers::default();
        let id = ParticipantId::new("PA_a");
        assert_eq!(speakers.update(&id, 0.30).map(|s| (s.level, s.active)), Some((0.375, true)));
        assert_eq!(speakers.update(&id, 0.36), None);
        assert_eq!(speakers.update(&id, 0.0).map(|s| (s.level, s.active)), Some((0.0, false)));
        assert_eq!(speakers.update(&id, 0.0), None);
    }
}
