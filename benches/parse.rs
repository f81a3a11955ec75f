//! What it costs to read a packet: demultiplexing, header, extensions, payload descriptor; beside the library's parser.

#![allow(clippy::expect_used, reason = "a benchmark that cannot begin has failed")]

mod support;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rtc_shared::marshal::Unmarshal;
use sfumato::wire::codec::{Codec, inspect};
use sfumato::wire::demux::classify;
use sfumato::wire::extension::Extension;
use sfumato::wire::rtp::Header;

fn parse(criterion: &mut Criterion) {
    let (packet, map) = (support::video(7, support::VIDEO_BYTES), support::extensions());
    let header = Header::parse(&packet).expect("a packet");
    let mut group = criterion.benchmark_group("parse");
    group.bench_function("demux", |b| b.iter(|| classify(black_box(&packet))));
    group.bench_function("header", |b| b.iter(|| Header::parse(black_box(&packet))));
    group.bench_function("transport-cc of four extensions", |b| {
        b.iter(|| header.extension(black_box(&packet), &map, Extension::TransportCc));
    });
    group.bench_function("vp8 descriptor", |b| {
        b.iter(|| inspect(Codec::Vp8, black_box(&packet[header.len..]), None, &mut None));
    });
    let bytes = bytes::Bytes::from(packet.clone());
    group.bench_function("rtc-rtp, packet", |b| {
        b.iter(|| rtp::packet::Packet::unmarshal(&mut black_box(&bytes).clone()));
    });
    group.finish();
}

criterion_group! { name = benches; config = support::criterion(); targets = parse }
criterion_main!(benches);
