//! What many are told has the same meaning as what one is told, and is encoded once.

use prost::Message as _;

use super::super::PROTOCOL;
use super::super::model::tests::{participant_info, track_info, video_request};
use super::super::responses::tests::{joined, room_info};
use super::*;
use crate::room::model::{ConnectionQuality, Identity, ParticipantId, Speaker};

fn decoded(event: &Event) -> Answer {
    let bytes = encoded(event, PROTOCOL).expect("told to many");
    proto::SignalResponse::decode(bytes).unwrap().message.unwrap()
}

/// Bob has a track; texts are long enough for lengths of several bytes.
fn participants(count: usize) -> Vec<Shared<ParticipantInfo>> {
    let info = |index: usize| ParticipantInfo {
        id: ParticipantId::new(&format!("PA_{index}")),
        identity: Identity::new("bob"),
        metadata: "m".repeat(index * 100),
        tracks: vec![track_info(&video_request())],
        ..participant_info()
    };
    (0..count).map(|index| Shared::new(info(index))).collect()
}

fn told_to_many() -> Vec<Event> {
    let participant = ParticipantId::new("PA_x");
    vec![
        Event::Participants(Shared::new(participants(0))),
        Event::Participants(Shared::new(participants(40))),
        Event::Speakers(Shared::new(vec![Speaker { participant: participant.clone(), level: 0.5, active: true }])),
        Event::Quality(Shared::new(vec![(participant, ConnectionQuality::Lost)])),
        Event::Room(Shared::new(room_info())),
    ]
}

#[test]
fn the_bytes_say_what_the_response_says() {
    for event in told_to_many() {
        let said = responses::responses(event.clone(), PROTOCOL);
        assert_eq!([decoded(&event)], said.as_slice(), "{event:?}");
    }
}

#[test]
fn a_join_lists_the_others_as_the_response_does() {
    let Event::Joined(mut room) = joined() else { panic!() };
    room.others = participants(300);
    let event = Event::Joined(room);
    let [Answer::Join(said)] = &mut responses::responses(event.clone(), PROTOCOL)[..] else { panic!() };
    let Answer::Join(told) = decoded(&event) else { panic!() };
    assert_eq!(told.other_participants.len(), 300);
    // Drawn anew for each.
    said.sif_trailer = told.sif_trailer.clone();
    assert_eq!(told, *said);
}

#[test]
fn a_thousand_recipients_share_the_bytes_of_one_encoding() {
    for event in told_to_many() {
        let first = encoded(&event, PROTOCOL).unwrap();
        for _ in 0..1_000 {
            let next = encoded(&event.clone(), PROTOCOL).unwrap();
            assert_eq!(next.as_ptr(), first.as_ptr(), "{event:?} was encoded again");
        }
    }
}

#[test]
fn a_participant_is_encoded_once_whatever_lists_it() {
    let infos = participants(3);
    let before: Vec<Bytes> = infos.iter().map(participant).collect();
    encoded(&Event::Participants(Shared::new(infos.clone())), PROTOCOL).unwrap();
    let Event::Joined(mut room) = joined() else { panic!() };
    room.others = infos.clone();
    encoded(&Event::Joined(room), PROTOCOL).unwrap();
    for (info, before) in infos.iter().zip(before) {
        assert_eq!(participant(info).as_ptr(), before.as_ptr());
    }
}

#[test]
fn what_one_client_alone_is_told_and_what_depends_on_its_age_is_left_to_the_response() {
    assert!(encoded(&Event::SectionsNeeded { audio: 1, video: 0 }, PROTOCOL).is_none());
    let lost = Event::Quality(Shared::new(vec![(ParticipantId::new("PA_x"), ConnectionQuality::Lost)]));
    assert!(encoded(&lost, responses::PROTOCOL_WITH_LOST - 1).is_none());
}
