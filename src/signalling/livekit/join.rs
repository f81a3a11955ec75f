//! The join request: a query parameter that holds, in base64, a wrapped and perhaps compressed message.
//!
//! What always holds: it inflates to at most `limits::JOIN_REQUEST_BYTES`; what it says about the participant counts only
//! where the token lets the participant say so.

use std::io::Read;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::GzDecoder;
use livekit_protocol as proto;
use prost::Message;
use proto::wrapped_join_request::Compression;

use super::data::LivekitData;
use super::model;
use super::token::Claims;
use crate::limits;
use crate::room::command::{JoinRequest, Offer};

/// With or without padding: clients do both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum JoinRequestError {
    #[error("join_request is missing")]
    Missing,
    #[error("join_request is not base64url")]
    Base64,
    #[error("join_request does not inflate")]
    Compression,
    #[error("join_request is larger than {} bytes", limits::JOIN_REQUEST_BYTES)]
    TooLarge,
    #[error("join_request is not a join request message")]
    Malformed,
    #[error("join_request announces more than {} tracks", limits::TRACKS_PER_PARTICIPANT)]
    TooManyTracks,
    #[error("the participant's metadata or attributes are larger than allowed")]
    MetadataTooLarge,
    #[error("the access token does not allow setting metadata or attributes (video.canUpdateOwnMetadata)")]
    MetadataNotAllowed,
}

impl JoinRequestError {
    /// HTTP status to refuse with.
    pub fn status(self) -> u16 {
        match self {
            Self::MetadataNotAllowed => 401,
            _ => 400,
        }
    }
}

/// Reads the query parameter.
pub(super) fn decode(parameter: &str) -> Result<proto::JoinRequest, JoinRequestError> {
    if parameter.is_empty() {
        return Err(JoinRequestError::Missing);
    }
    let bytes = BASE64.decode(parameter).map_err(|_| JoinRequestError::Base64)?;
    let wrapped = proto::WrappedJoinRequest::decode(bytes.as_slice()).map_err(|_| JoinRequestError::Malformed)?;
    let message = match Compression::try_from(wrapped.compression) {
        Ok(Compression::None) => wrapped.join_request,
        Ok(Compression::Gzip) => inflate(&wrapped.join_request)?,
        Err(_) => return Err(JoinRequestError::Compression),
    };
    if message.len() > limits::JOIN_REQUEST_BYTES {
        return Err(JoinRequestError::TooLarge);
    }
    proto::JoinRequest::decode(message.as_slice()).map_err(|_| JoinRequestError::Malformed)
}

fn inflate(compressed: &[u8]) -> Result<Vec<u8>, JoinRequestError> {
    let mut message = Vec::new();
    // One byte more than allowed tells a message that is too large from one that just fits.
    let mut bounded = GzDecoder::new(compressed).take(limits::JOIN_REQUEST_BYTES as u64 + 1);
    bounded.read_to_end(&mut message).map_err(|_| JoinRequestError::Compression)?;
    Ok(message)
}

