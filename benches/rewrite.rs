//! What it costs to rewrite a packet for a subscriber (header, extensions, VP8 counters), to remember it for retransmission, and
//! to keep it in the cache; and what a NACK costs that names many packets and gets none.

#![allow(clippy::expect_used, reason = "a benchmark that cannot begin has failed")]

mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sfumato::media::cache::PacketCache;
use sfumato::media::forward::{Hop, RtxTarget, Scratch, SendStream, Target};
use sfumato::media::layers::Selection;
use sfumato::wire::codec::Codec;
use sfumato::wire::{Mid, PayloadType, Ssrc};

/// Packets of the source: a keyframe, then the rest. Taken in turn under growing numbers.
const PACKETS: u64 = 64;

fn target() -> Target {
    Target {
        ssrc: Ssrc(9),
        clock_rate: 90_000,
        payload_types: vec![(Codec::Vp8, PayloadType(100))],
        extensions: support::extensions(),
        mid: Mid::new("3").expect("a mid"),
    }
}

fn rewrite(criterion: &mut Criterion) {
    let source = support::extensions();
    let now = Instant::now();
    let packets: Vec<_> = (0..PACKETS).map(|n| support::video(n, support::VIDEO_BYTES)).collect();
    let mut stream = SendStream::new(target(), &mut StdRng::seed_from_u64(1));
    stream.select(Some(Selection::all(0)));
    let (mut sequence, mut scratch) = (0, Scratch::default());
    criterion.bench_function("rewrite/vp8 for one subscriber", |b| {
        b.iter(|| {
            let packet = &packets[sequence as usize % packets.len()];
            let mut record = support::record(packet, 0).expect("a record");
            record.extended_sequence = 70_000 + sequence;
            sequence += 1;
            stream.forward(now, &record, &source, packet, Hop::default(), &mut scratch).map(|out| out.extended_sequence)
        });
    });
}

/// As to a subscriber that may ask again: 250 packets a second.
fn remembered(criterion: &mut Criterion) {
    let source = support::extensions();
    let start = Instant::now();
    let packets: Vec<_> = (0..PACKETS).map(|n| support::video(n, support::VIDEO_BYTES)).collect();
    let mut stream = SendStream::new(target(), &mut StdRng::seed_from_u64(1));
    let rtx = RtxTarget { ssrc: Ssrc(10), payload_types: vec![(PayloadType(100), PayloadType(101))] };
    stream.retransmit_to(rtx, &mut StdRng::seed_from_u64(1));
    stream.select(Some(Selection::all(0)));
    let (mut sequence, mut newest, mut scratch) = (0, 0, Scratch::default());
    criterion.bench_function("rewrite/vp8, remembered for retransmission", |b| {
        b.iter(|| {
            let packet = &packets[sequence as usize % packets.len()];
            let mut record = support::record(packet, 0).expect("a record");
            record.extended_sequence = 70_000 + sequence;
            let now = start + Duration::from_millis(4 * sequence);
            sequence += 1;
            newest = stream
                .forward(now, &record, &source, packet, Hop::default(), &mut scratch)
                .map_or(newest, |out| out.extended_sequence);
        });
    });
    // Each was sent again a moment ago, or is not there.
    let now = start + Duration::from_millis(4 * sequence);
    let asked = |stream: &mut SendStream| {
        (0..512u16).filter(|back| stream.find_lost(now, (newest as u16).wrapping_sub(*back)).is_ok()).count()
    };
    criterion.bench_function("nack/512 packets", |b| b.iter(|| asked(&mut stream)));
}

fn cache(criterion: &mut Criterion) {
    let start = Instant::now();
    let packet = support::video(1, support::VIDEO_BYTES);
    let record = support::record(&packet, 1).expect("a record");
    let (mut cache, mut sequence) = (PacketCache::default(), 70_000u64);
    let mut group = criterion.benchmark_group("cache");
    group.bench_function("insert", |b| {
        b.iter(|| {
            sequence += 1;
            let mut record = record;
            record.extended_sequence = sequence;
            cache.insert(start + Duration::from_millis(4 * (sequence - 70_000)), record, &packet);
        });
    });
    let mut back = 0;
    group.bench_function("find", |b| {
        b.iter(|| {
            back = (back + 1) % 64;
            cache.get_mut(sequence - back).map(|(_, bytes)| bytes.len())
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = support::criterion(); targets = rewrite, remembered, cache }
criterion_main!(benches);
