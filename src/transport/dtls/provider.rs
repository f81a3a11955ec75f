//! What the DTLS state machine draws at random, where it must not be random.
//!
//! What always holds: the explicit nonce of AES-GCM is a counter, never drawn twice (drawn at random, it repeats: the
//! class of CVE-2026-26014); the HelloVerifyRequest cookie is the one that was already sent to the peer.

use std::sync::atomic::{AtomicU64, Ordering};

use rtc_dtls::crypto_provider::providers::{AwsLcRsProvider, AwsLcRsRandom};
use rtc_dtls::crypto_provider::{CryptoError, RTCCrypto, RTCCryptoProvider, RTCRandom};

pub const COOKIE_BYTES: usize = 20;
const NONCE_BYTES: usize = 8;

/// aws-lc-rs for one association.
pub(super) struct Provider {
    crypto: AwsLcRsProvider,
    random: Random,
}

impl Provider {
    pub fn new(cookie: [u8; COOKIE_BYTES]) -> Provider {
        Provider { crypto: AwsLcRsProvider::new(), random: Random { cookie, nonce: AtomicU64::new(0) } }
    }
}

impl RTCCryptoProvider for Provider {
    fn name(&self) -> &'static str {
        "aws-lc-rs"
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        self.crypto.crypto()
    }

    fn random(&self) -> &dyn RTCRandom {
        &self.random
    }
}

struct Random {
    cookie: [u8; COOKIE_BYTES],
    nonce: AtomicU64,
}

impl RTCRandom for Random {
    /// `rtc-dtls` asks for 20 bytes for the cookie, 8 for a nonce, 28 for a handshake random; tests hold it to that.
    fn fill(&self, output: &mut [u8]) -> Result<(), CryptoError> {
        match output.len() {
            COOKIE_BYTES => output.copy_from_slice(&self.cookie),
            NONCE_BYTES => output.copy_from_slice(&self.nonce.fetch_add(1, Ordering::Relaxed).to_be_bytes()),
            _ => AwsLcRsRandom.fill(output)?,
        }
        Ok(())
    }
}
