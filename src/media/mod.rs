//! RTP streams through the server: reception statistics, sources with their encodings, and the rewriting towards each subscriber.
//!
//! What always holds: no allocation per packet; what a subscriber receives has contiguous sequence numbers but for gaps that
//! were real, and timestamps that never jump because of a layer switch.

pub mod audio_level;
pub mod cache;
pub mod catch_up;
pub mod clock;
pub mod forward;
pub mod keyframe;
pub mod ladder;
pub mod layer_rates;
pub mod layers;
pub mod nack;
pub mod receive;
mod ring;
pub mod round_trip;
pub mod scalability;
