//! The clients of the rooms: joining at a pace, leaving, and waiting for what they see.
//!
//! What always holds: every client leaves when told to, and why one could not join or had to leave is kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sfumato::transport::Certificate;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::engine::{Engine, Snapshot};
use crate::error::Error;
use crate::progress::Progress;
use crate::signalling::session::{Plan, Session};
use crate::signalling::{Access, Context, join};

/// Time between two looks at whether the room is whole.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Reasons kept.
const FAULTS: usize = 10;

pub struct Room {
    context: Context,
    access: Access,
    engine: Engine,
    clients: JoinSet<Result<(), Error>>,
    /// Whom to tell to leave, the longest there first.
    present: VecDeque<watch::Sender<bool>>,
    pub faults: Vec<String>,
}

impl Room {
    pub fn new(engine: Engine, certificate: Arc<Certificate>, access: Access, name: String) -> Room {
        let context = Context { room: name, engine: engine.clone(), certificate };
        Room { context, access, engine, clients: JoinSet::new(), present: VecDeque::new(), faults: Vec::new() }
    }

    /// Starts clients, `per_second` of them.
    pub async fn join(&mut self, plans: &[Plan], per_second: f64, progress: &Progress) {
        let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / per_second));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        for plan in plans {
            pace.tick().await;
            self.join_one(plan.clone());
            progress.advance(1);
        }
    }

    pub fn join_one(&mut self, plan: Plan) {
        let (leave, told) = watch::channel(false);
        let mut context = self.context.clone();
        if plan.room > 0 {
            context.room = format!("{}-{}", context.room, plan.room);
        }
        let (access, session) = (self.access.clone(), Session::new(plan));
        self.clients.spawn(async move { join(&context, &access, session, told).await });
        self.present.push_back(leave);
    }

    /// Tells a client to leave: the `place`th of those there, by when they came.
    pub fn leave_one(&mut self, place: usize) {
        if let Some(leave) = self.present.remove(place) {
            leave.send_replace(true);
        }
        self.collect();
    }

    /// Waits until `connected` clients receive `streams` streams. Goes on without those who make no progress for
    /// `timeout`; that nobody is there is an error.
    pub async fn wait(&mut self, connected: u64, streams: u64, timeout: Duration) -> Result<(), Error> {
        let whole = |s: &Snapshot| s.totals.connected >= connected && s.totals.streams >= streams;
        let mut progress = (0, 0);
        let mut since = Instant::now();
        loop {
            let snapshot = self.engine.read()?;
            self.collect();
            if whole(&snapshot) {
                return Ok(());
            }
            let now = (snapshot.totals.connected, snapshot.totals.streams);
            if now != progress {
                (progress, since) = (now, Instant::now());
            }
            if since.elapsed() >= timeout || self.clients.is_empty() {
                let nobody = Error::Nobody(self.faults.first().cloned().unwrap_or_default());
                return if progress.0 == 0 { Err(nobody) } else { Ok(()) };
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Tells everybody to leave, and waits until they have.
    pub async fn empty(&mut self, timeout: Duration) {
        for leave in self.present.drain(..) {
            leave.send_replace(true);
        }
        let gone = async {
            while let Some(outcome) = self.clients.join_next().await {
                keep_fault(&mut self.faults, outcome);
            }
        };
        if tokio::time::timeout(timeout, gone).await.is_err() {
            self.clients.abort_all();
        }
    }

    /// Takes the outcomes of clients that ended.
    pub fn collect(&mut self) {
        while let Some(outcome) = self.clients.try_join_next() {
            keep_fault(&mut self.faults, outcome);
        }
    }
}

fn keep_fault(faults: &mut Vec<String>, outcome: Result<Result<(), Error>, tokio::task::JoinError>) {
    let fault = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    if faults.len() < FAULTS {
        faults.push(fault);
    }
}
