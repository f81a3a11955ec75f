//! The process as its kernel sees it, under the names that Prometheus' client libraries agree on: `process_*`, from `/proc/self`
//! (proc_pid_stat(5), proc_pid_status(5), proc_pid_limits(5)). Read at each scrape.
//!
//! What always holds: what cannot be read is left out, not told as 0.

use std::fs;

/// Of the times in `/proc/self/stat`, a second: `USER_HZ` is 100 on every architecture this runs on.
const TICKS: f64 = 100.0;
/// Fields of `/proc/self/stat` after the name, by their place.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
const START_TIME: usize = 19;

/// A figure: name, help, whether it only grows, value.
pub struct Reading {
    pub name: &'static str,
    pub help: &'static str,
    pub is_counter: bool,
    pub value: f64,
}

/// What can be read now.
pub fn readings() -> Vec<Reading> {
    let [stat, system, status, limits] = ["/proc/self/stat", "/proc/stat", "/proc/self/status", "/proc/self/limits"]
        .map(|path| fs::read_to_string(path).unwrap_or_default());
    // One is the look itself.
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1) as f64);
    let gauge = |name, help, value: Option<f64>| Some(Reading { name, help, is_counter: false, value: value? });
    let cpu = cpu_seconds(&stat).map(|value| Reading {
        name: "process_cpu_seconds_total",
        help: "User and system CPU time spent, of all threads.",
        is_counter: true,
        value,
    });
    let others = [
        gauge("process_open_fds", "Open file descriptors.", open),
        gauge("process_max_fds", "Most open file descriptors there may be.", open_files_limit(&limits)),
        gauge("process_resident_memory_bytes", "Resident memory.", kib(&status, "VmRSS:")),
        gauge("process_virtual_memory_bytes", "Virtual memory.", kib(&status, "VmSize:")),
        gauge("process_threads", "Operating system threads.", field(&status, "Threads:")),
        gauge("process_start_time_seconds", "When the process started, Unix time.", start_time(&stat, &system)),
    ];
    cpu.into_iter().chain(others.into_iter().flatten()).collect()
}

/// The field of `/proc/self/stat` at a place; the name before may hold anything, even spaces and brackets.
fn stat_field(stat: &str, place: usize) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(place)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, USER_TIME)? + stat_field(stat, SYSTEM_TIME)?) / TICKS)
}

/// `system`: `/proc/stat`, which tells when the machine started.
fn start_time(stat: &str, system: &str) -> Option<f64> {
    Some(field(system, "btime")? + stat_field(stat, START_TIME)? / TICKS)
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The same in bytes.
fn kib(text: &str, name: &str) -> Option<f64> {
    Some(field(text, name)? * 1024.0)
}

/// The soft limit; none where there is no limit.
fn open_files_limit(limits: &str) -> Option<f64> {
    field(limits, "Max open files")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "4242 (a) b) S 1 4242 4242 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 7 0 12345 1000000 200 18446744073709551615";

    #[test]
    fn fields_are_found_behind_any_name() {
        assert_eq!(cpu_seconds(STAT), Some(2.0));
        assert_eq!(start_time(STAT, "cpu 1 2 3\nbtime 1000\n"), Some(1_123.45));
        assert_eq!(kib("Name:\tx\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2_097_152.0));
        let limits = "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 4096                 files\n";
        assert_eq!(open_files_limit(limits), Some(1_024.0));
        assert_eq!(
            open_files_limit("Max open files            unlimited            unlimited            files\n"),
            None
        );
        assert_eq!((cpu_seconds(""), start_time(STAT, ""), kib("", "VmRSS:")), (None, None, None));
    }

    #[test]
    fn this_process_is_read_as_it_is() {
        let readings = readings();
        let value = |name: &str| readings.iter().find(|reading| reading.name == name).map(|reading| reading.value);
        assert!(value("process_resident_memory_bytes").unwrap() > 1e6);
        assert!(value("process_open_fds").unwrap() >= 3.0);
        assert!(value("process_threads").unwrap() >= 1.0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - value("process_start_time_seconds").unwrap();
        assert!((-2.0..86_400.0).contains(&age), "{age}");
    }
}
