//! What became of a join, as spans with explicit beginnings and ends.
//!
//! ```text
//! join
//! ├── signalling
//! │   ├── token
//! │   ├── admission
//! │   └── answer
//! ├── ice
//! ├── dtls
//! ├── first media received
//! ├── first media sent
//! └── first frame sent
//! ```
//!
//! What always holds: a stage that was not reached has no span; one that was underway when the join was over ends then, and says
//! so. Attributes follow the semantic conventions where these have a word.

use std::time::{Instant, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{IdGenerator, SpanData, SpanEvents, SpanLinks};

use crate::shard::milestones::{JoinOutcome, JoinReport};

/// Name of the span of a whole join.
pub const ROOT: &str = "join";
const SIGNALLING: &str = "signalling";
const SCOPE: &str = env!("CARGO_PKG_NAME");

/// A span outside that ours is a part of, or one of ours.
#[derive(Clone, Copy, Debug)]
pub struct Parent {
    pub span: SpanId,
    pub is_remote: bool,
}

/// What the adaptor knows of a join.
#[derive(Debug)]
pub struct Begun {
    pub trace: TraceId,
    pub parent: Option<Parent>,
    pub route: &'static str,
    pub asked: Instant,
    /// The same moment, to tell.
    pub asked_at: SystemTime,
    pub authorised: Option<Instant>,
}

#[derive(Debug)]
pub enum End {
    Reported(JoinReport),
    /// The client was not let in.
    Refused {
        at: Instant,
        reason: &'static str,
    },
    /// The shard is gone without a word.
    Untold {
        at: Instant,
    },
}

/// A join that is over.
#[derive(Debug)]
pub struct Finished {
    pub begun: Begun,
    pub end: End,
}

/// A part of a join.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stage {
    name: &'static str,
    /// A part of the signalling, or of the join itself.
    of_signalling: bool,
    from: Instant,
    to: Instant,
    /// It was underway when the join was over.
    unfinished: bool,
}

/// The most stages a join has.
const STAGES: usize = 9;

impl Finished {
    /// How many spans it makes.
    pub fn count(&self) -> usize {
        1 + self.stages().iter().flatten().count()
    }

    pub fn spans(&self, ids: &dyn IdGenerator) -> Vec<SpanData> {
        let (root, signalling) = (ids.new_span_id(), ids.new_span_id());
        let mut spans = vec![self.root(root)];
        for stage in self.stages().into_iter().flatten() {
            let id = if stage.name == SIGNALLING { signalling } else { ids.new_span_id() };
            let parent = Parent { span: if stage.of_signalling { signalling } else { root }, is_remote: false };
            let attributes = stage.unfinished.then(|| KeyValue::new("sfumato.unfinished", true));
            spans.push(SpanData {
                status: if stage.unfinished { self.status() } else { Status::Unset },
                attributes: attributes.into_iter().collect(),
                ..self.span(stage.name, id, Some(parent), stage.from, stage.to)
            });
        }
        spans
    }

    fn root(&self, id: SpanId) -> SpanData {
        let mut attributes =
            vec![KeyValue::new("http.route", self.begun.route), KeyValue::new("sfumato.join.outcome", self.outcome())];
        if let End::Reported(report) = &self.end {
            attributes.push(KeyValue::new("sfumato.room.id", report.room.to_string()));
            attributes.push(KeyValue::new("sfumato.participant.id", report.participant.to_string()));
        }
        SpanData {
            span_kind: SpanKind::Server,
            status: self.status(),
            attributes,
            ..self.span(ROOT, id, self.begun.parent, self.begun.asked, self.over())
        }
    }

    fn span(&self, name: &'static str, id: SpanId, parent: Option<Parent>, from: Instant, to: Instant) -> SpanData {
        SpanData {
            span_context: SpanContext::new(self.begun.trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent.map_or(SpanId::INVALID, |parent| parent.span),
            parent_span_is_remote: parent.is_some_and(|parent| parent.is_remote),
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: self.at(from),
            end_time: self.at(to),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder(SCOPE).with_version(env!("CARGO_PKG_VERSION")).build(),
        }
    }

    fn at(&self, moment: Instant) -> SystemTime {
        let since = moment.saturating_duration_since(self.begun.asked);
        self.begun.asked_at.checked_add(since).unwrap_or(self.begun.asked_at)
    }

    fn over(&self) -> Instant {
        match &self.end {
            End::Reported(report) => report.milestones.told,
            End::Refused { at, .. } | End::Untold { at } => *at,
        }
    }

    fn outcome(&self) -> &'static str {
        match &self.end {
            End::Reported(report) => report.outcome.name(),
            End::Refused { reason, .. } => reason,
            End::Untold { .. } => "untold",
        }
    }

    /// Who leaves early makes no error.
    fn status(&self) -> Status {
        let failed = match &self.end {
            End::Reported(report) => !matches!(report.outcome, JoinOutcome::Connected | JoinOutcome::Abandoned),
            End::Refused { .. } | End::Untold { .. } => true,
        };
        if failed { Status::error(self.outcome()) } else { Status::Unset }
    }

    /// In the order in which they begin.
    fn stages(&self) -> [Option<Stage>; STAGES] {
        let (asked, authorised, over) = (self.begun.asked, self.begun.authorised, self.over());
        let stage = |name, of_signalling, from: Option<Instant>, to: Option<Instant>| {
            let from = from?;
            Some(Stage { name, of_signalling, from, to: to.unwrap_or(over), unfinished: to.is_none() })
        };
        let End::Reported(report) = &self.end else {
            let mut stages = [None; STAGES];
            let reached = [
                stage(SIGNALLING, false, Some(asked), None),
                stage("token", true, Some(asked), authorised),
                stage("admission", true, authorised, None),
            ];
            stages.iter_mut().zip(reached).for_each(|(place, stage)| *place = stage);
            return stages;
        };
        let (reached, expected) = (&report.milestones, report.expected);
        let media = |expected: bool, at: Option<Instant>| reached.connected.filter(|_| expected || at.is_some());
        [
            stage(SIGNALLING, false, Some(asked), reached.answered),
            stage("token", true, Some(asked), authorised),
            stage("admission", true, authorised, Some(reached.let_in)),
            stage("answer", true, Some(reached.let_in), reached.answered),
            stage("ice", false, reached.answered, reached.checked),
            stage("dtls", false, reached.greeted.or(reached.checked), reached.connected),
            stage("first media received", false, media(expected.received, reached.received), reached.received),
            stage("first media sent", false, media(expected.forwarded, reached.forwarded), reached.forwarded),
            stage("first frame sent", false, media(expected.pictured, reached.pictured), reached.pictured),
        ]
    }
}
