//! What became of joins: how their ICE and DTLS ended, and the bounds of the histograms of how long people waited.

use super::counters::Counter;
use super::histogram::Bounds;

/// What people wait for: a call that is set up within a second feels immediate, after `limits::CONNECT_TIMEOUT` it is given up.
#[derive(Debug)]
pub struct SetUpSeconds;

impl Bounds for SetUpSeconds {
    const BOUNDS: &'static [f64] = &[0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 15.0];
}

/// What became of participants' ICE, once it was known.
#[derive(Default, Debug)]
pub struct IceOutcomes {
    /// An authenticated check came.
    pub connected: Counter,
    pub timed_out: Counter,
    /// Consent expired (RFC 7675) of a participant that was connected.
    pub lost: Counter,
    /// The participant had an answer and was gone before a check came.
    pub abandoned: Counter,
}

impl IceOutcomes {
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let IceOutcomes { connected, timed_out, lost, abandoned } = self;
        let all = [("connected", connected), ("timed_out", timed_out), ("lost", lost), ("abandoned", abandoned)];
        all.into_iter().map(|(label, counter)| (label, counter.get()))
    }
}

/// What became of participants' DTLS handshakes.
#[derive(Default, Debug)]
pub struct DtlsOutcomes {
    pub connected: Counter,
    pub failed: Counter,
    pub fingerprint_mismatch: Counter,
    /// The participant was gone between its first check and the end of the handshake.
    pub abandoned: Counter,
}

impl DtlsOutcomes {
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let DtlsOutcomes { connected, failed, fingerprint_mismatch: mismatch, abandoned } = self;
        let all = [
            ("connected", connected),
            ("failed", failed),
            ("fingerprint_mismatch", mismatch),
            ("abandoned", abandoned),
        ];
        all.into_iter().map(|(label, counter)| (label, counter.get()))
    }
}
