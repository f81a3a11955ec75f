//! The key derivation of SRTP (RFC 3711, section 4.3), with a key derivation rate of zero.

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

/// What a session key is for (RFC 3711, section 4.3.2).
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// An AES-128 key in counter mode; the same key serves for either direction.
pub(super) fn counter_key(key: &[u8]) -> Option<EncryptingKey> {
    EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, key).ok()?).ok()
}

/// Xors the AES counter mode keystream that starts at `counter` onto `data`.
pub(super) fn apply_keystream(key: &EncryptingKey, counter: [u8; 16], data: &mut [u8]) -> Option<()> {
    let context = EncryptionContext::Iv128(FixedLength::from(counter));
    key.less_safe_encrypt(data, context).ok().map(|_| ())
}

/// Fills `output` with the session key of `label`. A salt of 96 bits (AES-GCM) counts as 112 bits with zeros at its end
/// (RFC 7714, section 11).
pub(super) fn derive(master_key: &[u8], master_salt: &[u8], label: Label, output: &mut [u8]) -> Option<()> {
    let key = counter_key(master_key)?;
    let mut counter = [0; 16];
    counter.get_mut(..master_salt.len())?.copy_from_slice(master_salt);
    *counter.get_mut(7)? ^= label as u8;
    output.fill(0);
    apply_keystream(&key, counter, output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::srtp::tests::hex;

    /// RFC 3711, appendix B.2.
    #[test]
    fn the_aes_counter_mode_keystream_matches_the_vector() {
        let key = counter_key(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
        let counter: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
        let mut stream = vec![0; 16 * 0xff02];
        apply_keystream(&key, counter, &mut stream).unwrap();
        for (block, expected) in [
            (0x0000, "E03EAD0935C95E80E166B16DD92B4EB4"),
            (0x0001, "D23513162B02D0F72A43A2FE4A5F97AB"),
            (0x0002, "41E95B3BB0A2E8DD477901E4FCA894C0"),
            (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
            (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
            (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
        ] {
            assert_eq!(stream[16 * block..16 * (block + 1)], hex(expected), "block {block:#x}");
        }
    }

    /// RFC 3711, appendix B.3.
    #[test]
    fn the_session_keys_match_the_vector() {
        let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        for (label, expected) in [
            (Label::RtpEncryption, "C61E7A93744F39EE10734AFE3FF7A087"),
            (Label::RtpSalt, "30CBBC08863D8C85D49DB34A9AE1"),
            (
                Label::RtpAuthentication,
                "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCE\
                 E049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC25\
                 6D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2DC68",
            ),
        ] {
            let expected = hex(expected);
            let mut derived = vec![0; expected.len()];
            derive(&key, &salt, label, &mut derived).unwrap();
            assert_eq!(derived, expected);
        }
    }
}
