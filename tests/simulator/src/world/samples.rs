//! What was known of each client every 100 ms: what the server took its way for, and what it saw.
//!
//! What always holds: looking changes nothing; a sample holds what held just before its time.

use std::time::Duration;

use sfumato::congestion::bitrate::Bitrate;

use super::tap::SLICE;
use super::{ClientId, World};

/// Of one client, at the end of 100 ms.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    pub client: ClientId,
    pub at: Duration,
    /// What the server takes the way to the client for, bits a second.
    pub estimate: Option<u64>,
    /// The encoding shown last, of the track that changed last.
    pub layer: Option<u8>,
    /// How long pictures have stood still, of all tracks.
    pub frozen: Duration,
}

impl World {
    /// Samples up to a time before which nothing more happens.
    pub(super) fn sample_until(&mut self, until: Duration) {
        while let Some(at) = self.sampled.map(|sampled| sampled + SLICE).filter(|at| *at <= until) {
            self.sampled = Some(at);
            let watching = self.places.iter().enumerate().filter(|(_, place)| !place.client.receivers.is_empty());
            let samples = watching.map(|(client, place)| {
                let playouts = place.client.receivers.values().filter_map(|receiver| receiver.playouts.first());
                Sample {
                    client,
                    at,
                    estimate: self.shard.downlink_rate(self.base + at, place.address).map(Bitrate::bps),
                    layer: place.layer,
                    frozen: playouts.map(|playout| playout.freezes.total).sum(),
                }
            });
            self.samples.extend(samples);
        }
    }
}
