//! What subscribers need of each video track, so that its publisher need not send what nobody shows.
//!
//! What always holds: what is needed is counted, never looked for among the subscribers; more is told at once, less only when
//! nothing above it was needed for [`LOWERING_DELAY`]; nothing is told of a muted track, nor of one before its media flows:
//! only then has its publisher surely taken the answer that lets it send.

use std::time::{Duration, Instant};

use super::event::{CodecDemand, Event};
use super::model::{BackupPolicy, Quality, Rendition, TrackId, Wanted};
use super::participant::ParticipantKey;
use super::publication::Publication;
use super::{Effect, Room};
use crate::media::layers::lowest_quality;
use crate::negotiation::MediaKind;

/// How long less must have been enough before the publisher stops sending the rest. Encodings that begin again cost a keyframe
/// each, and viewers who scroll or turn pages come back soon.
pub(super) const LOWERING_DELAY: Duration = Duration::from_secs(5);

/// What one subscriber needs of a track.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Need {
    /// The lowest quality that serves it; `None` while it shows nothing.
    pub quality: Option<Quality>,
    /// The rendition it cannot decode.
    pub lacks: Option<Rendition>,
}

/// What is needed of each rendition; `None` stands for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Levels {
    primary: Option<Quality>,
    backup: Option<Quality>,
}

impl Levels {
    /// What a publisher sends before it is told anything.
    const UNTOLD: Levels = Levels { primary: Some(Quality::High), backup: None };

    /// The higher of each.
    fn union(self, other: Levels) -> Levels {
        Levels { primary: self.primary.max(other.primary), backup: self.backup.max(other.backup) }
    }

    fn is_nothing(self) -> bool {
        self == Levels::default()
    }
}

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
    peak: Levels,
}

/// What is needed of one track, and what its publisher knows of it.
pub(super) struct Demand {
    /// Of those who can decode whatever comes, who lack the primary rendition, who lack the backup.
    any: Counts,
    lack_primary: Counts,
    lack_backup: Counts,
    /// Who lack the primary rendition, whether they show it or not.
    lacking_primary: usize,
    /// Everybody who can gets the backup.
    regressed: bool,
    /// Media arrived: the publisher sends, and takes what it is told.
    flows: bool,
    /// Media of the backup arrives.
    backup_flows: bool,
    /// As the publisher was told last.
    told: Levels,
    told_any: bool,
    lowering: Option<Lowering>,
}

impl Default for Demand {
    fn default() -> Demand {
        Demand {
            any: Counts::default(),
            lack_primary: Counts::default(),
            lack_backup: Counts::default(),
            lacking_primary: 0,
            regressed: false,
            flows: false,
            backup_flows: false,
            told: Levels::UNTOLD,
            told_any: false,
            lowering: None,
        }
    }
}

impl Demand {
    /// A subscriber's need takes the place of the one it had; `None` where it is, or was, no subscriber.
    pub fn count(&mut self, before: Option<Need>, after: Option<Need>) {
        if let Some(need) = before {
            if let Some(quality) = need.quality {
                let count = self.counts(need.lacks).of(quality);
                *count = count.saturating_sub(1);
            }
            if need.lacks == Some(Rendition::Primary) {
                self.lacking_primary = self.lacking_primary.saturating_sub(1);
            }
        }
        if let Some(need) = after {
            if let Some(quality) = need.quality {
                *self.counts(need.lacks).of(quality) += 1;
            }
            self.lacking_primary += usize::from(need.lacks == Some(Rendition::Primary));
        }
    }

    fn counts(&mut self, lacks: Option<Rendition>) -> &mut Counts {
        match lacks {
            None => &mut self.any,
            Some(Rendition::Primary) => &mut self.lack_primary,
            Some(Rendition::Backup) => &mut self.lack_backup,
        }
    }

    /// Which rendition is for a subscriber.
    pub fn rendition_for(&self, need: Need) -> Rendition {
        match need.lacks {
            Some(lacking) => lacking.other(),
            None if self.regressed => Rendition::Backup,
            None => Rendition::Primary,
        }
    }

    /// Media of the backup begins to arrive, or there is none any more.
    pub fn set_backup_flows(&mut self, flows: bool) {
        self.backup_flows = flows;
        self.regressed &= flows;
    }

    /// True once when everybody who can is to get the backup from now on: somebody needs it, and it is there.
    pub fn regress(&mut self, policy: BackupPolicy) -> bool {
        let due = policy.regresses() && self.lacking_primary > 0 && self.backup_flows;
        due && !std::mem::replace(&mut self.regressed, true)
    }

    fn needed(&self, policy: Option<BackupPolicy>) -> Levels {
        let (any, lack_primary, lack_backup) =
            (self.any.highest(), self.lack_primary.highest(), self.lack_backup.highest());
        let regresses = policy.is_some_and(BackupPolicy::regresses) && self.lacking_primary > 0;
        Levels {
            // While the backup is on its way, those who can decode the primary go on with it.
            primary: lack_backup.max(any.filter(|_| !self.regressed)),
            backup: lack_primary.max(any.filter(|_| self.regressed || regresses)),
        }
    }

    /// When [`lower`](Self::lower) is due.
    pub fn due(&self) -> Option<Instant> {
        self.lowering.as_ref().map(|lowering| lowering.due)
    }

