//! Memory: how much of what the server may have is used already, by whatever uses it.

use super::report::Finding;
use crate::config::Config;
use crate::lifecycle::memory::MemoryGauge;

const CHECK: &str = "memory";
/// Used before anybody has joined, past which little is left for calls, percent.
const CROWDED_PERCENT: f64 = 75.0;

pub(super) struct Memory {
    /// Of the control group's limit, or of the machine.
    used: Option<f64>,
    /// From where on newcomers are turned away, percent; 0: never.
    limit_percent: u8,
}

pub(super) fn find(config: &Config) -> Memory {
    Memory { used: MemoryGauge::find().used(), limit_percent: config.overload.memory_percent }
}

pub(super) fn judge(Memory { used, limit_percent }: &Memory) -> Finding {
    const ADVICE: &str = "end what else uses it, raise the control group's limit, or take a larger machine";
    let Some(percent) = used.map(|used| used * 100.0) else {
        return Finding::warn(CHECK, "unknown how much is used", "look at it on the host");
    };
    let told = format!("{percent:.0} % of what the server may have is used");
    if *limit_percent > 0 && percent >= f64::from(*limit_percent) {
        let found = format!("{told}: nobody is let in from {limit_percent} % on (limit.memory_percent)");
        return Finding::fail(CHECK, found, ADVICE);
    }
    match percent >= CROWDED_PERCENT {
        true => Finding::warn(CHECK, told, ADVICE),
        false => Finding::ok(CHECK, told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict;

    #[test]
    fn what_is_used_is_judged_by_when_newcomers_are_turned_away() {
        let verdict = |used, limit_percent| judge(&Memory { used, limit_percent }).verdict;
        assert_eq!(verdict(Some(0.5), 90), Verdict::Ok);
        assert_eq!(verdict(Some(0.8), 90), Verdict::Warn);
        assert_eq!(verdict(Some(0.95), 90), Verdict::Fail);
        assert_eq!(verdict(Some(0.95), 0), Verdict::Warn, "no limit is set");
        assert_eq!(verdict(None, 90), Verdict::Warn);
    }
}
