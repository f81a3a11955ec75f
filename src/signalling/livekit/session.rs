//! One signalling connection, sans-IO: frames, events and time in; messages, commands and an end out.
//!
//! What always holds: the room's farewell is told once and is the last message; a client that sends
//! `limits::SIGNAL_MALFORMED` unreadable messages is made to leave; a silent one is given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message as Answer;

use super::counters::fault;
use super::requests::{self, OwnTracks, Reaction};
use super::responses::{PING_TIMEOUT, responses};
use super::token::{self, Claims};
use crate::config::ApiKeys;
use crate::limits;
use crate::room::command::Command;
use crate::room::event::Event;
use crate::room::model::{LeaveReason, ParticipantId, ParticipantInfo, TrackInfo};

/// Between WebSocket pings: they keep proxies from ending a quiet connection.
const WEBSOCKET_PING: Duration = Duration::from_secs(10);
/// Silence after which a client is given up. WebSocket pongs count: browsers slow a hidden page's timers, not these.
const IDLE: Duration = Duration::from_secs(PING_TIMEOUT as u64);
/// Between tokens that replace the one a client would reconnect with.
const REFRESH: Duration = Duration::from_secs(300);

/// Close codes of RFC 6455, section 7.4.1.
pub(super) mod code {
    pub const NORMAL: u16 = 1000;
    pub const GOING_AWAY: u16 = 1001;
    pub const PROTOCOL_ERROR: u16 = 1002;
    pub const TOO_LARGE: u16 = 1009;
}

/// The two times a session needs: one to measure by, one to tell.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub instant: Instant,
    /// Milliseconds.
    pub unix_ms: i64,
}

impl Now {
    pub fn read() -> Now {
        Now { instant: Instant::now(), unix_ms: super::unix_ms() }
    }
}

