//! Traces of joins (OpenTelemetry; W3C Trace Context): one a join, from the client's request to its first media. An adaptor begins it
//! and hands the shard a watch; what the shard reports becomes spans once the join is over.
//!
//! What always holds: without a collector nothing is set up; nobody waits for a trace, and what the queue has no place for is dropped
//! and counted; nothing is traced before its token was found good; spans carry ids, no names and no addresses.

mod export;
mod spans;
#[cfg(test)]
mod tests;

pub use export::{Collector, CollectorError, SpanCounters, start};

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::http::HeaderMap;
use opentelemetry::trace::{SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, propagation::TextMapPropagator};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample};
use tokio::sync::oneshot;

use crate::shard::milestones::{JoinReport, JoinWatch};
use export::Queue;
use spans::{Begun, End, Finished, Parent, ROOT};

/// Begins traces, where there is a collector. Cheap to clone.
#[derive(Clone, Default)]
pub struct JoinTracer(Option<Arc<Tracer>>);

struct Tracer {
    sampler: Sampler,
    ids: RandomIdGenerator,
    queue: Queue,
}

impl JoinTracer {
    /// `sample_ratio`: share of the joins that are traced, 0 to 1, of those that come without a trace of their own. Others are traced
    /// when their caller traces them.
    fn new(sample_ratio: f64, queue: Queue) -> JoinTracer {
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample_ratio)));
        JoinTracer(Some(Arc::new(Tracer { sampler, ids: RandomIdGenerator::default(), queue })))
    }

    /// A client asks to join now, by a route that names nobody.
    pub fn begin(&self, headers: &HeaderMap, route: &'static str) -> JoinTrace {
        let asked = Instant::now();
        let traced = self.0.as_ref().and_then(|tracer| tracer.begin(asked, headers, route));
        JoinTrace { asked, traced }
    }
}

impl Tracer {
    fn begin(self: &Arc<Self>, asked: Instant, headers: &HeaderMap, route: &'static str) -> Option<Traced> {
        let caller = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let span = caller.span();
        let parent = Some(span.span_context()).filter(|context| context.is_valid());
        let trace = parent.map_or_else(|| self.ids.new_trace_id(), |context| context.trace_id());
        // A caller's state is passed on to nobody, and could be long: it is left out.
        let parent = parent.map(|context| Parent { span: context.span_id(), is_remote: true });
        self.samples(&caller, trace).then(|| Traced {
            tracer: self.clone(),
            begun: Begun { trace, parent, route, asked, asked_at: SystemTime::now(), authorised: None },
            report: None,
        })
    }

    fn samples(&self, caller: &Context, trace: TraceId) -> bool {
        let sampling = self.sampler.should_sample(Some(caller), trace, ROOT, &SpanKind::Server, &[], &[]);
        sampling.decision == SamplingDecision::RecordAndSample
    }
}

/// One join, as its adaptor sees it.
pub struct JoinTrace {
    asked: Instant,
    /// Only where somebody will read it.
    traced: Option<Traced>,
}

struct Traced {
    tracer: Arc<Tracer>,
    begun: Begun,
    report: Option<oneshot::Receiver<JoinReport>>,
}

impl JoinTrace {
    /// The client's token is good.
    pub fn authorised(&mut self) {
        if let Some(traced) = &mut self.traced {
            traced.begun.authorised = Some(Instant::now());
        }
    }

    /// What the shard measures the join with. To be asked for once.
    pub fn watch(&mut self) -> JoinWatch {
        let Some(traced) = &mut self.traced else { return JoinWatch::new(self.asked) };
        let (watch, report) = JoinWatch::observed(self.asked);
        traced.report = Some(report);
        watch
    }

    /// The client was not let in.
    pub fn refused(self, reason: &'static str) {
        if let Some(Traced { tracer, begun, .. }) = self.traced {
            tracer.queue.push(Finished { begun, end: End::Refused { at: Instant::now(), reason } });
        }
    }

    /// The client was let in: the rest is the shard's to tell. Must run inside a tokio runtime.
    pub fn let_in(self) {
        let Some(Traced { tracer, begun, report: Some(report) }) = self.traced else { return };
        // Ends with the participant at the latest, whatever becomes of the adaptor's task.
        tokio::spawn(async move {
            let end = match report.await {
                Ok(report) => End::Reported(report),
                Err(_) => End::Untold { at: Instant::now() },
            };
            tracer.queue.push(Finished { begun, end });
        });
    }
}
