//! The keyframe gate: merges the keyframe requests of all subscribers of one encoding, and asks the publisher for no more
//! keyframes than a share of the encoding's bitrate pays for (RFC 4585, section 6.3.1; RFC 5104, section 4.3.1).
//!
//! What always holds: two requests to the publisher are at least [`KEYFRAME_INTERVAL`] apart, whatever is asked of the gate; no
//! wish is forgotten before a keyframe came, and none waits longer than its patience; who asks again soon after having been
//! served spends what has been saved up, and for the others more is lent.

use std::time::{Duration, Instant};

/// Least time between two keyframe requests to the publisher of one encoding. Longer than most round trips, so that a
/// keyframe under way is not asked for twice; and two keyframes in a second are the most a storm of joins may cause.
pub const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);
/// The same for who was served a short while ago: its link cannot take what it gets, and more keyframes make that worse.
pub const REPEAT_INTERVAL: Duration = Duration::from_secs(1);
/// A wish that comes this soon after a keyframe for the same subscriber is one of asking again and again.
pub const RECENTLY_SERVED: Duration = Duration::from_secs(5);
/// Longest that a wish waits for the budget: it counts from the last request or keyframe. A screen that stands still has no
/// bitrate to speak of, and its newcomers are to see it all the same.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// Longest that a wish is on its way from another shard, with room to spare: a keyframe that began meanwhile is handed over
/// already. Should it not arrive, the wish comes again with the next report.
const CROSSING: Duration = Duration::from_millis(100);
/// A request that no keyframe follows was lost on its way, and is repeated this much later, while packets still come.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Repetitions of one request; a publisher that ignores them all does so on purpose.
const REPETITIONS: u8 = 3;

/// Share of an encoding's bytes that keyframes may be, percent. With a fifth, pictures get visibly coarser: the encoder pays
/// for each keyframe with the quality of all other frames. This is below by what goes on top: what was saved up, and the
/// keyframes that an encoder makes of its own accord.
const SHARE: i64 = 15;
/// One byte in the balance.
const BYTE: i64 = 100;

/// Whose wish it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Has no picture of this encoding: joined, switched, or was served long ago.
    First,
    /// Was served less than [`RECENTLY_SERVED`] ago.
    Again,
}

/// What has been asked since the last keyframe and not passed on, by kind of wish.
#[derive(Clone, Copy, Default, Debug)]
struct Waiting {
    first: bool,
    again: bool,
}

impl Waiting {
    fn any(self) -> bool {
        self.first || self.again
    }
}

/// A keyframe request to the publisher.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    /// No keyframe came since.
    open: bool,
    repetitions: u8,
}

/// Gate of one encoding.
#[derive(Debug, Default)]
pub struct KeyframeGate {
    asked: Option<Asked>,
    waiting: Waiting,
    /// Of the newest keyframe: its RTP timestamp, and when it began to arrive.
    newest: Option<(u32, Instant)>,
    /// Its bytes so far, and those of the last that is whole.
    growing: i64,
    size: i64,
    /// What keyframes may still cost, in [`BYTE`]s: grows with every packet and pays for those of keyframes, but for the first,
    /// which nobody asked for.
    balance: i64,
}

impl KeyframeGate {
    pub fn new() -> KeyframeGate {
        KeyframeGate::default()
    }

    /// A subscriber needs a keyframe. True when a request should be sent now; else it is remembered until
    /// [`packet`](Self::packet) or [`poll`](Self::poll) lets it pass, or a keyframe arrives.
    pub fn request(&mut self, now: Instant, wish: Wish) -> bool {
        match wish {
            Wish::First => self.waiting.first = true,
            Wish::Again => self.waiting.again = true,
        }
        self.poll(now)
    }

    /// A packet of the encoding arrived, of `len` bytes; `starts_keyframe` when a keyframe begins with it, which serves
    /// whoever waits. True when a remembered request should be sent now.
    pub fn packet(&mut self, now: Instant, timestamp: u32, len: usize, starts_keyframe: bool) -> bool {
        let len = i64::try_from(len).unwrap_or(0);
        let of_newest = self.newest.is_some_and(|(newest, _)| newest == timestamp);
        self.balance += len * SHARE;
        let price = if self.size > 0 { len * BYTE } else { 0 };
        if starts_keyframe && !of_newest {
            self.keyframe_arrived(now, timestamp, len);
            self.balance -= price;
        } else if of_newest {
            self.growing += len;
            self.balance -= price;
        } else if self.growing > 0 {
            self.size = std::mem::take(&mut self.growing);
        }
        self.balance = self.balance.min(self.credit());
        self.repeat_unanswered(now);
        self.poll(now)
    }

    /// Whether a wish of who has no picture met a keyframe on its way, and is served by that.
    pub fn met_keyframe(&self, now: Instant, wish: Wish) -> bool {
        let passed = |(_, arrival): (u32, Instant)| now.saturating_duration_since(arrival) < CROSSING;
        wish == Wish::First && self.newest.is_some_and(passed)
    }

