//! Packets stamped, addressed, refused; handles of data tracks.

use rand::{Rng, SeedableRng};

use super::*;

fn routed_as(agent: bool, packet: &proto::DataPacket) -> Result<(proto::DataPacket, RoutedData), DataError> {
    let (id, identity) = (ParticipantId::new("PA_x"), Identity::new("alice"));
    let sender = DataSender { id: &id, identity: &identity, agent };
    let routed = LivekitData.route(sender, DataChannelKind::Reliable, &packet.encode_to_vec())?;
    Ok((proto::DataPacket::decode(routed.message.as_ref()).unwrap(), routed))
}

fn routed(packet: &proto::DataPacket) -> (proto::DataPacket, RoutedData) {
    routed_as(false, packet).unwrap()
}

fn with(value: Value) -> proto::DataPacket {
    proto::DataPacket {
        kind: Kind::Lossy.into(),
        participant_identity: "mallory".into(),
        participant_sid: "PA_forged".into(),
        sequence: 6,
        value: Some(value),
        ..Default::default()
    }
}

fn chat() -> Value {
    Value::ChatMessage(proto::ChatMessage { id: "1".into(), message: "hi".into(), ..Default::default() })
}

fn text_stream() -> Value {
    Value::StreamHeader(proto::data_stream::Header {
        content_header: Some(ContentHeader::TextHeader(Default::default())),
        ..Default::default()
    })
}

#[test]
fn labels_tell_the_channels_apart() {
    assert_eq!(LivekitData.channel_kind("_reliable"), Some(DataChannelKind::Reliable));
    assert_eq!(LivekitData.channel_kind("_lossy"), Some(DataChannelKind::Lossy));
    assert_eq!(LivekitData.channel_kind("_data_track"), Some(DataChannelKind::Track));
    assert_eq!(LivekitData.channel_kind("mine"), None);
}

#[test]
fn every_kind_of_packet_is_stamped_and_otherwise_unchanged() {
    for value in [
        chat(),
        text_stream(),
        Value::SipDtmf(proto::SipDtmf { code: 1, digit: "1".into() }),
        Value::RpcRequest(proto::RpcRequest { id: "r".into(), method: "m".into(), ..Default::default() }),
        Value::RpcAck(proto::RpcAck { request_id: "r".into() }),
        Value::RpcResponse(proto::RpcResponse { request_id: "r".into(), ..Default::default() }),
        Value::StreamChunk(proto::data_stream::Chunk { content: vec![1; 300], ..Default::default() }),
        Value::StreamTrailer(proto::data_stream::Trailer { stream_id: "s".into(), ..Default::default() }),
        Value::EncryptedPacket(proto::EncryptedPacket { encrypted_value: vec![9; 40], ..Default::default() }),
        Value::User(proto::UserPacket { payload: vec![1, 2, 3], topic: Some("t".into()), ..Default::default() }),
    ] {
        let mut packet = with(value);
        let (stamped, routed) = routed(&packet);
        assert_eq!(routed.recipients, Recipients::Everyone);
        assert_eq!(routed.sequence, 6);
        packet.kind = Kind::Reliable.into();
        packet.participant_identity = "alice".into();
        packet.participant_sid = "PA_x".into();
        if let Some(Value::User(user)) = &mut packet.value {
            user.participant_identity = "alice".into();
            user.participant_sid = "PA_x".into();
        }
        assert_eq!(stamped, packet);
    }
}

#[test]
fn fields_this_version_does_not_know_pass() {
    let mut message = with(chat()).encode_to_vec();
    prost::encoding::string::encode(1000, &"from the future".to_owned(), &mut message);
    let (id, identity) = (ParticipantId::new("PA_x"), Identity::new("alice"));
    let sender = DataSender { id: &id, identity: &identity, agent: false };
    let routed = LivekitData.route(sender, DataChannelKind::Lossy, &message).unwrap();
    assert!(routed.message.starts_with(&message));
}

#[test]
fn destinations_are_named_in_the_packet_or_in_the_user_packet() {
    let only = |identities: &[&str], participants: &[&str]| Recipients::Only {
        identities: identities.iter().map(|name| Identity::new(name)).collect(),
        participants: participants.iter().map(|name| ParticipantId::new(name)).collect(),
    };
    let mut packet = with(chat());
    packet.destination_identities = vec!["bob".into()];
    assert_eq!(routed(&packet).1.recipients, only(&["bob"], &[]));

    let old = proto::UserPacket {
        destination_identities: vec!["carol".into()],
        destination_sids: vec!["PA_y".into()],
        ..Default::default()
    };
    let (stamped, sent) = routed(&with(Value::User(old.clone())));
    assert_eq!(sent.recipients, only(&["carol"], &["PA_y"]));
    assert_eq!(stamped.destination_identities, ["carol"]);

    let mut packet = with(Value::User(old));
    packet.destination_identities = vec!["bob".into()];
    let (stamped, sent) = routed(&packet);
    assert_eq!(sent.recipients, only(&["bob"], &["PA_y"]));
    let Some(Value::User(user)) = stamped.value else { panic!() };
    assert_eq!(user.destination_identities, ["bob"]);

    packet.destination_identities = vec!["x".into(); DESTINATIONS];
    assert_eq!(routed_as(false, &packet).unwrap_err(), DataError::Malformed);
}

