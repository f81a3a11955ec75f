//! The two cipher suites: AEAD_AES_128_GCM (RFC 7714) and AES_CM_128 with HMAC-SHA1-80 (RFC 3711, section 4).
//!
//! What always holds: a packet's bytes are decrypted only after its tag verified (GCM does both at once and wipes on failure);
//! no heap allocation per packet beyond what `out` lacks in capacity.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::EncryptingKey;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use super::kdf::{Label, apply_keystream, counter_key, derive};
use super::{MASTER_KEY_BYTES, MAX_PADDING_BYTES, Plain, Profile};
use crate::transport::DropReason;

const GCM_TAG_BYTES: usize = 16;
const HMAC_TAG_BYTES: usize = 10;
/// First word and SSRC of an RTCP packet: what SRTCP leaves in clear.
const RTCP_HEADER_BYTES: usize = 8;
const SRTCP_INDEX_BYTES: usize = 4;
/// The E flag of the SRTCP index word.
const ENCRYPTED: u32 = 1 << 31;

/// AES-GCM under one session key.
pub(super) struct Gcm {
    pub key: LessSafeKey,
    pub salt: [u8; 12],
}

/// AES counter mode and HMAC-SHA1 under one pair of session keys.
pub(super) struct CounterHmac {
    key: EncryptingKey,
    salt: [u8; 14],
    mac: hmac::Key,
}

/// The session keys of one direction.
pub(super) enum Suite {
    Gcm {
        rtp: Gcm,
        rtcp: Gcm,
    },
    /// Boxed: 40 times as large, and few peers lack AES-GCM.
    CounterHmac {
        rtp: Box<CounterHmac>,
        rtcp: Box<CounterHmac>,
    },
}

impl Suite {
    pub fn derive(profile: Profile, master_key: &[u8], master_salt: &[u8]) -> Option<Suite> {
        use Label::*;
        let gcm = |key, salt| Gcm::derive(master_key, master_salt, key, salt);
        let counter = |key, salt, mac| CounterHmac::derive(master_key, master_salt, key, salt, mac).map(Box::new);
        Some(match profile {
            Profile::AeadAes128Gcm => {
                Suite::Gcm { rtp: gcm(RtpEncryption, RtpSalt)?, rtcp: gcm(RtcpEncryption, RtcpSalt)? }
            }
            Profile::Aes128CmHmacSha1_80 => Suite::CounterHmac {
                rtp: counter(RtpEncryption, RtpSalt, RtpAuthentication)?,
                rtcp: counter(RtcpEncryption, RtcpSalt, RtcpAuthentication)?,
            },
        })
    }

    /// Opens an SRTP packet in place; gives the length of the plain packet.
    pub fn open_rtp(&self, ssrc: u32, index: u64, header_len: usize, packet: &mut [u8]) -> Result<usize, DropReason> {
        match self {
            Suite::Gcm { rtp, .. } => rtp.open_rtp(ssrc, index, header_len, packet),
            Suite::CounterHmac { rtp, .. } => rtp.open_rtp(ssrc, index, header_len, packet),
        }
    }

    /// Writes the SRTP packet to the start of `out`; gives its length. `None` when `out` is too short or the packet malformed.
    pub fn seal_rtp(&self, ssrc: u32, mut packet: Plain<'_>, out: &mut [u8]) -> Option<usize> {
        packet.swap_prefix()?;
        let sealed = match self {
            Suite::Gcm { rtp, .. } => rtp.seal_rtp(ssrc, &packet, out),
            Suite::CounterHmac { rtp, .. } => rtp.seal_rtp(ssrc, &packet, out),
        };
        packet.swap_prefix()?;
        sealed
    }

    /// Reads what can be read here of what a packet needs.
    pub fn touch(&self) -> u64 {
        match self {
            Suite::Gcm { rtp, .. } => u64::from(rtp.salt[0]),
            Suite::CounterHmac { rtp, .. } => u64::from(rtp.salt[0]),
        }
    }

