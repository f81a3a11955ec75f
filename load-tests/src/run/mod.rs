//! Runs: a server, a room, a window that is measured, and everybody leaves.
//!
//! What always holds: a run ends, whatever the server does; a server that is started here is fresh for each run.

mod course;
mod max;
pub mod reading;
mod room;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sfumato::transport::Certificate;

use crate::engine::Engine;
use crate::error::Error;
use crate::options::Options;
use crate::progress::Progress;
use crate::report::Report;
use crate::scenario::{Course, Scenario};
use crate::signalling::Access;
pub use max::Step;
use reading::{Reading, Sample, Source};
use room::Room;

/// What a run found, before it is told.
pub struct Measured {
    /// Server's memory before anybody joined, bytes.
    pub idle: Option<u64>,
    /// From the first join until the room was whole.
    pub assembled: Duration,
    pub before: Reading,
    pub after: Reading,
    pub samples: Vec<Sample>,
    /// Clients that joined in the window.
    pub joined: usize,
    /// Streams that were to be received at its end.
    pub streams: u64,
    pub steps: Vec<Step>,
    /// Why clients could not join or had to leave.
    pub faults: Vec<String>,
}

/// What the parts of a run share.
struct Run<'a> {
    options: &'a Options,
    scenario: &'a Scenario,
    source: Source,
    title: String,
}

/// All runs of one scenario.
pub async fn run(options: &Options, scenario: &Scenario) -> Result<Vec<Report>, Error> {
    let mut reports = Vec::new();
    for number in 1..=options.runs {
        let title = match options.runs {
            1 => scenario.describe(),
            runs => format!("{} ({number}/{runs})", scenario.describe()),
        };
        let measured = tokio::select! {
            measured = once(options, scenario, title) => measured?,
            _ = tokio::signal::ctrl_c() => return Err(Error::Stopped),
        };
        reports.push(Report::new(options, scenario, &measured));
    }
    Ok(reports)
}

async fn once(options: &Options, scenario: &Scenario, title: String) -> Result<Measured, Error> {
    let server = options.launch.as_ref().map(|launch| launch.start()).transpose()?;
    let access = match &server {
        Some(server) => Access { url: server.url.clone(), ..options.access.clone() },
        None => options.access.clone(),
    };
    let pid = server.as_ref().map(|server| server.pid()).or(options.pid);
    let certificate = Arc::new(Certificate::generate());
    let (engine, thread) = Engine::start(Arc::clone(&certificate), options.busy)?;
    let name = options.room.clone().unwrap_or_else(|| format!("load-{:08x}", rand::random::<u32>()));
    let mut room = Room::new(engine.clone(), certificate, access, name);
    let run = Run { options, scenario, source: Source { engine: engine.clone(), pid }, title };
    let measured = run.measure(&mut room).await;
    room.empty(options.access.timeout).await;
    engine.stop();
    let _ = thread.join();
    let mut measured = measured?;
    measured.faults = room.faults;
    Ok(measured)
}

impl Run<'_> {
    async fn measure(&self, room: &mut Room) -> Result<Measured, Error> {
        let idle = self.source.resident()?;
        let start = Instant::now();
        let scenario = self.scenario;
        // Viewers come when there is something to see: their first media tells how long joining takes.
        self.assemble(room, 0..scenario.speakers).await?;
        self.assemble(room, scenario.speakers..scenario.clients()).await?;
        let assembled = start.elapsed();
        let warm = Progress::new(&self.title, "warming up", self.options.warmup.as_secs());
        warm.during(tokio::time::sleep(self.options.warmup)).await;
        drop(warm);
        self.source.engine.clear(!matches!(scenario.course, Course::Steady | Course::Max))?;
        let measured = match scenario.course {
            Course::Steady => self.steady().await,
            Course::Storm { joiners } => self.storm(room, joiners).await,
            Course::Churn { per_second } => self.churn(room, per_second).await,
            Course::Max => self.search(room).await,
        };
        measured.map(|measured| Measured { idle, assembled, ..measured })
    }

    /// Lets clients join at the asked rate, and waits until they see each other.
    async fn assemble(&self, room: &mut Room, clients: std::ops::Range<usize>) -> Result<(), Error> {
        let options = self.options;
        let end = clients.end;
        let progress = Progress::new(&self.title, "joining", clients.len() as u64);
        room.join(&self.plans(clients), options.join_rate, &progress).await;
        room.wait(end as u64, self.streams(end), options.access.timeout).await
    }

    fn plans(&self, clients: std::ops::Range<usize>) -> Vec<crate::signalling::session::Plan> {
        self.scenario.plans(clients, &self.options.media, self.options.verification)
    }

    /// Streams that the first `clients` receive together, once all speakers are there.
    fn streams(&self, clients: usize) -> u64 {
        self.scenario.streams(&self.plans(0..clients), &self.options.media)
    }

    fn measured(&self, before: Reading, after: Reading) -> Measured {
        Measured {
            idle: None,
            assembled: Duration::ZERO,
            before,
            after,
            samples: Vec::new(),
            joined: 0,
            streams: self.streams(self.scenario.clients()),
            steps: Vec::new(),
            faults: Vec::new(),
        }
    }
}
