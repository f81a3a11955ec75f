//! The data channels: which is which by label, who sent a packet and whom it is for, and the handles of data tracks.
//!
//! What always holds: nobody speaks in another's name, but an agent in chat and in text streams; nobody speaks for the
//! server. What a packet carries is not looked into, and passes byte for byte: the stamp is appended, as in protocol
//! buffers the last value of a field holds. Only user packets are written anew, because their stamp lies inside.

use bytes::{Bytes, BytesMut};
use livekit_protocol as proto;
use prost::Message;
use proto::data_packet::{Kind, Value};
use proto::data_stream::header::ContentHeader;

use crate::room::command::{DataChannelKind, DataError, DataProtocol, DataSender, Recipients, RoutedData};
use crate::room::model::{Identity, ParticipantId};

/// Recipients one packet may name; more are an error, not a list cut short. A room holds no more worth naming.
const DESTINATIONS: usize = 1024;
/// Data track packets start with this many bytes: version and flags, reserved, handle, sequence, frame, timestamp.
const TRACK_HEADER_BYTES: usize = 12;
/// Where the handle lies, in network byte order.
const TRACK_HANDLE: std::ops::Range<usize> = 2..4;

/// Reads this protocol's data channels.
pub struct LivekitData;

impl DataProtocol for LivekitData {
    fn channel_kind(&self, label: &str) -> Option<DataChannelKind> {
        match label {
            "_reliable" => Some(DataChannelKind::Reliable),
            "_lossy" => Some(DataChannelKind::Lossy),
            "_data_track" => Some(DataChannelKind::Track),
            _ => None,
        }
    }

    fn route(&self, sender: DataSender<'_>, kind: DataChannelKind, message: &[u8]) -> Result<RoutedData, DataError> {
        let packet = proto::DataPacket::decode(message).map_err(|_| DataError::Malformed)?;
        let value = packet.value.as_ref().ok_or(DataError::Malformed)?;
        let mut recipients = recipients(&packet)?;
        match value {
            // Only the server tells who speaks.
            #[allow(deprecated)]
            Value::Speaker(_) => return Err(DataError::NotAllowed),
            Value::Transcription(_) if !sender.agent => return Err(DataError::NotAllowed),
            Value::Metrics(_) => recipients = Recipients::Nobody,
            _ => {}
        }
        let sequence = packet.sequence;
        let message = match value {
            Value::User(_) => user_packet(packet, sender, kind),
            _ => stamped(message, sender, kind, speaks_for_another(&packet, value, sender)),
        };
        Ok(RoutedData { message, recipients, sequence })
    }

    fn track_handle(&self, packet: &[u8]) -> Option<u16> {
        if packet.len() < TRACK_HEADER_BYTES {
            return None;
        }
        let handle = u16::from_be_bytes(packet.get(TRACK_HANDLE)?.try_into().ok()?);
        Some(handle).filter(|handle| *handle != 0)
    }

    fn with_track_handle(&self, packet: &[u8], handle: u16) -> Bytes {
        let mut copy = BytesMut::from(packet);
        if let Some(place) = copy.get_mut(TRACK_HANDLE) {
            place.copy_from_slice(&handle.to_be_bytes());
        }
        copy.freeze()
    }
}

/// Everyone, unless the packet names some; older clients name them in the user packet.
#[allow(deprecated)]
fn recipients(packet: &proto::DataPacket) -> Result<Recipients, DataError> {
    let user = match &packet.value {
        Some(Value::User(user)) => Some(user),
        _ => None,
    };
    let identities = match user {
        Some(user) if packet.destination_identities.is_empty() => &user.destination_identities,
        _ => &packet.destination_identities,
    };
    let sids = user.map(|user| user.destination_sids.as_slice()).unwrap_or_default();
    if identities.len().saturating_add(sids.len()) > DESTINATIONS {
        return Err(DataError::Malformed);
    }
    if identities.is_empty() && sids.is_empty() {
        return Ok(Recipients::Everyone);
    }
    Ok(Recipients::Only {
        identities: identities.iter().map(|identity| Identity::new(identity)).collect(),
        participants: sids.iter().map(|sid| ParticipantId::new(sid)).collect(),
    })
}

/// Agents speak in the name of the participant they serve.
fn speaks_for_another(packet: &proto::DataPacket, value: &Value, sender: DataSender<'_>) -> bool {
    let may = match value {
        Value::ChatMessage(_) | Value::Transcription(_) => true,
        Value::StreamHeader(header) => matches!(header.content_header, Some(ContentHeader::TextHeader(_))),
        _ => false,
    };
    may && sender.agent && !packet.participant_identity.is_empty()
}

fn packet_kind(kind: DataChannelKind) -> Kind {
    match kind {
        DataChannelKind::Reliable => Kind::Reliable,
        DataChannelKind::Lossy | DataChannelKind::Track => Kind::Lossy,
    }
}

/// The packet with its stamp appended.
fn stamped(message: &[u8], sender: DataSender<'_>, kind: DataChannelKind, in_anothers_name: bool) -> Bytes {
    use prost::encoding::{int32, string};
    let (id, identity) = (sender.id.as_str().to_owned(), sender.identity.as_str().to_owned());
    // Each field's tag takes at most two bytes, each length at most two.
    let mut out = BytesMut::with_capacity(message.len() + id.len() + identity.len() + 12);
    out.extend_from_slice(message);
    int32::encode(field::KIND, &packet_kind(kind).into(), &mut out);
    if !in_anothers_name {
        string::encode(field::PARTICIPANT_IDENTITY, &identity, &mut out);
    }
    string::encode(field::PARTICIPANT_SID, &id, &mut out);
    out.freeze()
}

/// Field numbers of `DataPacket`; a test holds them to the message.
mod field {
    pub const KIND: u32 = 1;
    pub const PARTICIPANT_IDENTITY: u32 = 4;
    pub const PARTICIPANT_SID: u32 = 17;
}

/// A user packet with its stamp inside and outside, and its recipients in both places, as clients old and new read them.
#[allow(deprecated)]
fn user_packet(mut packet: proto::DataPacket, sender: DataSender<'_>, kind: DataChannelKind) -> Bytes {
    let (id, identity) = (sender.id.to_string(), sender.identity.to_string());
    if let Some(Value::User(user)) = &mut packet.value {
        user.participant_sid.clone_from(&id);
        user.participant_identity.clone_from(&identity);
        if packet.destination_identities.is_empty() {
            packet.destination_identities.clone_from(&user.destination_identities);
        } else {
            user.destination_identities.clone_from(&packet.destination_identities);
        }
    }
    packet.kind = packet_kind(kind).into();
    packet.participant_sid = id;
    packet.participant_identity = identity;
    packet.encode_to_vec().into()
}

#[cfg(test)]
#[allow(deprecated)]
mod tests;