    /// SSRC and index of an SRTCP packet, not yet authenticated. Refuses a packet that is not encrypted.
    pub fn srtcp_index(&self, packet: &[u8]) -> Result<(u32, u32), DropReason> {
        let behind_index = match self {
            Suite::Gcm { .. } => 0,
            Suite::CounterHmac { .. } => HMAC_TAG_BYTES,
        };
        let end = packet.len().checked_sub(behind_index).ok_or(DropReason::Malformed)?;
        let index = end.checked_sub(SRTCP_INDEX_BYTES).ok_or(DropReason::Malformed)?;
        let ssrc = word(packet, 4).ok_or(DropReason::Malformed)?;
        let index = word(packet, index).ok_or(DropReason::Malformed)?;
        if index & ENCRYPTED == 0 {
            // RFC 3711 allows it; WebRTC never does (RFC 8827, section 6.5), and stacks were caught skipping its tag.
            return Err(DropReason::SrtpUnauthenticated);
        }
        Ok((ssrc, index & !ENCRYPTED))
    }

    /// Opens an SRTCP packet in place; gives the length of the plain compound.
    pub fn open_rtcp(&self, ssrc: u32, index: u32, packet: &mut [u8]) -> Result<usize, DropReason> {
        match self {
            Suite::Gcm { rtcp, .. } => rtcp.open_rtcp(ssrc, index, packet),
            Suite::CounterHmac { rtcp, .. } => rtcp.open_rtcp(ssrc, index, packet),
        }
    }

    /// Appends the SRTCP packet of `compound` to `out`.
    pub fn seal_rtcp(&self, index: u32, compound: &[u8], out: &mut Vec<u8>) -> Result<(), DropReason> {
        let start = out.len();
        let ssrc = word(compound, 4).ok_or(DropReason::Malformed)?;
        out.reserve(compound.len() + GCM_TAG_BYTES + SRTCP_INDEX_BYTES);
        let sealed = match self {
            Suite::Gcm { rtcp, .. } => rtcp.seal_rtcp(ssrc, index, compound, out),
            Suite::CounterHmac { rtcp, .. } => rtcp.seal_rtcp(ssrc, index, compound, out),
        };
        sealed.ok_or_else(|| {
            out.truncate(start);
            DropReason::Malformed
        })
    }
}

impl Gcm {
    fn derive(master_key: &[u8], master_salt: &[u8], key: Label, salt: Label) -> Option<Gcm> {
        let mut session_key = [0; MASTER_KEY_BYTES];
        derive(master_key, master_salt, key, &mut session_key)?;
        let mut session_salt = [0; 12];
        derive(master_key, master_salt, salt, &mut session_salt)?;
        Gcm::new(&session_key, session_salt)
    }

