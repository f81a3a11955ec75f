//! What loss says: that too much is sent, or nothing. Loss that a queue makes vanishes when less is sent; loss that radio makes stays. So
//! when there is more loss than is known to always be, less is sent for about a second, and what loss is left tells which of the two
//! it is (libwebrtc's loss-based estimator fits both to observations at rates that differ; here the difference is made).
//!
//! What always holds: no trial tells anything of a rate that was not sent less, and none lasts where too little is sent to tell; trials in
//! vain become rare; loss of [`IGNORED`] or less changes nothing.

use std::time::Duration;

use super::Micros;
use crate::congestion::bitrate::Bitrate;

/// Repairs take care of it.
const IGNORED: f64 = 0.05;
/// The same where no queue shows that too much is sent: a trial costs more than it, for what comes in one size only is not sent meanwhile.
const SUSPECT: f64 = 0.10;
/// Loss above what always is, besides what chance makes of it.
const MARGIN: f64 = 0.03;
/// Standard deviations; losses come in bursts of about so many.
const DEVIATIONS: f64 = 1.5;
const BURST: f64 = 2.0;
/// What is left of an observation's weight with each new one.
const MEMORY: f64 = 0.75;
/// Loss of which half is gone came from sending too much; of which most is left did not. In between less still is tried, a few times.
const GONE: f64 = 0.5;
const LEFT: f64 = 0.8;
const STEPS: u32 = 3;
/// An observation: so long and so many packets; what took longer is old.
const WINDOW: Micros = 500_000;
const LEAST_PACKETS: u32 = 30;
const LONGEST_WINDOW: Micros = 3_000_000;
/// Until less is sent once the limit is known, beyond the round trip.
const SETTLING: Micros = 200_000;
/// Packets that decide a trial, or the time that does.
const TRIAL_PACKETS: f64 = 80.0;
const TRIAL: Micros = 2_000_000;
/// A trial that nobody answered by sending less.
const LONGEST_TRIAL: Micros = 6_000_000;
/// Of a limit that a trial proved: loss below it is not of our making.
const PROVEN: f64 = 0.9;
/// A trial in which far less is sent than may be, or nothing, tells nothing: after so long it is given up.
const UNUSED: Micros = 700_000;
const USED: f64 = 0.5;
const UNANSWERED: Micros = 2_000_000;
/// Of what gets through, when the way is too narrow.
const SHARE: f64 = 0.95;
/// Less was sent: below the trial's limit by this factor at most.
const SLACK: f64 = 1.1;
/// A limit grows so much in a second and is forgotten when it is far above the rate that delay allows.
const GROWTH: f64 = 1.03;
const FORGOTTEN: f64 = 1.5;
/// A limit keeps probes away for so long.
const FRESH: Micros = 10_000_000;
/// After a trial in vain; doubles.
const PAUSE: Micros = 4_000_000;
const LONGEST_PAUSE: Micros = 60_000_000;
/// How fast what always is falls to what is observed, each observation; and what can be held for it at most.
const FORGETTING: f64 = 0.1;
const MOST_INHERENT: f64 = 0.35;
/// From here on no trial is needed, whatever came of those before: who begins where others keep a queue full takes it for none, and finds
/// loss that stays.
const HEAVY: f64 = 0.45;

/// Packets by the time they were sent.
#[derive(Clone, Copy)]
struct Window {
    began: Micros,
    last: Micros,
    packets: u32,
    lost: u32,
    bytes: u64,
}

#[derive(Clone, Copy)]
struct Observation {
    began: Micros,
    ended: Micros,
    counted: Counted,
    sent: Bitrate,
}

/// Packets and how many of them were lost, weighed.
#[derive(Clone, Copy, Default)]
struct Counted {
    packets: f64,
    lost: f64,
}

#[derive(Clone, Copy)]
struct Trial {
    began: Micros,
    /// Packets sent from here on tell.
    settled: Micros,
    /// Before.
    loss: f64,
    /// Since.
    counted: Counted,
    /// Sent since, when last told of.
    bytes: u64,
    last: Micros,
    /// How many times less was sent.
    steps: u32,
}

#[derive(Default)]
pub struct LossControl {
    window: Option<Window>,
    /// Of the last observations.
    recent: Counted,
    /// Loss that does not depend on what is sent.
    inherent: f64,
    limit: Option<Bitrate>,
    /// Next to nothing was lost of what was observed last.
    clean: bool,
    grown: Micros,
    trial: Option<Trial>,
    /// When a trial last showed that too much was sent.
    confirmed: Option<Micros>,
    /// When packets last stood in a queue.
    queued: Option<Micros>,
    /// No trial before.
    next: Micros,
    vain: u32,
}

