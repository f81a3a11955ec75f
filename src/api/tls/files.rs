//! The certificate chain and its key from PEM files (RFC 7468), with errors that say which file and what to do.
//!
//! What always holds: no more than `limits::TLS_FILE_BYTES` are read of a file; no error shows what stands in the key's file.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use ::aws_lc_rs::digest;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::CertificateFacts;
use crate::config::TlsFiles;
use crate::limits;

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("cannot read the TLS {what} {path}: {error}{hint}", path = path.display(), hint = hint(error))]
    Read { what: &'static str, path: PathBuf, error: io::Error },
    #[error("the TLS {what} {path} is larger than {} bytes: is it the right file?", limits::TLS_FILE_BYTES, path = path.display())]
    TooLarge { what: &'static str, path: PathBuf },
    #[error(
        "{path} holds no certificate (-----BEGIN CERTIFICATE-----): give the chain in PEM form with --tls-cert, the server's \
         own certificate first", path = path.display()
    )]
    NoCertificate { path: PathBuf },
    #[error("{path} holds a certificate that cannot be read: write the file anew from its source", path = path.display())]
    Malformed { path: PathBuf },
    #[error(
        "{path} holds no private key (-----BEGIN PRIVATE KEY-----): give it in PEM form with --tls-key, without a password",
        path = path.display()
    )]
    NoKey { path: PathBuf },
    #[error(
        "the key in {key} does not belong to the first certificate in {certificate}: the server's own certificate comes first \
         in its chain, and both files are written together", key = key.display(), certificate = certificate.display()
    )]
    Mismatch { key: PathBuf, certificate: PathBuf },
    #[error("the key in {path} is of a kind that is not supported ({error}): use ECDSA P-256, Ed25519 or RSA from 2048 bits", path = path.display())]
    UnusableKey { path: PathBuf, error: rustls::Error },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => ". Is the path right, and is the volume or secret mounted?",
        ErrorKind::PermissionDenied => ". Let the user that the server runs as read it",
        _ => "",
    }
}

/// What both files held when they were read.
pub struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A chain with its key, ready for handshakes.
#[derive(Debug)]
pub struct Pair {
    pub certified: CertifiedKey,
    pub facts: CertificateFacts,
}

/// Tells contents apart without keeping the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Digest([u8; digest::SHA256_OUTPUT_LEN]);

impl Contents {
    /// Reads both files. Blocks.
    pub fn read(files: &TlsFiles) -> Result<Contents, FilesError> {
        Ok(Contents { certificate: read("certificate", &files.certificate)?, key: read("key", &files.key)? })
    }

    pub(super) fn digest(&self) -> Digest {
        let mut context = digest::Context::new(&digest::SHA256);
        // The length keeps the end of one file from passing for the beginning of the other.
        context.update(&self.certificate.len().to_be_bytes());
        context.update(&self.certificate);
        context.update(&self.key);
        let mut digest = [0; digest::SHA256_OUTPUT_LEN];
        digest.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Digest(digest)
    }

    /// The chain and its key, which belong together. `files` are for errors.
    pub fn parse(&self, files: &TlsFiles) -> Result<Pair, FilesError> {
        let path = || files.certificate.clone();
        let chain: Result<Vec<CertificateDer<'static>>, pem::Error> =
            CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|_| FilesError::Malformed { path: path() })?;
        if chain.is_empty() {
            return Err(FilesError::NoCertificate { path: path() });
        }
        let facts = CertificateFacts::read(&chain).ok_or_else(|| FilesError::Malformed { path: path() })?;
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|_| FilesError::NoKey { path: files.key.clone() })?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => FilesError::Mismatch { key: files.key.clone(), certificate: path() },
            error => FilesError::UnusableKey { path: files.key.clone(), error },
        })?;
        Ok(Pair { certified, facts })
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, FilesError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limits::TLS_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Ok(count) if count as u64 > limits::TLS_FILE_BYTES => Err(FilesError::TooLarge { what, path: path.to_owned() }),
        Ok(_) => Ok(bytes),
        Err(error) => Err(FilesError::Read { what, path: path.to_owned(), error }),
    }
}
