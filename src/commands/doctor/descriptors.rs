//! File descriptors: whether as many connections can be open as the server allows.

use super::report::Finding;
use crate::limits;

const CHECK: &str = "open files";
/// What is open beside connections: listeners, files, the runtime's own.
const OTHERS: u64 = 256;
/// Sockets and timers of a shard.
const OF_A_SHARD: u64 = 8;

/// The soft limit of this process, which a server started in the same way has, too.
pub(super) fn find() -> Option<u64> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

pub(super) fn judge(limit: Option<u64>, shards: usize) -> Finding {
    let wanted = u64::from(limits::HTTP_CONNECTIONS)
        + u64::from(limits::OPERATIONS_CONNECTIONS)
        + OTHERS
        + OF_A_SHARD * shards as u64;
    match limit {
        None => Finding::warn(CHECK, "unknown how many are allowed", format!("{wanted} are wanted (ulimit -n)")),
        Some(u64::MAX) => Finding::ok(CHECK, "unlimited"),
        Some(limit) if limit >= wanted => Finding::ok(CHECK, format!("{limit} allowed, {wanted} wanted")),
        Some(limit) => Finding::warn(
            CHECK,
            format!("{limit} allowed: new connections wait when these are in use"),
            format!("allow {wanted} (LimitNOFILE= of systemd, ulimit -n of a shell)"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict;

    #[test]
    fn the_soft_limit_is_read_as_the_kernel_writes_it() {
        let table = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max processes             96365                96365                processes \n\
            Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(table), Some(1024));
        assert_eq!(soft_limit(&table.replace("1024  ", "unlimited ")), Some(u64::MAX));
        assert_eq!(soft_limit("Max processes 1"), None);
        assert!(find().is_some());
    }

    #[test]
    fn as_many_are_wanted_as_connections_are_allowed() {
        let wanted =
            u64::from(limits::HTTP_CONNECTIONS) + u64::from(limits::OPERATIONS_CONNECTIONS) + OTHERS + OF_A_SHARD;
        assert_eq!(judge(Some(wanted), 1).verdict, Verdict::Ok);
        assert_eq!(judge(Some(wanted), 2).verdict, Verdict::Warn);
        assert_eq!(judge(Some(1024), 1).verdict, Verdict::Warn);
        assert_eq!(judge(Some(u64::MAX), 256).verdict, Verdict::Ok);
        assert_eq!(judge(None, 1).verdict, Verdict::Warn);
    }
}
