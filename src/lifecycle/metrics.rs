//! What Prometheus is told of the server's state, read at each scrape.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounterVec, Opts};

use super::{Lifecycle, NotReady, Phase};

/// Registers the state's figures.
pub fn register(registry: &prometheus::Registry, lifecycle: Arc<Lifecycle>) -> Result<(), prometheus::Error> {
    // A registry tells collectors apart by what they describe: one figure is enough.
    let first = Gauge::new("sfumato_ready", READY)?;
    let described = first.desc().into_iter().cloned().collect();
    registry.register(Box::new(Figures { lifecycle, described }))
}

const READY: &str = "1 if a new room would be opened here, as /readyz tells.";

struct Figures {
    lifecycle: Arc<Lifecycle>,
    described: Vec<Desc>,
}

impl Collector for Figures {
    fn desc(&self) -> Vec<&Desc> {
        self.described.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (readiness, phase) = (self.lifecycle.readiness(), self.lifecycle.phase());
        let overloaded = matches!(readiness, Err(NotReady::Busy | NotReady::Memory));
        let flag = |told: bool| Some(f64::from(u8::from(told)));
        let gauges = [
            ("sfumato_ready", READY, flag(readiness.is_ok())),
            ("sfumato_draining", "1 from the signal to end until the end.", flag(phase >= Phase::Draining)),
            ("sfumato_overloaded", "1 if new rooms are refused for load.", flag(overloaded)),
            // Where the system does not tell there is no such figure.
            (
                "sfumato_memory_used_ratio",
                "Memory in use, as a part of the control group's limit or of the machine's.",
                self.lifecycle.memory_used(),
            ),
        ];
        let told = gauges.into_iter().filter_map(|(name, help, value)| Some(gauge(name, help, value?)));
        told.flatten().chain(self.shed()).collect()
    }
}

impl Figures {
    fn shed(&self) -> Vec<MetricFamily> {
        let opts = Opts::new("sfumato_joins_shed_total", "Joins refused with 503 before a room was asked, by reason.");
        let Ok(counters) = IntCounterVec::new(opts, &["reason"]) else { return Vec::new() };
        for (reason, count) in self.lifecycle.shed_counts() {
            counters.with_label_values(&[reason]).inc_by(count);
        }
        counters.collect()
    }
}

fn gauge(name: &str, help: &str, value: f64) -> Vec<MetricFamily> {
    // Names that are constants are well-formed.
    let Ok(gauge) = Gauge::new(name, help) else { return Vec::new() };
    gauge.set(value);
    gauge.collect()
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::config::OverloadLimits;
    use crate::lifecycle::Shed;
    use crate::lifecycle::overload::Measured;
    use crate::telemetry::prometheus::render;

    #[test]
    fn the_state_is_told_at_each_scrape() {
        let limits = OverloadLimits { shard_busy_percent: 90, memory_percent: 90 };
        let lifecycle = Arc::new(Lifecycle::new(&limits, 1));
        let registry = Registry::new();
        register(&registry, lifecycle.clone()).unwrap();
        crate::telemetry::prometheus::register(&registry, vec![Arc::default()]).expect("beside the shards' figures");
        let lines = |lines: &[&str]| {
            let text = render(&registry);
            lines.iter().for_each(|line| assert!(text.lines().any(|told| told == *line), "{line} is not in {text}"));
        };
        lines(&["sfumato_ready 0", "sfumato_draining 0", "sfumato_overloaded 0"]);
        assert!(!render(&registry).contains("memory_used"), "nothing was measured yet");
        lifecycle.enter(Phase::Serving);
        lines(&["sfumato_ready 1", "# TYPE sfumato_ready gauge"]);
        let start = std::time::Instant::now();
        for second in 0..5 {
            let measured = Measured { busy: vec![0.1], memory: Some(0.95) };
            lifecycle.measured(start + std::time::Duration::from_secs(second), &measured);
        }
        lifecycle.count_shed(Shed::Memory);
        lines(&["sfumato_ready 0", "sfumato_overloaded 1", "sfumato_memory_used_ratio 0.95"]);
        lines(&[r#"sfumato_joins_shed_total{reason="memory"} 1"#, r#"sfumato_joins_shed_total{reason="busy"} 0"#]);
        lifecycle.enter(Phase::Draining);
        lines(&["sfumato_draining 1", "sfumato_overloaded 0"]);
    }
}
