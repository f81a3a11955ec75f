//! Both profiles in both directions (RFC 3711, RFC 7714), 1,100 bytes, beside the library's SRTP.

#![allow(clippy::expect_used, reason = "a benchmark that cannot begin has failed")]

mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use rtc_dtls::crypto_provider::RTCCryptoProvider;
use rtc_dtls::crypto_provider::providers::AwsLcRsProvider;
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;
use sfumato::transport::srtp::{Plain, Profile, Srtp};
use sfumato::wire::rtp::Header;

/// Packets opened between two clock readings.
const BATCH: u64 = 64;

fn profile_pairs() -> [(&'static str, Profile, ProtectionProfile); 2] {
    [
        ("AES-128-GCM", Profile::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm),
        ("AES-CM-HMAC-SHA1-80", Profile::Aes128CmHmacSha1_80, ProtectionProfile::Aes128CmHmacSha1_80),
    ]
}

fn pair(profile: Profile) -> (Srtp, Srtp) {
    let material: Vec<u8> = (0..profile.keying_material_bytes()).map(|byte| byte as u8).collect();
    let end = |is_client| Srtp::new(profile, &material, is_client).expect("enough material");
    (end(true), end(false))
}

/// The same keys in the library: what the server's end sends with.
fn theirs(profile: Profile, their_profile: ProtectionProfile) -> Context {
    let material: Vec<u8> = (0..profile.keying_material_bytes()).map(|byte| byte as u8).collect();
    let (key, salt) = (&material[16..32], &material[32 + profile.salt_bytes()..32 + 2 * profile.salt_bytes()]);
    let provider = AwsLcRsProvider::new();
    Context::new(key, salt, their_profile, None, None, provider.crypto()).expect("a context")
}

fn srtp(criterion: &mut Criterion) {
    let packet = support::video(7, support::VIDEO_BYTES);
    let header_len = Header::parse(&packet).expect("a packet").len;
    for (name, profile, their_profile) in profile_pairs() {
        let mut group = criterion.benchmark_group(format!("srtp {name}"));
        let mut out = vec![0; 2_048];
        let (_, mut server) = pair(profile);
        let (mut head, mut payload) = (packet[..header_len].to_vec(), packet[header_len..].to_vec());
        let mut sequence = 0u64;
        group.bench_function("seal", |b| {
            b.iter(|| {
                sequence += 1;
                head[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
                server.outbound.seal_rtp(Plain::new(sequence, &head, &mut payload), &mut out)
            });
        });
        group.bench_function("open in place", |b| {
            b.iter_custom(|count| {
                let (mut client, mut server) = pair(profile);
                let arrival = Instant::now();
                open(&mut server, &packet, header_len, count, |sealed| {
                    let header = Header::parse(sealed).expect("a header");
                    let (ssrc, sequence) = (header.ssrc.0, header.sequence_number);
                    client.inbound.open_rtp(arrival, ssrc, sequence, header.len, sealed).is_ok()
                })
            });
        });
        group.bench_function("rtc-srtp, open", |b| {
            b.iter_custom(|count| {
                let (mut library, (_, mut server)) = (theirs(profile, their_profile), pair(profile));
                open(&mut server, &packet, header_len, count, |sealed| library.decrypt_rtp(sealed).is_ok())
            });
        });
        let mut library = theirs(profile, their_profile);
        let mut plain = packet.clone();
        group.bench_function("rtc-srtp, seal", |b| {
            b.iter(|| {
                sequence += 1;
                plain[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
                library.encrypt_rtp(&plain)
            });
        });
        group.finish();
    }
}

/// Time to open `count` packets that are sealed between the measured stretches, since none opens twice.
fn open(
    server: &mut Srtp,
    packet: &[u8],
    header_len: usize,
    count: u64,
    mut open_one: impl FnMut(&mut [u8]) -> bool,
) -> Duration {
    let (mut total, mut done) = (Duration::ZERO, 0);
    while done < count {
        let batch = BATCH.min(count - done);
        let mut sealed: Vec<Vec<u8>> = (done..done + batch).map(|n| seal(server, packet, header_len, n + 1)).collect();
        let start = Instant::now();
        assert!(sealed.iter_mut().all(|packet| open_one(packet)), "every packet opens");
        total += start.elapsed();
        done += batch;
    }
    total
}

fn seal(sender: &mut Srtp, packet: &[u8], header_len: usize, sequence: u64) -> Vec<u8> {
    let (mut head, mut payload) = (packet[..header_len].to_vec(), packet[header_len..].to_vec());
    head[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
    let mut out = vec![0; 2_048];
    let len = sender.outbound.seal_rtp(Plain::new(sequence, &head, &mut payload), &mut out).expect("sealed");
    out.truncate(len);
    out
}

criterion_group! { name = benches; config = support::criterion(); targets = srtp }
criterion_main!(benches);
