//! Which packets of one incoming stream are missing, when to ask for them, and when to give them up (RFC 4585, section 6.2.1).
//!
//! What always holds: at most `limits::MISSING_PACKETS` are remembered; none is asked for more than [`MAX_REQUESTS`] times, nor
//! later than [`LONGEST_PATIENCE`] after it was missed; one loss ends in one wish for a keyframe at most, however many packets it took;
//! while nothing is missing, a packet costs two comparisons.

use std::time::{Duration, Instant};

use crate::limits;

mod lateness;

use lateness::Lateness;

/// A lost packet is asked for again this often at most: with every third packet lost both ways, one in 700 is left.
const MAX_REQUESTS: u32 = 10;
/// How long a packet is worth asking for: what comes later finds the subscribers' jitter buffers past it, and the cache too.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Where a round trip is so long that it could not be asked for so often meanwhile, it is worth more time: a keyframe takes as long,
/// and is lost as easily.
const WORTHWHILE_REQUESTS: u32 = 8;
const LONGEST_PATIENCE: Duration = Duration::from_secs(2);
/// Packets behind the newest that can still be forwarded under their own number.
const REACH: u64 = 1_000;
/// A keyframe that was wished for and did not come may be wished for again after this: the request was lost, or it was.
const KEYFRAME_PATIENCE: Duration = Duration::from_secs(1);
/// Packets that came again and are still known, to tell by their originals how late packets are here.
const RECENT: usize = 8;

/// How a publisher sends packets again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repair {
    Never,
    /// As they were.
    InPlace,
    /// As a stream of their own (RFC 4588), told to [`MissingPackets::recovered`]: what comes late in the stream itself was reordered.
    Apart,
}

/// A packet that was missing is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// How often it had been asked for.
    pub requests: u32,
    /// Time since the last request.
    pub waited: Duration,
}

/// What a stream will not get any more.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GivenUp {
    /// Of the packets that were asked for or about to be; those of a hole too large to ask for are not counted.
    pub packets: u64,
    /// Decoding can go on from a keyframe only. Said once for each loss.
    pub needs_keyframe: bool,
}

