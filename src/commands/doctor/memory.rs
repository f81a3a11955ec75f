//! Memory: what there is, by the control group or the machine.

use std::path::Path;

use super::control_group;
use super::report::Finding;

const CHECK: &str = "memory";
/// Below this share of the machine's memory left, others compete for the rest.
const LEFT_PERCENT: u64 = 10;
/// Below this a server with its connections and caches has no slack, bytes.
const SMALL: u64 = 256 << 20;
const MIB: u64 = 1 << 20;

#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// Of the machine, bytes.
    total: Option<u64>,
    available: Option<u64>,
    /// Of the control group; `None` without.
    limit: Option<u64>,
}

pub(super) fn find() -> Memory {
    let table = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name| field(&table, name);
    Memory {
        total: field("MemTotal:"),
        available: field("MemAvailable:"),
        limit: control_group::memory_limit(Path::new("/")),
    }
}

/// In bytes; the kernel writes KiB.
fn field(table: &str, name: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

pub(super) fn judge(memory: &Memory) -> Finding {
    let (Some(total), Some(available)) = (memory.total, memory.available) else {
        return Finding::warn(CHECK, "unknown how much there is", "look at it on the host");
    };
    let whole = memory.limit.map_or(total, |limit| limit.min(total));
    let told = match memory.limit {
        Some(limit) => format!("limit {} MiB, {} MiB available on the machine", limit / MIB, available / MIB),
        None => format!("{} MiB available of {} MiB, no limit", available / MIB, total / MIB),
    };
    if whole < SMALL {
        return Finding::warn(CHECK, format!("{told}: little"), format!("give it {} MiB at least", SMALL / MIB));
    }
    if available < total / 100 * LEFT_PERCENT {
        return Finding::warn(
            CHECK,
            format!("{told}: other programs use the rest"),
            "end some, or take a larger machine",
        );
    }
    Finding::ok(CHECK, told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict;

    #[test]
    fn the_limit_and_what_is_left_are_judged() {
        const GIB: u64 = 1 << 30;
        let verdict = |total, available, limit| judge(&Memory { total, available, limit }).verdict;
        assert_eq!(verdict(Some(8 * GIB), Some(4 * GIB), None), Verdict::Ok);
        assert_eq!(verdict(Some(8 * GIB), Some(GIB / 2), None), Verdict::Warn);
        assert_eq!(verdict(Some(8 * GIB), Some(4 * GIB), Some(SMALL - 1)), Verdict::Warn);
        assert_eq!(verdict(Some(8 * GIB), Some(4 * GIB), Some(GIB)), Verdict::Ok);
        assert_eq!(verdict(None, None, None), Verdict::Warn);
    }

    #[test]
    fn the_kernels_table_is_read_in_bytes() {
        assert_eq!(field("MemTotal:       16 kB\nMemFree: 1 kB\n", "MemTotal:"), Some(16_384));
        assert_eq!(field("MemTotal: x kB\n", "MemTotal:"), None);
    }
}
