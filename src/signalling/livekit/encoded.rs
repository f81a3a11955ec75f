//! The bytes of what many clients are told: made once, however many read them.
//!
//! A participant is encoded once for each change of it, and whatever lists participants is put together from those bytes:
//! elements of a repeated field lie one after another, each with the field's key and its length (protocol buffers).
//!
//! What always holds: the bytes decode to what `responses` says of the event.

use bytes::{BufMut, Bytes, BytesMut};
use livekit_protocol as proto;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use proto::signal_response::Message as Answer;

use super::{model, responses};
use crate::room::event::{Event, JoinedRoom};
use crate::room::model::ParticipantInfo;
use crate::room::shared::Shared;

/// Under which shared values keep this protocol's bytes.
const PROTOCOL_NAME: &str = "livekit";

/// Field numbers: `SignalResponse.join` and `.update`, `JoinResponse.other_participants`, `ParticipantUpdate.participants`.
const JOIN: u32 = 1;
const UPDATE: u32 = 5;
const OTHER_PARTICIPANTS: u32 = 3;
const PARTICIPANTS: u32 = 1;

/// The message for an event that many are told, as a binary frame. `None` for the others.
pub(super) fn encoded(event: &Event, protocol: i32) -> Option<Bytes> {
    let bytes = match event {
        Event::Joined(joined) => join(joined),
        Event::Participants(infos) => infos.encoded(PROTOCOL_NAME, |infos| update(infos)),
        Event::Speakers(speakers) => speakers
            .encoded(PROTOCOL_NAME, |speakers| whole(Answer::SpeakersChanged(responses::speakers_changed(speakers)))),
        Event::Room(info) => info.encoded(PROTOCOL_NAME, |info| whole(responses::room_update(info))),
        // Older clients are told otherwise.
        Event::Quality(updates) if protocol >= responses::PROTOCOL_WITH_LOST => updates
            .encoded(PROTOCOL_NAME, |updates| {
                whole(Answer::ConnectionQuality(responses::connection_quality(updates, protocol)))
            }),
        _ => return None,
    };
    Some(bytes)
}

fn whole(answer: Answer) -> Bytes {
    proto::SignalResponse { message: Some(answer) }.encode_to_vec().into()
}

fn update(infos: &[Shared<ParticipantInfo>]) -> Bytes {
    let infos: Vec<Bytes> = infos.iter().map(participant).collect();
    in_response(UPDATE, &[], PARTICIPANTS, &infos)
}

fn join(joined: &JoinedRoom) -> Bytes {
    let others: Vec<Bytes> = joined.others.iter().map(participant).collect();
    let rest = responses::join_without_others(joined).encode_to_vec();
    in_response(JOIN, &rest, OTHER_PARTICIPANTS, &others)
}

fn participant(info: &Shared<ParticipantInfo>) -> Bytes {
    info.encoded(PROTOCOL_NAME, |info| model::participant(info).encode_to_vec().into())
}

/// A response whose message, in `field`, has the fields of `rest` and the elements in `repeated`.
fn in_response(field: u32, rest: &[u8], repeated: u32, elements: &[Bytes]) -> Bytes {
    let inside: usize =
        rest.len() + elements.iter().map(|element| delimited_len(repeated, element.len())).sum::<usize>();
    let mut bytes = BytesMut::with_capacity(delimited_len(field, inside));
    encode_key(field, WireType::LengthDelimited, &mut bytes);
    encode_varint(inside as u64, &mut bytes);
    bytes.put_slice(rest);
    for element in elements {
        encode_key(repeated, WireType::LengthDelimited, &mut bytes);
        encode_varint(element.len() as u64, &mut bytes);
        bytes.put_slice(element);
    }
    bytes.freeze()
}

/// Length of a field of some bytes, with its key and the length itself.
fn delimited_len(field: u32, len: usize) -> usize {
    prost::encoding::key_len(field) + encoded_len_varint(len as u64) + len
}

#[cfg(test)]
mod tests;
