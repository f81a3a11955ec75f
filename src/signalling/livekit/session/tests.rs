//! A connection from join to farewell, in virtual time.

use proto::leave_request::Action;
use proto::signal_request::Message as Said;

use super::super::model::tests::{track_info, video_request};
use super::super::responses::tests::joined;
use super::*;
use crate::room::model::TrackId;
use crate::room::shared::Shared;

struct Test {
    session: Session,
    now: Now,
}

fn start() -> Test {
    let claims = token::verify(&token::tests::token(token::tests::join_claims()), &token::tests::keys()).unwrap();
    let now = Now { instant: Instant::now(), unix_ms: 5 };
    Test { session: Session::new(claims.renewal, Arc::new(token::tests::keys()), 17, now.instant), now }
}

impl Test {
    fn after(&mut self, seconds: u64) -> &mut Self {
        self.now.instant += Duration::from_secs(seconds);
        self
    }
    fn say(&mut self, said: Said) -> Vec<Output> {
        let bytes = proto::SignalRequest { message: Some(said) }.encode_to_vec();
        self.session.on_frame(Frame::Binary(&bytes), self.now)
    }
    fn frame(&mut self, frame: Frame<'_>) -> Vec<Output> {
        self.session.on_frame(frame, self.now)
    }
}

fn answers(outputs: Vec<Output>) -> Vec<Answer> {
    let answer = |output| match output {
        Output::Send(answer) => Some(*answer),
        Output::SendEncoded(bytes) => proto::SignalResponse::decode(bytes).unwrap().message,
        _ => None,
    };
    outputs.into_iter().filter_map(answer).collect()
}

#[test]
fn the_join_is_followed_by_a_fresh_token() {
    let mut test = start();
    let told = answers(test.session.on_event(joined()));
    let [Answer::Join(_), Answer::RefreshToken(fresh)] = told.as_slice() else { panic!("{told:?}") };
    assert!(token::verify(fresh, &token::tests::keys()).is_ok());
}

#[test]
fn pings_keep_the_connection_and_silence_ends_it() {
    let mut test = start();
    assert_eq!(test.session.deadline(), test.now.instant + WEBSOCKET_PING);
    test.after(10);
    assert_eq!(test.session.on_time(test.now), [Output::Ping]);
    test.after(4);
    assert!(test.frame(Frame::Alive).is_empty());
    test.after(14);
    assert_eq!(test.session.on_time(test.now), [Output::Ping]);
    test.after(1);
    let ended = test.session.on_time(test.now);
    assert_eq!(ended, [Output::Fault(fault::IDLE), Output::Close(code::GOING_AWAY)]);
}

#[test]
fn a_pinging_client_is_never_given_up_and_gets_tokens() {
    let mut test = start();
    let mut tokens = 0;
    for _ in 0..200 {
        test.after(5);
        let pongs = answers(test.say(Said::Ping(1)));
        assert_eq!(pongs, [Answer::Pong(5)]);
        let outputs = test.session.on_time(test.now);
        assert!(!outputs.iter().any(|output| matches!(output, Output::Close(_))));
        tokens += answers(outputs).len();
    }
    assert_eq!(tokens, 1000 / 300);
}

#[test]
fn a_few_malformed_messages_are_borne_and_then_the_client_leaves() {
    let mut test = start();
    let mut commands = Vec::new();
    for count in 1..=limits::SIGNAL_MALFORMED + 3 {
        let outputs = test.frame(if count % 2 == 0 { Frame::Text("{") } else { Frame::Binary(&[0xff, 0xff]) });
        assert_eq!(outputs[0], Output::Fault(fault::MALFORMED));
        if let Some(Output::Command(command)) = outputs.into_iter().nth(1) {
            commands.push((count, command));
        }
    }
    assert_eq!(commands, [(limits::SIGNAL_MALFORMED, Command::Leave(LeaveReason::ProtocolError))]);
    let outputs = test.session.on_event(Event::Removed(LeaveReason::ProtocolError));
    assert_eq!(outputs.last(), Some(&Output::Close(code::PROTOCOL_ERROR)));
    assert!(matches!(answers(outputs).as_slice(), [Answer::Leave(leave)] if leave.action() == Action::Disconnect));
}

