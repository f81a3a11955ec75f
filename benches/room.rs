//! What a participant costs its room as the room grows: one joins, connects, is told to everybody, and leaves again. The room's
//! decisions and the list of what they ask for; encoding and sending them is the adaptors' part.

#![allow(clippy::expect_used, reason = "a benchmark that cannot begin has failed")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sfumato::room::command::{JoinRequest, NoData};
use sfumato::room::model::{Grants, Identity, LeaveReason, RoomName};
use sfumato::room::participant::ParticipantKey;
use sfumato::room::{Moment, Room, RoomConfig};

/// What waits to be told is told after this.
const SETTLE: Duration = Duration::from_secs(1);
/// Joins of a storm, into a room of as many.
const STORM: usize = 1_000;

fn request(identity: &str) -> JoinRequest {
    let grants = Grants {
        publish: true,
        publish_sources: Vec::new(),
        publish_data: true,
        subscribe: true,
        update_own_metadata: true,
        hidden: false,
        recorder: false,
        agent: false,
    };
    JoinRequest {
        room: RoomName::new("r"),
        identity: Identity::new(identity),
        name: identity.to_owned(),
        metadata: String::new(),
        attributes: BTreeMap::new(),
        grants,
        auto_subscribe: true,
        auto_subscribe_data: true,
        follow: None,
        offer: None,
        announcements: Vec::new(),
        opaque: Bytes::new(),
        data_protocol: Arc::new(NoData),
    }
}

/// A room of connected participants, with its clock.
struct Busy {
    room: Room,
    now: Instant,
    random: StdRng,
    /// What was asked for, counted so that it is looked at.
    effects: usize,
}

impl Busy {
    fn of(size: usize) -> Busy {
        let now = Instant::now();
        let config = RoomConfig {
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            max_participants: 0,
        };
        let mut random = StdRng::seed_from_u64(7);
        let room = Room::new(RoomName::new("r"), config, Moment { now, unix_ms: 1_000 }, &mut random);
        let mut busy = Busy { room, now, random, effects: 0 };
        (0..size).for_each(|key| busy.join(key));
        busy.settle();
        busy
    }

    fn join(&mut self, key: usize) {
        let at = Moment { now: self.now, unix_ms: 1_000 };
        let (key, request) = (ParticipantKey(key), request(&key.to_string()));
        self.room.join(at, key, &request, &mut self.random).expect("a place");
        self.room.connected(self.now, key);
        self.effects += self.room.take_effects().len();
    }

    fn leave(&mut self, key: usize) {
        self.room.leave(self.now, ParticipantKey(key), LeaveReason::ClientLeft);
        self.settle();
    }

    fn settle(&mut self) {
        self.now += SETTLE;
        self.room.handle_timeout(self.now);
        self.effects += self.room.take_effects().len();
    }
}

fn room(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("room/join, connect and leave in a room of");
    for size in [10, 100, 1_000] {
        let mut busy = Busy::of(size);
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                busy.join(size);
                busy.settle();
                busy.leave(size);
                busy.effects
            });
        });
    }
    group.finish();
    criterion.bench_function("room/a thousand join a room of a thousand", |b| {
        b.iter_batched_ref(
            || Busy::of(STORM),
            |busy| {
                (STORM..2 * STORM).for_each(|key| busy.join(key));
                busy.settle();
                busy.effects
            },
            BatchSize::PerIteration,
        );
    });
}

criterion_group! {
    name = benches;
    config = support::criterion();
    targets = room
}
criterion_main!(benches);
