//! Composition root: what is started, in which order, and how it stops.

use std::sync::Arc;

use prometheus::{Registry, TextEncoder};
use tokio::signal::unix::{SignalKind, signal};

use crate::api::{self, BindError, banner, page};
use crate::config::Config;
use crate::signalling::livekit;
use crate::signalling::port::Rooms;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("signals: {0}")]
    Signals(std::io::Error),
}

/// Runs until it is told to stop, and drains.
pub async fn run(config: Config) -> Result<(), ServerError> {
    let registry = Registry::new();
    let counters = Arc::new(livekit::Counters::new(&registry)?);
    let listeners = api::bind(&config)?;
    // The shards and their sockets come here.
    let rooms = Rooms {};
    let signalling = livekit::router(&config, rooms, counters);
    let render = Arc::new(move || {
        TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap_or_default()
    });
    let router = api::router(signalling, render, page::embedded);
    let http: Vec<_> = listeners
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
        .collect();
    print!(
        "{}",
        banner::banner(&config, &http, &[], page::is_built(page::embedded))
    );
    let mut terminate = signal(SignalKind::terminate()).map_err(ServerError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServerError::Signals)?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    api::serve(listeners, router, shutdown).await;
    Ok(())
}
