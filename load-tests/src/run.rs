//! One run: everybody joins, the room becomes whole, a window is measured, everybody leaves.
//!
//! What always holds: it ends, whatever the server does; clients that could not join are counted and named.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sfumato::transport::Certificate;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::engine::{Engine, Snapshot};
use crate::error::Error;
use crate::measure::kernel::Drops;
use crate::measure::process::{self, CpuTime};
use crate::options::Options;
use crate::report::Report;
use crate::signalling::session::{Plan, Session};
use crate::signalling::{Access, Context, livekit};

/// Time between two looks at whether the room is whole.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A reading of everything, at one moment.
pub struct Reading {
    pub snapshot: Snapshot,
    pub drops: Drops,
    pub server: Option<ServerReading>,
    pub own: CpuTime,
}

#[derive(Clone, Copy)]
pub struct ServerReading {
    pub cpu: CpuTime,
    /// Bytes.
    pub resident: u64,
}

/// What a run found, before it is told.
pub struct Measured {
    /// Server's memory before anybody joined, bytes.
    pub idle: Option<u64>,
    /// From the first join until the room was whole.
    pub assembled: Duration,
    pub before: Reading,
    pub after: Reading,
    /// Why clients could not join or had to leave.
    pub faults: Vec<String>,
}

pub async fn run(options: &Options) -> Result<Report, Error> {
    let idle = options.pid.map(process::resident).transpose()?;
    let certificate = Arc::new(Certificate::generate());
    let (engine, thread) = Engine::start(Arc::clone(&certificate), options.busy)?;
    let (leave, left) = watch::channel(false);
    let context = Context {
        room: options.room.clone().unwrap_or_else(|| format!("load-{:08x}", rand::random::<u32>())),
        engine: engine.clone(),
        certificate,
        leave: left,
        timeout: options.timeout,
        allow_remote: options.allow_remote,
    };
    let mut clients = JoinSet::new();
    let measured = tokio::select! {
        measured = measure(options, &context, &mut clients, idle) => measured,
        _ = tokio::signal::ctrl_c() => Err(Error::Stopped),
    };
    leave.send_replace(true);
    let mut faults = Vec::new();
    let ended = tokio::time::timeout(options.timeout, async {
        while let Some(outcome) = clients.join_next().await {
            faults.extend(fault(outcome));
        }
    });
    if ended.await.is_err() {
        clients.abort_all();
    }
    engine.stop();
    let _ = thread.join();
    let mut measured = measured?;
    measured.faults.extend(faults);
    Ok(Report::new(options, &measured))
}

fn fault(outcome: Result<Result<(), Error>, tokio::task::JoinError>) -> Option<String> {
    match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

async fn measure(
    options: &Options,
    context: &Context,
    clients: &mut JoinSet<Result<(), Error>>,
    idle: Option<u64>,
) -> Result<Measured, Error> {
    let plans = options.scenario.plans(&options.media, options.verification);
    let publishers = options.scenario.publishers();
    let start = Instant::now();
    let (first, others) = plans.split_at(publishers.min(plans.len()));
    join(options, context, clients, first).await;
    wait(options, context, clients, |snapshot| snapshot.totals.connected >= publishers as u64).await?;
    join(options, context, clients, others).await;
    let (everybody, streams) = (options.scenario.clients() as u64, options.scenario.streams(&options.media));
    let whole = |snapshot: &Snapshot| snapshot.totals.connected >= everybody && snapshot.totals.streams >= streams;
    wait(options, context, clients, whole).await?;
    let assembled = start.elapsed();
    tokio::time::sleep(options.warmup).await;
    context.engine.clear_delays()?;
    let before = read(options, context)?;
    tokio::time::sleep(options.duration).await;
    let after = read(options, context)?;
    let mut faults = Vec::new();
    while let Some(outcome) = clients.try_join_next() {
        faults.extend(fault(outcome));
    }
    Ok(Measured { idle, assembled, before, after, faults })
}

/// Starts clients at the asked rate.
async fn join(options: &Options, context: &Context, clients: &mut JoinSet<Result<(), Error>>, plans: &[Plan]) {
    let access = Access { url: options.url.clone(), key: options.key.clone() };
    let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / options.join_rate));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    for plan in plans {
        pace.tick().await;
        let (context, access, session) = (context.clone(), access.clone(), Session::new(plan.clone()));
        clients.spawn(async move { livekit::run(&context, &access, session).await });
    }
}

/// Waits for a state of the clients; gives up after the timeout without progress, and then goes on with who is there.
async fn wait(
    options: &Options,
    context: &Context,
    clients: &JoinSet<Result<(), Error>>,
    reached: impl Fn(&Snapshot) -> bool,
) -> Result<(), Error> {
    let mut progress = (0, 0);
    let mut since = Instant::now();
    loop {
        let snapshot = context.engine.read()?;
        if reached(&snapshot) {
            return Ok(());
        }
        let now = (snapshot.totals.connected, snapshot.totals.streams);
        if now != progress {
            (progress, since) = (now, Instant::now());
        }
        if since.elapsed() >= options.timeout || clients.is_empty() {
            return if progress.0 == 0 { Err(context.late("connecting clients")) } else { Ok(()) };
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn read(options: &Options, context: &Context) -> Result<Reading, Error> {
    let server = options.pid.map(server).transpose()?;
    let snapshot = context.engine.read()?;
    let drops = Drops::read(&snapshot.ports)?;
    Ok(Reading { snapshot, drops, server, own: CpuTime::of(std::process::id())? })
}

fn server(pid: u32) -> io::Result<ServerReading> {
    Ok(ServerReading { cpu: CpuTime::of(pid)?, resident: process::resident(pid)? })
}
