//! DTLS 1.2 behind a narrow type, so that another implementation can stand beside it.
use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DtlsRole {
    Client,
    Server,
}

/// `a=fingerprint` (RFC 8122): hash name in lower case and digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    pub hash: String,
    pub digest: Vec<u8>,
}

impl std::fmt::Display for Fingerprint {
    /// `sha-256 AB:CD:…`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let _ = f;
        todo!()
    }
}

impl FromStr for Fingerprint {
    type Err = ();
    fn from_str(value: &str) -> Result<Self, ()> {
        todo!("{value}")
    }
}

/// The server's self-signed ECDSA P-256 certificate, made once per process.
pub struct Certificate {}

impl Certificate {
    pub fn generate() -> Certificate {
        todo!()
    }
    /// SHA-256.
    pub fn fingerprint(&self) -> &Fingerprint {
        todo!()
    }
}
