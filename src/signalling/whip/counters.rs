//! What signalling by HTTP requests counts, for Prometheus. The label `protocol` is `whip` or `whep`.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::Protocol;

pub struct Counters {
    sessions: IntGaugeVec,
    refused: IntCounterVec,
    restarts: IntCounterVec,
}

impl Counters {
    /// Registers them. Fails when some of that name are registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let sessions = Opts::new("sfumato_http_sessions", "Sessions of WHIP publishers and WHEP players");
        let refused = Opts::new("sfumato_http_refused_total", "WHIP and WHEP requests that were refused");
        let restarts = Opts::new("sfumato_http_ice_restarts_total", "ICE restarts of WHIP and WHEP sessions");
        let counters = Self {
            sessions: IntGaugeVec::new(sessions, &["protocol"])?,
            refused: IntCounterVec::new(refused, &["protocol", "status"])?,
            restarts: IntCounterVec::new(restarts, &["protocol"])?,
        };
        registry.register(Box::new(counters.sessions.clone()))?;
        registry.register(Box::new(counters.refused.clone()))?;
        registry.register(Box::new(counters.restarts.clone()))?;
        Ok(counters)
    }

    pub(super) fn opened(&self, protocol: Protocol) {
        self.sessions.with_label_values(&[protocol.name()]).inc();
    }

    pub(super) fn ended(&self, protocol: Protocol) {
        self.sessions.with_label_values(&[protocol.name()]).dec();
    }

    pub(super) fn refused(&self, protocol: Protocol, status: &str) {
        self.refused.with_label_values(&[protocol.name(), status]).inc();
    }

    pub(super) fn restarted(&self, protocol: Protocol) {
        self.restarts.with_label_values(&[protocol.name()]).inc();
    }
    #[cfg(test)]
    pub(super) fn open_sessions(&self, protocol: Protocol) -> i64 {
        self.sessions.with_label_values(&[protocol.name()]).get()
    }

    #[cfg(test)]
    pub(super) fn count_of_refused(&self, protocol: Protocol, status: &str) -> u64 {
        self.refused.with_label_values(&[protocol.name(), status]).get()
    }
}