impl LossControl {
    /// What may be sent for all that loss says.
    pub fn limit(&self) -> Option<Bitrate> {
        self.limit
    }

    /// Nothing to speak of is lost now.
    pub fn is_clean(&self) -> bool {
        self.clean
    }

    pub fn inherent(&self) -> f64 {
        self.inherent
    }

    /// When a probe tells something that is not known already: not during a trial, but where nothing is heard of that.
    pub fn probes_from(&self) -> Micros {
        let fresh = self.confirmed.filter(|_| self.limit.is_some()).map_or(0, |confirmed| confirmed + FRESH);
        self.trial.map_or(fresh, |trial| trial.settled + UNANSWERED)
    }

    /// A probe found that the way takes so much.
    pub fn found(&mut self, rate: Bitrate) {
        self.limit = self.limit.map(|limit| limit.max(rate));
    }

    /// Feedback told of a packet for the first time.
    pub fn told(&mut self, sent: Micros, bytes: u16, lost: bool) {
        let fresh = Window { began: sent, last: sent, packets: 0, lost: 0, bytes: 0 };
        let window = self.window.get_or_insert(fresh);
        if sent - window.last > LONGEST_WINDOW {
            *window = fresh;
        }
        window.last = window.last.max(sent);
        window.packets += 1;
        window.lost += u32::from(lost);
        window.bytes += u64::from(bytes);
        if let Some(trial) = self.trial.as_mut().filter(|trial| sent >= trial.settled) {
            (trial.bytes, trial.last) = (trial.bytes + u64::from(bytes), trial.last.max(sent));
        }
    }

    /// A packet told to be lost came late.
    pub fn came_late(&mut self) {
        self.window.iter_mut().for_each(|window| window.lost = window.lost.saturating_sub(1));
    }

    /// After a feedback. `target`: what delay allows; `queueing`: packets stand in a queue.
    pub fn update(&mut self, now: Micros, rtt: Micros, target: Bitrate, queueing: bool) {
        self.grow(now, target);
        self.queued = if queueing { Some(now) } else { self.queued };
        if let Some(trial) = self.trial.filter(|trial| self.is_unused(trial)) {
            self.acquit(now, trial.loss);
        }
        let Some(observation) = self.observe() else { return };
        self.clean = observation.counted.loss() <= IGNORED;
        if self.queued.is_some_and(|queued| observation.began < queued) {
            // It is a queue that overflowed, and delay takes care of it.
            self.limit = if self.trial.take().is_some() { None } else { self.limit };
            self.recent = Counted::default();
            return;
        }
        self.recent.remember(&observation.counted);
        if self.recent.loss() > HEAVY {
            return self.convict(now, &observation);
        }
        if let Some(trial) = self.trial {
            return self.judge(now, trial, &observation);
        }
        if self.is_too_much() {
            self.suspect(now, rtt, &observation);
        } else {
            let loss = self.recent.loss();
            self.inherent += if loss < self.inherent { FORGETTING * (loss - self.inherent) } else { 0.0 };
        }
    }

    fn observe(&mut self) -> Option<Observation> {
        let long = |window: &mut Window| window.last - window.began >= WINDOW && window.packets >= LEAST_PACKETS;
        let window = self.window.take_if(long)?;
        let span = u64::try_from(window.last - window.began).unwrap_or(0);
        Some(Observation {
            began: window.began,
            ended: window.last,
            counted: Counted { packets: f64::from(window.packets), lost: f64::from(window.lost) },
            sent: Bitrate::of(window.bytes, Duration::from_micros(span)),
        })
    }

    /// So little is sent that it will not tell.
    fn is_unused(&self, trial: &Trial) -> bool {
        let span = trial.last - trial.settled;
        let sent = Bitrate::of(trial.bytes, Duration::from_micros(u64::try_from(span).unwrap_or(0)));
        span > UNUSED && self.limit.is_some_and(|limit| sent < limit.scaled(USED))
    }

    fn is_too_much(&self) -> bool {
        let loss = self.recent.loss();
        let chance = (loss * (1.0 - loss) * BURST / self.recent.packets.max(1.0)).sqrt();
        loss > SUSPECT && loss > self.inherent + MARGIN + DEVIATIONS * chance
    }

