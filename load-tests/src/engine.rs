//! The media thread: waits for all clients' sockets at once, reads them, and runs what is due.
//!
//! What always holds: one thread owns every client; what others want of it is a command, and a command is answered within
//! one round of the loop.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use sfumato::transport::Certificate;

use crate::client::format::Kind;
use crate::client::port::Buffers;
use crate::client::send::Shape;
use crate::client::{Client, Joins, Setup, Shared};
use crate::error::Error;
use crate::measure::Totals;
use crate::measure::delay::Delays;
use crate::time::Now;

/// Commands that wait; more makes the sender wait.
const COMMANDS: usize = 1_024;
/// Sockets told of in one round.
const EVENTS: usize = 1_024;
/// Longest sleep, so that a stop is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);
/// Time for an answer to a command.
const ANSWER: Duration = Duration::from_secs(10);
const WAKER: Token = Token(usize::MAX);

/// A client's name to the engine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientKey(usize);

enum Command {
    Add(Box<Setup>, SyncSender<io::Result<ClientKey>>),
    Remove(ClientKey, SyncSender<()>),
    Read(SyncSender<Snapshot>),
    /// Delays are those from now on; joins too, if `joins`.
    Clear {
        joins: bool,
    },
    /// What publishers send of a kind from now on.
    Reshape(Kind, Shape),
    Stop,
}

/// All that was measured up to a moment.
#[derive(Clone)]
pub struct Snapshot {
    pub at: Instant,
    pub totals: Totals,
    pub delays: Delays,
    pub joins: Joins,
    /// Local UDP ports of the clients.
    pub ports: HashSet<u16>,
}

/// The engine as others see it.
#[derive(Clone)]
pub struct Engine {
    commands: SyncSender<Command>,
    waker: Arc<Waker>,
}

impl Engine {
    /// Starts the media thread. With `busy` it never sleeps: no wake-up adds to a delay, and a core is taken whole.
    pub fn start(certificate: Arc<Certificate>, busy: bool) -> io::Result<(Engine, JoinHandle<()>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (commands, inbox) = sync_channel(COMMANDS);
        let state = Loop {
            poll,
            inbox,
            busy,
            clients: Vec::new(),
            timers: BinaryHeap::new(),
            buffers: Buffers::new(),
            shared: Shared::new(certificate),
            running: true,
        };
        let thread = std::thread::Builder::new().name("media".to_owned()).spawn(move || state.run())?;
        Ok((Engine { commands, waker }, thread))
    }

    fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| Error::Engine)?;
        self.waker.wake().map_err(Error::from)
    }

    pub fn add(&self, setup: Setup) -> Result<ClientKey, Error> {
        let (answer, added) = sync_channel(1);
        self.command(Command::Add(Box::new(setup), answer))?;
        added.recv_timeout(ANSWER).map_err(|_| Error::Engine)?.map_err(Error::from)
    }

    /// Returns when it has left: what the server does then is no failure of it.
    pub fn remove(&self, client: ClientKey) -> Result<(), Error> {
        let (answer, removed) = sync_channel(1);
        self.command(Command::Remove(client, answer))?;
        removed.recv_timeout(ANSWER).map_err(|_| Error::Engine)
    }

    pub fn read(&self) -> Result<Snapshot, Error> {
        let (answer, snapshot) = sync_channel(1);
        self.command(Command::Read(answer))?;
        snapshot.recv_timeout(ANSWER).map_err(|_| Error::Engine)
    }

    /// Forgets the delays so far, and if asked to the joins.
    pub fn clear(&self, joins: bool) -> Result<(), Error> {
        self.command(Command::Clear { joins })
    }

    /// Changes what all publishers send of a kind.
    pub fn shape(&self, kind: Kind, shape: Shape) -> Result<(), Error> {
        self.command(Command::Reshape(kind, shape))
    }

    pub fn stop(&self) {
        // A thread that is gone already has stopped.
        let _ = self.command(Command::Stop);
    }
}

struct Slot {
    client: Client,
    /// The earliest timer set for it.
    scheduled: Instant,
}

struct Loop {
    poll: Poll,
    inbox: Receiver<Command>,
    busy: bool,
    clients: Vec<Option<Slot>>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    buffers: Buffers,
    shared: Shared,
    running: bool,
}