/// What the room is asked: the token's word on who and what is allowed, the client's on how.
pub(super) fn room_request(claims: &Claims, said: proto::JoinRequest) -> Result<JoinRequest, JoinRequestError> {
    let sets_metadata =
        !said.metadata.is_empty() || said.participant_attributes.values().any(|value| !value.is_empty());
    if sets_metadata && !claims.grants.update_own_metadata {
        return Err(JoinRequestError::MetadataNotAllowed);
    }
    if said.add_track_requests.len() > limits::TRACKS_PER_PARTICIPANT {
        return Err(JoinRequestError::TooManyTracks);
    }
    let metadata = if said.metadata.is_empty() { claims.metadata.clone() } else { said.metadata };
    let mut attributes = claims.attributes.clone();
    // An empty value does not take away what the token says.
    attributes.extend(said.participant_attributes.into_iter().filter(|(_, value)| !value.is_empty()));
    let attributes_bytes: usize = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata.len() > limits::METADATA_BYTES || attributes_bytes > limits::ATTRIBUTES_BYTES {
        return Err(JoinRequestError::MetadataTooLarge);
    }
    let settings = said.connection_settings.as_ref();
    let client = said.client_info.unwrap_or_default();
    Ok(JoinRequest {
        room: claims.room.clone(),
        identity: claims.identity.clone(),
        name: claims.name.clone(),
        metadata,
        attributes,
        grants: claims.grants.clone(),
        auto_subscribe: settings.is_none_or(|settings| settings.auto_subscribe),
        // Clients ask for each data track they read; one that wants all says so.
        auto_subscribe_data: settings.and_then(|settings| settings.auto_subscribe_data_track).unwrap_or(false),
        follow: None,
        offer: said
            .publisher_offer
            .filter(|offer| !offer.sdp.is_empty())
            .map(|offer| Offer { id: offer.id, sdp: offer.sdp }),
        announcements: said.add_track_requests.iter().filter_map(model::announcement).collect(),
        opaque: model::participant_opaque(claims, &client),
        data_protocol: Arc::new(LivekitData),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use rand::{Rng, SeedableRng};

    use super::super::model::tests::video_request;
    use super::super::token;
    use super::*;
    use crate::room::command::DataChannelKind;

    pub fn encode(message: &[u8], compression: Compression) -> String {
        let join_request = match compression {
            Compression::None => message.to_vec(),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                encoder.write_all(message).unwrap();
                encoder.finish().unwrap()
            }
        };
        let wrapped = proto::WrappedJoinRequest { compression: compression.into(), join_request };
        base64::engine::general_purpose::URL_SAFE.encode(wrapped.encode_to_vec())
    }

    pub fn said() -> proto::JoinRequest {
        proto::JoinRequest {
            client_info: Some(proto::ClientInfo { protocol: 17, client_protocol: 2, ..Default::default() }),
            connection_settings: Some(proto::ConnectionSettings { auto_subscribe: true, ..Default::default() }),
            publisher_offer: Some(proto::SessionDescription { sdp: "v=0".into(), id: 1, ..Default::default() }),
            add_track_requests: vec![video_request()],
            ..Default::default()
        }
    }

    fn claims(update: bool) -> Claims {
        let token = token::tests::token(serde_json::json!({
            "sub": "alice", "name": "Alice", "metadata": "from token", "attributes": {"a": "1", "b": "2"},
            "video": {"roomJoin": true, "room": "den", "canUpdateOwnMetadata": update},
        }));
        token::verify(&token, &token::tests::keys()).unwrap()
    }

    #[test]
    fn plain_and_compressed_requests_read_alike_with_and_without_padding() {
        for compression in [Compression::None, Compression::Gzip] {
            let parameter = encode(&said().encode_to_vec(), compression);
            assert_eq!(decode(&parameter).unwrap(), said());
            assert_eq!(decode(parameter.trim_end_matches('=')).unwrap(), said());
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_inflates() {
        let bomb = encode(&vec![0; 50 << 20], Compression::Gzip);
        assert!(bomb.len() < 128 * 1024, "{}", bomb.len());
        assert_eq!(decode(&bomb).unwrap_err(), JoinRequestError::TooLarge);
        let plain = encode(&vec![0; limits::JOIN_REQUEST_BYTES + 1], Compression::None);
        assert_eq!(decode(&plain).unwrap_err(), JoinRequestError::TooLarge);
    }

    #[test]
    fn malformed_requests_are_refused() {
        assert_eq!(decode("").unwrap_err(), JoinRequestError::Missing);
        assert_eq!(decode("!!").unwrap_err(), JoinRequestError::Base64);
        let wrapped = |compression, join_request| {
            let wrapped = proto::WrappedJoinRequest { compression, join_request };
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec())
        };
        assert_eq!(decode(&wrapped(9, vec![])).unwrap_err(), JoinRequestError::Compression);
        assert_eq!(decode(&wrapped(1, b"no gzip".to_vec())).unwrap_err(), JoinRequestError::Compression);
        assert_eq!(decode(&wrapped(0, b"\xff\xff".to_vec())).unwrap_err(), JoinRequestError::Malformed);
    }

    #[test]
    fn truncated_and_mutated_requests_never_panic() {
        let good = encode(&said().encode_to_vec(), Compression::Gzip);
        (0..good.len()).for_each(|end| drop(decode(&good[..end])));
        let mut random = rand::rngs::StdRng::seed_from_u64(2);
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for _ in 0..5_000 {
            let mut bytes = good.clone().into_bytes();
            let index = random.random_range(0..bytes.len());
            bytes[index] = alphabet[random.random_range(0..alphabet.len())];
            drop(decode(std::str::from_utf8(&bytes).unwrap()));
        }
    }

    #[test]
    fn the_room_is_asked_with_the_tokens_word_and_the_clients() {
        let request = room_request(&claims(false), said()).unwrap();
        assert_eq!(
            (request.room.as_str(), request.identity.as_str(), request.name.as_str()),
            ("den", "alice", "Alice")
        );
        assert_eq!((request.metadata.as_str(), request.attributes["b"].as_str()), ("from token", "2"));
        assert_eq!(request.offer, Some(Offer { id: 1, sdp: "v=0".into() }));
        assert_eq!(request.announcements.len(), 1);
        assert!(request.auto_subscribe && !request.auto_subscribe_data);
        assert_eq!(request.data_protocol.channel_kind("_lossy"), Some(DataChannelKind::Lossy));
        let info = proto::ParticipantInfo::decode(request.opaque.as_ref()).unwrap();
        assert_eq!(info.client_protocol, 2);
    }

    #[test]
    fn an_absent_offer_and_absent_settings_have_defaults() {
        let bare = room_request(&claims(false), proto::JoinRequest::default()).unwrap();
        assert!(bare.offer.is_none() && bare.auto_subscribe && !bare.auto_subscribe_data);
        let mut asking = said();
        asking.connection_settings = Some(proto::ConnectionSettings {
            auto_subscribe: false,
            auto_subscribe_data_track: Some(true),
            ..Default::default()
        });
        let asking = room_request(&claims(false), asking).unwrap();
        assert!(!asking.auto_subscribe && asking.auto_subscribe_data);
    }

    #[test]
    fn metadata_of_the_client_counts_where_the_token_lets_it() {
        let mut speaking = said();
        speaking.metadata = "mine".into();
        speaking.participant_attributes = [("a".to_owned(), String::new()), ("c".to_owned(), "3".to_owned())].into();
        assert_eq!(room_request(&claims(false), speaking.clone()).err(), Some(JoinRequestError::MetadataNotAllowed));
        let request = room_request(&claims(true), speaking.clone()).unwrap();
        assert_eq!(request.metadata, "mine");
        let attributes: Vec<_> = request.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(attributes, [("a", "1"), ("b", "2"), ("c", "3")]);

        speaking.metadata = "m".repeat(limits::METADATA_BYTES + 1);
        assert_eq!(room_request(&claims(true), speaking.clone()).err(), Some(JoinRequestError::MetadataTooLarge));
        speaking.metadata.clear();
        speaking.participant_attributes.insert("c".to_owned(), "3".repeat(limits::ATTRIBUTES_BYTES));
        assert_eq!(room_request(&claims(true), speaking).err(), Some(JoinRequestError::MetadataTooLarge));
    }

    #[test]
    fn too_many_tracks_are_refused() {
        let mut many = said();
        many.add_track_requests = vec![video_request(); limits::TRACKS_PER_PARTICIPANT + 1];
        assert_eq!(room_request(&claims(false), many).err(), Some(JoinRequestError::TooManyTracks));
    }
}
