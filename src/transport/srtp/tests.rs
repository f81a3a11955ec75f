//! The session as a whole: vectors of RFC 7714, agreement with an independent implementation, replay, forgery, bounds.

use std::time::{Duration, Instant};

use rtc_dtls::crypto_provider::RTCCryptoProvider;
use rtc_dtls::crypto_provider::providers::AwsLcRsProvider;
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

use super::cipher::Gcm;
use super::replay::WINDOW;
use super::*;
use crate::limits;
use crate::transport::DropReason;

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const HEADER_LEN: usize = 12;

fn header(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut header = vec![0x80, 96];
    header.extend(sequence.to_be_bytes());
    header.extend(0x1234_5678u32.to_be_bytes());
    header.extend(ssrc.to_be_bytes());
    header
}

fn compound(ssrc: u32, len: usize) -> Vec<u8> {
    let mut compound = vec![0x80, 201, 0, 1];
    compound.extend(ssrc.to_be_bytes());
    compound.extend((0..len).map(|byte| byte as u8));
    compound
}

fn material(profile: Profile) -> Vec<u8> {
    (0..profile.keying_material_bytes()).map(|byte| byte as u8 ^ 0x5a).collect()
}

/// A sender (DTLS client) and a receiver (DTLS server) with the same keys.
fn pair(profile: Profile) -> (Srtp, Srtp) {
    let material = material(profile);
    (Srtp::new(profile, &material, true).unwrap(), Srtp::new(profile, &material, false).unwrap())
}

fn seal(sender: &mut Srtp, ssrc: u32, extended: u64, payload: &[u8]) -> Vec<u8> {
    try_seal(sender, extended, &header(ssrc, extended as u16), payload).unwrap()
}

fn try_seal(sender: &mut Srtp, extended: u64, header: &[u8], payload: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut out = vec![0; header.len() + payload.len() + MAX_OVERHEAD_BYTES];
    let len = sender.outbound.seal_rtp(Plain::new(extended, header, &mut payload.to_vec()), &mut out)?;
    out.truncate(len);
    Ok(out)
}

