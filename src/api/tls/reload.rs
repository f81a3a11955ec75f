//! New certificate files are taken into use while the server runs.
//!
//! Files are read every few seconds and told apart by content: a Kubernetes secret changes by a symbolic link high up in the
//! path, which neither times nor watches of the files themselves show reliably. What always holds: a pair that cannot be used
//! leaves the old one in use, and is counted and logged once; what is seen halfway through a change, a new certificate beside
//! an old key, is given until the next look.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::files::{Contents, Digest, FilesError, Pair};
use super::{CertificateFacts, Tls, server_config};
use crate::config::TlsFiles;

/// From one look at the files to the next.
pub const INTERVAL: Duration = Duration::from_secs(3);
/// From one warning of the certificate's end to the next, seconds.
const WARNING_INTERVAL: i64 = 86_400;

/// What a look at the files found, beside what it found before.
pub(super) struct Reloader {
    serving: Digest,
    /// Not usable when last seen: by content, or by what reading said.
    suspect: Option<Seen>,
    /// Told already.
    refused: Option<Seen>,
    not_after: i64,
    warned_at: Option<i64>,
}

type Seen = Result<Digest, String>;

pub(super) enum Look {
    Unchanged,
    Loaded(Pair),
    Refused(FilesError),
}

impl Reloader {
    pub fn new(serving: Digest, not_after: i64) -> Self {
        Self { serving, suspect: None, refused: None, not_after, warned_at: None }
    }

    pub fn look(&mut self, files: &TlsFiles, read: Result<Contents, FilesError>) -> Look {
        let seen = read.as_ref().map(Contents::digest).map_err(ToString::to_string);
        if seen == Ok(self.serving) {
            (self.suspect, self.refused) = (None, None);
            return Look::Unchanged;
        }
        if self.refused.as_ref() == Some(&seen) {
            return Look::Unchanged;
        }
        match (read.and_then(|contents| contents.parse(files)), seen) {
            (Ok(pair), Ok(digest)) => {
                (self.serving, self.suspect, self.refused) = (digest, None, None);
                self.not_after = pair.facts.not_after;
                self.warned_at = None;
                Look::Loaded(pair)
            }
            (Err(error), seen) if self.suspect.as_ref() == Some(&seen) => {
                self.refused = Some(seen);
                Look::Refused(error)
            }
            (_, seen) => {
                self.suspect = Some(seen);
                Look::Unchanged
            }
        }
    }

    /// Once a day while the certificate is near its end; `now` is Unix time in seconds.
    pub fn expiry_warning(&mut self, now: i64) -> Option<String> {
        if self.warned_at.is_some_and(|at| now.saturating_sub(at) < WARNING_INTERVAL) {
            return None;
        }
        let warning = CertificateFacts::expiry_warning(self.not_after, now)?;
        self.warned_at = Some(now);
        Some(warning)
    }
}

impl Tls {
    /// Looks at the files for as long as it is polled.
    pub async fn keep_current(self: Arc<Self>) {
        loop {
            // Files may lie on a network: reading blocks a thread for that, no worker.
            let tls = self.clone();
            if tokio::task::spawn_blocking(move || tls.look()).await.is_err() {
                tracing::error!("looking at the TLS files ended in a panic");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// One look at the files, and what follows from it. Blocks.
    pub(super) fn look(&self) {
        let mut reloader = self.reloader.lock().unwrap_or_else(PoisonError::into_inner);
        match reloader.look(&self.files, Contents::read(&self.files)) {
            Look::Unchanged => {}
            Look::Loaded(pair) => self.take(pair),
            Look::Refused(error) => self.keep(&error),
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Some(warning) = reloader.expiry_warning(i64::try_from(now.as_secs()).unwrap_or(i64::MAX)) {
            tracing::warn!("{warning}");
        }
    }

    fn take(&self, pair: Pair) {
        let not_after = pair.facts.not_after;
        match server_config(pair) {
            Ok(config) => {
                self.replace(config);
                self.counters.loaded();
                self.counters.certificate_ends(not_after);
                tracing::info!("new TLS certificate in use for new connections");
            }
            Err(error) => self.keep(&error),
        }
    }

    fn keep(&self, error: &dyn std::error::Error) {
        self.counters.refused();
        tracing::error!("new TLS files are not used, the old certificate stays: {error}");
    }
}
