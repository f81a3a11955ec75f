//! What the whole-server tests share: a server process, a signalling connection, a peer of an independent WebRTC
//! stack (crate `webrtc`), synthetic media, a relay on the path.
//!
//! What always holds: every wait has an end, and nothing outlives its owner: a dropped server is a dead process.

#![allow(dead_code, reason = "each test binary uses its own part of this module")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it is wrong")]

/// Runs each scenario on one shard and on two.
#[allow(unused_macros, reason = "each test binary uses its own part of this module")]
macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        mod on_one_shard {
            use super::support::server::Server;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&mut Server::start()).await;
            })*
        }
        mod on_two_shards {
            use super::support::server::Server;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let mut server = Server::start_spread();
                super::$name(&mut server).await;
                assert!(server.metric("sfumato_guests_total") > 0, "nobody was hosted away from home");
            })*
        }
    };
}

pub mod hostile;
pub mod media;
pub mod peer;
pub mod relay;
pub mod server;
pub mod signal;
pub mod stream;

use std::future::Future;
use std::time::{Duration, Instant};

/// Time for anything that takes one or a few round trips on loopback; generous, for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Time between two looks at something that is only seen by looking.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The result of `wait`, or a panic that names what did not come within [`PATIENCE`].
pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Looks until `look` gives something; panics with `what` and the last state told after [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(state) => assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}; {state}"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
