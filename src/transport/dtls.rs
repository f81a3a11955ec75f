//! DTLS 1.2 (RFC 6347) with use_srtp (RFC 5764) behind a narrow type, so that another implementation can stand beside it.
//!
//! The state machine is `rtc-dtls`; it is given only what [`session`] has put in order, because on its own it stops
//! retransmitting once a flight arrives in part, keeps what strangers send without bound and lets the client choose the SRTP
//! profile.
//! What always holds: the peer's certificate matches a signalled fingerprint before keys leave this module.

mod config;
mod flight;
mod provider;
mod reassembly;
mod record;
mod session;

#[cfg(test)]
mod tests;

pub use provider::COOKIE_BYTES;
pub use session::{DtlsEvent, Session};

use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use rtc_dtls::config::HandshakeConfig;
use rtc_dtls::crypto_provider::RTCCryptoProvider;
use rtc_dtls::crypto_provider::providers::AwsLcRsProvider;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DtlsRole {
    Client,
    Server,
}

/// Longest digest in use: sha-512.
const MAX_DIGEST_BYTES: usize = 64;

/// `a=fingerprint` (RFC 8122): hash name in lower case and digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    pub hash: String,
    pub digest: Vec<u8>,
}

impl Fingerprint {
    /// Whether this is the certificate's (DER) digest under a hash that is trusted. SHA-1 and MD5 never match.
    fn matches(&self, certificate: &[u8]) -> bool {
        let algorithm = match self.hash.as_str() {
            "sha-256" => &digest::SHA256,
            "sha-384" => &digest::SHA384,
            "sha-512" => &digest::SHA512,
            _ => return false,
        };
        digest::digest(algorithm, certificate).as_ref() == self.digest
    }
}

impl std::fmt::Display for Fingerprint {
    /// `sha-256 AB:CD:…`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", self.hash)?;
        for (at, byte) in self.digest.iter().enumerate() {
            let separator = if at == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02X}")?;
        }
        Ok(())
    }
}

impl FromStr for Fingerprint {
    type Err = ();
    fn from_str(value: &str) -> Result<Self, ()> {
        let (hash, digest) = value.trim().split_once(' ').ok_or(())?;
        let byte = |pair: &str| match pair.len() {
            2 if pair.bytes().all(|digit| digit.is_ascii_hexdigit()) => u8::from_str_radix(pair, 16).map_err(|_| ()),
            _ => Err(()),
        };
        let pairs = digest.trim().split(':').take(MAX_DIGEST_BYTES + 1);
        let digest = pairs.map(byte).collect::<Result<Vec<u8>, ()>>()?;
        if digest.len() > MAX_DIGEST_BYTES {
            return Err(());
        }
        Ok(Fingerprint { hash: hash.to_ascii_lowercase(), digest })
    }
}

/// The server's self-signed ECDSA P-256 certificate, made once per process.
pub struct Certificate {
    certificate: rtc_dtls::crypto::Certificate,
    fingerprint: Fingerprint,
    /// Of associations whose handshake is over.
    established: Arc<HandshakeConfig>,
}

impl Certificate {
    /// # Panics
    /// When the operating system gives no randomness: there is nothing to serve with then.
    #[expect(clippy::expect_used, reason = "fails only without randomness, and then nothing can be served")]
    pub fn generate() -> Certificate {
        let provider = AwsLcRsProvider::new();
        let names = vec!["sfumato".to_owned()];
        let certificate = rtc_dtls::crypto::Certificate::generate_self_signed(names, provider.crypto())
            .expect("a P-256 key and a certificate of constant content fail only without randomness");
        let encoded = certificate.certificate.first().map(AsRef::as_ref).unwrap_or_default();
        let fingerprint = Fingerprint {
            hash: "sha-256".to_owned(),
            digest: digest::digest(&digest::SHA256, encoded).as_ref().to_vec(),
        };
        let established =
            config::established_config(&certificate).expect("a configuration of constant content is valid");
        Certificate { certificate, fingerprint, established }
    }

    /// SHA-256.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}
