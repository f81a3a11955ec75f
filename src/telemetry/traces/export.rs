//! The way of finished traces to the collector: OTLP over HTTP (opentelemetry.io/docs/specs/otlp, binary protobuf), by a task of its own.
//!
//! What always holds: the queue is bounded, and who fills it never waits; a batch is sent once, with what retries the exporter makes of
//! its own within [`EXPORT_TIMEOUT`]; a collector that is away costs a counter and a warning a minute.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::uri::Scheme;
use axum::http::{Request, Response};
use bytes::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace as spans;
use opentelemetry_sdk::trace::{RandomIdGenerator, SpanData, SpanExporter as _};
use prometheus::{IntCounter, Registry};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::JoinTracer;
use super::spans::Finished;
use crate::config::Traces;
use crate::limits;

/// How long joins are gathered before they are sent.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// Time for one request, and for a batch with the requests it may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the last batches when the server ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Silence after which nothing more is expected to be reported when the server ends.
const FLUSH_SILENCE: Duration = Duration::from_millis(50);
/// At most one warning in this time.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// A collector's answer, bytes: it says how many spans it refused, and why.
const ANSWER_BYTES: usize = 64 * 1024;
/// Where traces are sent, below the collector's address (OTLP/HTTP).
const PATH: &str = "v1/traces";

/// Why there is no way to the collector.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    #[error("no certificates are found on this machine that a collector's could be checked with: {0}")]
    NoRoots(io::Error),
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
}

/// What became of spans.
#[derive(Clone)]
pub struct SpanCounters {
    pub(super) exported: IntCounter,
    pub(super) dropped: IntCounter,
}

