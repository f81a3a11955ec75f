//! Flows that share a path: the testbed of RFC 8867. Media flows run the server's own congestion control (numbering, estimator,
//! pacer, probes: `sfumato::shard::downlink`) around a model codec; TCP flows run a model of CUBIC. [`network`] owns time and
//! order, [`bottleneck`] the queues, [`meter`] what is measured.
//!
//! What always holds: no clock is read, and one seed gives one course; all that shares a direction shares one queue, what tells a
//! sender what arrived included.

pub mod bottleneck;
pub mod cubic;
pub mod media;
pub mod meter;
pub mod network;
pub mod receiver;
pub mod sender;
pub mod tcp;

use std::time::Duration;

use bytes::Bytes;

/// What IPv4 and UDP add to a datagram, bytes.
pub const UDP_BYTES: usize = 28;

/// Which side of a flow something goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Receiver,
    Sender,
}

/// A packet of a media flow.
#[derive(Clone, Debug)]
pub struct MediaPacket {
    /// The transport-wide number.
    pub number: u16,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Bytes,
    /// Sent again, as what was lost or for a probe.
    pub repaired: bool,
    /// When it was sent.
    pub left: Duration,
}

#[derive(Clone, Debug)]
pub enum Content {
    Media(MediaPacket),
    /// Compound RTCP packets.
    Control(Bytes),
    Segment(tcp::Segment),
    Ack(tcp::Ack),
}

/// Something that is to be sent towards one side.
#[derive(Clone, Debug)]
pub struct Departure {
    pub towards: End,
    /// On the wire, with all headers above Ethernet's.
    pub bytes: usize,
    pub content: Content,
}
