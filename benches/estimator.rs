//! What rate control of one subscriber costs: numbering a packet, and reading a feedback of 30 packets; and what it holds in memory.

#![allow(clippy::expect_used, reason = "a benchmark that cannot begin has failed")]

mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use sfumato::congestion::bitrate::Bitrate;
use sfumato::congestion::estimator::Estimator;
use sfumato::wire::Ssrc;
use sfumato::wire::rtcp::transport_feedback::{Feedback, ReceivedFeedback};

/// 300 packets a second, told of ten times a second.
const PACKETS: u32 = 30;
const GAP: Duration = Duration::from_micros(3_333);
/// Header and SSRCs before the FCI.
const BEFORE: usize = 12;

/// A subscriber's estimator, and the time that passes for it.
struct Subscriber {
    estimator: Estimator,
    start: Instant,
    now: Instant,
}

impl Subscriber {
    fn new() -> Subscriber {
        let start = Instant::now();
        let mut estimator = Estimator::new(Bitrate::from_kbps(2_000));
        estimator.want(Bitrate::from_kbps(3_000));
        Subscriber { estimator, start, now: start }
    }

    fn send(&mut self) {
        self.now += GAP;
        self.estimator.sent(black_box(self.now), black_box(1_100));
    }

    /// Feedback of the next packets, which arrive after 20 ms.
    fn told(&mut self) -> Vec<u8> {
        let base = self.estimator.next_number();
        let first = self.now.saturating_duration_since(self.start) + Duration::from_millis(20);
        let arrivals = (1..=PACKETS).map(|i| (i != 7).then_some(first + GAP * i));
        let mut bytes = Vec::new();
        Feedback::new(Ssrc(1), Ssrc(2), base, 0, arrivals).write(&mut bytes);
        bytes.split_off(BEFORE)
    }
}

fn estimator(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a subscriber's estimator");
    let mut subscriber = Subscriber::new();
    group.bench_function("packet sent", |b| b.iter(|| subscriber.send()));
    let mut subscriber = Subscriber::new();
    group.bench_function("feedback of 30 packets", |b| {
        b.iter_custom(|count| {
            let mut total = Duration::ZERO;
            for _ in 0..count {
                let fci = subscriber.told();
                (0..PACKETS).for_each(|_| subscriber.send());
                let start = Instant::now();
                let feedback = ReceivedFeedback::parse(black_box(&fci)).expect("our own");
                black_box(subscriber.estimator.on_feedback(subscriber.now, &feedback));
                black_box(subscriber.estimator.poll_timeout());
                total += start.elapsed();
            }
            total
        });
    });
    group.finish();
}

criterion_group! { name = benches; config = support::criterion(); targets = estimator }
criterion_main!(benches);
