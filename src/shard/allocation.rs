//! Shares what the way to each peer takes out over what it watches: gathers what its tracks take, has `congestion::allocation` choose,
//! and keeps each subscription to what was chosen.
//!
//! What always holds: a peer whose way is not known has no limit; audio is never withheld; nothing is done here for a packet.

use std::time::{Duration, Instant};

use slab::Slab;

use super::Shard;
use super::inbound::SourceKey;
use super::outbound::{Outbound, Subscription};
use super::peer::Peer;
use super::source::Source;
use super::timers::Owner;
use crate::congestion::allocation::{Allocation, Budget, Claim, Priority};
use crate::congestion::bitrate::Bitrate;
use crate::media::ladder::{Rung, options};
use crate::media::layer_rates::Rate;
use crate::media::layers::{Limit, Picture, Quality, Selection, choose};
use crate::negotiation::MediaKind;
use crate::recorder::Recorder;
use crate::recorder::decisions::Decision;
use crate::room::event::{Event, TrackPause};
use crate::telemetry::quality::{self, Given};

/// How soon one look may follow another when the way takes less, and when nothing is urgent.
const URGENT: Duration = Duration::from_millis(50);
const INTERVAL: Duration = Duration::from_millis(200);
/// A fall of the rate by more than this part is urgent.
const FALL: f64 = 0.97;
/// Where the way takes so many times what is sent, nothing need be looked at when a layer comes or goes.
const COMFORT: f64 = 2.0;
/// More than a track takes now is looked for: encoders vary, and pictures are repeated.
const WISH: f64 = 1.1;
/// Audio whose rate is not known yet: Opus as browsers send it, with its headers.
const ASSUMED_AUDIO: Bitrate = Bitrate::from_kbps(48);
/// Of a way that told nothing yet no more is used: a picture fits in the middle size, and what is too much stands in
/// the queue in front of the very first of them.
const UNTOLD: Bitrate = Bitrate::from_kbps(600);
/// No more of the way is kept for repetitions, whatever loss is reported.
const MOST_REPAIRS: f64 = 0.3;

/// An estimate that moves by more than this part is noted.
const NOTED: f64 = 0.2;

/// A subscription's part.
#[derive(Debug, Default)]
pub struct Share {
    pub limit: Limit,
    given: Given,
    /// Its client believes that it is paused.
    told_paused: bool,
}

/// A peer's part.
#[derive(Debug, Default)]
pub struct Sharing {
    allocation: Allocation,
    /// When it was looked at last, and what the way took then.
    looked: Option<(Instant, Bitrate)>,
    /// As it was noted last.
    noted: Bitrate,
    /// Something is held down, or waited for.
    restless: bool,
    /// The way takes less than when it was looked at.
    fell: bool,
    /// There is much more than is needed.
    comfortable: bool,
}

/// What is shared out, in room that is used again.
#[derive(Default)]
pub(super) struct Claims {
    sources: Vec<SourceKey>,
    claims: Vec<Claim>,
    rungs: Vec<Rung>,
    /// Of audio that counts.
    audio: Bitrate,
    /// All wanted video at its best.
    wanted: Bitrate,
}

/// What is known of a way.
#[derive(Clone, Copy)]
struct Way {
    rate: Bitrate,
    measured: bool,
    congested: bool,
}

impl Share {
    /// Another source is sent from now on.
    pub fn renew(&mut self) {
        (self.limit, self.given) = (Limit::None, Given::Enough);
    }

    pub fn given(&self) -> Given {
        self.given
    }
}

impl Sharing {
    /// When the peer wants to be looked at again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (at, _) = self.looked?;
        let soon = self.restless.then_some(at + INTERVAL);
        self.fell.then_some(at + URGENT).or(soon)
    }

    /// Whether an estimate is worth to be noted.
    fn note(&mut self, rate: Bitrate) -> bool {
        let (before, moved) = (self.noted.bps(), self.noted.bps().abs_diff(rate.bps()));
        let noted = moved as f64 > before as f64 * NOTED;
        if noted {
            self.noted = rate;
        }
        noted
    }

    fn is_due(&self, now: Instant, rate: Bitrate) -> bool {
        let Some((at, before)) = self.looked else { return true };
        let passed = now.saturating_duration_since(at);
        passed >= INTERVAL && (self.restless || rate != before) || passed >= URGENT && rate < before.scaled(FALL)
    }
}

impl Shard {
    /// What the way to a peer takes may have changed, or time has passed.
    pub(super) fn share_if_due(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(way) = peer.way(now) else { return };
        if peer.sharing.is_due(now, way.rate) {
            return self.share_out(now, key);
        }
        let fell = peer.sharing.looked.is_some_and(|(_, before)| way.rate < before.scaled(FALL));
        if !std::mem::replace(&mut peer.sharing.fell, fell) && fell {
            self.arm_peer(key);
        }
    }

    /// Shares a peer's way out anew, and has it carried out.
    pub(super) fn share_out(&mut self, now: Instant, key: usize) {
        let changed = self.set_limits(now, key);
        let Some(room) = self.peers.get(key).map(|peer| peer.room) else { return };
        changed.into_iter().for_each(|source| self.select_layer(now, room, key, source));
    }

