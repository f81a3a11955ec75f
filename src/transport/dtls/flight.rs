//! Our last flight and when to send it again (RFC 6347, section 4.2.4).

use std::time::{Duration, Instant};

/// First wait. The path is known to work (ICE checked it), so that what is missing was lost; browsers start at 50 ms.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_millis(3200);
/// Between two answers to a peer that repeats its own flight.
const ANSWER_GAP: Duration = Duration::from_millis(40);
/// Such answers to one flight: repeats are not authenticated, and must not make us a source of traffic.
const ANSWERS: u32 = 12;

/// The datagrams sent last.
#[derive(Default)]
pub(super) struct Flight {
    datagrams: Vec<Vec<u8>>,
    wait: Duration,
    due: Option<Instant>,
    sent: Option<Instant>,
    answers: u32,
}

impl Flight {
    /// A flight that was just sent; `awaits_answer` unless the handshake ends with it.
    pub fn new(now: Instant, datagrams: Vec<Vec<u8>>, awaits_answer: bool) -> Flight {
        Flight {
            datagrams,
            wait: FIRST_WAIT,
            due: awaits_answer.then(|| now + FIRST_WAIT),
            sent: Some(now),
            answers: 0,
        }
    }

    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What to send again because nothing came for long.
    pub fn on_timeout(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        self.due = Some(now + self.wait);
        self.sent = Some(now);
        self.datagrams.clone()
    }

    /// What to send again because the peer repeats what it answered.
    pub fn on_repeat(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let is_soon = self.sent.is_some_and(|sent| now.saturating_duration_since(sent) < ANSWER_GAP);
        if is_soon || self.answers >= ANSWERS {
            return Vec::new();
        }
        self.answers += 1;
        self.sent = Some(now);
        self.datagrams.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let start = Instant::now();
        let mut flight = Flight::new(start, vec![vec![1]], true);
        assert!(flight.on_timeout(start).is_empty());
        let mut waits = Vec::new();
        let mut last = start;
        for _ in 0..8 {
            let due = flight.due().unwrap();
            waits.push((due - last).as_millis());
            last = due;
            assert_eq!(flight.on_timeout(due), [vec![1]]);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 3200, 3200]);
    }

    #[test]
    fn answers_to_repeats_are_spaced_and_counted() {
        let start = Instant::now();
        let mut flight = Flight::new(start, vec![vec![1]], false);
        assert_eq!(flight.due(), None);
        assert!(flight.on_repeat(start + ANSWER_GAP / 2).is_empty());
        let answered = (1..1000).filter(|n| !flight.on_repeat(start + ANSWER_GAP * *n).is_empty());
        assert_eq!(answered.count(), ANSWERS as usize);
    }
}
