//! SRTP and SRTCP (RFC 3711; AES-GCM by RFC 7714): opened in place, sealed in one pass into the caller's buffer.
//!
//! What always holds: nothing moves and no state is made before a packet has authenticated; one (SSRC, index) is sealed at
//! most once under a key; an SRTCP packet that is not encrypted (E = 0) is refused under both profiles.

mod cipher;
mod inbound;
mod kdf;
mod outbound;
mod replay;

#[cfg(test)]
pub(crate) mod tests;

pub use inbound::Inbound;
pub use outbound::Outbound;

use cipher::Suite;

/// SRTP protection profiles (RFC 5764, section 4.1.2; RFC 7714, section 14.2) that are served, the preferred first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    AeadAes128Gcm,
    Aes128CmHmacSha1_80,
}

/// Bytes of a master key under either profile.
pub const MASTER_KEY_BYTES: usize = 16;

/// Most bytes sealing adds to an RTP packet: the tag of AES-GCM.
pub const MAX_OVERHEAD_BYTES: usize = 16;
/// Most bytes of padding a packet is sealed with.
pub const MAX_PADDING_BYTES: usize = 16;

/// An RTP packet to seal, in the pieces it is in before.
pub struct Plain<'a> {
    /// Its low 16 bits stand in the header; the next 32 are the rollover counter.
    pub extended_sequence: u64,
    /// With its P bit set where there is padding.
    pub header: &'a [u8],
    /// Goes in the place of the payload's first bytes; no longer than the payload. Changed while sealing, the same after.
    pub prefix: &'a mut [u8],
    /// Changed while sealing, the same after.
    pub payload: &'a mut [u8],
    /// Bytes of padding to add, at most [`MAX_PADDING_BYTES`].
    pub padding: u8,
}

impl<'a> Plain<'a> {
    /// A packet of a header and its payload.
    pub fn new(extended_sequence: u64, header: &'a [u8], payload: &'a mut [u8]) -> Plain<'a> {
        Plain { extended_sequence, header, prefix: &mut [], payload, padding: 0 }
    }

    /// Bytes of the plain packet.
    fn len(&self) -> usize {
        self.header.len() + self.payload.len() + usize::from(self.padding)
    }

    /// Puts the prefix in the place of the payload's first bytes, or back. `None` when it is longer than the payload.
    fn swap_prefix(&mut self) -> Option<()> {
        self.payload.get_mut(..self.prefix.len())?.swap_with_slice(self.prefix);
        Some(())
    }
}

impl Profile {
    pub const PREFERENCE: [Profile; 2] = [Profile::AeadAes128Gcm, Profile::Aes128CmHmacSha1_80];

    /// The number of the profile in the use_srtp extension.
    pub const fn id(self) -> u16 {
        match self {
            Profile::AeadAes128Gcm => 0x0007,
            Profile::Aes128CmHmacSha1_80 => 0x0001,
        }
    }

    /// Bytes of a master salt.
    pub const fn salt_bytes(self) -> usize {
        match self {
            Profile::AeadAes128Gcm => 12,
            Profile::Aes128CmHmacSha1_80 => 14,
        }
    }

    /// Bytes to export from DTLS: two keys, two salts (RFC 5764, section 4.2).
    pub const fn keying_material_bytes(self) -> usize {
        2 * (MASTER_KEY_BYTES + self.salt_bytes())
    }
}

/// Both directions of one association's media, keyed by DTLS-SRTP.
pub struct Srtp {
    pub inbound: Inbound,
    pub outbound: Outbound,
}

impl Srtp {
    /// `material` is what DTLS exported: client key, server key, client salt, server salt. `None` when it is too short.
    pub fn new(profile: Profile, material: &[u8], is_client: bool) -> Option<Srtp> {
        let (client_key, rest) = material.split_at_checked(MASTER_KEY_BYTES)?;
        let (server_key, rest) = rest.split_at_checked(MASTER_KEY_BYTES)?;
        let (client_salt, rest) = rest.split_at_checked(profile.salt_bytes())?;
        let server_salt = rest.get(..profile.salt_bytes())?;
        let client = Suite::derive(profile, client_key, client_salt)?;
        let server = Suite::derive(profile, server_key, server_salt)?;
        let (local, remote) = if is_client { (client, server) } else { (server, client) };
        Some(Srtp { inbound: Inbound::new(remote), outbound: Outbound::new(local) })
    }
}
