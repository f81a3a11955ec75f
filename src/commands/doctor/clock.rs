//! The clocks: tokens are judged by the wall clock, packets by the monotonic one.
//!
//! Whether the kernel's clock is synchronised is told by the daemon that does it; a container sees no daemon of its host's, so
//! that "unknown" is an honest answer there.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::report::Finding;

/// Midnight of the first of January 2026: no machine that runs this is earlier. Unix time.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);
/// How long clocks are compared for, and by how much they may part meanwhile.
const COMPARED: Duration = Duration::from_millis(100);
const APART: Duration = Duration::from_millis(20);
/// Sources that are read without a system call, or as the hypervisor has it best.
const FAST_SOURCES: [&str; 6] = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "xen", "stp"];
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
/// What shows that a daemon keeps the time, and whether it also says that it has it.
const DAEMONS: [(&str, &str, bool); 6] = [
    ("/run/systemd/timesync/synchronized", "systemd-timesyncd", true),
    ("/run/chrony/chronyd.pid", "chronyd", false),
    ("/run/chrony", "chronyd", false),
    ("/run/chronyd.pid", "chronyd", false),
    ("/run/ntpd.pid", "ntpd", false),
    ("/run/ntpsec/ntpd.pid", "ntpd", false),
];

pub(super) struct Clocks {
    /// Unix time.
    wall: Duration,
    /// How far each went while they were compared.
    monotonic_went: Duration,
    wall_went: Option<Duration>,
    source: Option<String>,
    /// The daemon, and whether it says that the time is right.
    kept_by: Option<(&'static str, bool)>,
}

pub(super) fn find(now: Duration) -> Clocks {
    let (monotonic, wall) = (Instant::now(), SystemTime::now());
    wait(COMPARED);
    let source = std::fs::read_to_string(SOURCE).ok().map(|text| text.trim().to_owned());
    let kept_by = DAEMONS.iter().find(|(path, ..)| Path::new(path).exists()).map(|(_, name, sure)| (*name, *sure));
    Clocks { wall: now, monotonic_went: monotonic.elapsed(), wall_went: wall.elapsed().ok(), source, kept_by }
}

#[expect(clippy::disallowed_methods, reason = "no shard or runtime here")]
fn wait(duration: Duration) {
    std::thread::sleep(duration);
}

pub(super) fn judge(clocks: &Clocks) -> Vec<Finding> {
    [judge_wall(clocks), judge_monotonic(clocks)].into()
}

fn judge_wall(clocks: &Clocks) -> Finding {
    const CHECK: &str = "wall clock";
    const ADVICE: &str = "let systemd-timesyncd or chronyd set the clock of the machine: tokens are judged by it";
    if clocks.wall < EARLIEST {
        return Finding::fail(CHECK, "in the past, before this program was made", ADVICE);
    }
    match clocks.kept_by {
        Some((daemon, true)) => Finding::ok(CHECK, format!("synchronised, says {daemon}")),
        Some((daemon, false)) => {
            Finding::ok(CHECK, format!("kept by {daemon}; whether it is right just now is unknown"))
        }
        None => Finding::warn(
            CHECK,
            "unknown whether it is synchronised: no daemon for it is seen here",
            "in a container, look on its host (timedatectl); tokens are judged by this clock",
        ),
    }
}

fn judge_monotonic(clocks: &Clocks) -> Finding {
    const CHECK: &str = "ticking clock";
    let apart = clocks.wall_went.map(|wall| wall.abs_diff(clocks.monotonic_went));
    if clocks.monotonic_went < COMPARED || apart.is_none_or(|apart| apart > APART) {
        let found = "the clocks part while they are looked at: one of them jumps";
        return Finding::warn(
            CHECK,
            found,
            "look for a daemon that steps the clock, or for a machine that is suspended",
        );
    }
    match clocks.source.as_deref() {
        None => Finding::ok(CHECK, "steady; its source is unknown"),
        Some(source) if FAST_SOURCES.contains(&source) => Finding::ok(CHECK, format!("steady ({source})")),
        Some(source) => Finding::warn(
            CHECK,
            format!("steady, but its source `{source}` may be slow to read"),
            "choose tsc or the hypervisor's, if the machine has it (kernel parameter clocksource=)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict::{self, *};

    fn sound() -> Clocks {
        let kept_by = Some(("systemd-timesyncd", true));
        Clocks {
            wall: EARLIEST,
            monotonic_went: COMPARED,
            wall_went: Some(COMPARED),
            source: Some("tsc".to_owned()),
            kept_by,
        }
    }

    fn verdicts(clocks: Clocks) -> Vec<Verdict> {
        judge(&clocks).into_iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn sound_clocks_are_found_so() {
        assert_eq!(verdicts(sound()), [Ok, Ok]);
        assert_eq!(verdicts(Clocks { kept_by: Some(("chronyd", false)), source: None, ..sound() }), [Ok, Ok]);
    }

    #[test]
    fn what_is_wrong_or_unknown_is_said() {
        assert_eq!(verdicts(Clocks { wall: EARLIEST - Duration::from_secs(1), ..sound() }), [Fail, Ok]);
        let unknown = judge(&Clocks { kept_by: None, ..sound() });
        assert!(unknown[0].found.contains("unknown") && unknown[0].verdict == Warn);
        assert_eq!(verdicts(Clocks { source: Some("acpi_pm".to_owned()), ..sound() }), [Ok, Warn]);
        for wall_went in [None, Some(COMPARED + 2 * APART), Some(Duration::ZERO)] {
            assert_eq!(verdicts(Clocks { wall_went, ..sound() }), [Ok, Warn], "{wall_went:?}");
        }
        assert_eq!(verdicts(Clocks { monotonic_went: Duration::ZERO, ..sound() }), [Ok, Warn]);
    }
}
