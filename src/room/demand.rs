//! What subscribers need of each video track, so that its publisher need not send what nobody shows.
//!
//! What always holds: what is needed is counted, never looked for among the subscribers; more is told at once, less only when
//! nothing above it was needed for [`LOWERING_DELAY`]; nothing is told of a muted track, nor of one before its media flows:
//! only then has its publisher surely taken the answer that lets it send.

use std::time::{Duration, Instant};

use super::event::{CodecDemand, Event};
use super::model::{Quality, TrackId, Wanted};
use super::participant::{Participant, ParticipantKey};
use super::publication::Publication;
use super::{Effect, Room};
use crate::media::layers::lowest_quality;
use crate::negotiation::MediaKind;

/// How long less must have been enough before the publisher stops sending the rest. Encodings that begin again cost a keyframe
/// each, and viewers who scroll or turn pages come back soon.
pub(super) const LOWERING_DELAY: Duration = Duration::from_secs(5);

/// Subscribers by the lowest quality that serves each.
#[derive(Default)]
struct Counts([usize; 3]);

impl Counts {
    fn of(&mut self, quality: Quality) -> &mut usize {
        let [low, medium, high] = &mut self.0;
        match quality {
            Quality::Low => low,
            Quality::Medium => medium,
            Quality::High => high,
        }
    }

    fn highest(&self) -> Option<Quality> {
        let [low, medium, high] = self.0;
        let by_quality = [(Quality::High, high), (Quality::Medium, medium), (Quality::Low, low)];
        by_quality.into_iter().find(|(_, count)| *count > 0).map(|(quality, _)| quality)
    }
}

/// Less than was told is needed.
struct Lowering {
    due: Instant,
    /// The most that was needed since it began.
    peak: Option<Quality>,
}

/// What is needed of one track, and what its publisher knows of it. `None` stands for nothing.
pub(super) struct Demand {
    counts: Counts,
    /// Media arrived: the publisher sends, and takes what it is told.
    flows: bool,
    /// As the publisher was told last; it begins with all it has.
    told: Option<Quality>,
    told_any: bool,
    lowering: Option<Lowering>,
}

impl Default for Demand {
    fn default() -> Demand {
        Demand { counts: Counts::default(), flows: false, told: Some(Quality::High), told_any: false, lowering: None }
    }
}

impl Demand {
    /// A subscriber's need takes the place of the one it had.
    pub fn count(&mut self, before: Option<Quality>, after: Option<Quality>) {
        if let Some(quality) = before {
            let count = self.counts.of(quality);
            *count = count.saturating_sub(1);
        }
        if let Some(quality) = after {
            *self.counts.of(quality) += 1;
        }
    }

    /// When [`lower`](Self::lower) is due.
    pub fn due(&self) -> Option<Instant> {
        self.lowering.as_ref().map(|lowering| lowering.due)
    }

    /// Compares what is needed with what was told. True when the publisher is to be told `told`.
    fn review(&mut self, now: Instant) -> bool {
        let needed = self.counts.highest();
        // The first subscriber's need is told even where it is what the publisher sends anyway.
        let tell = needed > self.told || (needed.is_some() && !self.told_any);
        self.told_any |= tell;
        self.told = self.told.max(needed);
        if needed == self.told {
            self.lowering = None;
        } else {
            let lowering = self.lowering.get_or_insert(Lowering { due: now + LOWERING_DELAY, peak: needed });
            lowering.peak = lowering.peak.max(needed);
        }
        tell
    }

    /// Less has been enough for long: lowers to the most that was needed since.
    fn lower(&mut self, now: Instant) {
        if let Some(lowering) = self.lowering.take() {
            self.told = lowering.peak;
            self.told_any = true;
            self.review(now);
        }
    }

    /// The publisher was told to leave something out.
    fn withholds(&self) -> bool {
        self.told < Some(Quality::High)
    }
}

/// What serves a subscriber, of the encodings announced.
pub(super) fn needed(publication: &Publication, wanted: Wanted) -> Option<Quality> {
    if publication.info.kind == MediaKind::Video { lowest_quality(wanted, &publication.layers) } else { None }
}

impl Room {
    /// Media of a participant's track begins to arrive, for the first time or again.
    pub fn flows(&mut self, now: Instant, track: &TrackId) {
        if let Some(entry) = self.tracks.get_mut(track) {
            entry.demand.flows = true;
            self.review_demand(now, track);
        }
    }

    /// Counts what a subscriber needs of a track in place of what it needed before.
    pub(super) fn count_need(&mut self, now: Instant, subscriber: ParticipantKey, track: &TrackId) {
        let Some(entry) = self.tracks.get_mut(track) else { return };
        let publication = self.participants.get(&entry.publisher).and_then(|from| from.publication(track));
        let wanted = self.participants.get(&subscriber).map(|to| to.wanted(track));
        let need = publication.zip(wanted).and_then(|(publication, wanted)| needed(publication, wanted));
        if let Some(counted) = entry.subscribers.get_mut(&subscriber) {
            entry.demand.count(*counted, need);
            *counted = need;
            self.review_demand(now, track);
        }
    }

    /// Tells the publisher of a track what is needed of it, where that is due.
    pub(super) fn review_demand(&mut self, now: Instant, track: &TrackId) {
        self.with_demand(track, |demand| demand.review(now));
    }

    /// Less than was told has been needed for long.
    pub(super) fn lower_demand(&mut self, now: Instant, track: &TrackId) {
        let told = self.with_demand(track, |demand| {
            demand.lower(now);
            true
        });
        if !told && let Some(entry) = self.tracks.get_mut(track) {
            // Muted meanwhile: seen to when it is heard of again.
            entry.demand.lowering = None;
        }
    }

    /// Changes the demand for a track of which something can be told, and tells it if `change` says so. False where not.
    fn with_demand(&mut self, track: &TrackId, change: impl FnOnce(&mut Demand) -> bool) -> bool {
        let Some(entry) = self.tracks.get_mut(track) else { return false };
        let publication = self.participants.get(&entry.publisher).and_then(|from| from.publication(track));
        let Some(publication) = publication.filter(|p| p.info.kind == MediaKind::Video && !p.info.muted) else {
            return false;
        };
        if !entry.demand.flows {
            return false;
        }
        let due = entry.demand.due();
        let tell = change(&mut entry.demand);
        self.timers.lowering_moved(track, due, entry.demand.due());
        if tell {
            let event = layers_wanted(publication, &entry.demand);
            self.effects.push(Effect::Tell { to: entry.publisher, event });
        }
        true
    }

    /// The publisher negotiated anew, and may send what it was told to leave out.
    pub(super) fn repeat_demand(&mut self, key: ParticipantKey) {
        let published =
            self.participants.get(&key).map(|p: &Participant| p.publications.as_slice()).unwrap_or_default();
        for publication in published.iter().filter(|publication| !publication.info.muted) {
            if let Some(entry) = self.tracks.get(&publication.info.id).filter(|entry| entry.demand.withholds()) {
                self.effects.push(Effect::Tell { to: key, event: layers_wanted(publication, &entry.demand) });
            }
        }
    }
}

fn layers_wanted(publication: &Publication, demand: &Demand) -> Event {
    let codec = CodecDemand { mime_type: publication.info.mime_type.clone(), highest: demand.told };
    Event::LayersWanted { track: publication.info.id.clone(), codecs: vec![codec] }
}
