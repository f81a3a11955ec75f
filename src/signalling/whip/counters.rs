//! What signalling by HTTP requests counts, for Prometheus. The label `protocol` is `whip` or `whep`.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::Protocol;

pub struct Counters {
    sessions: IntGaugeVec,
    refused: IntCounterVec,
    restarts: IntCounterVec,
}

/// Statuses of refusals: told as 0 until there is one, so that the first shows as a rise.
const STATUSES: [&str; 12] = ["400", "401", "403", "404", "406", "408", "412", "413", "415", "422", "428", "503"];

impl Counters {
    /// Registers them. Fails when some of that name are registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let sessions = Opts::new("sfumato_http_sessions", "Sessions of WHIP publishers and WHEP players.");
        let refused =
            Opts::new("sfumato_http_refused_total", "WHIP and WHEP requests that were refused, by HTTP status.");
        let restarts = Opts::new("sfumato_http_ice_restarts_total", "ICE restarts of WHIP and WHEP sessions.");
        let counters = Self {
            sessions: IntGaugeVec::new(sessions, &["protocol"])?,
            refused: IntCounterVec::new(refused, &["protocol", "status"])?,
            restarts: IntCounterVec::new(restarts, &["protocol"])?,
        };
        for protocol in [Protocol::Whip.name(), Protocol::Whep.name()] {
            counters.sessions.with_label_values(&[protocol]);
            counters.restarts.with_label_values(&[protocol]);
            STATUSES.iter().for_each(|status| _ = counters.refused.with_label_values(&[protocol, status]));
        }
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
