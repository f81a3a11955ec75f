//! Sharing what a subscriber's way takes out over what it watches: the least of everything first, then more in turn, what matters
//! most first; and the patience between looks, so that pictures do not change to and fro.
//!
//! What always holds: going down is at once, going up waits until there was room for a while, and longer after an attempt that had to
//! be taken back; a track is paused only where the way is congested and even the least of everything did not fit for
//! [`PAUSE_PATIENCE`] at least; with the same input the same is chosen.

use std::cmp::Reverse;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::bitrate::Bitrate;
use crate::media::ladder::Rung;

mod backoff;

use backoff::Backoff;

/// How long there must have been room for more. A measured rate swings about the truth within this time.
const HOLD: Duration = Duration::from_secs(1);
/// The same at the beginning, when the first probes are over soon and people wait for the picture to get sharp.
const FIRST_HOLD: Duration = Duration::from_millis(500);
const BEGINNING: Duration = Duration::from_secs(3);
/// More is taken where the higher rate times this fits: encoders vary by as much.
const MARGIN: f64 = 1.15;
/// How long the least of everything may not fit before something is paused: estimates dip for less.
pub const PAUSE_PATIENCE: Duration = Duration::from_millis(1_500);
/// The same where less than half of it is too much: an estimate that is too low comes back by what is sent, in so much time.
const LONG_PATIENCE: Duration = Duration::from_secs(6);
const SEVERE: f64 = 2.0;
/// So many times the budget the least of everything may be.
const BORNE: f64 = 1.05;
/// A gap between two looks counts as no more than this.
const LONGEST_GAP: Duration = Duration::from_secs(1);
/// What is left at least, of the least of everything, when something is paused: what a way takes is known better once its queue has emptied.
const LEFT: f64 = 0.5;

/// What comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Priority {
    /// A screen, whose text is read, and not a camera.
    pub screen: bool,
    /// Power of two of the pixels it is shown with: what is of about the same size is raised in turn.
    pub size: u32,
}

/// A video track that is wanted and flows.
#[derive(Clone, Debug)]
pub struct Claim {
    pub priority: Priority,
    /// Which of the rungs are its own, ascending; not empty.
    pub rungs: Range<usize>,
    /// How many rungs up it is: 0 for nothing.
    pub present: usize,
    /// It was held down by bandwidth when it was looked at last; what was not, or is new, gets more without waiting.
    pub held: bool,
}

/// What there is to share.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Without what audio takes.
    pub video: Bitrate,
    /// It was measured on this way.
    pub measured: bool,
    /// More is sent than the way takes.
    pub congested: bool,
}

/// One subscriber's patience.
#[derive(Debug, Default)]
pub struct Allocation {
    /// Since when the rate is measured.
    measured: Option<Instant>,
    /// Since when there is room for more.
    room_since: Option<Instant>,
    /// For how long the least of everything did not fit, less the time for which it did since: whether a way is congested
    /// is not told without gaps.
    short: Duration,
    looked: Option<Instant>,
    backoff: Backoff,
    order: Vec<usize>,
    chosen: Vec<usize>,
    raised: Vec<usize>,
}

/// Everything of one look.
struct Look<'a> {
    claims: &'a [Claim],
    rungs: &'a [Rung],
    budget: Bitrate,
    /// What the least of everything that is not paused may take.
    borne: Bitrate,
    /// Claims by priority.
    order: &'a [usize],
}

impl Allocation {
    /// How many rungs up each claim is to be from now on, 0 for paused.
    pub fn allocate(&mut self, now: Instant, budget: Budget, claims: &[Claim], rungs: &[Rung]) -> &[usize] {
        self.order.clear();
        self.order.extend(0..claims.len());
        self.order.sort_unstable_by_key(|index| (claims.get(*index).map(|claim| Reverse(claim.priority)), *index));
        let mut look = Look { claims, rungs, budget: budget.video, borne: budget.video, order: &self.order };
        if budget.measured {
            self.measured.get_or_insert(now);
        }
        let least = look.least();
        look.borne = budget.video.scaled(BORNE).max(least.scaled(LEFT));
        let short = budget.congested && least > budget.video.scaled(BORNE);
        let passed = self.looked.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let passed = passed.min(LONGEST_GAP);
        self.short = if short { self.short + passed } else { self.short.saturating_sub(passed) };
        let patience = if least > budget.video.scaled(SEVERE) { PAUSE_PATIENCE } else { LONG_PATIENCE };
        let pauses = short && self.short >= patience;
        if pauses {
            self.short = Duration::ZERO;
        }
        look.fill(&mut self.chosen, pauses, |claim| if claim.held { claim.present } else { claim.top() });
        let fell = look.any(&self.chosen, |claim, chosen| chosen < claim.present);
        let grew = look.any(&self.chosen, |claim, chosen| chosen > claim.present);
        if fell && !grew {
            self.backoff.fell(now, look.total(&self.chosen));
        }
        look.budget = self.backoff.allows(now, budget.video);
        look.fill(&mut self.raised, pauses, Claim::top);
        let pairs = || self.raised.iter().zip(&self.chosen);
        // What may be tried in the place of what failed takes nothing from what there is.
        let costs = look.budget < budget.video && pairs().any(|(raised, chosen)| raised < chosen);
        if costs || !pairs().any(|(raised, chosen)| raised > chosen) {
            self.room_since = None;
            return &self.chosen;
        }
        let since = *self.room_since.get_or_insert(now);
        let begins = self.measured.is_some_and(|at| now.saturating_duration_since(at) < BEGINNING);
        let hold = if begins { FIRST_HOLD } else { HOLD };
        if now.saturating_duration_since(since) < hold || self.backoff.is_fresh(now, budget.video) {
            return &self.chosen;
        }
        self.room_since = None;
        self.backoff.rose(now, budget.video, look.total(&self.raised));
        &self.raised
    }

