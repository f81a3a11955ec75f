//! What a process used, as `/proc` tells (proc(5)): CPU time of all its threads, memory.
//!
//! What always holds: a file that is not as expected is an error that names it, never a zero.

use std::fs;
use std::io;
use std::time::Duration;

use serde::Serialize;

/// Ticks of `utime` and `stime` a second: USER_HZ, 100 on every Linux architecture.
const TICKS: u64 = 100;

/// CPU time of a process up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// By the scheduler, nanoseconds, of the threads that live.
    pub run: Duration,
    /// In steps of 10 ms, of all threads.
    pub user: Duration,
    pub system: Duration,
    /// Time ready to run but waiting for a core: when it grows, the machine was too busy to measure on.
    pub waiting: Duration,
}

/// CPU time used in a window, split in user and system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CpuUse {
    /// Seconds.
    pub total: f64,
    pub user: f64,
    pub system: f64,
    pub waiting: f64,
}

impl CpuTime {
    pub fn of(pid: u32) -> io::Result<CpuTime> {
        let (user, system) = parse_stat(&read(&format!("/proc/{pid}/stat"))?)?;
        let (mut run, mut waiting) = (Duration::ZERO, Duration::ZERO);
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread that ends meanwhile takes its time with it; `user` and `system` still hold it.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let (ran, waited) = parse_schedstat(&text)?;
            run += ran;
            waiting += waited;
        }
        Ok(CpuTime { run, user, system, waiting })
    }

    /// The scheduler's sum is exact, the split is by ticks.
    pub fn since(&self, earlier: &CpuTime) -> CpuUse {
        let seconds = |later: Duration, earlier: Duration| later.saturating_sub(earlier).as_secs_f64();
        let (user, system) = (seconds(self.user, earlier.user), seconds(self.system, earlier.system));
        let total = seconds(self.run, earlier.run).max(0.0);
        let share = if user + system > 0.0 { user / (user + system) } else { 0.0 };
        CpuUse {
            total,
            user: total * share,
            system: total * (1.0 - share),
            waiting: seconds(self.waiting, earlier.waiting),
        }
    }
}

/// Resident memory, bytes.
pub fn resident(pid: u32) -> io::Result<u64> {
    parse_resident(&read(&format!("/proc/{pid}/status"))?)
}

fn read(path: &str) -> io::Result<String> {
    fs::read_to_string(path).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is not as proc(5) says"))
}

/// User and system time of `/proc/<pid>/stat`: fields 14 and 15; the name in field 2 may hold anything but its last `)`.
fn parse_stat(text: &str) -> io::Result<(Duration, Duration)> {
    let fields = text.rsplit_once(')').map(|(_, after)| after);
    let mut ticks = fields.into_iter().flat_map(str::split_ascii_whitespace).skip(11).map(str::parse::<u64>);
    match (ticks.next(), ticks.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok((from_ticks(user), from_ticks(system))),
        _ => Err(malformed("stat")),
    }
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * (1_000 / TICKS))
}

/// Time running and time waiting of a `schedstat`.
fn parse_schedstat(text: &str) -> io::Result<(Duration, Duration)> {
    let mut words = text.split_ascii_whitespace().map(str::parse::<u64>);
    match (words.next(), words.next()) {
        (Some(Ok(run)), Some(Ok(waiting))) => Ok((Duration::from_nanos(run), Duration::from_nanos(waiting))),
        _ => Err(malformed("schedstat")),
    }
}

fn parse_resident(status: &str) -> io::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| malformed("status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_blanks_and_brackets() {
        let stat =
            "42 (a ) (b) S 1 42 42 0 -1 4194560 100 0 0 0 1234 567 0 0 20 0 9 0 100 1000 50 18446744073709551615";
        let (user, system) = parse_stat(stat).unwrap();
        assert_eq!((user, system), (Duration::from_millis(12_340), Duration::from_millis(5_670)));
        assert!(parse_stat("42 (a) S 1 42").is_err());
        assert!(parse_stat("").is_err());
    }

    #[test]
    fn schedstat_and_memory_are_read() {
        let (run, waiting) = parse_schedstat("654742 58369 2\n").unwrap();
        assert_eq!((run, waiting), (Duration::from_nanos(654_742), Duration::from_nanos(58_369)));
        assert!(parse_schedstat("x").is_err());
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t  2048 kB\n").unwrap(), 2 << 20);
        assert!(parse_resident("Name:\tx\n").is_err());
    }

    #[test]
    fn the_split_is_scaled_to_the_exact_sum() {
        let at = |run: u64, user: u64, system: u64| CpuTime {
            run: Duration::from_millis(run),
            user: Duration::from_millis(user),
            system: Duration::from_millis(system),
            waiting: Duration::ZERO,
        };
        let used = at(2_004, 500, 1_500).since(&at(1_000, 250, 750));
        assert!((used.total - 1.004).abs() < 1e-9);
        assert!((used.user - 0.251).abs() < 1e-9 && (used.system - 0.753).abs() < 1e-9, "{used:?}");
        assert_eq!(at(5, 0, 0).since(&at(5, 0, 0)).total, 0.0);
    }

    #[test]
    fn this_process_can_be_measured() {
        let pid = std::process::id();
        let before = CpuTime::of(pid).unwrap();
        let mut sum = 0u64;
        while CpuTime::of(pid).unwrap().run <= before.run {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(resident(pid).unwrap() > 1 << 20);
        assert!(CpuTime::of(u32::MAX).is_err());
    }
}
