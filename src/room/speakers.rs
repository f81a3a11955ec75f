//! Active speakers: from measured audio levels to the changes that are told, and to whom.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Room;
use super::event::Event;
use super::model::Speaker;
use super::participant::ParticipantKey;

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

/// Who speaks, as last told. The silent are not in it.
#[derive(Default)]
pub(super) struct Speakers {
    levels: BTreeMap<ParticipantKey, Loudness>,
}

#[derive(Default)]
struct Loudness {
    told: f32,
    /// Of its loudest track, since the last look.
    measured: f32,
}

impl Speakers {
    pub fn forget(&mut self, participant: ParticipantKey) {
        self.levels.remove(&participant);
    }

    /// Takes the levels of everybody who sends audio; gives those whose step changed, with the new one, 0 for silence.
    fn update(&mut self, levels: &[MeasuredLevel]) -> Vec<(ParticipantKey, f32)> {
        for measured in levels.iter().filter(|measured| measured.level >= AUDIBLE) {
            let loudness = self.levels.entry(measured.participant).or_default();
            loudness.measured = loudness.measured.max(measured.level);
        }
        let mut changes = Vec::new();
        self.levels.retain(|key, loudness| {
            let level = (std::mem::take(&mut loudness.measured).min(1.0) * LEVEL_STEPS).ceil() / LEVEL_STEPS;
            if std::mem::replace(&mut loudness.told, level) != level {
                changes.push((*key, level));
            }
            level > 0.0
        });
        changes
    }
}

impl Room {
    /// Levels of everybody who sends audio; whoever is missing is silent. Costs nothing beyond that while nothing changes.
    pub fn levels_measured(&mut self, levels: &[MeasuredLevel]) {
        let changes = self.speakers.update(levels);
        let speaker = |(key, level): (ParticipantKey, f32)| {
            let participant = self.participants.get(&key)?.info.id.clone();
            Some((key, Speaker { participant, level, active: level > 0.0 }))
        };
        let changes: Vec<(ParticipantKey, Speaker)> = changes.into_iter().filter_map(speaker).collect();
        self.tell_receivers(&changes, Event::Speakers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_changes_of_level_are_not_told_and_silence_is_told_once() {
        let mut speakers = Speakers::default();
        let mut look = |levels: &[f32]| {
            let measured = levels.iter().map(|level| MeasuredLevel { participant: ParticipantKey(1), level: *level });
            speakers.update(&measured.collect::<Vec<_>>())
        };
        assert_eq!(look(&[0.01, 0.30]), [(ParticipantKey(1), 0.375)]);
        assert_eq!(look(&[0.36]), []);
        assert_eq!(look(&[]), [(ParticipantKey(1), 0.0)]);
        assert_eq!(look(&[0.0]), []);
    }
}