    /// Compares what is needed with what was told. True when the publisher is to be told `told`.
    fn review(&mut self, now: Instant, policy: Option<BackupPolicy>) -> bool {
        let needed = self.needed(policy);
        let told = self.told.union(needed);
        // The first subscriber's need is told even where it is what the publisher sends anyway.
        let tell = told != self.told || !(self.told_any || needed.is_nothing());
        self.told_any |= tell;
        self.told = told;
        if needed == told {
            self.lowering = None;
        } else {
            let lowering = self.lowering.get_or_insert(Lowering { due: now + LOWERING_DELAY, peak: needed });
            lowering.peak = lowering.peak.union(needed);
        }
        tell
    }

    /// Less has been enough for long: lowers to the most that was needed since.
    fn lower(&mut self, now: Instant, policy: Option<BackupPolicy>) {
        if let Some(lowering) = self.lowering.take() {
            self.told = lowering.peak;
            self.told_any = true;
            // It stops, and is there again only when its media is.
            self.backup_flows &= self.told.backup.is_some();
            self.review(now, policy);
        }
    }
}

/// What serves a subscriber, of the encodings announced.
fn quality_needed(publication: &Publication, rendition: Rendition, wanted: Wanted) -> Option<Quality> {
    match publication.info.kind {
        MediaKind::Video => lowest_quality(wanted, publication.layers_of(rendition)),
        MediaKind::Audio => None,
    }
}

impl Room {
    /// Media of a participant's track begins to arrive, for the first time or again.
    pub fn flows(&mut self, now: Instant, track: &TrackId, rendition: Rendition) {
        let Some(entry) = self.tracks.get_mut(track) else { return };
        match rendition {
            Rendition::Primary => entry.demand.flows = true,
            Rendition::Backup => {
                entry.demand.set_backup_flows(true);
                self.regress_if_due(track);
            }
        }
        self.review_demand(now, track);
    }

    /// Counts what a subscriber needs of a track in place of what it needed before.
    pub(super) fn count_need(&mut self, now: Instant, subscriber: ParticipantKey, track: &TrackId) {
        let Some(entry) = self.tracks.get_mut(track) else { return };
        let publication = self.participants.get(&entry.publisher).and_then(|from| from.publication(track));
        let wanted = self.participants.get(&subscriber).map(|to| to.wanted(track));
        let (Some(publication), Some(wanted)) = (publication, wanted) else { return };
        if let Some(need) = entry.subscribers.get(&subscriber).copied() {
            let quality = quality_needed(publication, entry.demand.rendition_for(need), wanted);
            entry.set_need(subscriber, Need { quality, ..need });
            self.review_demand(now, track);
        }
    }

    /// Tells the publisher of a track what is needed of it, where that is due.
    pub(super) fn review_demand(&mut self, now: Instant, track: &TrackId) {
        self.with_demand(track, |demand, policy| demand.review(now, policy));
    }

    /// Less than was told has been needed for long.
    pub(super) fn lower_demand(&mut self, now: Instant, track: &TrackId) {
        let told = self.with_demand(track, |demand, policy| {
            demand.lower(now, policy);
            true
        });
        if !told && let Some(entry) = self.tracks.get_mut(track) {
            // Muted meanwhile: seen to when it is heard of again.
            entry.demand.lowering = None;
        }
    }

    /// Changes the demand for a track of which something can be told, and tells it if `change` says so. False where not.
    fn with_demand(&mut self, track: &TrackId, change: impl FnOnce(&mut Demand, Option<BackupPolicy>) -> bool) -> bool {
        let Some(entry) = self.tracks.get_mut(track) else { return false };
        let publication = self.participants.get(&entry.publisher).and_then(|from| from.publication(track));
        let Some(publication) = publication.filter(|p| p.info.kind == MediaKind::Video && !p.info.muted) else {
            return false;
        };
        if !entry.demand.flows {
            return false;
        }
        let due = entry.demand.due();
        let tell = change(&mut entry.demand, publication.backup.as_ref().map(|backup| backup.plan.policy));
        self.timers.lowering_moved(track, due, entry.demand.due());
        if tell {
            let event = layers_wanted(publication, entry.demand.told);
            self.effects.push(Effect::Tell { to: entry.publisher, event });
        }
        true
    }

    /// The publisher negotiated anew, and may send what it was told to leave out.
    pub(super) fn repeat_demand(&mut self, key: ParticipantKey) {
        let published = self.participants.get(&key).map(|p| p.publications.as_slice()).unwrap_or_default();
        for publication in published.iter().filter(|publication| !publication.info.muted) {
            let told = self.tracks.get(&publication.info.id).map(|entry| entry.demand.told);
            if let Some(told) = told.filter(|told| *told != Levels::UNTOLD) {
                self.effects.push(Effect::Tell { to: key, event: layers_wanted(publication, told) });
            }
        }
    }
}

fn layers_wanted(publication: &Publication, told: Levels) -> Event {
    let primary = CodecDemand { mime_type: publication.info.mime_type.clone(), highest: told.primary };
    let backup = publication.backup.as_ref();
    let backup = backup.map(|b| CodecDemand { mime_type: b.plan.mime_type.to_owned(), highest: told.backup });
    Event::LayersWanted { track: publication.info.id.clone(), codecs: [primary].into_iter().chain(backup).collect() }
}
