//! How loud a participant is: the client-to-mixer audio level extension (RFC 6464), and its smoothing into one figure.
//!
//! What always holds: the same levels at the same times give the same figure; nothing is allocated.

use std::time::{Duration, Instant};

/// Time over which packets are gathered before they count. Short enough that a tile lights up while a word is still spoken, long
/// enough (20 packets of 20 ms) that a click does not.
pub const WINDOW: Duration = Duration::from_millis(400);
/// A packet is loud above this level, in -dBov. Breath and fans lie below it, quiet speech above.
pub const LOUD_DBOV: u8 = 35;
/// Share of a window's packets that must be loud for the window to be active, percent: speech has pauses.
pub const ACTIVE_PERCENT: u32 = 40;
/// Weight of the newest window: exponential smoothing over two windows, 2 / (2 + 1).
const SMOOTHING: f32 = 2.0 / 3.0;
/// After this many windows without a loud packet the level is 0 (the rest would be below 10^-6).
const FORGOTTEN_WINDOWS: u32 = 12;

/// The value of the extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LevelSample {
    /// -dBov: 0 is the loudest, 127 silence.
    pub level: u8,
    /// The sender believes that the packet contains voice. Only a hint: not all senders set it.
    pub voice: bool,
}

impl LevelSample {
    /// Reads an extension element's value, one byte; in the two-byte form padding may follow. `None` when it is empty.
    pub fn read(value: &[u8]) -> Option<LevelSample> {
        value.first().map(|byte| LevelSample { level: byte & 0x7f, voice: byte & 0x80 != 0 })
    }
}

/// Smoothed level of one audio source.
#[derive(Clone, Debug, Default)]
pub struct AudioLevel {
    /// When the window being filled began; `None` before the first packet.
    window_start: Option<Instant>,
    packets: u32,
    loud: u32,
    /// Sum of the loud packets' levels.
    loud_levels: u32,
    smoothed: f32,
}

impl AudioLevel {
    pub fn new() -> AudioLevel {
        AudioLevel::default()
    }

    /// Accounts for one packet: its level in -dBov (0 the loudest, 127 silence). The voice flag does not decide, because senders differ in
    /// what they set it for, some never setting it.
    pub fn observe(&mut self, now: Instant, level: u8, _voice: bool) {
        self.close_windows(now);
        self.window_start.get_or_insert(now);
        self.packets = self.packets.saturating_add(1);
        if level < LOUD_DBOV {
            self.loud = self.loud.saturating_add(1);
            self.loud_levels = self.loud_levels.saturating_add(level.into());
        }
    }

    /// The smoothed level, linear, 0 (silent) to 1: over all windows that ended before `now`.
    pub fn level(&mut self, now: Instant) -> f32 {
        self.close_windows(now);
        self.smoothed
    }

    /// Ends every window that is over: the one with packets in it, and the empty ones since.
    fn close_windows(&mut self, now: Instant) {
        let Some(start) = self.window_start else { return };
        let elapsed = now.saturating_duration_since(start);
        let ended = u32::try_from(elapsed.as_millis() / WINDOW.as_millis()).unwrap_or(u32::MAX);
        if ended == 0 {
            return;
        }
        self.smooth(self.window_level());
        (self.packets, self.loud, self.loud_levels) = (0, 0, 0);
        if ended > FORGOTTEN_WINDOWS {
            self.smoothed = 0.0;
            self.window_start = Some(now);
        } else {
            (1..ended).for_each(|_| self.smooth(0.0));
            self.window_start = Some(start + WINDOW * ended);
        }
    }

    fn smooth(&mut self, level: f32) {
        self.smoothed += (level - self.smoothed) * SMOOTHING;
    }

    /// The mean level of the loud packets as an amplitude; 0 when the window was not active.
    fn window_level(&self) -> f32 {
        let active = self.loud > 0 && self.loud.saturating_mul(100) >= self.packets.saturating_mul(ACTIVE_PERCENT);
        if !active {
            return 0.0;
        }
        let mean = self.loud_levels as f32 / self.loud as f32;
        10f32.powf(-mean / 20.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Duration = Duration::from_millis(20);

    /// Feeds one packet each 20 ms for `windows` windows and gives the time of the end.
    fn speak(level: &mut AudioLevel, start: Instant, windows: u32, pattern: &[u8]) -> Instant {
        let packets = windows * (WINDOW.as_millis() / PACKET.as_millis()) as u32;
        for (packet, dbov) in (0..packets).zip(pattern.iter().cycle()) {
            level.observe(start + PACKET * packet, *dbov, true);
        }
        start + PACKET * packets
    }

    #[test]
    fn the_extension_holds_a_flag_and_seven_bits() {
        assert_eq!(LevelSample::read(&[0x80 | 30]), Some(LevelSample { level: 30, voice: true }));
        assert_eq!(LevelSample::read(&[127, 0]), Some(LevelSample { level: 127, voice: false }));
        assert_eq!(LevelSample::read(&[]), None);
    }

    #[test]
    fn steady_speech_converges_to_its_amplitude() {
        let start = Instant::now();
        let mut level = AudioLevel::new();
        let after_one = speak(&mut level, start, 1, &[20]);
        assert!((level.level(after_one) - 0.1 * SMOOTHING).abs() < 1e-6, "one window");
        let end = speak(&mut level, after_one, 9, &[20]);
        assert!((level.level(end) - 0.1).abs() < 1e-4, "{}", level.level(end));
    }

    #[test]
    fn nothing_counts_before_its_window_ended() {
        let start = Instant::now();
        let mut level = AudioLevel::new();
        level.observe(start, 0, true);
        assert_eq!(level.level(start + WINDOW - PACKET), 0.0);
        assert!(level.level(start + WINDOW) > 0.6);
    }

    #[test]
    fn two_of_five_loud_packets_make_a_window_active_and_fewer_do_not() {
        let start = Instant::now();
        let mut enough = AudioLevel::new();
        let end = speak(&mut enough, start, 1, &[20, 127, 20, 127, 127]);
        assert!(enough.level(end) > 0.05);
        let mut fewer = AudioLevel::new();
        let end = speak(&mut fewer, start, 1, &[20, 127, 127, 127, 127]);
        assert_eq!(fewer.level(end), 0.0);
    }

    #[test]
    fn the_threshold_itself_is_not_loud() {
        let start = Instant::now();
        let (mut at, mut above) = (AudioLevel::new(), AudioLevel::new());
        let end = speak(&mut at, start, 1, &[LOUD_DBOV]);
        speak(&mut above, start, 1, &[LOUD_DBOV - 1]);
        assert_eq!(at.level(end), 0.0);
        assert!(above.level(end) > 0.0);
    }

    #[test]
    fn silence_and_absence_fade_alike_and_end_at_zero() {
        let start = Instant::now();
        let (mut silent, mut absent) = (AudioLevel::new(), AudioLevel::new());
        let end = speak(&mut silent, start, 5, &[10]);
        speak(&mut absent, start, 5, &[10]);
        let later = speak(&mut silent, end, 3, &[127]);
        assert!((silent.level(later) - absent.level(later)).abs() < 1e-6);
        assert!(absent.level(later) > 0.0);
        assert_eq!(absent.level(end + WINDOW * 100), 0.0);
        assert!(absent.level(end + Duration::from_secs(1 << 40)) == 0.0);
    }

    #[test]
    fn the_level_stays_between_0_and_1() {
        let start = Instant::now();
        let mut level = AudioLevel::new();
        let end = speak(&mut level, start, 50, &[0]);
        assert!(level.level(end) <= 1.0 && level.level(end) > 0.99);
    }
}
