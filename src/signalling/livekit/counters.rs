//! What signalling counts, for Prometheus.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

pub struct Counters {
    /// Signalling connections that are open.
    pub sessions: IntGauge,
    /// Requests to join that were refused, by HTTP status.
    pub refused: IntCounterVec,
    /// Messages read and written.
    pub received: IntCounter,
    pub sent: IntCounter,
    /// Connections the server ended, and messages it could not read, by cause.
    pub faults: IntCounterVec,
}

/// Statuses of refusals: told as 0 until there is one, so that the first shows as a rise.
const STATUSES: [&str; 5] = ["400", "401", "404", "426", "503"];

/// Causes counted in [`Counters::faults`].
pub mod fault {
    pub(super) const ALL: [&str; 4] = [MALFORMED, TOO_LARGE, IDLE, WRITE_TIMEOUT];
    pub const MALFORMED: &str = "malformed";
    pub const TOO_LARGE: &str = "too_large";
    pub const IDLE: &str = "idle";
    pub const WRITE_TIMEOUT: &str = "write_timeout";
}

impl Counters {
    /// Registers them. Fails when some of that name are registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = Self {
            sessions: IntGauge::new("sfumato_signal_sessions", "Signalling connections open.")?,
            refused: IntCounterVec::new(
                Opts::new("sfumato_signal_refused_total", "Requests to join that were refused, by HTTP status."),
                &["status"],
            )?,
            received: IntCounter::new("sfumato_signal_received_total", "Signalling messages read.")?,
            sent: IntCounter::new("sfumato_signal_sent_total", "Signalling messages written.")?,
            faults: IntCounterVec::new(
                Opts::new("sfumato_signal_faults_total", "Faults of signalling clients, by cause."),
                &["cause"],
            )?,
        };
        STATUSES.iter().for_each(|status| _ = counters.refused.with_label_values(&[status]));
        fault::ALL.iter().for_each(|cause| _ = counters.faults.with_label_values(&[cause]));
        registry.register(Box::new(counters.sessions.clone()))?;
        registry.register(Box::new(counters.refused.clone()))?;
        registry.register(Box::new(counters.received.clone()))?;
        registry.register(Box::new(counters.sent.clone()))?;
        registry.register(Box::new(counters.faults.clone()))?;
        Ok(counters)
    }

    pub(super) fn fault(&self, cause: &str) {
        self.faults.with_label_values(&[cause]).inc();
    }
}