fn open(receiver: &mut Srtp, now: Instant, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut packet = packet.to_vec();
    let ssrc = u32::from_be_bytes(packet[8..12].try_into().unwrap());
    let sequence = u16::from_be_bytes(packet[2..4].try_into().unwrap());
    let len = receiver.inbound.open_rtp(now, ssrc, sequence, HEADER_LEN, &mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

fn open_rtcp(receiver: &mut Srtp, now: Instant, packet: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut packet = packet.to_vec();
    let len = receiver.inbound.open_rtcp(now, &mut packet)?;
    packet.truncate(len);
    Ok(packet)
}

/// RFC 7714, section 16.1.
#[test]
fn srtp_aes_128_gcm_matches_the_vector() {
    let key = hex("000102030405060708090a0b0c0d0e0f");
    let gcm = Gcm::new(&key, hex("517569642070726f2071756f").try_into().unwrap()).unwrap();
    let header = hex("8040f17b8041f8d35501a0b2");
    let mut payload = b"Gallia est omnis divisa in partes tres".to_vec();
    let expected =
        hex("8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
         899d7f27beb16a9152cf765ee4390cce");
    let mut out = vec![0; expected.len()];
    let len = gcm.seal_rtp(0x5501_a0b2, &Plain::new(0xf17b, &header, &mut payload), &mut out).unwrap();
    assert_eq!((len, &out), (expected.len(), &expected));
    let len = gcm.open_rtp(0x5501_a0b2, 0xf17b, HEADER_LEN, &mut out).unwrap();
    assert_eq!(&out[HEADER_LEN..len], payload);
}

/// RFC 7714, section 17.1.
#[test]
fn srtcp_aes_128_gcm_matches_the_vector() {
    let key = hex("000102030405060708090a0b0c0d0e0f");
    let gcm = Gcm::new(&key, hex("517569642070726f2071756f").try_into().unwrap()).unwrap();
    let plain = hex("81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61\
         deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    let expected = hex("81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32d\
         c676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf872\
         45d9eade800005d4");
    let mut out = Vec::new();
    gcm.seal_rtcp(0x4d61_7273, 0x5d4, &plain, &mut out).unwrap();
    assert_eq!(out, expected);
    let len = gcm.open_rtcp(0x4d61_7273, 0x5d4, &mut out).unwrap();
    assert_eq!(&out[..len], plain);
}

/// The independent implementation: one context per direction.
fn theirs(profile: Profile, is_client: bool) -> (Context, Context) {
    let material = material(profile);
    let salt = profile.salt_bytes();
    let keys = [&material[..16], &material[16..32]];
    let salts = [&material[32..32 + salt], &material[32 + salt..32 + 2 * salt]];
    let their_profile = match profile {
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::Aes128CmHmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let provider = AwsLcRsProvider::new();
    let context =
        |side: usize| Context::new(keys[side], salts[side], their_profile, None, None, provider.crypto()).unwrap();
    let (own, other) = if is_client { (0, 1) } else { (1, 0) };
    (context(own), context(other))
}

#[test]
fn what_is_sealed_here_opens_in_an_independent_implementation() {
    for profile in Profile::PREFERENCE {
        let mut ours = Srtp::new(profile, &material(profile), true).unwrap();
        let (_, mut their_inbound) = theirs(profile, false);
        for (step, extended) in
            [0u64, 1, 500, 32_000, 64_000, 65_535, 65_536, 65_540, 98_000, 130_000, 131_073].into_iter().enumerate()
        {
            let payload = vec![step as u8; 7 * step];
            let sealed = seal(&mut ours, 0xaabb_ccdd, extended, &payload);
            let opened = their_inbound.decrypt_rtp(&sealed).unwrap();
            assert_eq!(opened[HEADER_LEN..], payload);
            let plain = compound(77, 4 * step);
            let mut sealed = Vec::new();
            ours.outbound.seal_rtcp(&plain, &mut sealed).unwrap();
            assert_eq!(their_inbound.decrypt_rtcp(&sealed).unwrap()[..], plain);
        }
    }
}

#[test]
fn what_an_independent_implementation_seals_opens_here() {
    let now = Instant::now();
    for profile in Profile::PREFERENCE {
        let (mut their_outbound, _) = theirs(profile, true);
        let mut ours = Srtp::new(profile, &material(profile), false).unwrap();
        for (step, sequence) in [65_000u16, 65_535, 0, 1, 30_000, 60_000, 3].into_iter().enumerate() {
            let mut plain = header(0x0102_0304, sequence);
            plain.extend(vec![step as u8; 1 + 11 * step]);
            let sealed = their_outbound.encrypt_rtp(&plain).unwrap();
            assert_eq!(open(&mut ours, now, &sealed).unwrap(), plain);
            let plain = compound(78, 4 * step);
            let sealed = their_outbound.encrypt_rtcp(&plain).unwrap();
            assert_eq!(open_rtcp(&mut ours, now, &sealed).unwrap(), plain);
        }
    }
}

#[test]
fn replayed_packets_are_refused_within_the_window_behind_it_and_after_a_wrap() {
    let now = Instant::now();
    for profile in Profile::PREFERENCE {
        let (mut sender, mut receiver) = pair(profile);
        let range = 65_300u64..65_900;
        let packets: Vec<_> = range.map(|extended| seal(&mut sender, 9, extended, b"media")).collect();
        for packet in &packets {
            open(&mut receiver, now, packet).unwrap();
        }
        for packet in &packets {
            assert_eq!(open(&mut receiver, now, packet), Err(DropReason::SrtpReplayed));
        }
        let mut reports = Vec::new();
        for _ in 0..200 {
            let mut out = Vec::new();
            sender.outbound.seal_rtcp(&compound(9, 8), &mut out).unwrap();
            open_rtcp(&mut receiver, now, &out).unwrap();
            reports.push(out);
        }
        for report in &reports {
            assert_eq!(open_rtcp(&mut receiver, now, report), Err(DropReason::SrtpReplayed));
        }
    }
}

#[test]
fn reordering_around_the_wrap_opens_every_packet_once() {
    let now = Instant::now();
    for profile in Profile::PREFERENCE {
        let (mut sender, mut receiver) = pair(profile);
        let mut packets: Vec<_> = (65_400u64..65_700).map(|n| seal(&mut sender, 9, n, &n.to_be_bytes())).collect();
        open(&mut receiver, now, &packets.remove(0)).unwrap();
        for run in packets.chunks_mut(WINDOW as usize - 1) {
            run.reverse();
        }
        for packet in &packets {
            open(&mut receiver, now, packet).unwrap();
        }
    }
}

#[test]
fn a_forged_tag_moves_nothing_and_makes_no_state() {
    let now = Instant::now();
    for profile in Profile::PREFERENCE {
        let (mut sender, mut receiver) = pair(profile);
        let genuine = seal(&mut sender, 5, 10, b"first");
        for position in 0..genuine.len() {
            let mut forged = genuine.clone();
            forged[position] ^= 1;
            assert!(open(&mut receiver, now, &forged).is_err(), "bit flipped at {position}");
        }
        // A forgery far ahead must not move the window past the genuine packets.
        for ssrc in 0..1000u32 {
            let mut forged = header(ssrc, 40_000);
            forged.extend([0; 40]);
            assert_eq!(open(&mut receiver, now, &forged), Err(DropReason::SrtpUnauthenticated));
        }
        let mut report = Vec::new();
        sender.outbound.seal_rtcp(&compound(5, 20), &mut report).unwrap();
        for position in 0..report.len() {
            let mut forged = report.clone();
            forged[position] ^= 1;
            assert!(open_rtcp(&mut receiver, now, &forged).is_err());
        }
        assert_eq!(receiver.inbound.streams(), (0, 0));
        assert_eq!(open(&mut receiver, now, &genuine).unwrap()[HEADER_LEN..], *b"first");
        assert_eq!(open_rtcp(&mut receiver, now, &report).unwrap(), compound(5, 20));
        assert_eq!(receiver.inbound.streams(), (1, 1));
    }
}

#[test]
fn an_srtcp_packet_without_encryption_is_refused_even_with_a_right_tag() {
    let now = Instant::now();
    for profile in Profile::PREFERENCE {
        let (mut sender, mut receiver) = pair(profile);
        let mut out = Vec::new();
        sender.outbound.seal_rtcp(&compound(5, 20), &mut out).unwrap();
        let index_at = match profile {
            Profile::AeadAes128Gcm => out.len() - 4,
            Profile::Aes128CmHmacSha1_80 => out.len() - 14,
        };
        let mut clear = out.clone();
        clear[index_at] &= 0x7f;
        assert_eq!(open_rtcp(&mut receiver, now, &clear), Err(DropReason::SrtpUnauthenticated));
        assert!(open_rtcp(&mut receiver, now, &out).is_ok());
    }
}

#[test]
fn garbage_of_every_length_is_an_error() {
    let now = Instant::now();
    for profile in Profile::PREFERENCE {
        let (_, mut receiver) = pair(profile);
        for len in 0..=200usize {
            for fill in [0u8, 0x80, 0xff] {
                let mut garbage = vec![fill; len];
                assert!(receiver.inbound.open_rtp(now, 1, 2, HEADER_LEN, &mut garbage).is_err());
                let mut garbage = vec![fill; len];
                assert!(receiver.inbound.open_rtp(now, 1, 2, 500, &mut garbage).is_err(), "header past the end");
                let mut garbage = vec![fill; len];
                assert!(receiver.inbound.open_rtcp(now, &mut garbage).is_err());
            }
        }
        assert_eq!(receiver.inbound.streams(), (0, 0));
    }
}

#[test]
fn a_number_is_sealed_once_per_ssrc_and_late_only_within_the_window() {
    let (mut sender, _) = pair(Profile::AeadAes128Gcm);
    let mut sealed =
        |ssrc, extended: u64, sequence| try_seal(&mut sender, extended, &header(ssrc, sequence), b"x").map(|_| ());
    assert_eq!(sealed(1, 100, 100), Ok(()));
    assert_eq!(sealed(1, 100, 100), Err(DropReason::SrtpReplayed), "the same number");
    assert_eq!(sealed(1, 99, 99), Ok(()), "a packet that was overtaken");
    assert_eq!(sealed(1, 99, 99), Err(DropReason::SrtpReplayed), "the overtaken one again");
    assert_eq!(sealed(1, 3_000, 3_000), Ok(()), "a gap");
    assert_eq!(sealed(1, 1_976, 1_976), Err(DropReason::SrtpReplayed), "older than the window");
    assert_eq!(sealed(1, 1_977, 1_977), Ok(()), "the oldest in the window");
    assert_eq!(sealed(2, 100, 100), Ok(()), "another SSRC");
    assert_eq!(sealed(1, 65_636, 100), Ok(()), "the next rollover");
    assert_eq!(sealed(1, 100, 100), Err(DropReason::SrtpReplayed), "a rollover counter that went back");
    assert_eq!(sealed(1, 65_637, 9), Err(DropReason::Malformed), "header and number disagree");
    assert_eq!(sealed(1, 1 << 48, 0), Err(DropReason::Malformed), "past the last index");
    assert_eq!(try_seal(&mut sender, 5, &[0x80; 11], b"x"), Err(DropReason::Malformed));
}

#[test]
fn a_refused_packet_leaves_the_buffer_as_it_was() {
    let (mut sender, _) = pair(Profile::AeadAes128Gcm);
    let mut out = b"earlier".to_vec();
    assert!(sender.outbound.seal_rtcp(&[0x80; 7], &mut out).is_err());
    assert_eq!(out, b"earlier");
}

#[test]
fn a_prefix_takes_the_place_of_the_first_bytes_and_leaves_the_source_as_it_was() {
    for profile in Profile::PREFERENCE {
        let (mut one, _) = pair(profile);
        let (mut two, mut receiver) = pair(profile);
        let (header, mut source, mut prefix) = (header(1, 3), vec![7u8; 900], vec![8u8; 13]);
        let mut replaced = source.clone();
        replaced[..13].copy_from_slice(&prefix);
        let whole = try_seal(&mut one, 3, &header, &replaced).unwrap();
        let mut out = vec![0; 2_048];
        let packet = Plain { prefix: &mut prefix, ..Plain::new(3, &header, &mut source) };
        let len = two.outbound.seal_rtp(packet, &mut out).unwrap();
        assert_eq!(out[..len], whole);
        assert_eq!((source, prefix), (vec![7; 900], vec![8; 13]));
        assert_eq!(open(&mut receiver, Instant::now(), &whole).unwrap()[HEADER_LEN..], replaced);
    }
}

#[test]
fn padding_is_sealed_behind_the_payload_and_counts_itself() {
    for profile in Profile::PREFERENCE {
        let (mut sender, mut receiver) = pair(profile);
        for padding in 0..=MAX_PADDING_BYTES as u8 + 1 {
            let (header, mut out) = (header(1, padding.into()), vec![0; 200]);
            let mut payload = *b"payload";
            let packet = Plain { padding, ..Plain::new(padding.into(), &header, &mut payload) };
            let sealed = sender.outbound.seal_rtp(packet, &mut out);
            if usize::from(padding) > MAX_PADDING_BYTES {
                assert_eq!(sealed, Err(DropReason::Malformed));
                continue;
            }
            let opened = open(&mut receiver, Instant::now(), &out[..sealed.unwrap()]).unwrap();
            let (body, end) = opened[HEADER_LEN..].split_at(payload.len());
            assert_eq!((body, end.len()), (&payload[..], usize::from(padding)));
            assert_eq!(end.last().copied().unwrap_or(0), padding);
        }
    }
}

#[test]
fn a_packet_that_does_not_fit_or_contradicts_itself_is_refused_without_harm() {
    for profile in Profile::PREFERENCE {
        let (mut sender, mut receiver) = pair(profile);
        let (head, mut payload) = (header(1, 0), vec![7u8; 50]);
        let needed = try_seal(&mut sender, 0, &head, &payload).unwrap().len();
        for room in 0..needed {
            let head = header(1, room as u16 + 1);
            let packet = Plain::new(room as u64 + 1, &head, &mut payload);
            assert_eq!(sender.outbound.seal_rtp(packet, &mut vec![0; room]), Err(DropReason::Malformed), "{room}");
        }
        let head = header(1, 500);
        let packet = Plain { prefix: &mut [1; 51], ..Plain::new(500, &head, &mut payload) };
        assert_eq!(sender.outbound.seal_rtp(packet, &mut [0; 200]), Err(DropReason::Malformed), "prefix too long");
        assert_eq!(payload, [7; 50]);
        let next = seal(&mut sender, 1, 501, &payload);
        assert!(open(&mut receiver, Instant::now(), &next).is_ok());
    }
}

#[test]
fn streams_are_bounded_and_an_idle_one_makes_room_and_resumes_only_upwards() {
    let now = Instant::now();
    let (mut sender, mut receiver) = pair(Profile::AeadAes128Gcm);
    let first = seal(&mut sender, 0, 7, b"first");
    open(&mut receiver, now, &first).unwrap();
    for ssrc in 1..limits::RECEIVE_STREAMS as u32 {
        let packet = seal(&mut sender, ssrc, 1, b"");
        open(&mut receiver, now + Duration::from_secs(1), &packet).unwrap();
    }
    let extra = seal(&mut sender, 1000, 1, b"extra");
    let early = now + Duration::from_secs(2);
    assert_eq!(open(&mut receiver, early, &extra), Err(DropReason::TooManyStreams));
    assert_eq!(receiver.inbound.streams().0, limits::RECEIVE_STREAMS);

    let late = now + Duration::from_secs(60);
    assert!(open(&mut receiver, late, &extra).is_ok(), "the oldest was idle and made room");
    assert_eq!(receiver.inbound.streams().0, limits::RECEIVE_STREAMS);
    assert_eq!(open(&mut receiver, late, &first), Err(DropReason::SrtpReplayed), "it is not forgotten");
    let resumed = seal(&mut sender, 0, 8, b"resumed");
    assert!(open(&mut receiver, late, &resumed).is_ok());
}