    /// Something is waited for: it is to be looked at again soon, whatever changes.
    pub fn waits(&self) -> bool {
        self.room_since.is_some() || !self.short.is_zero()
    }
}

impl Claim {
    fn top(&self) -> usize {
        self.rungs.len()
    }

    fn is_paused(&self) -> bool {
        self.held && self.present == 0
    }
}

impl Look<'_> {
    /// What a claim takes so many rungs up.
    fn cost(&self, claim: &Claim, level: usize) -> Bitrate {
        let rung = level.checked_sub(1).and_then(|below| self.rungs.get(claim.rungs.start + below));
        match rung.map(|rung| rung.rate) {
            None => Bitrate::ZERO,
            Some(rate) if level <= claim.present => rate.sustained,
            Some(rate) if claim.held => rate.peak.scaled(MARGIN),
            Some(rate) => rate.peak,
        }
    }

    /// What all take at these levels.
    fn total(&self, levels: &[usize]) -> Bitrate {
        self.claims.iter().zip(levels).map(|(claim, level)| self.cost(claim, *level)).sum()
    }

    /// What the least takes of all that is not paused.
    fn least(&self) -> Bitrate {
        self.claims.iter().filter(|claim| !claim.is_paused()).map(|claim| self.cost(claim, 1)).sum()
    }

    /// Shares the budget out, no claim getting more than `most` says.
    fn fill(&self, levels: &mut Vec<usize>, pauses: bool, most: impl Fn(&Claim) -> usize) {
        levels.clear();
        levels.resize(self.claims.len(), 0);
        let mut left = self.give_least(levels, pauses, &most);
        let mut rest = self.order;
        while let Some(first) = rest.first().and_then(|index| self.claims.get(*index)) {
            let alike = |index: &&usize| self.claims.get(**index).is_some_and(|claim| claim.priority == first.priority);
            let (class, below) = rest.split_at(rest.iter().take_while(alike).count());
            left = self.raise_in_turn(levels, class, left, &most);
            rest = below;
        }
    }

    /// Gives each its lowest rung, as far as that goes or nothing may be paused. Gives what is left.
    fn give_least(&self, levels: &mut [usize], pauses: bool, most: &impl Fn(&Claim) -> usize) -> Option<Bitrate> {
        let crowded = self.claims.iter().any(Claim::is_paused);
        let mut spent = Bitrate::ZERO;
        for index in self.order {
            let (Some(claim), Some(level)) = (self.claims.get(*index), levels.get_mut(*index)) else { continue };
            // What is new does not come before those that wait already.
            let sure = !pauses && (claim.present > 0 || !claim.held && !crowded);
            let cost = spent.plus(self.cost(claim, 1));
            let borne = if claim.present > 0 { self.borne } else { self.budget };
            if most(claim) > 0 && (sure || cost <= borne) {
                (*level, spent) = (1, cost);
            }
        }
        (spent <= self.budget).then(|| self.budget.minus(spent))
    }

    /// Raises claims of one class by a rung each, again and again, until nothing more fits.
    fn raise_in_turn(
        &self,
        levels: &mut [usize],
        class: &[usize],
        left: Option<Bitrate>,
        most: &impl Fn(&Claim) -> usize,
    ) -> Option<Bitrate> {
        let mut left = left?;
        loop {
            let mut raised = false;
            for index in class {
                let (Some(claim), Some(level)) = (self.claims.get(*index), levels.get_mut(*index)) else { continue };
                if *level == 0 || *level >= most(claim) {
                    continue;
                }
                let more = self.cost(claim, *level + 1).minus(self.cost(claim, *level));
                if more <= left {
                    (*level, left, raised) = (*level + 1, left.minus(more), true);
                }
            }
            if !raised {
                return Some(left);
            }
        }
    }

    fn any(&self, levels: &[usize], differs: impl Fn(&Claim, usize) -> bool) -> bool {
        self.claims.iter().zip(levels).any(|(claim, level)| differs(claim, *level))
    }
}

#[cfg(test)]
mod tests;
