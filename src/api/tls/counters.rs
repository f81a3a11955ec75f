//! What TLS counts, for Prometheus. Only a server that speaks TLS has these series.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// How a handshake ended, `sfumato_tls_handshakes_total{outcome}`.
pub(super) mod outcome {
    pub const COMPLETED: &str = "completed";
    /// The client's fault, or its refusal of the certificate.
    pub const FAILED: &str = "failed";
    pub const TIMED_OUT: &str = "timed_out";
    /// All places were taken for as long as a handshake may last.
    pub const CROWDED_OUT: &str = "crowded_out";
    /// HTTP without TLS.
    pub const PLAIN_HTTP: &str = "plain_http";
    pub const ALL: [&str; 5] = [COMPLETED, FAILED, TIMED_OUT, CROWDED_OUT, PLAIN_HTTP];
}

/// What came of new files, `sfumato_tls_reloads_total{outcome}`.
const LOADED: &str = "loaded";
const REFUSED: &str = "refused";

#[derive(Clone)]
pub struct Counters {
    handshakes: IntCounterVec,
    reloads: IntCounterVec,
    expiry: IntGauge,
}

impl Counters {
    /// Registers them. Fails when some of that name are registered already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let handshakes = Opts::new("sfumato_tls_handshakes_total", "TLS handshakes of the public port, by outcome.");
        let reloads = Opts::new("sfumato_tls_reloads_total", "Changed certificate files, by what came of them.");
        let expiry = "Unix time at which the TLS certificate in use, or the first of its chain, ends.";
        let counters = Self {
            handshakes: IntCounterVec::new(handshakes, &["outcome"])?,
            reloads: IntCounterVec::new(reloads, &["outcome"])?,
            expiry: IntGauge::new("sfumato_tls_certificate_expiry_timestamp_seconds", expiry)?,
        };
        // From zero on: a rate needs a series that is there before the first event.
        outcome::ALL.iter().for_each(|outcome| drop(counters.handshakes.with_label_values(&[outcome])));
        [LOADED, REFUSED].iter().for_each(|outcome| drop(counters.reloads.with_label_values(&[outcome])));
        registry.register(Box::new(counters.handshakes.clone()))?;
        registry.register(Box::new(counters.reloads.clone()))?;
        registry.register(Box::new(counters.expiry.clone()))?;
        Ok(counters)
    }

    pub(super) fn handshake(&self, outcome: &str) {
        self.handshakes.with_label_values(&[outcome]).inc();
    }

    pub(super) fn loaded(&self) {
        self.reloads.with_label_values(&[LOADED]).inc();
    }

    pub(super) fn refused(&self) {
        self.reloads.with_label_values(&[REFUSED]).inc();
    }

    /// Unix time, seconds.
    pub(super) fn certificate_ends(&self, at: i64) {
        self.expiry.set(at);
    }

    #[cfg(test)]
    pub(super) fn handshakes(&self, outcome: &str) -> u64 {
        self.handshakes.with_label_values(&[outcome]).get()
    }

    /// Loaded and refused.
    #[cfg(test)]
    pub(super) fn reloads(&self) -> (u64, u64) {
        (self.reloads.with_label_values(&[LOADED]).get(), self.reloads.with_label_values(&[REFUSED]).get())
    }

    #[cfg(test)]
    pub(super) fn expiry(&self) -> i64 {
        self.expiry.get()
    }
}