#[test]
fn only_agents_speak_for_others_and_only_in_text() {
    for (value, own_name) in [(chat(), false), (text_stream(), false), (Value::RpcAck(Default::default()), true)] {
        let (stamped, _) = routed_as(true, &with(value.clone())).unwrap();
        assert_eq!(stamped.participant_identity == "alice", own_name, "{value:?}");
        assert_eq!(stamped.participant_sid, "PA_x");
        assert_eq!(routed(&with(value)).0.participant_identity, "alice");
    }
    let mut unnamed = with(chat());
    unnamed.participant_identity = String::new();
    assert_eq!(routed_as(true, &unnamed).unwrap().0.participant_identity, "alice");
    let bytes = Value::StreamHeader(proto::data_stream::Header {
        content_header: Some(ContentHeader::ByteHeader(Default::default())),
        ..Default::default()
    });
    assert_eq!(routed_as(true, &with(bytes)).unwrap().0.participant_identity, "alice");
}

#[test]
fn transcriptions_of_others_than_agents_and_speakers_are_refused() {
    let transcription = with(Value::Transcription(Default::default()));
    assert_eq!(routed_as(false, &transcription).unwrap_err(), DataError::NotAllowed);
    assert!(routed_as(true, &transcription).is_ok());
    assert_eq!(routed_as(true, &with(Value::Speaker(Default::default()))).unwrap_err(), DataError::NotAllowed);
}

#[test]
fn metrics_are_for_the_server() {
    assert_eq!(routed(&with(Value::Metrics(Default::default()))).1.recipients, Recipients::Nobody);
}

#[test]
fn an_empty_packet_is_malformed() {
    assert_eq!(routed_as(false, &proto::DataPacket::default()).unwrap_err(), DataError::Malformed);
}

#[test]
fn truncated_and_mutated_packets_never_panic_and_never_forge_a_sender() {
    let mut packet = with(Value::User(proto::UserPacket { payload: vec![7; 64], ..Default::default() }));
    packet.destination_identities = vec!["bob".into()];
    let good = packet.encode_to_vec();
    let (id, identity) = (ParticipantId::new("PA_x"), Identity::new("alice"));
    let sender = DataSender { id: &id, identity: &identity, agent: false };
    let check = |bytes: &[u8]| {
        let Ok(routed) = LivekitData.route(sender, DataChannelKind::Lossy, bytes) else {
            return;
        };
        let stamped = proto::DataPacket::decode(routed.message.as_ref()).unwrap();
        assert_eq!((stamped.participant_identity.as_str(), stamped.participant_sid.as_str()), ("alice", "PA_x"));
    };
    (0..good.len()).for_each(|len| check(&good[..len]));
    let mut random = rand::rngs::StdRng::seed_from_u64(1);
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..random.random_range(1..4) {
            let index = random.random_range(0..bytes.len());
            bytes[index] = random.random();
        }
        check(&bytes);
    }
}

#[test]
fn a_track_packets_handle_is_read_and_replaced() {
    // A packet in the form of the published test vectors: start and final flags, handle 3333, sequence 6666, frame 9999.
    let packet =
        [0x18, 0x00, 0x0d, 0x05, 0x1a, 0x0a, 0x27, 0x0f, 0xde, 0xad, 0xbe, 0xef, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa];
    assert_eq!(LivekitData.track_handle(&packet), Some(3333));
    let rewritten = LivekitData.with_track_handle(&packet, 0x1234);
    assert_eq!(LivekitData.track_handle(&rewritten), Some(0x1234));
    assert_eq!((&rewritten[..2], &rewritten[4..]), (&packet[..2], &packet[4..]));
    for len in 0..packet.len() {
        assert_eq!(LivekitData.track_handle(&packet[..len]).is_some(), len >= TRACK_HEADER_BYTES, "{len}");
        assert_eq!(LivekitData.with_track_handle(&packet[..len], 1).len(), len);
    }
    assert_eq!(LivekitData.track_handle(&[0; 12]), None);
}