    pub fn new(key: &[u8], salt: [u8; 12]) -> Option<Gcm> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).ok()?);
        Some(Gcm { key, salt })
    }

    /// RFC 7714, section 8.1: two zero bytes, SSRC, rollover counter and sequence number, xored with the salt. With a 31-bit
    /// index it is the one of section 9.1.
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let position = (u128::from(ssrc) << 48) | u128::from(index);
        let mut nonce = [0; 12];
        for (byte, (salt, position)) in
            nonce.iter_mut().zip(self.salt.iter().zip(position.to_be_bytes().iter().skip(4)))
        {
            *byte = salt ^ position;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    pub fn open_rtp(&self, ssrc: u32, index: u64, header_len: usize, packet: &mut [u8]) -> Result<usize, DropReason> {
        let (header, body) = packet.split_at_mut_checked(header_len).ok_or(DropReason::Malformed)?;
        if body.len() < GCM_TAG_BYTES {
            return Err(DropReason::Malformed);
        }
        let plain = self
            .key
            .open_in_place(self.nonce(ssrc, index), Aad::from(&*header), body)
            .map_err(|_| DropReason::SrtpUnauthenticated)?;
        Ok(header_len + plain.len())
    }

    /// One pass: the source is read and its ciphertext written, nothing is copied first.
    pub fn seal_rtp(&self, ssrc: u32, packet: &Plain<'_>, out: &mut [u8]) -> Option<usize> {
        let (head, rest) = out.split_at_mut_checked(packet.header.len())?;
        head.copy_from_slice(packet.header);
        let (body, rest) = rest.split_at_mut_checked(packet.payload.len())?;
        let padding = padding(packet.padding)?;
        let tail = rest.get_mut(..padding.len() + GCM_TAG_BYTES)?;
        let nonce = self.nonce(ssrc, packet.extended_sequence);
        let aad = Aad::from(packet.header);
        self.key.seal_out_of_place_scatter(nonce, aad, packet.payload, body, padding, tail).ok()?;
        Some(packet.len() + GCM_TAG_BYTES)
    }

    /// The clear header and the index word are what is authenticated (RFC 7714, section 9.2).
    fn rtcp_aad(header: &[u8], index: u32) -> Option<[u8; RTCP_HEADER_BYTES + SRTCP_INDEX_BYTES]> {
        let mut aad = [0; RTCP_HEADER_BYTES + SRTCP_INDEX_BYTES];
        let (clear, word) = aad.split_at_mut(RTCP_HEADER_BYTES);
        clear.copy_from_slice(header.get(..RTCP_HEADER_BYTES)?);
        word.copy_from_slice(&(index | ENCRYPTED).to_be_bytes());
        Some(aad)
    }

    pub fn open_rtcp(&self, ssrc: u32, index: u32, packet: &mut [u8]) -> Result<usize, DropReason> {
        let aad = Gcm::rtcp_aad(packet, index).ok_or(DropReason::Malformed)?;
        let end = packet.len().checked_sub(SRTCP_INDEX_BYTES).ok_or(DropReason::Malformed)?;
        let body = packet.get_mut(RTCP_HEADER_BYTES..end).ok_or(DropReason::Malformed)?;
        if body.len() < GCM_TAG_BYTES {
            return Err(DropReason::Malformed);
        }
        let plain = self
            .key
            .open_in_place(self.nonce(ssrc, index.into()), Aad::from(aad), body)
            .map_err(|_| DropReason::SrtpUnauthenticated)?;
        Ok(RTCP_HEADER_BYTES + plain.len())
    }

    pub fn seal_rtcp(&self, ssrc: u32, index: u32, compound: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let aad = Gcm::rtcp_aad(compound, index)?;
        let body = out.len() + RTCP_HEADER_BYTES;
        out.extend_from_slice(compound);
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(ssrc, index.into()), Aad::from(aad), out.get_mut(body..)?)
            .ok()?;
        out.extend_from_slice(tag.as_ref());
        out.extend_from_slice(&(index | ENCRYPTED).to_be_bytes());
        Some(())
    }
}

