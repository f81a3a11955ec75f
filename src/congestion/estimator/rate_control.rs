//! The rate as delay allows it: up while the way is not full, down to below what arrives when a queue grows (draft-ietf-rmcat-gcc-02,
//! section 5.5, with libwebrtc's constants and estimate of the link's capacity).
//!
//! What always holds: it grows no further than what arrives justifies; it falls no more often than the way can answer.

use super::Micros;
use super::link_capacity::LinkCapacity;
use super::overuse::Usage;
use crate::congestion::bitrate::Bitrate;

/// Of what arrives, when a queue grows: what stands in it has to leave too.
const BETA: f64 = 0.85;
/// A queue longer than this is emptied by sending less than that, down to a share where it is so much longer; what is then gone comes back.
const LONG_QUEUE: Micros = 80_000;
const LONGEST_QUEUE: Micros = 250_000;
const DRAINING: f64 = 0.65;
/// It is empty.
const SHORT_QUEUE: Micros = 25_000;
/// Growth waits while a queue is longer than this.
const NO_GROWTH: Micros = 15_000;
/// A queue this long that neither grows nor empties is emptied as well; where it is not empty soon after, some times in a row, it is not ours.
const STANDING_QUEUE: Micros = 45_000;
const SETTLING: Micros = 300_000;
const HELPFUL: Micros = 1_000_000;
const VAIN_DRAINS: u32 = 4;
const AFTER_VAIN: Micros = 15_000_000;
/// Growth in a second far from the link's capacity.
const GROWTH: f64 = 1.08;
const LEAST_GROWTH: Bitrate = Bitrate::from_kbps(1);
/// Growth near the link's capacity is a packet in each response time, the same for ways of different length; and after so long
/// without a queue it becomes faster by so much each second, as the link has become another one.
const CALM: Micros = 3_000_000;
const CONVEX_BPS: f64 = 80_000.0;
const LEAST_RESPONSE: Micros = 300_000;
const PACKET_BITS: f64 = 1_200.0 * 8.0;
/// Beyond the round trip: feedback's interval and what detecting takes.
const RESPONSE: Micros = 100_000;
/// Growth stops at what arrives times this and a little.
const HEADROOM: f64 = 1.5;
const HEADROOM_LEAST: Bitrate = Bitrate::from_kbps(10);
/// It falls again after a round trip and this; before anything arrived, after this.
const BETWEEN_FALLS: Micros = 200_000;
/// A way on which packets take so much longer to arrive than to be sent is full, however little is sent.
const STRETCHED: f64 = 1.1;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Hold,
    Increase,
}

/// What is known when feedback came.
#[derive(Clone, Copy, Debug)]
pub struct Signals {
    pub usage: Usage,
    /// What arrives.
    pub acknowledged: Option<Bitrate>,
    /// See [`Acknowledged::stretch`](super::acknowledged::Acknowledged::stretch).
    pub stretch: f64,
    /// Less is sent than may be.
    pub limited: bool,
    pub rtt: Micros,
    /// How long packets stand in queues.
    pub queue: Micros,
    /// Beyond which nothing is looked for.
    pub ceiling: Bitrate,
}

pub struct RateControl {
    rate: Bitrate,
    state: State,
    capacity: LinkCapacity,
    changed: Micros,
    fell: Option<Micros>,
    /// While a queue is emptied: the rate when it is empty.
    drained: Option<Bitrate>,
    /// Times in a row a standing queue was not empty soon after less was sent.
    vain: u32,
}

impl RateControl {
    pub fn new(start: Bitrate) -> RateControl {
        RateControl {
            rate: start,
            state: State::Hold,
            capacity: LinkCapacity::default(),
            changed: 0,
            fell: None,
            drained: None,
            vain: 0,
        }
    }

    pub fn rate(&self) -> Bitrate {
        self.rate
    }

    /// It is known otherwise: by a probe, or because nothing is heard.
    pub fn set(&mut self, now: Micros, rate: Bitrate) {
        self.rate = rate;
        (self.changed, self.drained) = (now, None);
    }

    pub fn forget_capacity(&mut self) {
        self.capacity = LinkCapacity::default();
    }

    /// When it fell because of delay.
    pub fn fell(&self) -> Option<Micros> {
        self.fell
    }

    pub fn update(&mut self, now: Micros, signals: &Signals) {
        self.end_drain(now, signals);
        match signals.usage {
            // Of a short queue a probe is reason enough.
            Usage::Over if signals.queue < SHORT_QUEUE => {}
            Usage::Over if self.may_fall(now, signals) => self.decrease(now, signals),
            Usage::Over => {}
            _ if self.is_standing(now, signals) => self.drain_standing(now, signals),
            // What stands in the queue leaves first.
            Usage::Under => self.state = State::Hold,
            Usage::Normal if self.state == State::Hold => {
                self.state = State::Increase;
                self.changed = now;
            }
            Usage::Normal => self.increase(now, signals),
        }
    }

