//! The one transport of a bundled session: BUNDLE (RFC 8843), ICE (RFC 8839) and DTLS (RFC 8842, RFC 8122) attributes.
//!
//! What always holds: every section in use is in the first BUNDLE group (or it is the only one); an attribute is taken
//! from the first section in use that has it, else from the session level.

use std::str::FromStr;

use rtc_sdp::description::common::Attribute;

use super::OfferError;
use super::parse::{has, malformed, value, values};
use crate::transport::{DtlsRole, Fingerprint, IceCredentials, RemoteParameters};
use crate::wire::Mid;

/// ICE options answered where offered (RFC 8840; draft-thatcher-ice-renomination).
const ICE_OPTIONS: [&str; 2] = ["trickle", "renomination"];

/// The attribute lists of one offer, in the order they are asked.
pub(super) struct Levels<'a> {
    pub session: &'a [Attribute],
    /// Sections in use.
    pub sections: Vec<&'a [Attribute]>,
}

impl<'a> Levels<'a> {
    /// The values of an attribute on the first level that has it.
    fn values(&self, key: &str) -> Vec<&'a str> {
        let mut levels = self.sections.iter().copied().chain([self.session]);
        levels.find(|l| has(l, key)).map(|l| values(l, key).collect()).unwrap_or_default()
    }

    fn value(&self, key: &'static str) -> Result<&'a str, OfferError> {
        self.values(key).first().copied().ok_or(OfferError::Missing(key))
    }

    /// Whether a flag stands at the session level or in any section.
    pub fn has(&self, key: &str) -> bool {
        has(self.session, key) || self.sections.iter().any(|l| has(l, key))
    }
}

/// The peer's parameters. `previous` is the role this side holds already: `actpass` in a later offer does not change it
/// (RFC 8842, section 5.5).
pub(super) fn read(levels: &Levels, previous: Option<DtlsRole>) -> Result<RemoteParameters, OfferError> {
    if levels.has("ice-lite") {
        return Err(OfferError::Missing("full ICE (both sides would wait for the other's checks)"));
    }
    Ok(RemoteParameters {
        ice: read_ice(levels)?,
        fingerprints: read_fingerprints(levels)?,
        role: read_role(levels.value("setup")?, previous)?,
    })
}

fn read_ice(levels: &Levels) -> Result<IceCredentials, OfferError> {
    check_ice(levels.value("ice-ufrag")?, levels.value("ice-pwd")?)
}

/// Lengths as RFC 8839, section 5.4 has them.
pub(super) fn check_ice(ufrag: &str, pwd: &str) -> Result<IceCredentials, OfferError> {
    // A colon would end the fragment in a check's USERNAME.
    let graphic = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if !(4..=256).contains(&ufrag.len()) || !graphic(ufrag) {
        return Err(malformed("ice-ufrag"));
    }
    if !(22..=256).contains(&pwd.len()) || !graphic(pwd) {
        return Err(malformed("ice-pwd"));
    }
    Ok(IceCredentials { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() })
}

fn read_fingerprints(levels: &Levels) -> Result<Vec<Fingerprint>, OfferError> {
    let offered = levels.values("fingerprint");
    let fingerprints: Vec<_> = offered.iter().filter_map(|f| Fingerprint::from_str(f).ok()).collect();
    match (offered.is_empty(), fingerprints.is_empty()) {
        (true, _) => Err(OfferError::Missing("fingerprint")),
        (false, true) => Err(malformed("fingerprint")),
        (false, false) => Ok(fingerprints),
    }
}

/// The DTLS server picks the SRTP profile: this side is it wherever the peer leaves the choice.
fn read_role(setup: &str, previous: Option<DtlsRole>) -> Result<DtlsRole, OfferError> {
    match setup {
        "actpass" => Ok(previous.unwrap_or(DtlsRole::Server)),
        "active" => Ok(DtlsRole::Server),
        "passive" => Ok(DtlsRole::Client),
        other => Err(malformed(&format!("setup:{other}"))),
    }
}

/// The options of [`ICE_OPTIONS`] that are offered at any level.
pub(super) fn read_ice_options(levels: &Levels) -> Vec<&'static str> {
    let lists = levels.sections.iter().copied().chain([levels.session]).flat_map(|l| values(l, "ice-options"));
    let offered: Vec<&str> = lists.flat_map(str::split_ascii_whitespace).collect();
    ICE_OPTIONS.into_iter().filter(|o| offered.contains(o)).collect()
}

/// The mids of the first BUNDLE group; `None` when the offer has none.
pub(super) fn read_bundle(session: &[Attribute]) -> Option<Vec<&str>> {
    values(session, "group").find_map(|v| {
        let mut words = v.split_ascii_whitespace();
        (words.next() == Some("BUNDLE")).then(|| words.collect())
    })
}

/// Checks that the sections in use share one transport.
pub(super) fn check_bundle(bundle: Option<&[&str]>, used: &[Mid]) -> Result<(), OfferError> {
    let bundled = match bundle {
        Some(bundle) => used.iter().all(|mid| bundle.contains(&mid.as_str())),
        None => used.len() <= 1,
    };
    if bundled { Ok(()) } else { Err(OfferError::Missing("BUNDLE of all sections")) }
}

/// The direction of DTLS connection that an answer states.
pub(super) fn setup(role: DtlsRole) -> &'static str {
    match role {
        DtlsRole::Client => "active",
        DtlsRole::Server => "passive",
    }
}

/// Whether `a=rtcp-mux` is missing (RFC 8843, section 9.3 demands it of bundled media).
pub(super) fn check_rtcp_mux(attributes: &[Attribute]) -> Result<(), OfferError> {
    if has(attributes, "rtcp-mux") { Ok(()) } else { Err(OfferError::Missing("rtcp-mux")) }
}

/// The section's identification.
pub(super) fn read_mid(attributes: &[Attribute]) -> Result<Option<Mid>, OfferError> {
    value(attributes, "mid").map(|m| Mid::new(m).ok_or_else(|| malformed(&format!("mid:{m}")))).transpose()
}
