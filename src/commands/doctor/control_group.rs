//! How much processor time the control groups of this process (cgroups(7), version 2 or 1) let it have.

use std::fs;
use std::path::{Path, PathBuf};

/// Processor time, in processors; the least of the groups it is in. `None` without a limit.
pub(super) fn cpu_quota(root: &Path) -> Option<f64> {
    let limits = folders(root).into_iter().filter_map(|folder| {
        let both = fs::read_to_string(folder.join("cpu.max")).or_else(|_| {
            let read = |name| fs::read_to_string(folder.join(name));
            Ok::<_, std::io::Error>(format!("{} {}", read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?))
        });
        quota(&both.ok()?)
    });
    limits.min_by(f64::total_cmp)
}

/// Quota and period in microseconds; `max` and -1 stand for no limit.
fn quota(text: &str) -> Option<f64> {
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let (quota, period) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// The folders of the groups this process is in, and of those around them. In a container the paths are those of the host, and
/// only the outermost folder is there.
fn folders(root: &Path) -> Vec<PathBuf> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mounted = root.join("sys/fs/cgroup");
    let mut folders = Vec::new();
    for line in own.lines() {
        // hierarchy:controllers:path; version 2 names no controllers.
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let base = match controllers {
            "" => mounted.clone(),
            named if named.split(',').any(|name| name == "cpu") => mounted.join("cpu"),
            _ => continue,
        };
        folders.extend(Path::new(path.trim_start_matches('/')).ancestors().map(|part| base.join(part)));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tls::tests::Folder;

    fn system(files: &[(&str, &str)]) -> Folder {
        let root = Folder::new();
        for (path, text) in files {
            let path = root.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn version_2_has_the_least_of_its_groups() {
        let root = system(&[
            ("proc/self/cgroup", "0::/pods/pod1/app\n"),
            ("sys/fs/cgroup/pods/cpu.max", "400000 100000\n"),
            ("sys/fs/cgroup/pods/pod1/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/pods/pod1/app/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(cpu_quota(&root.0), Some(1.5));
    }

    #[test]
    fn version_1_in_a_container_has_what_is_mounted() {
        let root = system(&[
            ("proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n0::/\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(cpu_quota(&root.0), Some(0.5));
    }

    #[test]
    fn without_a_quota_there_is_none() {
        let root = system(&[
            ("proc/self/cgroup", "5:cpu:/\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(cpu_quota(&root.0), None);
        assert_eq!(cpu_quota(&system(&[]).0), None);
    }
}