impl Loop {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while self.running {
            let timeout = if self.busy { Duration::ZERO } else { self.until_next_timer() };
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != io::ErrorKind::Interrupted
            {
                return;
            }
            let mut commanded = false;
            for event in &events {
                match event.token() {
                    WAKER => commanded = true,
                    Token(index) => self.receive(index),
                }
            }
            self.run_timers();
            if commanded {
                self.run_commands();
            }
        }
    }

    fn until_next_timer(&self) -> Duration {
        let next = self.timers.peek().map(|Reverse((due, _))| due.saturating_duration_since(Instant::now()));
        next.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }

    fn receive(&mut self, index: usize) {
        if let Some(Some(slot)) = self.clients.get_mut(index) {
            slot.client.receive(&mut self.buffers, &mut self.shared);
            Self::schedule(slot, index, &mut self.timers);
        }
    }

    /// Sets a timer when the client wants one earlier than any it has.
    fn schedule(slot: &mut Slot, index: usize, timers: &mut BinaryHeap<Reverse<(Instant, usize)>>) {
        let due = slot.client.due();
        if due < slot.scheduled {
            slot.scheduled = due;
            timers.push(Reverse((due, index)));
        }
    }

    fn run_timers(&mut self) {
        let now = Now::read();
        while let Some(&Reverse((due, index))) = self.timers.peek() {
            if due > now.instant {
                break;
            }
            self.timers.pop();
            let Some(Some(slot)) = self.clients.get_mut(index) else { continue };
            if due != slot.scheduled {
                continue;
            }
            // The clock is read anew for each: a stamp must not be older than the sending.
            slot.client.on_timeout(Now::read(), &mut self.shared);
            slot.scheduled = slot.client.due();
            self.timers.push(Reverse((slot.scheduled, index)));
        }
    }

    fn run_commands(&mut self) {
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Add(setup, answer) => {
                    // Who asked may have given up meanwhile.
                    let _ = answer.try_send(self.add(*setup));
                }
                Command::Remove(client, answer) => {
                    self.remove(client);
                    let _ = answer.try_send(());
                }
                Command::Read(answer) => {
                    let _ = answer.try_send(self.snapshot());
                }
                Command::Clear { joins } => {
                    self.shared.delays.clear();
                    if joins {
                        self.shared.joins = Joins::default();
                    }
                }
                Command::Reshape(kind, shape) => {
                    self.clients.iter_mut().flatten().for_each(|slot| slot.client.reshape(kind, shape));
                }
                Command::Stop => self.stop(),
            }
        }
    }

    fn add(&mut self, setup: Setup) -> io::Result<ClientKey> {
        let now = Now::read();
        let index = self.clients.len();
        let mut client = Client::new(now, setup, &self.shared.certificate)?;
        self.poll.registry().register(&mut client.port.socket, Token(index), Interest::READABLE)?;
        client.on_timeout(now, &mut self.shared);
        let scheduled = client.due();
        self.timers.push(Reverse((scheduled, index)));
        self.clients.push(Some(Slot { client, scheduled }));
        Ok(ClientKey(index))
    }

    fn remove(&mut self, ClientKey(index): ClientKey) {
        if let Some(mut slot) = self.clients.get_mut(index).and_then(Option::take) {
            slot.client.leave(Now::read(), &mut self.shared);
            // Closing the socket takes it out anyway.
            let _ = self.poll.registry().deregister(&mut slot.client.port.socket);
        }
    }

    fn stop(&mut self) {
        for index in 0..self.clients.len() {
            self.remove(ClientKey(index));
        }
        self.running = false;
    }

    fn snapshot(&self) -> Snapshot {
        let clients = || self.clients.iter().flatten().map(|slot| &slot.client);
        let mut totals = self.shared.totals;
        totals.expected += clients().map(Client::expected).sum::<u64>();
        totals.streams = clients().map(|client| client.streams() as u64).sum();
        Snapshot {
            at: Instant::now(),
            totals,
            delays: self.shared.delays.clone(),
            joins: self.shared.joins.clone(),
            ports: clients().map(|client| client.port.local_port()).collect(),
        }
    }
}
