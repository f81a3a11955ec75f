//! The vectors of RFC 5769 and hostile input.

use super::*;
use crate::transport::srtp::tests::hex;
use rtc_dtls::crypto_provider::RTCCryptoProvider;
use rtc_dtls::crypto_provider::providers::AwsLcRsProvider;
use rtc_stun::integrity::MessageIntegrity;

const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

const REQUEST: &str = "
    00 01 00 58 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
    80 22 00 10 53 54 55 4e 20 74 65 73 74 20 63 6c 69 65 6e 74
    00 24 00 04 6e 00 01 ff
    80 29 00 08 93 2f f9 b1 51 26 3b 36
    00 06 00 09 65 76 74 6a 3a 68 36 76 59 20 20 20
    00 08 00 14 9a ea a7 0c bf d8 cb 56 78 1e f2 b5 b2 d3 f2 49 c1 b5 71 a2
    80 28 00 04 e5 7a 3b cf";

const RESPONSE_V4: &str = "
    01 01 00 3c 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
    80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
    00 20 00 08 00 01 a1 47 e1 12 a6 43
    00 08 00 14 2b 91 f5 99 fd 9e 90 c3 8c 74 89 f9 2a f9 ba 53 f0 6b e7 d7
    80 28 00 04 c0 7d 4c 96";

const RESPONSE_V6: &str = "
    01 01 00 48 21 12 a4 42 b7 e7 a7 01 bc 34 d6 86 fa 87 df ae
    80 22 00 0b 74 65 73 74 20 76 65 63 74 6f 72 20
    00 20 00 14 00 02 a1 47 01 13 a9 fa a5 d3 f1 79 bc 25 f4 b5 be d2 b9 d9
    00 08 00 14 a3 82 95 4e 4b e6 7b f1 17 84 c9 7c 82 92 c2 75 bf e3 ed 41
    80 28 00 04 c8 fb 0b 4c";

const REQUEST_LONG_TERM: &str = "
    00 01 00 60 21 12 a4 42 78 ad 34 33 c6 ad 72 c0 29 da 41 2e
    00 06 00 12 e3 83 9e e3 83 88 e3 83 aa e3 83 83 e3 82 af e3 82 b9 00 00
    00 15 00 1c 66 2f 2f 34 39 39 6b 39 35 34 64 36 4f 4c 33 34 6f 4c 39 46 53 54 76 79 36 34 73 41
    00 14 00 0b 65 78 61 6d 70 6c 65 2e 6f 72 67 00
    00 08 00 14 f6 70 24 65 6d d6 4a 3e 02 b8 e0 71 2e 85 c9 a2 8c a8 96 66";

/// RFC 5769, section 2.1.
#[test]
fn the_sample_request_is_read_and_authentic() {
    let raw = hex(REQUEST);
    let message = Message::parse(&raw).unwrap();
    assert_eq!(message.kind, BINDING_REQUEST);
    assert_eq!(message.username, Some(&b"evtj:h6vY"[..]));
    assert!(message.is_controlled && !message.use_candidate);
    assert!(message.unknown.is_empty());
    assert!(message.is_authentic(&key(PASSWORD)));
    assert!(!message.is_authentic(&key("VOkJxbRl1RmTxUk/WvJxBu")));
    assert_eq!(local_ufrag(&raw), Some("evtj"));
}

fn assert_answer(raw: &str, address: &str) {
    let raw = hex(raw);
    let message = Message::parse(&raw).unwrap();
    assert_eq!(message.kind, BINDING_SUCCESS);
    assert!(message.is_authentic(&key(PASSWORD)));
    // Written from the same values, with the sample's padding byte, it gives the same mapped address.
    let written = Writer::new(BINDING_SUCCESS, message.transaction)
        .xor_mapped_address(address.parse().unwrap())
        .finish(&key(PASSWORD));
    let mapped = &written[HEADER_BYTES..written.len() - 32];
    assert!(raw.windows(mapped.len()).any(|part| part == mapped));
    assert!(Message::parse(&written).unwrap().is_authentic(&key(PASSWORD)));
}

/// RFC 5769, section 2.2.
#[test]
fn the_sample_ipv4_response_is_authentic_and_its_address_written_alike() {
    assert_answer(RESPONSE_V4, "192.0.2.1:32853");
}