    fn suspect(&mut self, now: Micros, rtt: Micros, observation: &Observation) {
        if now < self.next {
            return;
        }
        let loss = self.recent.loss();
        if self.limit.is_some_and(|limit| observation.sent < limit.scaled(PROVEN)) {
            // There was none at this rate: it is not what is sent that makes it.
            return self.acquit(now, loss);
        }
        self.limit = Some(through(observation, self.inherent));
        let settled = now + rtt / 2 + SETTLING;
        let counted = Counted::default();
        self.trial = Some(Trial { began: now, settled, loss, counted, bytes: 0, last: settled, steps: 1 });
    }

    fn judge(&mut self, now: Micros, mut trial: Trial, observation: &Observation) {
        let overdue = observation.ended - trial.began > LONGEST_TRIAL;
        let less = self.limit.is_some_and(|limit| observation.sent <= limit.scaled(SLACK));
        if observation.began >= trial.settled && less {
            trial.counted.add(&observation.counted);
            self.trial = Some(trial);
        }
        let decided = trial.counted.packets >= TRIAL_PACKETS || observation.ended - trial.settled > TRIAL;
        let excess = (trial.counted.loss() - self.inherent) / (trial.loss - self.inherent);
        if decided && trial.counted.packets > 0.0 && excess < GONE {
            self.confirm(now);
        } else if decided && excess < LEFT && trial.steps < STEPS {
            // Less of it, yet not gone: the limit is too high still.
            self.limit = Some(through(observation, self.inherent));
            let settled = now + (trial.settled - trial.began);
            let (counted, steps) = (Counted::default(), trial.steps + 1);
            self.trial = Some(Trial { settled, counted, bytes: 0, last: settled, steps, ..trial });
        } else if decided || overdue {
            // Where nothing less was sent nothing is known but that it cannot be tried.
            let loss = if trial.counted.packets > 0.0 { trial.counted.loss() } else { trial.loss };
            self.acquit(now, loss);
        }
    }

    /// So much is lost that there is nothing to try.
    fn convict(&mut self, now: Micros, observation: &Observation) {
        self.inherent = 0.0;
        let through = through(observation, 0.0);
        self.limit = Some(self.limit.map_or(through, |limit| limit.min(through)));
        self.confirm(now);
    }

    fn confirm(&mut self, now: Micros) {
        (self.trial, self.recent) = (None, Counted::default());
        (self.confirmed, self.vain) = (Some(now), 0);
        (self.grown, self.next) = (now, now);
    }

    /// Sending less changed nothing.
    fn acquit(&mut self, now: Micros, loss: f64) {
        self.inherent = loss.max(self.inherent).min(MOST_INHERENT);
        (self.trial, self.limit, self.recent) = (None, None, Counted::default());
        self.vain = self.vain.saturating_add(1);
        let pause = PAUSE.saturating_mul(1 << self.vain.min(5)).min(LONGEST_PAUSE);
        self.next = now + pause;
    }

    fn grow(&mut self, now: Micros, target: Bitrate) {
        let elapsed = ((now - self.grown) as f64 / 1e6).clamp(0.0, 1.0);
        self.grown = now;
        if self.trial.is_none() {
            let grown = self.limit.map(|limit| limit.scaled(GROWTH.powf(elapsed)));
            self.limit = grown.filter(|limit| *limit < target.scaled(FORGOTTEN));
        }
    }
}

/// A little less than what gets through, with what is lost anyway.
fn through(observation: &Observation, inherent: f64) -> Bitrate {
    let excess = (observation.counted.loss() - inherent).max(0.0);
    observation.sent.scaled(SHARE * (1.0 - excess / (1.0 - inherent)))
}

impl Counted {
    fn loss(&self) -> f64 {
        self.lost / self.packets.max(1.0)
    }

    fn add(&mut self, other: &Counted) {
        self.packets += other.packets;
        self.lost += other.lost;
    }