    /// Has layers of these sources chosen anew for a peer, and of whatever its way now takes more or less of.
    pub(super) fn select_layers(&mut self, now: Instant, room: usize, key: usize, sources: &[SourceKey]) {
        let changed = self.set_limits(now, key);
        let further = changed.iter().filter(|source| !sources.contains(source));
        sources.iter().chain(further).for_each(|source| self.select_layer(now, room, key, *source));
    }

    /// The same of a peer for which little is at stake: nothing where its way takes much more than it needs.
    pub(super) fn set_limits_unless_comfortable(&mut self, now: Instant, key: usize) -> Vec<SourceKey> {
        let comfortable = self.peers.get(key).is_none_or(|peer| peer.sharing.comfortable);
        if comfortable { Vec::new() } else { self.set_limits(now, key) }
    }

    /// Shares a peer's way out anew. Gives the sources of which something else is to be sent.
    pub(super) fn set_limits(&mut self, now: Instant, key: usize) -> Vec<SourceKey> {
        let Some(peer) = self.peers.get_mut(key) else { return Vec::new() };
        let Some(entry) = self.rooms.get_mut(peer.room) else { return Vec::new() };
        let Some(way) = peer.way(now) else { return peer.lift_limits() };
        let budget = self.claims.gather(now, way, &mut entry.sources, &mut peer.outbound);
        let Peer { sharing, downlink, recorder, outbound, .. } = peer;
        if let Some(downlink) = downlink {
            downlink.estimator.want(self.claims.wanted.scaled(WISH).plus(self.claims.audio));
        }
        if sharing.note(way.rate) {
            recorder.decided(now, None, Decision::Estimated { kbps: kbps(way.rate) });
        }
        sharing.looked = Some((now, way.rate));
        sharing.comfortable = budget.video >= self.claims.wanted.scaled(COMFORT);
        (sharing.restless, sharing.fell) = (false, false);
        let mut starves = false;
        let Claims { sources, claims, rungs, .. } = &self.claims;
        let levels = sharing.allocation.allocate(now, budget, claims, rungs);
        let (mut changed, mut pauses) = (Vec::new(), Vec::new());
        for ((source, claim), level) in sources.iter().zip(claims).zip(levels) {
            let Some(subscription) = outbound.get_mut(*source) else { continue };
            let rung = level.checked_sub(1).and_then(|below| rungs.get(claim.rungs.start + below));
            let part = Part { level: *level, chosen: rung.map(|rung| rung.selection), free: sharing.comfortable };
            if subscription.keep_to(now, claim, part, recorder, &self.counters.quality) {
                changed.push(*source);
            }
            sharing.restless |= subscription.share.given != Given::Enough;
            starves |= subscription.share.given == Given::Nothing;
            if let Some(paused) = subscription.pause_to_tell()
                && let Some(source) = entry.sources.get(*source)
            {
                let (publisher, track) = (source.publisher_id.clone(), source.track.clone());
                pauses.push(TrackPause { publisher, track, paused });
            }
        }
        sharing.restless |= sharing.allocation.waits();
        downlink.iter_mut().for_each(|downlink| downlink.starves = starves);
        self.timers.arm(Owner::Peer(key), peer.poll_timeout(self.beat));
        if !pauses.is_empty() {
            self.tell(key, Event::TracksPaused(pauses));
        }
        changed
    }
}

/// What came of a claim.
#[derive(Clone, Copy)]
struct Part {
    /// Rungs up.
    level: usize,
    chosen: Option<Selection>,
    /// What comes to flow meanwhile may be taken.
    free: bool,
}

impl Subscription {
    /// Keeps to what was chosen. True when something else is to be sent.
    fn keep_to(
        &mut self,
        now: Instant,
        claim: &Claim,
        part: Part,
        recorder: &mut Recorder,
        quality: &quality::Quality,
    ) -> bool {
        let given = match part.level {
            0 => Given::Nothing,
            level if level < claim.rungs.len() => Given::Less,
            _ => Given::Enough,
        };
        self.share.limit = match part.chosen {
            None => Limit::Nothing,
            Some(_) if part.free && given == Given::Enough => Limit::None,
            Some(selection) => Limit::UpTo(selection),
        };
        if part.level < claim.present {
            quality.bandwidth_falls.add(1);
            self.ease(part.chosen);
        } else if part.level > claim.present && claim.held {
            quality.bandwidth_rises.add(1);
        }
        if std::mem::replace(&mut self.share.given, given) != given {
            let decision = match given {
                Given::Enough => Decision::BandwidthSuffices,
                Given::Less => Decision::BandwidthLimited,
                Given::Nothing => Decision::BandwidthPaused,
            };
            recorder.decided(now, Some(self.stream.target().ssrc), decision);
        }
        part.chosen != self.stream.chosen()
    }

