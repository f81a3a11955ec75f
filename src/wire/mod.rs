//! Bytes to values and back: RTP, RTCP, header extensions, codec descriptors. No state, no clock, no I/O.
//!
//! What always holds: any bytes give a value or an error, never a panic and never an allocation
//! that grows with what a length field claims.

mod bytes;
pub mod codec;
pub mod demux;
pub mod extension;
pub mod ids;
pub mod rtcp;
pub mod rtp;
pub mod rtx;

pub use ids::{Mid, PayloadType, Rid, Ssrc};
