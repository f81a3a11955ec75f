//! How the state machine is set up (RFC 8827, section 6.5): suites, certificates, what is demanded of the peer.
//!
//! What always holds: the peer shows a certificate, it matches a fingerprint, and the extended master secret is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_shared::error::Error;

use super::provider::{COOKIE_BYTES, Provider};
use super::{Certificate, DtlsRole, Fingerprint};
use crate::transport::srtp::Profile;

/// Bytes of handshake message in one record; with headers a datagram stays below 1200 bytes.
const HANDSHAKE_MTU: usize = 1150;

/// The configuration of one association. `mismatch` is set when the peer's certificate matches none of `fingerprints`.
pub(super) fn handshake_config(
    role: DtlsRole,
    certificate: &Certificate,
    fingerprints: Vec<Fingerprint>,
    provider: Arc<Provider>,
    profiles: &[Profile],
    mismatch: Arc<AtomicBool>,
) -> Result<Arc<HandshakeConfig>, Error> {
    let profiles = profiles.iter().map(|profile| profile.id().into());
    let config = ConfigBuilder::default()
        .with_crypto_provider(provider)
        .with_certificates(vec![certificate.certificate.clone()])
        .with_cipher_suites(vec![
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
            CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
        ])
        .with_srtp_protection_profiles(profiles.collect())
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_extended_master_secret(ExtendedMasterSecretType::Require)
        // Certificates are self-signed: the fingerprint is what is verified (RFC 8827, section 5.6).
        .with_insecure_skip_verify(true)
        .with_verify_peer_certificate(Some(Arc::new(move |chain, _| {
            let certificate = chain.first();
            if certificate.is_some_and(|der| fingerprints.iter().any(|fingerprint| fingerprint.matches(der))) {
                return Ok(());
            }
            mismatch.store(true, Ordering::Relaxed);
            Err(Error::Other("fingerprint mismatch".to_owned()))
        })))
        .with_mtu(HANDSHAKE_MTU)
        .build(role == DtlsRole::Client, None)?;
    Ok(Arc::new(config))
}

/// What remains of a configuration after the handshake: one for all associations, each of which has its provider in its state.
pub(super) fn established_config(certificate: &rtc_dtls::crypto::Certificate) -> Result<Arc<HandshakeConfig>, Error> {
    let config = ConfigBuilder::default()
        .with_crypto_provider(Arc::new(Provider::new([0; COOKIE_BYTES])))
        .with_certificates(vec![certificate.clone()])
        .with_extended_master_secret(ExtendedMasterSecretType::Require)
        .with_insecure_skip_verify(true)
        .with_mtu(HANDSHAKE_MTU)
        .build(true, None)?;
    Ok(Arc::new(config))
}