/// RFC 5769, section 2.3.
#[test]
fn the_sample_ipv6_response_is_authentic_and_its_address_written_alike() {
    assert_answer(RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
}

/// RFC 5769, section 2.4: the key is MD5 of "username:realm:password".
#[test]
fn the_sample_request_with_long_term_authentication_is_authentic() {
    let raw = hex(REQUEST_LONG_TERM);
    let message = Message::parse(&raw).unwrap();
    assert_eq!(message.username.unwrap().len(), 18);
    let user = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
    let provider = AwsLcRsProvider::new();
    let [user, realm, password] = [user, "example.org", "TheMatrIX"].map(str::to_owned);
    let key = MessageIntegrity::long_term_integrity_key(user, realm, password, provider.crypto()).unwrap();
    assert!(message.is_authentic(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key)));
    assert!(!message.is_authentic(&super::key("TheMatrIX")));
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    let raw = hex(REQUEST);
    for len in 0..raw.len() {
        assert!(Message::parse(&raw[..len]).is_none(), "{len} bytes");
        local_ufrag(&raw[..len]);
    }
    // The type of FINGERPRINT aside: as an unknown attribute after MESSAGE-INTEGRITY it is ignored.
    let fingerprint = raw.len() - FINGERPRINT_ATTRIBUTE_BYTES;
    for bit in (0..raw.len() * 8).filter(|bit| !(fingerprint..fingerprint + 2).contains(&(bit / 8))) {
        let mut flipped = raw.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let authentic = Message::parse(&flipped).is_some_and(|message| message.is_authentic(&key(PASSWORD)));
        assert!(!authentic, "bit {bit}");
    }
}

#[test]
fn an_attribute_longer_than_the_message_ends_the_reading() {
    let mut raw = hex(REQUEST);
    raw[22] = 0xff;
    assert!(Message::parse(&raw).is_none());
    assert_eq!(local_ufrag(&raw), None);
}

#[test]
fn what_follows_message_integrity_is_ignored() {
    let key = key("password");
    let inner = Writer::new(BINDING_REQUEST, &[1; 12]).attribute(attribute::USERNAME, b"a:b");
    let mut raw = inner.finish(&key);
    raw.truncate(raw.len() - FINGERPRINT_ATTRIBUTE_BYTES);
    raw.extend(attribute::USE_CANDIDATE.to_be_bytes());
    raw.extend([0, 0]);
    let length = (raw.len() - HEADER_BYTES) as u16;
    raw[2..4].copy_from_slice(&length.to_be_bytes());
    let message = Message::parse(&raw).unwrap();
    assert!(message.is_authentic(&key));
    assert!(!message.use_candidate);
}

#[test]
fn attributes_that_must_be_understood_are_collected_up_to_a_bound() {
    let mut writer = Writer::new(BINDING_REQUEST, &[1; 12]);
    for kind in 0x7f00..0x7f20u16 {
        writer = writer.attribute(kind, b"");
    }
    let raw = writer.attribute(0x9000, b"optional").finish(&key("p"));
    let message = Message::parse(&raw).unwrap();
    assert_eq!(message.unknown.types(), [0x7f00, 0x7f01, 0x7f02, 0x7f03, 0x7f04, 0x7f05, 0x7f06, 0x7f07]);
}

#[test]
fn our_messages_are_read_by_an_independent_codec() {
    use rtc_stun::attributes::ATTR_USERNAME;
    use rtc_stun::fingerprint::FINGERPRINT;
    use rtc_stun::message::Message as Theirs;
    let raw =
        Writer::new(BINDING_REQUEST, &[7; 12]).attribute(attribute::USERNAME, b"local:remote").finish(&key(PASSWORD));
    let mut theirs = Theirs::new();
    theirs.unmarshal_binary(&raw).unwrap();
    assert_eq!(theirs.get(ATTR_USERNAME).unwrap(), b"local:remote");
    FINGERPRINT.check(&theirs).unwrap();
    let provider = AwsLcRsProvider::new();
    MessageIntegrity::check(&mut theirs, PASSWORD.as_bytes(), provider.crypto()).unwrap();
}

#[test]
fn random_bytes_never_panic() {
    use rand::{Rng, RngCore, SeedableRng};
    let mut random = rand::rngs::StdRng::seed_from_u64(5769);
    let sample = hex(REQUEST);
    for _ in 0..100_000 {
        let mut raw = sample.clone();
        raw.truncate(random.random_range(0..=raw.len()));
        for _ in 0..random.random_range(0..6) {
            let len = raw.len();
            if len > 0 {
                raw[random.random_range(0..len)] = random.next_u32() as u8;
            }
        }
        Message::parse(&raw);
        local_ufrag(&raw);
    }
}