impl SpanCounters {
    /// Registers them. Fails when some of that name are registered already.
    pub fn new(registry: &Registry) -> Result<SpanCounters, prometheus::Error> {
        let exported = IntCounter::new("sfumato_spans_exported_total", "Spans that the collector of traces took.")?;
        let help = "Spans that no collector took: it was away, too slow, or refused them.";
        let dropped = IntCounter::new("sfumato_spans_dropped_total", help)?;
        registry.register(Box::new(exported.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        Ok(SpanCounters { exported, dropped })
    }
}

/// Where finished joins wait for the collector.
pub struct Queue {
    pub(super) joins: mpsc::Sender<Finished>,
    pub(super) dropped: IntCounter,
}

impl Queue {
    pub fn push(&self, join: Finished) {
        use mpsc::error::TrySendError::{Closed, Full};
        if let Err(Full(join) | Closed(join)) = self.joins.try_send(join) {
            self.dropped.inc_by(join.count() as u64);
        }
    }
}

/// The task that sends.
pub struct Collector {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Collector {
    /// Sends what waits, for [`FLUSH_TIMEOUT`] at most.
    pub async fn stop(self) {
        // A task that is gone has nothing to send.
        let _ = self.stop.send(());
        let abort = self.task.abort_handle();
        if tokio::time::timeout(FLUSH_TIMEOUT, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// A tracer, and where a collector is configured the task that sends to it. Must run inside a tokio runtime.
pub fn start(config: &Traces, counters: SpanCounters) -> Result<(JoinTracer, Option<Collector>), CollectorError> {
    let Some(collector) = &config.collector else { return Ok((JoinTracer::default(), None)) };
    let client = match collector.scheme() == Some(&Scheme::HTTPS) {
        true => Arc::new(CollectorClient::new(https()?)) as Arc<dyn HttpClient>,
        false => Arc::new(CollectorClient::new(HttpConnector::new())),
    };
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_shared_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/{PATH}", collector.to_string().trim_end_matches('/')))
        .with_timeout(REQUEST_TIMEOUT)
        .build()?;
    exporter.set_resource(&resource());
    let (joins, queue) = mpsc::channel(limits::TRACES_QUEUED);
    let (stop, stopped) = oneshot::channel();
    let tracer = JoinTracer::new(config.sample_ratio.share(), Queue { joins, dropped: counters.dropped.clone() });
    let export = Export { exporter, counters, patience: EXPORT_TIMEOUT, warned: None };
    let task = tokio::spawn(export.run(queue, stopped));
    Ok((tracer, Some(Collector { stop, task })))
}

/// Who tells: the standard variables `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` add to it.
fn resource() -> Resource {
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty());
    let builder =
        if named { Resource::builder() } else { Resource::builder().with_service_name(env!("CARGO_PKG_NAME")) };
    let instance = format!("{:032x}", rand::random::<u128>());
    builder
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .build()
}

/// What the system trusts, and no choice of cryptography left to whatever else is linked.
fn https() -> Result<HttpsConnector<HttpConnector>, CollectorError> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
    Ok(builder.map_err(CollectorError::NoRoots)?.https_only().enable_http1().build())
}

pub(super) struct Export<E> {
    pub exporter: E,
    pub counters: SpanCounters,
    /// For a batch.
    pub patience: Duration,
    pub warned: Option<Instant>,
}

impl<E: spans::SpanExporter> Export<E> {
    pub async fn run(mut self, mut queue: mpsc::Receiver<Finished>, mut stopped: oneshot::Receiver<()>) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                () = gather(&mut queue, &mut batch, BATCH_DELAY) => {}
                _ = &mut stopped => break,
            }
            if batch.is_empty() {
                return;
            }
            self.send(&mut batch).await;
        }
        // Participants that were just told of the end are reported in these moments.
        loop {
            let more = queue.recv_many(&mut batch, limits::TRACES_PER_EXPORT);
            let more = tokio::time::timeout(FLUSH_SILENCE, more).await.unwrap_or(0);
            if !batch.is_empty() {
                self.send(&mut batch).await;
            }
            if more == 0 {
                return;
            }
        }
    }

    async fn send(&mut self, batch: &mut Vec<Finished>) {
        let ids = RandomIdGenerator::default();
        let spans: Vec<SpanData> = batch.drain(..).flat_map(|join| join.spans(&ids)).collect();
        let count = spans.len() as u64;
        let error = match tokio::time::timeout(self.patience, self.exporter.export(spans)).await {
            Ok(Ok(())) => return self.counters.exported.inc_by(count),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.counters.dropped.inc_by(count);
        self.warn(&error);
    }

    fn warn(&mut self, error: &str) {
        let now = Instant::now();
        if self.warned.is_none_or(|last| now.saturating_duration_since(last) >= WARN_EVERY) {
            self.warned = Some(now);
            tracing::warn!(error, dropped = self.counters.dropped.get(), "the collector of traces does not take spans");
        }
    }
}

/// Waits for a join, and for some time for more. Leaves none when no more can come. Cancel-safe: what was taken is in the batch.
async fn gather(queue: &mut mpsc::Receiver<Finished>, batch: &mut Vec<Finished>, delay: Duration) {
    if batch.is_empty() && queue.recv_many(batch, limits::TRACES_PER_EXPORT).await == 0 {
        return;
    }
    let more = async {
        while batch.len() < limits::TRACES_PER_EXPORT {
            if queue.recv_many(batch, limits::TRACES_PER_EXPORT - batch.len()).await == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(delay, more).await;
}

/// HTTP as the exporter wants it: bounded in time and in what is read.
struct CollectorClient<C>(Client<C, Body>);

impl<C: Connect + Clone + Send + Sync + 'static> CollectorClient<C> {
    fn new(connector: C) -> CollectorClient<C> {
        CollectorClient(Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl<C> std::fmt::Debug for CollectorClient<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CollectorClient")
    }
}

#[async_trait::async_trait]
impl<C: Connect + Clone + Send + Sync + 'static> HttpClient for CollectorClient<C> {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let exchange = async {
            let (head, body) = self.0.request(request.map(Body::from)).await?.into_parts();
            let body = axum::body::to_bytes(Body::new(body), ANSWER_BYTES).await?;
            Ok(Response::from_parts(head, body))
        };
        tokio::time::timeout(REQUEST_TIMEOUT, exchange).await?
    }
}
