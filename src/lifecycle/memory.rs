//! How much of the memory it may have is used: by its control group (cgroup v2, or v1), where that has a limit, else by
//! the machine. What the kernel would give up at once, as files' pages that nobody uses, does not count as used.
//!
//! What always holds: what cannot be read is not known, and no error.

use std::fs;
use std::path::{Path, PathBuf};

/// Above this a limit of cgroup v1 means none: the kernel writes the largest number of whole pages.
const UNLIMITED: u64 = 1 << 60;

/// Where the figures are read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryGauge {
    groups: Vec<Group>,
    meminfo: PathBuf,
}

/// One control group with a memory controller: files of its folder.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Group {
    folder: PathBuf,
    names: &'static Names,
}

#[derive(PartialEq, Eq, Debug)]
struct Names {
    limit: &'static str,
    used: &'static str,
    /// Line of `memory.stat` with the bytes of files that are not in use.
    inactive_file: &'static str,
}

const V2: Names = Names { limit: "memory.max", used: "memory.current", inactive_file: "inactive_file" };
const V1: Names =
    Names { limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", inactive_file: "total_inactive_file" };

impl MemoryGauge {
    /// This process's.
    pub fn find() -> MemoryGauge {
        MemoryGauge::at(Path::new("/"))
    }

    /// On a system whose files are below `root`.
    fn at(root: &Path) -> MemoryGauge {
        let own = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let mounted = root.join("sys/fs/cgroup");
        let mut groups = Vec::new();
        for line in own.lines() {
            // hierarchy-ID:controllers:path (cgroups(7)); version 2 is the line without controllers.
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            if controllers.is_empty() {
                groups.extend(chain(&mounted, path, &V2));
            } else if controllers.split(',').any(|controller| controller == "memory") {
                groups.extend(chain(&mounted.join("memory"), path, &V1));
            }
        }
        MemoryGauge { groups, meminfo: root.join("proc/meminfo") }
    }

    /// Part of the whole that is used: of the control group that is nearest to its limit, or of the machine.
    pub fn used(&self) -> Option<f64> {
        let limited = self.groups.iter().filter_map(Group::used);
        limited.fold(None, |most: Option<f64>, used| Some(most.map_or(used, |most| most.max(used)))).or_else(|| {
            let text = fs::read_to_string(&self.meminfo).ok()?;
            let (total, available) = (field(&text, "MemTotal:")?, field(&text, "MemAvailable:")?);
            ratio(total.saturating_sub(available), total)
        })
    }
}

/// A group and those it is in, whose limits hold for it, too. In a container the path may be one outside of it: then only
/// what is mounted is there.
fn chain(mounted: &Path, path: &str, names: &'static Names) -> Vec<Group> {
    let inside = Path::new(path.trim_start_matches('/'));
    let folders = inside.ancestors().map(|part| mounted.join(part));
    folders.filter(|folder| folder.join(names.used).exists()).map(|folder| Group { folder, names }).collect()
}

impl Group {
    /// `None` without a limit.
    fn used(&self) -> Option<f64> {
        let read = |name| fs::read_to_string(self.folder.join(name)).ok();
        // Version 2 writes "max" for none.
        let limit = read(self.names.limit)?.trim().parse::<u64>().ok().filter(|limit| *limit < UNLIMITED)?;
        let used = read(self.names.used)?.trim().parse::<u64>().ok()?;
        let inactive = read("memory.stat").and_then(|stat| field(&stat, self.names.inactive_file)).unwrap_or(0);
        ratio(used.saturating_sub(inactive), limit)
    }
}

/// The number after a name, at a line's beginning.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(char::is_whitespace))?;
    line.split_whitespace().next()?.parse().ok()
}

fn ratio(used: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| used as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of a system, removed when dropped.
    struct System(PathBuf);

    impl System {
        fn new(name: &str, files: &[(&str, &str)]) -> System {
            let root = std::env::temp_dir().join(format!("sfumato-memory-{}-{name}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            System(root)
        }

        fn used(&self) -> Option<f64> {
            MemoryGauge::at(&self.0).used()
        }
    }

    impl Drop for System {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:     250 kB\n");

    #[test]
    fn a_machine_without_control_groups_is_measured_by_what_is_available() {
        assert_eq!(System::new("machine", &[MACHINE]).used(), Some(0.75));
        assert_eq!(System::new("nothing", &[]).used(), None);
    }

    #[test]
    fn a_group_of_version_2_counts_without_files_that_nobody_uses() {
        let group = [
            MACHINE,
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "1000\n"),
            ("sys/fs/cgroup/memory.current", "700\n"),
            ("sys/fs/cgroup/memory.stat", "anon 100\nactive_file 5\ninactive_file 200\n"),
        ];
        assert_eq!(System::new("v2", &group).used(), Some(0.5));
    }

    #[test]
    fn of_nested_groups_the_one_nearest_to_its_limit_counts() {
        let groups = [
            MACHINE,
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/memory.max", "1000\n"),
            ("sys/fs/cgroup/a/memory.current", "900\n"),
            ("sys/fs/cgroup/a/b/memory.max", "1000\n"),
            ("sys/fs/cgroup/a/b/memory.current", "100\n"),
        ];
        assert_eq!(System::new("nested", &groups).used(), Some(0.9));
    }

    #[test]
    fn a_group_without_a_limit_leaves_it_to_the_machine() {
        let unlimited = [
            MACHINE,
            ("proc/self/cgroup", "4:memory:/x\n0::/y\n"),
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "5\n"),
            ("sys/fs/cgroup/y/memory.max", "max\n"),
            ("sys/fs/cgroup/y/memory.current", "5\n"),
        ];
        assert_eq!(System::new("unlimited", &unlimited).used(), Some(0.75));
    }

    #[test]
    fn a_container_of_version_1_finds_its_group_where_it_is_mounted() {
        let container = [
            MACHINE,
            ("proc/self/cgroup", "9:cpu,memory:/docker/0123\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "800\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 400\n"),
        ];
        assert_eq!(System::new("v1", &container).used(), Some(0.4));
    }

    #[test]
    fn this_machine_tells() {
        let used = MemoryGauge::find().used();
        assert!(used.is_some_and(|used| used > 0.0 && used < 1.5), "{used:?}");
    }
}
