//! TLS of the public port (RFC 8446, RFC 5246) by rustls: handshakes within bounds, with the certificate the files hold now.
//!
//! What always holds: a connection gets the certificate that was current when its handshake began, and keeps it; at most
//! `limits::TLS_HANDSHAKES` handshakes have state at a time, each for `limits::TLS_HANDSHAKE_TIMEOUT` at most; a pair of files
//! that cannot be used never replaces one that can.

mod certificate;
mod counters;
mod files;
mod handshake;
mod reload;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::sign::SingleCertAndKey;
use tokio::sync::Semaphore;

pub use certificate::{CertificateFacts, EXPIRY_WARNING};
pub use counters::Counters;
pub use files::{Contents, FilesError, Pair};

use crate::config::TlsFiles;
use crate::limits;

/// The only protocol spoken inside (RFC 7301): WebSockets begin as HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// Why the port cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// TLS of one port, shared by its connections.
pub struct Tls {
    files: TlsFiles,
    /// Replaced as a whole, so that tickets for resumption end with the certificate they were made under.
    current: RwLock<Arc<ServerConfig>>,
    handshakes: Semaphore,
    timeout: Duration,
    counters: Counters,
    reloader: std::sync::Mutex<reload::Reloader>,
}

impl Tls {
    /// Reads the files; they must be good at the start.
    pub fn load(files: &TlsFiles, counters: Counters) -> Result<Arc<Tls>, TlsError> {
        Self::load_within(files, counters, limits::TLS_HANDSHAKES, limits::TLS_HANDSHAKE_TIMEOUT)
    }

    /// With a test's smaller bounds.
    fn load_within(
        files: &TlsFiles,
        counters: Counters,
        places: usize,
        timeout: Duration,
    ) -> Result<Arc<Tls>, TlsError> {
        let contents = Contents::read(files)?;
        let pair = contents.parse(files)?;
        counters.certificate_ends(pair.facts.not_after);
        let reloader = reload::Reloader::new(contents.digest(), pair.facts.not_after);
        Ok(Arc::new(Tls {
            files: files.clone(),
            current: RwLock::new(server_config(pair)?),
            handshakes: Semaphore::new(places),
            timeout,
            counters,
            reloader: std::sync::Mutex::new(reloader),
        }))
    }

    fn current(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, config: Arc<ServerConfig>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

/// TLS 1.3 and 1.2 with the library's choice of ciphers, no client certificates, tickets without state of the server's.
fn server_config(pair: Pair) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair.certified)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}
