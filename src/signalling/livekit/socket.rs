//! The task of one WebSocket: moves frames, events and time to its [`Session`], and does what that says.
//!
//! What always holds: no write waits longer than `limits::SIGNAL_WRITE_TIMEOUT`; when the task ends, for whatever reason,
//! the place at the room is dropped, and with it the participant leaves.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message as Answer;
use tungstenite::error::{CapacityError, Error as WebSocketError};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, Utf8Bytes};

use super::Place;
use super::counters::{Counters, fault};
use super::session::{Frame, Now, Output, Session, code};
use super::websocket::WebSocket;
use crate::limits;
use crate::room::event::Event;

/// For the client's half of the closing handshake (RFC 6455, section 7.1.1).
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// A participant at its room and what was said so far. It is moved from future to future, so it stays in its box.
pub(super) struct Seated<P> {
    pub place: P,
    /// The event that let the participant in.
    pub first: Option<Event>,
    pub session: Session,
    pub counters: Arc<Counters>,
}

/// Serves a participant until one side ends it.
pub(super) async fn run<P: Place>(socket: WebSocket, mut seated: Box<Seated<P>>) {
    let Seated { place, first, session, counters } = &mut *seated;
    counters.sessions.inc();
    let mut wire = Wire { socket, counters: counters.clone() };
    let outputs = first.take().map(|first| session.on_event(first)).unwrap_or_default();
    if perform(outputs, &mut wire, place, session).await.is_continue() {
        while step(&mut wire, place, session).await.is_continue() {}
    }
    counters.sessions.dec();
}

/// Tells one message and closes: for a client that is not let in, but should hear why.
pub(super) async fn tell(socket: WebSocket, answer: Answer, counters: Arc<Counters>) {
    let mut wire = Wire { socket, counters };
    if wire.send(encode(answer, false)).await.is_continue() {
        wire.close(code::NORMAL).await;
    }
}

/// Waits for the next thing to happen, and handles it.
async fn step<P: Place>(wire: &mut Wire, place: &mut P, session: &mut Session) -> ControlFlow<()> {
    let deadline = tokio::time::Instant::from_std(session.deadline());
    let outputs = tokio::select! {
        message = wire.socket.next() => match message {
            Some(Ok(message)) => wire.received(message, session)?,
            // Boxed like all that is rare, since every connection has room for it otherwise.
            Some(Err(error)) => return Box::pin(wire.failed(error)).await,
            None => return ControlFlow::Break(()),
        },
        event = place.next() => match event {
            Some(event) => session.on_event(event),
            // The room is gone without a word.
            None => vec![Output::Close(code::GOING_AWAY)],
        },
        () = tokio::time::sleep_until(deadline) => session.on_time(Now::read()),
    };
    perform(outputs, wire, place, session).await
}

async fn perform<P: Place>(outputs: Vec<Output>, wire: &mut Wire, place: &mut P, session: &Session) -> ControlFlow<()> {
    for output in outputs {
        match output {
            Output::Send(answer) => wire.send(encode(*answer, session.speaks_text())).await?,
            Output::SendEncoded(bytes) => wire.send(Message::Binary(bytes)).await?,
            Output::Ping => wire.send(Message::Ping(Default::default())).await?,
            // A room that is gone has its last events still on their way.
            Output::Command(command) => drop(Box::pin(place.send(command)).await),
            Output::Fault(cause) => wire.counters.fault(cause),
            Output::Close(code) => {
                Box::pin(wire.close(code)).await;
                return ControlFlow::Break(());
            }
        }
    }
    ControlFlow::Continue(())
}

fn encode(answer: Answer, text: bool) -> Message {
    let response = proto::SignalResponse { message: Some(answer) };
    match text {
        false => Message::Binary(response.encode_to_vec().into()),
        // Every message has a JSON form.
        true => Message::Text(serde_json::to_string(&response).unwrap_or_default().into()),
    }
}

struct Wire {
    socket: WebSocket,
    counters: Arc<Counters>,
}

impl Wire {
    fn received(&mut self, message: Message, session: &mut Session) -> ControlFlow<(), Vec<Output>> {
        let frame = match &message {
            Message::Binary(bytes) => Frame::Binary(bytes),
            Message::Text(text) => Frame::Text(text.as_str()),
            // A frame by itself is never read.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Frame::Alive,
            Message::Close(_) => return ControlFlow::Break(()),
        };
        if !matches!(frame, Frame::Alive) {
            self.counters.received.inc();
        }
        ControlFlow::Continue(session.on_frame(frame, Now::read()))
    }

    async fn failed(&mut self, error: WebSocketError) -> ControlFlow<()> {
        if let WebSocketError::Capacity(CapacityError::MessageTooLong { .. }) = error {
            self.counters.fault(fault::TOO_LARGE);
            let frame = CloseFrame { code: code::TOO_LARGE.into(), reason: Utf8Bytes::default() };
            if self.send(Message::Close(Some(frame))).await.is_continue() {
                // The rest of the message cannot be read any more, and closing over it would take the farewell back.
                tokio::time::sleep(CLOSE_WAIT).await;
            }
        } else {
            tracing::debug!(%error, "signalling connection failed");
        }
        ControlFlow::Break(())
    }

    async fn send(&mut self, message: Message) -> ControlFlow<()> {
        let counted = matches!(message, Message::Binary(_) | Message::Text(_));
        match tokio::time::timeout(limits::SIGNAL_WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => {
                self.counters.sent.inc_by(counted.into());
                ControlFlow::Continue(())
            }
            Ok(Err(_)) => ControlFlow::Break(()),
            Err(_) => {
                self.counters.fault(fault::WRITE_TIMEOUT);
                ControlFlow::Break(())
            }
        }
    }

    /// Says goodbye, and gives the client time to say it too: closing at once could take back what was just sent.
    async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::default() };
        if self.send(Message::Close(Some(frame))).await.is_continue() {
            let read_out = async { while let Some(Ok(_)) = self.socket.next().await {} };
            let _ = tokio::time::timeout(CLOSE_WAIT, read_out).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signalling::port::Seat;

    /// What every connection holds for as long as it lasts, bytes, but for what is in boxes.
    #[test]
    fn the_task_of_a_connection_is_small() {
        fn size<F>(_: impl FnOnce(WebSocket, Box<Seated<Seat>>) -> F) -> usize {
            size_of::<F>()
        }
        let (task, seated) = (size(run), size_of::<Seated<Seat>>());
        assert!(task <= 1_200 && seated <= 400, "{task} and {seated} bytes");
    }
}