    /// When [`poll`](Self::poll) may let a remembered request pass, if no packets come that make it earlier.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let first = self.waiting.first.then(|| self.open_at(Wish::First)).flatten();
        let again = self.waiting.again.then(|| self.open_at(Wish::Again)).flatten();
        first.into_iter().chain(again).min()
    }

    /// True once when a remembered request may be sent now.
    pub fn poll(&mut self, now: Instant) -> bool {
        if !self.waiting.any() {
            return false;
        }
        let open = |wish| self.open_at(wish).is_none_or(|at| now >= at);
        let passes = self.waiting.first && open(Wish::First) || self.waiting.again && open(Wish::Again);
        if passes {
            self.waiting = Waiting::default();
            let repetitions = self.asked.filter(|asked| asked.open).map_or(0, |asked| asked.repetitions);
            self.asked = Some(Asked { at: now, open: true, repetitions });
        }
        passes
    }

    fn keyframe_arrived(&mut self, now: Instant, timestamp: u32, len: i64) {
        self.waiting = Waiting::default();
        if let Some(asked) = &mut self.asked {
            asked.open = false;
        }
        self.newest = Some((timestamp, now));
        if self.growing > 0 {
            self.size = self.growing;
        }
        self.growing = len;
    }

    /// Most that is saved up: a keyframe. Half of that is lent to who has no picture.
    fn credit(&self) -> i64 {
        self.size * BYTE
    }

    /// When such a wish may pass as things stand; `None` when nothing was asked yet, and it may at once.
    fn open_at(&self, wish: Wish) -> Option<Instant> {
        let (interval, needed, patience) = match wish {
            Wish::First => (KEYFRAME_INTERVAL, -self.credit() / 2, PATIENCE),
            Wish::Again => (REPEAT_INTERVAL, 0, 2 * PATIENCE),
        };
        let asked = self.asked.map(|asked| asked.at);
        if self.balance >= needed {
            return asked.map(|asked| asked + interval);
        }
        let newest = self.newest.map(|(_, arrival)| arrival);
        asked.max(newest).map(|last| last + patience)
    }

    /// The wishes behind a request that no keyframe followed are remembered anew.
    fn repeat_unanswered(&mut self, now: Instant) {
        if let Some(asked) = &mut self.asked
            && asked.open
            && asked.repetitions < REPETITIONS
            && !self.waiting.first
            && now >= asked.at + ANSWER_TIMEOUT
        {
            asked.repetitions += 1;
            self.waiting.first = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);
    const KEYFRAME: usize = 60_000;

    /// A stream of packets through a gate, in virtual time: every 10 ms one of `rate` bytes a second, and a keyframe some time
    /// after each request.
    struct Stream {
        gate: KeyframeGate,
        now: Instant,
        rate: usize,
        /// When a keyframe that was asked for begins.
        due: Option<Instant>,
        answers: bool,
        timestamp: u32,
        requests: u32,
        keyframe_bytes: usize,
        bytes: usize,
    }

    impl Stream {
        /// Begins with a keyframe.
        fn new(rate: usize) -> Stream {
            let mut stream = Stream {
                gate: KeyframeGate::new(),
                now: Instant::now(),
                rate,
                due: None,
                answers: true,
                timestamp: 0,
                requests: 0,
                keyframe_bytes: 0,
                bytes: 0,
            };
            stream.keyframe();
            stream
        }

        fn asks(&mut self, wish: Wish) {
            let passes = self.gate.request(self.now, wish);
            self.count(passes);
        }

        fn count(&mut self, passes: bool) {
            if passes {
                self.requests += 1;
                self.due = self.answers.then_some(self.now + 10 * TICK);
            }
        }

        fn packet(&mut self, len: usize, starts_keyframe: bool) {
            self.bytes += len;
            let passes = self.gate.packet(self.now, self.timestamp, len, starts_keyframe);
            self.count(passes);
        }

        fn keyframe(&mut self) {
            self.timestamp += 900;
            self.keyframe_bytes += KEYFRAME;
            (0..KEYFRAME / 1_200).for_each(|n| self.packet(1_200, n == 0));
        }

        fn tick(&mut self) {
            self.now += TICK;
            let passes = self.gate.poll(self.now);
            self.count(passes);
            self.timestamp += 900;
            self.packet(self.rate / 100, false);
            if self.due.is_some_and(|due| due <= self.now) {
                self.due = None;
                self.keyframe();
            }
        }

        fn run(&mut self, time: Duration, mut each: impl FnMut(&mut Stream)) {
            for _ in 0..time.as_millis() / TICK.as_millis() {
                self.tick();
                each(self);
            }
        }

        /// How long a wish made now waits until the publisher is asked, or a keyframe comes.
        fn waits(&mut self, wish: Wish, mut each: impl FnMut(&mut Stream)) -> Duration {
            let (since, before) = (self.now, (self.requests, self.keyframe_bytes));
            self.asks(wish);
            while (self.requests, self.keyframe_bytes) == before {
                self.tick();
                each(self);
                assert!(self.now < since + 3 * PATIENCE, "forgotten");
            }
            self.now - since
        }
    }

    #[test]
    fn the_first_request_passes_at_once_and_a_second_is_remembered() {
        let start = Instant::now();
        let mut gate = KeyframeGate::new();
        assert_eq!(gate.poll_timeout(), None);
        assert!(gate.request(start, Wish::First));
        assert_eq!(gate.poll_timeout(), None, "nobody waits any more");
        assert!(!gate.request(start + TICK, Wish::First));
        assert_eq!(gate.poll_timeout(), Some(start + KEYFRAME_INTERVAL));
        assert!(!gate.poll(start + KEYFRAME_INTERVAL - TICK));
        assert!(gate.poll(start + KEYFRAME_INTERVAL));
        assert!(!gate.poll(start + KEYFRAME_INTERVAL), "once");
    }

    #[test]
    fn a_keyframe_serves_whoever_waits() {
        let start = Instant::now();
        let mut gate = KeyframeGate::new();
        gate.request(start, Wish::First);
        gate.request(start + TICK, Wish::First);
        gate.request(start + TICK, Wish::Again);
        assert!(!gate.packet(start + 2 * TICK, 1, 500, true));
        assert_eq!(gate.poll_timeout(), None);
        assert!(!gate.poll(start + 9 * PATIENCE));
    }

    #[test]
    fn a_storm_of_joins_gets_its_share_of_the_bitrate_and_everybody_is_served() {
        // 1.2 Mbit/s: a keyframe takes 0.4 s of it, so that a fixed interval of half a second would leave nothing for the rest.
        let mut stream = Stream::new(150_000);
        stream.run(Duration::from_secs(60), |stream| (0..10).for_each(|_| stream.asks(Wish::First)));
        let share = 100 * stream.keyframe_bytes / stream.bytes;
        assert!((10..20).contains(&share), "{share} %");
        assert!(stream.requests >= 60 / 4, "{} in a minute", stream.requests);
    }

    #[test]
    fn where_keyframes_cost_little_a_storm_passes_twice_a_second_at_most() {
        let mut stream = Stream::new(2_000_000);
        stream.run(Duration::from_secs(10), |stream| stream.asks(Wish::First));
        assert!((18..=20).contains(&stream.requests), "{}", stream.requests);
    }

    #[test]
    fn no_wish_waits_longer_than_its_patience_even_where_nothing_is_sent() {
        for rate in [0, 1_000, 20_000] {
            let mut stream = Stream::new(rate);
            for _ in 0..5 {
                assert!(stream.waits(Wish::First, |_| ()) <= PATIENCE + TICK, "{rate}");
                stream.run(Duration::from_millis(200), |_| ());
                assert!(stream.waits(Wish::Again, |_| ()) <= 2 * PATIENCE + TICK, "{rate}");
                stream.run(Duration::from_millis(200), |_| ());
            }
        }
    }

    #[test]
    fn one_that_asks_without_end_costs_less_than_a_keyframe_a_second_and_others_pass_before_it() {
        let storm = |stream: &mut Stream| stream.asks(Wish::Again);
        let mut stream = Stream::new(600_000);
        stream.run(Duration::from_secs(30), storm);
        assert!((10..=30).contains(&stream.requests), "{}", stream.requests);
        // On a slower one others are lent what it does not get.
        let mut stream = Stream::new(150_000);
        stream.run(Duration::from_secs(30), storm);
        let before = stream.keyframe_bytes;
        while stream.keyframe_bytes == before {
            stream.run(TICK, storm);
        }
        let newcomer = stream.waits(Wish::First, storm);
        assert!(newcomer < Duration::from_millis(1_500), "{newcomer:?}");
        stream.run(20 * TICK, |_| ());
        let other = stream.waits(Wish::Again, storm);
        assert!(other > Duration::from_millis(2_500), "{other:?}");
    }

    #[test]
    fn a_request_that_was_lost_is_repeated_while_packets_come_and_not_for_ever() {
        let mut stream = Stream::new(150_000);
        stream.answers = false;
        stream.run(Duration::from_secs(10), |_| ());
        stream.asks(Wish::First);
        stream.run(Duration::from_secs(30), |_| ());
        assert_eq!(stream.requests, 1 + u32::from(REPETITIONS));
        let start = Instant::now();
        let mut silent = KeyframeGate::new();
        assert!(silent.request(start, Wish::First));
        assert_eq!(silent.poll_timeout(), None, "a publisher that sends nothing is not reminded");
    }
}
