//! Sfumato: a selective forwarding unit (RFC 7667, section 3.7).
//!
//! The core (`wire`, `transport`, `negotiation`, `media`, `room`) is sans-IO: it takes `now`, bytes and
//! randomness as arguments and returns values. `shard` glues it to `net`; `signalling` adapts protocols to
//! the one port of `signalling::port`; `server` composes everything. ARCHITECTURE.md tells the life of a packet.

pub mod api;
pub mod clock;
pub mod commands;
pub mod config;
pub mod congestion;
pub mod lifecycle;
pub mod limits;
pub mod media;
pub mod negotiation;
pub mod net;
pub mod recorder;
pub mod room;
pub mod server;
pub mod shard;
pub mod signalling;
pub mod telemetry;
pub mod transport;
pub mod wire;