    fn end_drain(&mut self, now: Micros, signals: &Signals) {
        if signals.queue >= SHORT_QUEUE {
            return;
        }
        if self.fell.is_some_and(|fell| now - fell < signals.rtt + HELPFUL) {
            self.vain = 0;
        }
        if let Some(drained) = self.drained.take() {
            self.rate = self.rate.max(drained);
            self.changed = now;
        }
    }

    fn is_standing(&self, now: Micros, signals: &Signals) -> bool {
        let pause = if self.vain >= VAIN_DRAINS { AFTER_VAIN } else { signals.rtt + SETTLING };
        signals.queue > STANDING_QUEUE && self.fell.is_none_or(|fell| now - fell > pause)
    }

    fn drain_standing(&mut self, now: Micros, signals: &Signals) {
        self.vain = (self.vain + 1).min(VAIN_DRAINS);
        self.decrease(now, signals);
    }

    fn may_fall(&self, now: Micros, signals: &Signals) -> bool {
        let interval = match signals.acknowledged {
            Some(_) => signals.rtt + BETWEEN_FALLS,
            None => BETWEEN_FALLS,
        };
        let far_below = |arrives: Bitrate| arrives < self.rate.scaled(0.5) && !is_elastic(signals);
        now - self.changed >= interval || signals.acknowledged.is_some_and(far_below)
    }

    fn decrease(&mut self, now: Micros, signals: &Signals) {
        let lower = match signals.acknowledged {
            None => self.rate.scaled(0.5),
            // What arrives is what was sent: it says nothing of the way but that its queue grew.
            Some(_) if is_elastic(signals) => self.rate.scaled(BETA),
            Some(arrives) => self.below(arrives),
        };
        let lower = self.drained.unwrap_or(self.rate).min(lower);
        self.rate = lower.scaled(drain(signals.queue));
        self.drained = (self.rate < lower).then_some(lower);
        self.state = State::Hold;
        (self.changed, self.fell) = (now, Some(now));
    }

    fn below(&mut self, arrives: Bitrate) -> Bitrate {
        let lower = arrives.scaled(BETA);
        let known = self.capacity.rate().filter(|_| lower > self.rate).map(|capacity| capacity.scaled(BETA));
        self.capacity.overused(arrives);
        known.unwrap_or(lower)
    }

    fn increase(&mut self, now: Micros, signals: &Signals) {
        let elapsed = ((now - self.changed) as f64 / 1e6).clamp(0.0, 1.0);
        self.changed = now;
        let Some(arrives) = signals.acknowledged else { return };
        if signals.queue > NO_GROWTH {
            return;
        }
        let limit = arrives.scaled(HEADROOM).plus(HEADROOM_LEAST).min(signals.ceiling);
        if self.rate >= limit {
            return;
        }
        let step = match self.capacity.rate() {
            Some(_) => Bitrate::from_bps((self.additive(now, signals.rtt) * elapsed) as u64),
            None => self.rate.scaled(GROWTH.powf(elapsed) - 1.0).max(LEAST_GROWTH.scaled(elapsed)),
        };
        self.rate = self.rate.plus(step).min(limit);
    }

    /// Bits a second more in each second: a packet in each response time, and more and more when the way has not been full for long.
    fn additive(&self, now: Micros, rtt: Micros) -> f64 {
        let response = (rtt + RESPONSE).max(LEAST_RESPONSE) as f64 / 1e6;
        let calm = self.fell.map_or(0, |fell| now - fell - CALM).max(0) as f64 / 1e6;
        PACKET_BITS / response + CONVEX_BPS * calm
    }
}

/// What is left of a rate while a queue is emptied.
fn drain(queue: Micros) -> f64 {
    let share = (queue - LONG_QUEUE) as f64 / (LONGEST_QUEUE - LONG_QUEUE) as f64;
    1.0 - (1.0 - DRAINING) * share.clamp(0.0, 1.0)
}

