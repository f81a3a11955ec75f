//! What a certificate chain says about itself (RFC 5280): whom it names, when it ends, whether it is in order.

use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// How long before its end a certificate is warned of. Those of 90 days are renewed by usual tools 30 days before.
pub const EXPIRY_WARNING: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 86_400;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFacts {
    /// Unix time in seconds from which on all certificates of the chain are good.
    pub not_before: i64,
    /// Unix time in seconds at which the first of the chain ends.
    pub not_after: i64,
    /// DNS names and IP addresses of the server's own certificate (RFC 5280, section 4.2.1.6).
    pub names: Vec<String>,
    /// How many certificates the file holds.
    pub certificates: usize,
    /// Each certificate is issued by the next.
    pub in_order: bool,
    /// The first certificate was issued by itself.
    pub self_signed: bool,
}

impl CertificateFacts {
    /// Reads a chain, the server's own certificate first. `None` when one is no certificate, or there is none.
    pub fn read(chain: &[CertificateDer<'_>]) -> Option<CertificateFacts> {
        let chain: Vec<X509Certificate<'_>> =
            chain.iter().map(|der| X509Certificate::from_der(der).ok().map(|(_, read)| read)).collect::<Option<_>>()?;
        let own = chain.first()?;
        let issued = |pair: &[X509Certificate<'_>]| match pair {
            [subject, issuer] => subject.issuer().as_raw() == issuer.subject().as_raw(),
            _ => true,
        };
        Some(CertificateFacts {
            not_before: chain.iter().map(|one| one.validity().not_before.timestamp()).max()?,
            not_after: chain.iter().map(|one| one.validity().not_after.timestamp()).min()?,
            names: names(own),
            certificates: chain.len(),
            in_order: chain.windows(2).all(issued),
            self_signed: own.issuer().as_raw() == own.subject().as_raw(),
        })
    }

    /// What to warn an operator of; `now` is Unix time in seconds.
    pub fn expiry_warning(not_after: i64, now: i64) -> Option<String> {
        let left = not_after.saturating_sub(now);
        let days = left.unsigned_abs() / DAY;
        if left < 0 {
            return Some(format!("the TLS certificate ended {days} days ago, and clients refuse it: renew it"));
        }
        let near = left.unsigned_abs() <= EXPIRY_WARNING.as_secs();
        near.then(|| {
            format!("the TLS certificate ends in {days} days: renew it; new files are loaded without a restart")
        })
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = super::DAY as i64;

    #[test]
    fn an_operator_is_warned_fourteen_days_before_the_end_and_after_it() {
        let warning = |not_after| CertificateFacts::expiry_warning(not_after, NOW);
        assert_eq!(warning(NOW + 14 * DAY + 1), None);
        assert!(warning(NOW + 14 * DAY).unwrap().contains("in 14 days"));
        assert!(warning(NOW + DAY / 2).unwrap().contains("in 0 days"));
        assert!(warning(NOW - 2 * DAY).unwrap().contains("2 days ago"));
        assert!(warning(i64::MIN).is_some());
    }

    #[test]
    fn what_is_no_certificate_has_no_facts() {
        assert_eq!(CertificateFacts::read(&[]), None);
        assert_eq!(CertificateFacts::read(&[CertificateDer::from(vec![1, 2, 3])]), None);
    }
}