    fn remember(&mut self, newest: &Counted) {
        self.packets *= MEMORY;
        self.lost *= MEMORY;
        self.add(newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;
    const TARGET: Bitrate = Bitrate::from_kbps(1_000);

    /// What was allowed in each tenth of a second, a sender using it all up to the target, on a way that loses as `lost` says of (packet,
    /// rate).
    fn run(seconds: i64, mut lost: impl FnMut(u64, Bitrate) -> bool) -> (LossControl, Vec<u64>) {
        let (mut control, mut allowed, mut packet, mut now) = (LossControl::default(), Vec::new(), 0_u64, 0);
        for _ in 0..seconds * 10 {
            let rate = control.limit().unwrap_or(TARGET).min(TARGET);
            for _ in 0..rate.bytes_in(Duration::from_millis(100)) / 1_000 {
                packet += 1;
                let lost = lost(packet, rate);
                control.told(now, 1_000, lost);
                now += rate.time_for(1_000).as_micros() as Micros;
            }
            control.update(now, 100 * MS, TARGET, false);
            allowed.push(rate.bps() / 1_000);
        }
        (control, allowed)
    }

    /// A number without a pattern, below 100.
    fn dice(packet: u64) -> u64 {
        (packet.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).wrapping_mul(0x85eb_ca6b) >> 16 & 0xffff_ffff
    }

    fn random(percent: u64) -> impl FnMut(u64, Bitrate) -> bool {
        move |packet, _| dice(packet) % 100 < percent
    }

    /// All above a rate is lost, evenly.
    fn policer(kbps: u64) -> impl FnMut(u64, Bitrate) -> bool {
        let mut passed = 0.0;
        move |_, rate| {
            passed += (kbps as f64 * 1_000.0 / rate.bps() as f64).min(1.0);
            let passes = passed >= 1.0;
            passed -= if passes { 1.0 } else { 0.0 };
            !passes
        }
    }

    #[test]
    fn a_little_loss_changes_nothing() {
        for percent in [3, 6] {
            let (control, allowed) = run(60, random(percent));
            assert!(allowed.iter().all(|rate| *rate == 1_000) && control.limit().is_none(), "{percent} %");
        }
    }

    #[test]
    fn loss_whatever_is_sent_costs_a_moment_and_is_known_then() {
        for percent in [15, 20, 30] {
            let (control, allowed) = run(60, random(percent));
            let less = allowed.iter().filter(|rate| **rate < 1_000).count();
            assert!((1..=50).contains(&less), "{percent} %: {less} tenths of a second");
            assert!(allowed.iter().all(|rate| *rate > 500), "{percent} %");
            assert!((control.inherent() - percent as f64 / 100.0).abs() < 0.12, "{}", control.inherent());
        }
    }

    #[test]
    fn a_trial_in_which_next_to_nothing_is_sent_ends_soon() {
        let mut control = LossControl::default();
        let (mut now, mut trials) = (0, Vec::new());
        for packet in 0..6_000 {
            // What is sent comes in one size: all of it or a packet now and then.
            let paused = control.limit().is_some();
            now += if paused { 250 * MS } else { 8 * MS };
            control.told(now, 1_000, dice(packet) % 100 < 20);
            control.update(now, 100 * MS, TARGET, false);
            if paused != control.limit().is_some() {
                trials.push(now);
            }
        }
        assert_eq!(trials.len(), 2, "one is enough: {trials:?}");
        assert!(trials[1] - trials[0] < 1_500 * MS, "{trials:?}");
    }

    #[test]
    fn where_most_is_lost_less_is_sent_until_most_arrives() {
        // Others fill the queue: of whatever is sent a part gets through.
        let (_, allowed) =
            run(30, |packet, rate| dice(packet) % 100 < if rate > Bitrate::from_kbps(250) { 70 } else { 2 });
        assert!(allowed[50..].iter().all(|rate| *rate < 400), "{allowed:?}");
    }

    #[test]
    fn a_way_that_drops_what_is_above_its_rate_is_found() {
        for kbps in [300, 600, 800] {
            let (_, allowed) = run(60, policer(kbps));
            let late = &allowed[100..];
            let mean = late.iter().sum::<u64>() / late.len() as u64;
            assert!((kbps * 80 / 100..=kbps * 107 / 100).contains(&mean), "{kbps}: {mean} {allowed:?}");
        }
    }

    #[test]
    fn loss_that_ends_is_forgotten() {
        let (control, allowed) = run(120, |packet, _| packet < 2_000 && dice(packet) % 100 < 20);
        assert!(control.inherent() < 0.02, "{}", control.inherent());
        assert_eq!(allowed.last(), Some(&1_000));
    }

    #[test]
    fn what_came_late_was_not_lost() {
        let mut control = LossControl::default();
        for i in 0..200 {
            control.told(i * 10 * MS, 1_000, i % 5 == 0);
            (i % 5 == 0).then(|| control.came_late());
            control.update(i * 10 * MS, 100 * MS, TARGET, false);
        }
        assert!(control.limit().is_none() && control.inherent() == 0.0);
    }
}