/// More may still be sent, and what is sent arrives as fast as it is sent.
fn is_elastic(signals: &Signals) -> bool {
    signals.limited && signals.stretch < STRETCHED
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Micros = 1_000;
    const SIGNALS: Signals = Signals {
        usage: Usage::Normal,
        acknowledged: Some(Bitrate::from_kbps(1_000)),
        stretch: 1.0,
        limited: false,
        rtt: 100 * MS,
        queue: 0,
        ceiling: Bitrate::from_kbps(10_000),
    };
    const OVER: Signals = Signals { usage: Usage::Over, queue: 50 * MS, ..SIGNALS };

    fn kbps(control: &RateControl) -> u64 {
        control.rate().bps() / 1_000
    }

    /// For so many seconds, ten times a second.
    fn run(control: &mut RateControl, from: Micros, seconds: i64, signals: impl Fn(Bitrate) -> Signals) {
        for i in 0..seconds * 10 {
            let signals = signals(control.rate());
            control.update(from + i * 100 * MS, &signals);
        }
    }

    #[test]
    fn it_grows_eight_percent_a_second_far_from_what_the_way_takes() {
        let mut control = RateControl::new(Bitrate::from_kbps(1_000));
        run(&mut control, 0, 11, |rate| Signals { acknowledged: Some(rate), ..SIGNALS });
        assert!((2_050..2_400).contains(&kbps(&control)), "{}", kbps(&control));
    }

    #[test]
    fn it_grows_no_further_than_what_arrives_or_is_wanted_justifies() {
        let mut control = RateControl::new(Bitrate::from_kbps(1_000));
        run(&mut control, 0, 60, |_| SIGNALS);
        assert_eq!(kbps(&control), 1_510);
        let mut control = RateControl::new(Bitrate::from_kbps(1_000));
        run(&mut control, 0, 60, |_| Signals { ceiling: Bitrate::from_kbps(1_200), ..SIGNALS });
        assert_eq!(kbps(&control), 1_200);
        // What was known is not forgotten because little is sent or wanted.
        let little = Signals { acknowledged: Some(Bitrate::from_kbps(50)), limited: true, ..SIGNALS };
        run(&mut control, 60_000 * MS, 600, |_| Signals { ceiling: Bitrate::from_kbps(60), ..little });
        assert_eq!(kbps(&control), 1_200);
    }

    #[test]
    fn a_queue_that_grows_takes_it_below_what_arrives_and_growth_is_slow_then() {
        let mut control = RateControl::new(Bitrate::from_kbps(2_000));
        control.update(1_000 * MS, &OVER);
        assert_eq!(kbps(&control), 850);
        control.update(1_050 * MS, &OVER);
        assert_eq!(kbps(&control), 850, "not twice in a round trip");
        run(&mut control, 2_000 * MS, 1, |_| SIGNALS);
        assert!((870..920).contains(&kbps(&control)), "{}", kbps(&control));
    }

    #[test]
    fn a_queue_that_empties_holds_it() {
        let mut control = RateControl::new(Bitrate::from_kbps(900));
        run(&mut control, 0, 5, |_| Signals { usage: Usage::Under, ..SIGNALS });
        assert_eq!(kbps(&control), 900);
    }

    #[test]
    fn a_long_queue_is_emptied_and_the_rate_comes_back() {
        let mut control = RateControl::new(Bitrate::from_kbps(2_000));
        control.update(1_000 * MS, &Signals { queue: 300 * MS, ..OVER });
        assert_eq!(kbps(&control), 552);
        control.update(1_100 * MS, &Signals { usage: Usage::Under, queue: 100 * MS, ..SIGNALS });
        assert_eq!(kbps(&control), 552);
        control.update(1_200 * MS, &Signals { usage: Usage::Under, queue: 10 * MS, ..SIGNALS });
        assert_eq!(kbps(&control), 850);
    }

    #[test]
    fn a_queue_that_stands_is_emptied_unless_it_is_not_ours() {
        let mut control = RateControl::new(Bitrate::from_kbps(1_000));
        let standing = Signals { queue: 200 * MS, ..SIGNALS };
        control.update(1_000 * MS, &standing);
        assert!(kbps(&control) < 850);
        // However little is sent it stays: falling further would leave the way to others.
        let before = kbps(&control);
        let arrives = |rate: Bitrate| Signals { acknowledged: Some(rate), ..standing };
        run(&mut control, 1_100 * MS, 14, arrives);
        let fallen = kbps(&control);
        assert!(fallen < before / 2 && fallen > before / 20, "{fallen}");
        run(&mut control, 15_200 * MS, 1, arrives);
        assert_eq!(kbps(&control), fallen);
    }

    #[test]
    fn before_anything_arrived_it_halves() {
        let mut control = RateControl::new(Bitrate::from_kbps(2_000));
        let unknown = Signals { acknowledged: None, ..OVER };
        for at in [300, 400, 500] {
            control.update(at * MS, &unknown);
        }
        assert_eq!(kbps(&control), 500);
    }

    #[test]
    fn where_little_is_sent_it_falls_from_the_rate_and_not_from_what_arrives() {
        let mut control = RateControl::new(Bitrate::from_kbps(3_000));
        let limited = Signals { limited: true, ..OVER };
        control.update(1_000 * MS, &limited);
        assert_eq!(kbps(&control), 2_550);
        // Yet where what is sent does not get through as fast, what arrives is what the way takes.
        control.update(1_200 * MS, &Signals { stretch: 1.5, ..limited });
        assert_eq!(kbps(&control), 850);
    }

    #[test]
    fn growth_becomes_faster_when_the_way_has_not_been_full_for_long() {
        let mut control = RateControl::new(Bitrate::from_kbps(1_000));
        control.update(1_000 * MS, &OVER);
        let mut grown = |from: Micros| {
            let before = kbps(&control);
            run(&mut control, from, 2, |_| Signals { acknowledged: Some(Bitrate::from_kbps(1_500)), ..SIGNALS });
            kbps(&control) - before
        };
        let (soon, late) = (grown(2_000 * MS), grown(8_000 * MS));
        assert!((50..70).contains(&soon) && late > 8 * soon, "{soon} {late}");
    }
}
