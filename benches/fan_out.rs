//! What a whole shard does for a frame of ten packets: opened, kept, rewritten and sealed for 1 to 1,000 subscribers; and
//! what a datagram from a stranger costs it. Without the kernel.

#[path = "support/call.rs"]
mod call;
mod support;

use std::time::{Duration, Instant};

use call::Call;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Packets of a frame.
const FRAME: usize = 10;

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out of a frame");
    for subscribers in [1, 10, 100, 1_000] {
        let mut call = Call::new(subscribers);
        group.throughput(Throughput::Elements((FRAME * subscribers) as u64));
        group.bench_function(BenchmarkId::from_parameter(subscribers), |b| {
            b.iter_custom(|count| {
                let mut total = Duration::ZERO;
                for _ in 0..count {
                    let mut frame = call.sealed(FRAME);
                    let start = Instant::now();
                    let sent = call.forward(&mut frame);
                    total += start.elapsed();
                    assert_eq!(sent, FRAME * subscribers);
                }
                total
            });
        });
    }
    group.finish();
}

fn strangers(criterion: &mut Criterion) {
    let mut call = Call::new(100);
    let mut group = criterion.benchmark_group("a stranger's datagram");
    let stun: Vec<u8> = [&[0, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12], &[0, 6, 0, 5], b"abcd:efg"].concat();
    let kinds = [("rtp", support::video(7, 1_100)), ("dtls", vec![22, 254, 253, 0, 0, 0]), ("stun", stun)];
    for (name, mut datagram) in kinds {
        group.bench_function(name, |b| b.iter(|| call.stranger_sends(&mut datagram)));
    }
    group.finish();
}

criterion_group! { name = benches; config = support::criterion(); targets = fan_out, strangers }
criterion_main!(benches);