/// What a client sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame<'a> {
    Binary(&'a [u8]),
    Text(&'a str),
    /// A WebSocket ping or pong.
    Alive,
}

/// What to do, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Output {
    Send(Box<Answer>),
    Command(Command),
    Ping,
    /// To be counted as a fault of the client.
    Fault(&'static str),
    /// With this code; nothing follows.
    Close(u16),
}

pub(super) struct Session {
    claims: Claims,
    keys: Arc<ApiKeys>,
    protocol: i32,
    /// The client speaks JSON: it began so.
    text: bool,
    id: Option<ParticipantId>,
    own: OwnTracks,
    malformed: u32,
    /// The farewell was told; only the end is awaited.
    leaving: bool,
    heard: Instant,
    ping_at: Instant,
    refresh_at: Instant,
}

impl Session {
    pub fn new(claims: Claims, keys: Arc<ApiKeys>, protocol: i32, now: Instant) -> Session {
        Session {
            claims,
            keys,
            protocol,
            text: false,
            id: None,
            own: OwnTracks::new(),
            malformed: 0,
            leaving: false,
            heard: now,
            ping_at: now + WEBSOCKET_PING,
            refresh_at: now + REFRESH,
        }
    }

    /// When [`on_time`](Self::on_time) is due.
    pub fn deadline(&self) -> Instant {
        self.ping_at.min(self.refresh_at).min(self.heard + IDLE)
    }

    /// Whether messages go out as text.
    pub fn speaks_text(&self) -> bool {
        self.text
    }

    pub fn on_frame(&mut self, frame: Frame<'_>, now: Now) -> Vec<Output> {
        self.heard = now.instant;
        let request = match frame {
            Frame::Alive => return Vec::new(),
            Frame::Binary(bytes) => proto::SignalRequest::decode(bytes).ok(),
            Frame::Text(text) => {
                self.text = true;
                serde_json::from_str::<proto::SignalRequest>(text).ok()
            }
        };
        match request {
            _ if self.leaving => Vec::new(),
            None => self.on_malformed(),
            // A message of a newer protocol has none that this one knows.
            Some(request) => match request.message {
                Some(said) => self.on_request(said, now),
                None => Vec::new(),
            },
        }
    }

    fn on_malformed(&mut self) -> Vec<Output> {
        self.malformed += 1;
        let mut outputs = vec![Output::Fault(fault::MALFORMED)];
        if self.malformed == limits::SIGNAL_MALFORMED {
            // The room's farewell follows.
            outputs.push(Output::Command(Command::Leave(LeaveReason::ProtocolError)));
        }
        outputs
    }

    fn on_request(&mut self, said: proto::signal_request::Message, now: Now) -> Vec<Output> {
        let reactions = requests::react(said, &mut self.own, now.unix_ms);
        let output = |reaction| match reaction {
            Reaction::Command(command) => Output::Command(command),
            Reaction::Answer(answer) => send(answer),
        };
        reactions.into_iter().map(output).collect()
    }

    pub fn on_event(&mut self, event: Event) -> Vec<Output> {
        self.learn(&event);
        let end = match &event {
            Event::Removed(reason) => Some(close_code(*reason)),
            _ => None,
        };
        let refused = matches!(event, Event::OfferRefused { .. });
        let joined = matches!(event, Event::Joined(_));
        let mut outputs = Vec::new();
        if !self.leaving {
            outputs.extend(responses(event, self.protocol).into_iter().map(send));
        }
        if joined {
            outputs.extend(self.refreshed_token());
        }
        if refused && !self.leaving {
            // The client waits for an answer that cannot come.
            self.leaving = true;
            outputs.push(Output::Command(Command::Leave(LeaveReason::ProtocolError)));
        }
        if let Some(code) = end {
            self.leaving = true;
            outputs.push(Output::Close(code));
        }
        outputs
    }

    /// Keeps what later requests refer to.
    fn learn(&mut self, event: &Event) {
        match event {
            Event::Joined(joined) => self.id = Some(joined.participant.id.clone()),
            Event::TrackAnnounced { track, .. } => self.learn_track(track),
            Event::TrackEnded { track } => drop(self.own.remove(track)),
            Event::Participants(infos) => {
                if let Some(myself) = infos.iter().find(|info| Some(&info.id) == self.id.as_ref()) {
                    self.forget_ended(myself);
                }
            }
            _ => {}
        }
    }

    fn learn_track(&mut self, track: &TrackInfo) {
        let announced = proto::AddTrackRequest::decode(track.opaque.as_ref()).unwrap_or_default();
        self.own.insert(track.id.clone(), announced);
    }

    /// A track the client ended with an offer is told only by its absence. One that is announced but not matched yet is
    /// absent too: the map is emptied only when it is larger than the room lets it be.
    fn forget_ended(&mut self, myself: &ParticipantInfo) {
        if self.own.len() > limits::TRACKS_PER_PARTICIPANT {
            self.own.retain(|id, _| myself.tracks.iter().any(|track| track.id == *id));
        }
    }

    pub fn on_time(&mut self, now: Now) -> Vec<Output> {
        if now.instant >= self.heard + IDLE {
            return vec![Output::Fault(fault::IDLE), Output::Close(code::GOING_AWAY)];
        }
        let mut outputs = Vec::new();
        if now.instant >= self.ping_at {
            self.ping_at = now.instant + WEBSOCKET_PING;
            outputs.push(Output::Ping);
        }
        if now.instant >= self.refresh_at {
            self.refresh_at = now.instant + REFRESH;
            if !self.leaving {
                outputs.extend(self.refreshed_token());
            }
        }
        outputs
    }

    fn refreshed_token(&self) -> Option<Output> {
        let token = token::refreshed(&self.claims, &self.keys, token::unix_now())?;
        Some(send(Answer::RefreshToken(token)))
    }
}

fn send(answer: Answer) -> Output {
    Output::Send(Box::new(answer))
}

fn close_code(reason: LeaveReason) -> u16 {
    match reason {
        LeaveReason::ProtocolError => code::PROTOCOL_ERROR,
        LeaveReason::ServerShutdown => code::GOING_AWAY,
        _ => code::NORMAL,
    }
}

#[cfg(test)]
mod tests {
    use proto::leave_request::Action;
    use proto::signal_request::Message as Said;

    use super::super::model::tests::{track_info, video_request};
    use super::super::responses::tests::joined;
    use super::*;
    use crate::room::model::TrackId;

    struct Test {
        session: Session,
        now: Now,
    }

    fn start() -> Test {
        let claims = token::verify(&token::tests::token(token::tests::join_claims()), &token::tests::keys()).unwrap();
        let now = Now { instant: Instant::now(), unix_ms: 5 };
        Test { session: Session::new(claims, Arc::new(token::tests::keys()), 17, now.instant), now }
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
        outputs.into_iter().filter_map(|output| if let Output::Send(answer) = output { Some(*answer) } else { None }).collect()
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
        test.session.on_event(Event::TrackAnnounced { client_id: "cam".into(), track: track.clone() });
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
            test.session.on_event(Event::TrackAnnounced { client_id: "cam".into(), track: track.clone() });
            let myself = ParticipantInfo { tracks: vec![track], ..inner.participant.clone() };
            test.session.on_event(Event::Participants(vec![myself]));
            assert!(test.session.own.len() <= limits::TRACKS_PER_PARTICIPANT);
        }
    }
}
