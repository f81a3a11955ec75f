//! The data channel establishment protocol (RFC 8832) and the payload protocol identifiers of messages (RFC 8831, section 8).

use bytes::Bytes;
use rtc_datachannel::message::Message;
use rtc_datachannel::message::message_channel_open::ChannelType;
use rtc_sctp::{PayloadProtocolIdentifier as Identifier, ReliabilityType};
use rtc_shared::marshal::Unmarshal;

use crate::limits;

const DATA_CHANNEL_OPEN: u8 = 3;
/// DATA_CHANNEL_ACK is its type alone.
pub(super) const ACK: [u8; 1] = [2];

/// The parameters of a channel, as the peer opened it; they hold for both directions.
#[derive(Clone, Copy)]
pub(super) struct Channel {
    pub ordered: bool,
    pub reliability: ReliabilityType,
    /// Retransmissions or milliseconds.
    pub reliability_value: u32,
    /// Bytes queued or unacknowledged, the acknowledgement of the opening included.
    pub buffered: usize,
}

impl Channel {
    /// Reads DATA_CHANNEL_OPEN; gives the label too. `None` for anything else, and for a label that is too long or no text.
    pub fn read_open(mut message: &[u8]) -> Option<(Channel, String)> {
        if message.first() != Some(&DATA_CHANNEL_OPEN) {
            return None;
        }
        let Ok(Message::DataChannelOpen(open)) = Message::unmarshal(&mut message) else {
            return None;
        };
        let (ordered, reliability) = match open.channel_type {
            ChannelType::Reliable => (true, ReliabilityType::Reliable),
            ChannelType::ReliableUnordered => (false, ReliabilityType::Reliable),
            ChannelType::PartialReliableRexmit => (true, ReliabilityType::Rexmit),
            ChannelType::PartialReliableRexmitUnordered => (false, ReliabilityType::Rexmit),
            ChannelType::PartialReliableTimed => (true, ReliabilityType::Timed),
            ChannelType::PartialReliableTimedUnordered => (false, ReliabilityType::Timed),
            _ => return None,
        };
        if open.label.len() > limits::NAME_BYTES {
            return None;
        }
        let label = String::from_utf8(open.label).ok()?;
        let channel =
            Channel { ordered, reliability, reliability_value: open.reliability_parameter, buffered: ACK.len() };
        Some((channel, label))
    }
}

/// Identifier and bytes of a message. SCTP carries no empty message: one byte stands for it.
pub(super) fn encode(binary: bool, message: &[u8]) -> (Identifier, &[u8]) {
    match (binary, message.is_empty()) {
        (false, false) => (Identifier::String, message),
        (false, true) => (Identifier::StringEmpty, &[0]),
        (true, false) => (Identifier::Binary, message),
        (true, true) => (Identifier::BinaryEmpty, &[0]),
    }
}

/// Whether a message is binary, and its bytes.
pub(super) fn decode(identifier: Identifier, message: Bytes) -> Option<(bool, Bytes)> {
    match identifier {
        Identifier::String => Some((false, message)),
        Identifier::StringEmpty => Some((false, Bytes::new())),
        Identifier::Binary => Some((true, message)),
        Identifier::BinaryEmpty => Some((true, Bytes::new())),
        _ => None,
    }
}