impl CounterHmac {
    fn derive(master_key: &[u8], master_salt: &[u8], key: Label, salt: Label, mac: Label) -> Option<CounterHmac> {
        let mut session_key = [0; MASTER_KEY_BYTES];
        derive(master_key, master_salt, key, &mut session_key)?;
        let mut session_salt = [0; 14];
        derive(master_key, master_salt, salt, &mut session_salt)?;
        let mut session_mac = [0; 20];
        derive(master_key, master_salt, mac, &mut session_mac)?;
        Some(CounterHmac {
            key: counter_key(&session_key)?,
            salt: session_salt,
            mac: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &session_mac),
        })
    }

    /// RFC 3711, section 4.1.1: (salt * 2^16) xor (SSRC * 2^64) xor (index * 2^16).
    fn counter(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let position = (u128::from(ssrc) << 64) | (u128::from(index) << 16);
        let mut counter = position.to_be_bytes();
        for (byte, salt) in counter.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        counter
    }

    fn tag(&self, authenticated: &[u8], rollover: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(authenticated);
        context.update(rollover);
        context.sign()
    }

    fn verify(&self, authenticated: &[u8], rollover: &[u8], tag: &[u8]) -> Result<(), DropReason> {
        let expected = self.tag(authenticated, rollover);
        let expected = expected.as_ref().get(..HMAC_TAG_BYTES).unwrap_or_default();
        verify_slices_are_equal(expected, tag).map_err(|_| DropReason::SrtpUnauthenticated)
    }

    fn open_rtp(&self, ssrc: u32, index: u64, header_len: usize, packet: &mut [u8]) -> Result<usize, DropReason> {
        let end = packet.len().checked_sub(HMAC_TAG_BYTES).ok_or(DropReason::Malformed)?;
        let (plain, tag) = packet.split_at_mut_checked(end).ok_or(DropReason::Malformed)?;
        if header_len > plain.len() {
            return Err(DropReason::Malformed);
        }
        self.verify(plain, &rollover(index), tag)?;
        let body = plain.get_mut(header_len..).ok_or(DropReason::Malformed)?;
        apply_keystream(&self.key, self.counter(ssrc, index), body).ok_or(DropReason::Malformed)?;
        Ok(end)
    }

    fn seal_rtp(&self, ssrc: u32, packet: &Plain<'_>, out: &mut [u8]) -> Option<usize> {
        let (plain, rest) = out.split_at_mut_checked(packet.len())?;
        let (head, body) = plain.split_at_mut_checked(packet.header.len())?;
        head.copy_from_slice(packet.header);
        let (payload, end) = body.split_at_mut_checked(packet.payload.len())?;
        payload.copy_from_slice(packet.payload);
        end.copy_from_slice(padding(packet.padding)?);
        apply_keystream(&self.key, self.counter(ssrc, packet.extended_sequence), body)?;
        let tag = self.tag(plain, &rollover(packet.extended_sequence));
        rest.get_mut(..HMAC_TAG_BYTES)?.copy_from_slice(tag.as_ref().get(..HMAC_TAG_BYTES)?);
        Some(packet.len() + HMAC_TAG_BYTES)
    }

    fn open_rtcp(&self, ssrc: u32, index: u32, packet: &mut [u8]) -> Result<usize, DropReason> {
        let tagged = packet.len().checked_sub(HMAC_TAG_BYTES).ok_or(DropReason::Malformed)?;
        let end = tagged.checked_sub(SRTCP_INDEX_BYTES).ok_or(DropReason::Malformed)?;
        let (authenticated, tag) = packet.split_at_mut_checked(tagged).ok_or(DropReason::Malformed)?;
        if end < RTCP_HEADER_BYTES {
            return Err(DropReason::Malformed);
        }
        self.verify(authenticated, &[], tag)?;
        let body = authenticated.get_mut(RTCP_HEADER_BYTES..end).ok_or(DropReason::Malformed)?;
        apply_keystream(&self.key, self.counter(ssrc, index.into()), body).ok_or(DropReason::Malformed)?;
        Ok(end)
    }

    fn seal_rtcp(&self, ssrc: u32, index: u32, compound: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        out.extend_from_slice(compound);
        let body = out.get_mut(start + RTCP_HEADER_BYTES..)?;
        apply_keystream(&self.key, self.counter(ssrc, index.into()), body)?;
        out.extend_from_slice(&(index | ENCRYPTED).to_be_bytes());
        let tag = self.tag(out.get(start..)?, &[]);
        out.extend_from_slice(tag.as_ref().get(..HMAC_TAG_BYTES)?);
        Some(())
    }
}

/// Zeros that end with their number (RFC 3550, section 5.1); `None` for more than are served.
fn padding(bytes: u8) -> Option<&'static [u8]> {
    /// Row n holds n bytes.
    static ROWS: [[u8; MAX_PADDING_BYTES]; MAX_PADDING_BYTES + 1] = {
        let mut rows = [[0; MAX_PADDING_BYTES]; MAX_PADDING_BYTES + 1];
        let mut row = 1;
        while row <= MAX_PADDING_BYTES {
            rows[row][row - 1] = row as u8;
            row += 1;
        }
        rows
    };
    ROWS.get(usize::from(bytes))?.get(..usize::from(bytes))
}

/// The rollover counter of an index, as it is appended to what HMAC authenticates.
fn rollover(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// The big-endian word at `offset`.
fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}