    /// A lower encoding waits for its keyframe: until then the higher one takes as little as it can.
    fn ease(&mut self, chosen: Option<Selection>) {
        if chosen.is_some_and(|chosen| self.stream.current().is_some_and(|current| chosen.encoding < current)) {
            self.stream.ease();
        }
    }

    /// Whether it is paused, where its client does not know that yet.
    fn pause_to_tell(&mut self) -> Option<bool> {
        let paused = self.share.given == Given::Nothing;
        let news = std::mem::replace(&mut self.share.told_paused, paused) != paused;
        news.then_some(paused)
    }
}

impl Peer {
    /// What its way takes; `None` where it does not tell, and nothing is known.
    fn way(&self, now: Instant) -> Option<Way> {
        let downlink = self.downlink.as_ref()?;
        let (measured, congested) = (downlink.is_measured(), downlink.is_congested());
        Some(Way { rate: downlink.rate(now)?, measured, congested })
    }

    /// What its way was found to take, if it was.
    pub fn estimate(&self, now: Instant) -> Option<Bitrate> {
        self.way(now).filter(|way| way.measured).map(|way| way.rate)
    }

    /// Nothing is known any more. Gives the sources of which something else is to be sent.
    fn lift_limits(&mut self) -> Vec<SourceKey> {
        if self.sharing.looked.is_none() {
            return Vec::new();
        }
        self.sharing = Sharing::default();
        let limited = self.outbound.subscriptions_mut().filter(|s| s.share.limit != Limit::None);
        let lift = |subscription: &mut Subscription| {
            subscription.share.renew();
            subscription.source
        };
        limited.map(lift).collect()
    }
}

impl Claims {
    /// Takes in what a peer watches. Gives what there is for its video.
    fn gather(&mut self, now: Instant, way: Way, sources: &mut Slab<Source>, outbound: &mut Outbound) -> Budget {
        self.sources.clear();
        self.claims.clear();
        self.rungs.clear();
        (self.audio, self.wanted) = (Bitrate::ZERO, Bitrate::ZERO);
        let (mut lost, mut sent) = (0.0, 0u32);
        for subscription in outbound.subscriptions_mut() {
            let Some(source) = sources.get_mut(subscription.source) else { continue };
            self.add(now, source, subscription);
            // What is paused is not reported on.
            if source.kind == MediaKind::Video && subscription.stream.current().is_some() {
                (lost, sent) = (lost + f64::from(subscription.loss()), sent + 1);
            }
        }
        let repairs = (lost / f64::from(sent.max(1))).min(MOST_REPAIRS);
        let rate = if way.measured { way.rate } else { way.rate.min(UNTOLD) };
        let video = rate.scaled(1.0 - repairs).minus(self.audio);
        Budget { video, measured: way.measured, congested: way.congested }
    }

    fn add(&mut self, now: Instant, source: &mut Source, subscription: &mut Subscription) {
        if source.kind == MediaKind::Audio {
            // What carries no numbers is not part of what the way was found to take.
            let counts = source.is_flowing() && subscription.stream.is_numbered();
            let rate = source.bandwidth(now).map_or(ASSUMED_AUDIO, |rate| rate.peak);
            self.audio = self.audio.plus(if counts { rate } else { Bitrate::ZERO });
            return;
        }
        let top = choose(subscription.wanted, &source.layers, &source.encodings);
        let begin = self.rungs.len();
        if let Some(top) = top {
            options(source.ladder(now), top, &mut self.rungs);
        }
        let Some(best) = self.rungs.get(begin..).and_then(<[Rung]>::last) else {
            // Hidden, or silent: whatever comes is as good as new.
            subscription.share.renew();
            return;
        };
        self.wanted = self.wanted.plus(best.rate.peak);
        let present = match (subscription.share.limit, subscription.stream.chosen()) {
            (Limit::Nothing, _) | (_, None) => 0,
            (_, Some(selection)) => level(self.rungs.get(begin..).unwrap_or_default(), selection),
        };
        let priority = priority(source, subscription);
        let held = subscription.share.given != Given::Enough;
        self.sources.push(subscription.source);
        self.claims.push(Claim { priority, rungs: begin..self.rungs.len(), present, held });
    }
}

/// How many rungs up a selection is: 1 for what is below all.
fn level(rungs: &[Rung], selection: Selection) -> usize {
    let chosen = Rung { selection, temporal: 0, rate: Rate::default() };
    rungs.iter().rposition(|rung| rung.order() <= chosen.order()).map_or(1, |below| below + 1)
}

fn kbps(rate: Bitrate) -> u32 {
    u32::try_from(rate.bps() / 1_000).unwrap_or(u32::MAX)
}

fn priority(source: &Source, subscription: &Subscription) -> Priority {
    let pixels = match subscription.wanted.picture {
        Picture::Nothing => 0,
        Picture::Quality(Quality::Low) => 320 * 180,
        Picture::Quality(Quality::Medium) => 640 * 360,
        Picture::Quality(Quality::High) => 1280 * 720,
        Picture::Size { width, height } => width.saturating_mul(height),
    };
    Priority { screen: source.screen, size: pixels.checked_ilog2().unwrap_or(0) }
}