/// The gaps in one stream's sequence numbers.
#[derive(Debug)]
pub struct MissingPackets {
    repair: Repair,
    highest: Option<u64>,
    /// In the order of their numbers.
    missing: Vec<Missing>,
    lateness: Lateness,
    /// Number of packets that were asked for and came, and when they were missed; the oldest is overwritten.
    recent: [Option<(u64, Instant)>; RECENT],
    next_recent: usize,
    /// When [`poll`](Self::poll) has something to do. May be too early, never too late.
    due: Option<Instant>,
    /// Not told yet.
    given_up: GivenUp,
    /// The keyframe that is wished for.
    awaited: Option<Awaited>,
    /// Where the newest keyframe starts, and its timestamp.
    keyframe: Option<(u64, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    number: u64,
    noticed: Instant,
    /// When it is asked for next, or given up.
    due: Instant,
    /// When it is given up at the latest.
    until: Instant,
    requests: u32,
    /// Of the last request, or when it was noticed.
    requested: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Awaited {
    /// A keyframe behind this number is the one.
    beyond: u64,
    since: Instant,
}

impl MissingPackets {
    /// `None` where nothing would be sent again.
    pub fn new(repair: Repair) -> Option<MissingPackets> {
        (repair != Repair::Never).then(|| MissingPackets {
            repair,
            highest: None,
            missing: Vec::new(),
            lateness: Lateness::default(),
            recent: [None; RECENT],
            next_recent: 0,
            due: None,
            given_up: GivenUp::default(),
            awaited: None,
            keyframe: None,
        })
    }

    /// A packet of the stream itself arrived. Tells when it is one that was sent again, or seems to be.
    pub fn arrived(&mut self, now: Instant, number: u64) -> Option<Recovered> {
        let highest = self.highest.replace(number)?;
        if number > highest {
            if number - highest > 1 {
                self.open_gap(now, highest + 1, number);
            }
            return None;
        }
        self.highest = Some(highest);
        let Some(missing) = self.take(number) else {
            self.learn_from_original(now, number);
            return None;
        };
        let lateness = now.saturating_duration_since(missing.noticed);
        if self.repair == Repair::Apart || missing.requests == 0 {
            self.lateness.observe(now, lateness);
            return None;
        }
        self.lateness.suspect(lateness);
        Some(missing.recovered(now))
    }

    /// A packet of the stream was sent again beside it. `None` when it was not missing.
    pub fn recovered(&mut self, now: Instant, number: u64) -> Option<Recovered> {
        let missing = self.take(number)?;
        if let Some(slot) = self.recent.get_mut(self.next_recent) {
            *slot = Some((number, missing.noticed));
            self.next_recent = (self.next_recent + 1) % RECENT;
        }
        Some(missing.recovered(now))
    }

    /// A packet from which decoding can start is here: nobody needs what is missing of before. What is missing right before it may be of
    /// its own frame (a parameter set) and is still asked for.
    pub fn keyframe_began(&mut self, number: u64, timestamp: u32) {
        if self.keyframe.is_some_and(|(begun, of)| number <= begun || timestamp == of) {
            return;
        }
        self.keyframe = Some((number, timestamp));
        if self.awaited.is_some_and(|awaited| number > awaited.beyond) {
            self.awaited = None;
            self.given_up.needs_keyframe = false;
        }
        let behind = self.missing.partition_point(|missing| missing.number < number);
        let before = self.missing.get(..behind).unwrap_or_default().iter().rev();
        let adjacent = before.zip((0..number).rev()).take_while(|(missing, expected)| missing.number == *expected);
        let kept = behind - adjacent.count();
        self.missing.drain(..kept);
    }

    /// When to poll.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Has every number asked for that is due; it is asked for again after `retry_after`. Tells what was given up since.
    pub fn poll(&mut self, now: Instant, retry_after: Duration, mut ask: impl FnMut(u16)) -> GivenUp {
        if self.due.is_some_and(|due| due <= now) {
            self.give_up_hopeless(now);
            for missing in self.missing.iter_mut().filter(|missing| missing.due <= now) {
                missing.request(now, retry_after);
                ask(missing.number as u16);
            }
            self.due = self.missing.iter().map(|missing| missing.due).min();
        }
        std::mem::take(&mut self.given_up)
    }

    /// The packets from `first` on, up to but not `end`, are missing.
    fn open_gap(&mut self, now: Instant, first: u64, end: u64) {
        let known = self.missing.len() as u64;
        if end - first + known > limits::MISSING_PACKETS as u64 {
            // A restart or an outage: asking would add to it, and take longer than a keyframe.
            return self.give_up_all(now, end - 1);
        }
        let due = now + self.lateness.tolerance(now);
        let missing =
            |number| Missing { number, noticed: now, due, until: now + PATIENCE, requests: 0, requested: now };
        self.missing.extend((first..end).map(missing));
        self.wake(due);
    }

    fn wake(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn take(&mut self, number: u64) -> Option<Missing> {
        if self.missing.is_empty() {
            return None;
        }
        let place = self.missing.binary_search_by_key(&number, |missing| missing.number).ok()?;
        Some(self.missing.remove(place))
    }

    /// An original that comes after its repetition shows how long to wait before asking.
    fn learn_from_original(&mut self, now: Instant, number: u64) {
        let known = self.recent.iter_mut().find(|slot| slot.is_some_and(|(recovered, _)| recovered == number));
        if let Some((_, noticed)) = known.and_then(Option::take) {
            self.lateness.observe(now, now.saturating_duration_since(noticed));
        }
    }

    fn give_up_hopeless(&mut self, now: Instant) {
        let reach = self.highest.unwrap_or(0).saturating_sub(REACH);
        let start = self.keyframe.map_or(0, |(number, _)| number);
        let hopeless = |missing: &Missing| missing.is_hopeless(now) || missing.number < reach;
        if self.missing.iter().any(|missing| hopeless(missing) && missing.number > start) && !self.awaits_keyframe(now)
        {
            // The frames behind it cannot be decoded either.
            return self.give_up_all(now, self.highest.unwrap_or(0));
        }
        let before = self.missing.len();
        self.missing.retain(|missing| !hopeless(missing));
        self.given_up.packets += (before - self.missing.len()) as u64;
    }

    fn awaits_keyframe(&self, now: Instant) -> bool {
        self.awaited.is_some_and(|awaited| now.saturating_duration_since(awaited.since) < KEYFRAME_PATIENCE)
    }

    /// Nothing up to `last` is asked for any more.
    fn give_up_all(&mut self, now: Instant, last: u64) {
        self.given_up.packets += self.missing.len() as u64;
        self.missing.clear();
        if !self.awaits_keyframe(now) {
            self.awaited = Some(Awaited { beyond: last, since: now });
            self.given_up.needs_keyframe = true;
        }
        self.wake(now);
    }
}

impl Missing {
    fn recovered(&self, now: Instant) -> Recovered {
        Recovered { requests: self.requests, waited: now.saturating_duration_since(self.requested) }
    }

    fn request(&mut self, now: Instant, retry_after: Duration) {
        self.requests += 1;
        self.requested = now;
        self.until = self.noticed + (retry_after * WORTHWHILE_REQUESTS).clamp(PATIENCE, LONGEST_PATIENCE);
        self.due = (now + retry_after).min(self.until);
    }

    /// Only judged when due.
    fn is_hopeless(&self, now: Instant) -> bool {
        let due = self.due <= now;
        due && (self.requests >= MAX_REQUESTS || now >= self.until)
    }
}

#[cfg(test)]
mod tests;
