//! A stand-in for the shards: a room that the test plays.

use tokio::sync::mpsc;

use super::*;

#[derive(Clone, Copy)]
pub enum Welcome {
    /// With this event.
    Admit(fn() -> Event),
    Refuse(JoinError),
    Gone,
    Silent,
}

#[derive(Clone)]
pub struct FakeRooms {
    pub welcome: Welcome,
    pub guests: mpsc::UnboundedSender<Guest>,
}

/// A participant as the room sees it.
pub struct Guest {
    pub request: JoinRequest,
    pub commands: mpsc::UnboundedReceiver<Command>,
    pub events: mpsc::Sender<Event>,
}

pub struct FakePlace {
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::Receiver<Event>,
}

impl Port for FakeRooms {
    type Place = FakePlace;

    async fn join(&self, request: JoinRequest, _watch: JoinWatch) -> Option<FakePlace> {
        let (commands, received) = mpsc::unbounded_channel();
        let (events, events_out) = mpsc::channel(16);
        match self.welcome {
            Welcome::Admit(joined) => events.send(joined()).await.unwrap(),
            Welcome::Refuse(error) => events.send(Event::Refused(error)).await.unwrap(),
            Welcome::Gone => return None,
            Welcome::Silent => {}
        }
        self.guests.send(Guest { request, commands: received, events }).ok()?;
        Some(FakePlace { commands, events: events_out })
    }
}

impl Place for FakePlace {
    async fn send(&mut self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}