#[test]
fn every_length_and_mutation_of_a_message_is_read_without_panic() {
    use rand::{Rng, SeedableRng};
    let bytes = proto::SignalRequest { message: Some(Said::AddTrack(video_request())) }.encode_to_vec();
    let mut test = start();
    for len in 0..bytes.len() {
        test.frame(Frame::Binary(&bytes[..len]));
    }
    let mut random = rand::rngs::StdRng::seed_from_u64(3);
    for _ in 0..20_000 {
        let mut changed = bytes.clone();
        let index = random.random_range(0..changed.len());
        changed[index] = random.random();
        test.frame(Frame::Binary(&changed));
    }
}

#[test]
fn a_message_of_a_newer_protocol_is_passed_over() {
    let mut unknown = Vec::new();
    prost::encoding::string::encode(900, &"new".to_owned(), &mut unknown);
    assert!(start().frame(Frame::Binary(&unknown)).is_empty());
    assert!(start().frame(Frame::Binary(&[])).is_empty());
}

#[test]
fn a_client_that_speaks_json_is_answered_in_json() {
    let mut test = start();
    assert!(!test.session.speaks_text());
    assert_eq!(answers(test.frame(Frame::Text(r#"{"pingReq": {"timestamp": "7", "rtt": "1"}}"#))).len(), 1);
    assert!(test.session.speaks_text());
    assert!(matches!(test.session.on_event(joined()).first(), Some(Output::Send(_))));
}

#[test]
fn what_many_are_told_goes_out_in_its_shared_form() {
    let (mut one, mut other) = (start(), start());
    let news = Event::Participants(Shared::new(Vec::new()));
    let sent = |outputs: Vec<Output>| match outputs.as_slice() {
        [Output::SendEncoded(bytes)] => bytes.as_ptr(),
        outputs => panic!("{outputs:?}"),
    };
    assert_eq!(sent(one.session.on_event(news.clone())), sent(other.session.on_event(news)));
}

#[test]
fn a_refused_offer_ends_the_session_with_one_farewell() {
    let mut test = start();
    let outputs = test.session.on_event(Event::OfferRefused { id: 1, reason: String::new() });
    assert_eq!(outputs.last(), Some(&Output::Command(Command::Leave(LeaveReason::ProtocolError))));
    assert!(matches!(answers(outputs).as_slice(), [Answer::Leave(leave)] if leave.action() == Action::Disconnect));
    assert!(test.say(Said::Ping(1)).is_empty());
    let outputs = test.session.on_event(Event::Removed(LeaveReason::ProtocolError));
    assert_eq!(outputs, [Output::Close(code::PROTOCOL_ERROR)]);
}

#[test]
fn a_client_that_leaves_is_closed_without_a_farewell() {
    let mut test = start();
    let left = test.say(Said::Leave(proto::LeaveRequest::default()));
    assert_eq!(left, [Output::Command(Command::Leave(LeaveReason::ClientLeft))]);
    let outputs = test.session.on_event(Event::Removed(LeaveReason::ClientLeft));
    assert_eq!(outputs, [Output::Close(code::NORMAL)]);
}

#[test]
fn own_tracks_can_be_changed_until_they_end() {
    let mut test = start();
    let track = track_info(&video_request());
    test.session.on_event(joined());
    test.session.on_event(Event::TrackAnnounced { client_id: "cam".into(), track: track.clone().into() });
    let change = || {
        Said::UpdateVideoTrack(proto::UpdateLocalVideoTrack { track_sid: track.id.to_string(), width: 1, height: 1 })
    };
    assert!(matches!(test.say(change()).as_slice(), [Output::Command(Command::UpdateTrack { .. })]));
    test.session.on_event(Event::TrackEnded { track: track.id.clone() });
    assert!(matches!(test.say(change()).as_slice(), [Output::Send(_)]));
}

#[test]
fn tracks_that_ended_unsaid_do_not_pile_up() {
    let mut test = start();
    test.session.on_event(joined());
    let Event::Joined(inner) = joined() else { panic!() };
    for count in 0..10 * limits::TRACKS_PER_PARTICIPANT {
        let mut track = track_info(&video_request());
        track.id = TrackId::new(&format!("TR_{count}"));
        test.session.on_event(Event::TrackAnnounced { client_id: "cam".into(), track: track.clone().into() });
        let myself = ParticipantInfo { tracks: vec![track], ..(*inner.participant).clone() };
        test.session.on_event(Event::Participants(Shared::new(vec![Shared::new(myself)])));
        assert!(test.session.own.len() <= limits::TRACKS_PER_PARTICIPANT);
    }
}
