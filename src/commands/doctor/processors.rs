//! Processors against shards: a shard that must wait for one is heard.

use std::path::Path;

use super::control_group;
use super::report::Finding;
use crate::config::Config;

const CHECK: &str = "processors";

pub(super) struct Processors {
    shards: usize,
    /// That this process may run on.
    usable: Option<usize>,
    /// That its control group may use, together; `None` without a limit.
    quota: Option<f64>,
}

pub(super) fn find(config: &Config) -> Processors {
    let usable = std::thread::available_parallelism().ok().map(usize::from);
    Processors { shards: config.media.shards.get(), usable, quota: control_group::cpu_quota(Path::new("/")) }
}

pub(super) fn judge(Processors { shards, usable, quota }: &Processors) -> Finding {
    let advice = "set --shards to the processors there are";
    match (quota, usable) {
        (Some(quota), _) if *shards as f64 > *quota => Finding::warn(
            CHECK,
            format!(
                "{shards} shards within a limit of {quota:.1} processors: all pause when it is used up, which is heard"
            ),
            "raise the limit, or better ask for processors without one (Kubernetes: requests.cpu alone); else lower --shards",
        ),
        (_, Some(usable)) if shards > usable => {
            Finding::warn(CHECK, format!("{shards} shards for {usable} processors: they wait for each other"), advice)
        }
        (Some(quota), _) => Finding::ok(CHECK, format!("{shards} shards within a limit of {quota:.1} processors")),
        (None, Some(usable)) => Finding::ok(CHECK, format!("{shards} shards, {usable} processors, no limit of time")),
        (None, None) => {
            Finding::warn(CHECK, format!("{shards} shards; how many processors there are is unknown"), advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict;

    #[test]
    fn shards_want_processors_of_their_own() {
        let verdict = |shards, usable, quota| judge(&Processors { shards, usable, quota }).verdict;
        assert_eq!(verdict(2, Some(2), None), Verdict::Ok);
        assert_eq!(verdict(3, Some(2), None), Verdict::Warn);
        assert_eq!(verdict(2, Some(4), Some(1.5)), Verdict::Warn);
        assert_eq!(verdict(1, Some(2), Some(1.5)), Verdict::Ok);
        assert_eq!(verdict(1, None, None), Verdict::Warn);
    }
}
