//! What becomes of joins as spans, who is traced, and what a slow or absent collector costs.

use std::sync::Mutex;
use std::time::Duration;

use axum::http::HeaderValue;
use opentelemetry::trace::Status;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prometheus::Registry;
use tokio::sync::mpsc;

use super::export::Export;
use super::*;
use crate::config::{Ratio, Traces};
use crate::limits;
use crate::room::model::{ParticipantId, RoomId};
use crate::shard::milestones::{Expected, JoinOutcome, Milestones};

const CALLER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn tracer(ratio: f64, places: usize) -> (JoinTracer, mpsc::Receiver<Finished>, SpanCounters) {
    let counters = SpanCounters::new(&Registry::new()).unwrap();
    let (joins, queue) = mpsc::channel(places);
    (JoinTracer::new(ratio, Queue { joins, dropped: counters.dropped.clone() }), queue, counters)
}

fn headers(traceparent: &str) -> HeaderMap {
    HeaderMap::from_iter([("traceparent".parse().unwrap(), HeaderValue::from_str(traceparent).unwrap())])
}

/// A join of which each milestone is 10 ms after the one before, up to `reached` of them.
fn join(reached: usize, outcome: JoinOutcome) -> Finished {
    let asked = Instant::now();
    let at = |place: u64| asked + Duration::from_millis(10 * place);
    let milestone = |place: usize| (place <= reached).then(|| at(place as u64));
    let milestones = Milestones {
        asked,
        let_in: at(2),
        answered: milestone(3),
        checked: milestone(4),
        greeted: milestone(5),
        connected: milestone(6),
        received: None,
        forwarded: milestone(7),
        pictured: milestone(8),
        told: at(9),
    };
    let expected = Expected { forwarded: true, pictured: true, received: false };
    let (room, participant) = (RoomId::new("RM_a"), ParticipantId::new("PA_b"));
    let begun = Begun {
        trace: TraceId::from(7),
        parent: None,
        route: "/join",
        asked,
        asked_at: SystemTime::UNIX_EPOCH,
        authorised: Some(at(1)),
    };
    Finished { begun, end: End::Reported(JoinReport { room, participant, milestones, expected, outcome }) }
}

/// Name, its parent's, beginning and end in milliseconds.
fn outline(spans: &[SpanData]) -> Vec<(&str, &str, u64, u64)> {
    let name_of =
        |id| spans.iter().find(|span| span.span_context.span_id() == id).map_or("", |span| span.name.as_ref());
    let ms = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
    spans.iter().map(|s| (s.name.as_ref(), name_of(s.parent_span_id), ms(s.start_time), ms(s.end_time))).collect()
}

fn attributes(span: &SpanData) -> Vec<String> {
    span.attributes.iter().map(|attribute| format!("{}={}", attribute.key, attribute.value)).collect()
}

#[test]
fn a_join_that_went_well_is_one_tree_of_its_stages() {
    let finished = join(8, JoinOutcome::Connected);
    let spans = finished.spans(&RandomIdGenerator::default());
    assert_eq!(
        outline(&spans),
        [
            ("join", "", 0, 90),
            ("signalling", "join", 0, 30),
            ("token", "signalling", 0, 10),
            ("admission", "signalling", 10, 20),
            ("answer", "signalling", 20, 30),
            ("ice", "join", 30, 40),
            ("dtls", "join", 50, 60),
            ("first media sent", "join", 60, 70),
            ("first frame sent", "join", 60, 80),
        ]
    );
    assert!(spans.iter().all(|span| span.span_context.trace_id() == TraceId::from(7) && span.status == Status::Unset));
    let told =
        ["http.route=/join", "sfumato.join.outcome=connected", "sfumato.room.id=RM_a", "sfumato.participant.id=PA_b"];
    assert_eq!(attributes(&spans[0]), told);
    assert!(spans[1..].iter().all(|span| span.attributes.is_empty()));
    assert_eq!(finished.count(), spans.len());
}

#[test]
fn a_join_that_failed_ends_in_the_stage_it_failed_in() {
    for (reached, outcome, last, from) in [
        (3, JoinOutcome::IceTimedOut, "ice", 30),
        (4, JoinOutcome::DtlsFailed, "dtls", 40),
        (5, JoinOutcome::FingerprintMismatch, "dtls", 50),
    ] {
        let spans = join(reached, outcome).spans(&RandomIdGenerator::default());
        assert_eq!(outline(&spans).last(), Some(&(last, "join", from, 90)));
        for failed in [&spans[0], spans.last().unwrap()] {
            assert_eq!(failed.status, Status::error(outcome.name()));
        }
        assert_eq!(attributes(spans.last().unwrap()), ["sfumato.unfinished=true"]);
    }
    let left = join(4, JoinOutcome::Abandoned).spans(&RandomIdGenerator::default());
    assert_eq!(outline(&left).last(), Some(&("dtls", "join", 40, 90)));
    assert!(left.iter().all(|span| span.status == Status::Unset), "leaving is no error");
    let unseen = join(6, JoinOutcome::Connected).spans(&RandomIdGenerator::default());
    assert_eq!(outline(&unseen)[7..], [("first media sent", "join", 60, 90), ("first frame sent", "join", 60, 90)]);
    assert_eq!(attributes(&unseen[7]), ["sfumato.unfinished=true"]);
}

#[tokio::test]
async fn a_refusal_is_a_trace_of_its_own() {
    let (tracer, mut queue, _) = tracer(1.0, 1);
    let mut trace = tracer.begin(&HeaderMap::new(), "/join");
    trace.authorised();
    trace.refused("room_full");
    let spans = queue.recv().await.unwrap().spans(&RandomIdGenerator::default());
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["join", "signalling", "token", "admission"]);
    assert_eq!((&spans[0].status, &spans[3].status), (&Status::error("room_full"), &Status::error("room_full")));
    assert_eq!(spans[2].status, Status::Unset, "the token was good");
}

#[tokio::test]
async fn a_callers_trace_goes_on_and_its_decision_counts() {
    let (ours, mut queue, _) = tracer(0.0, 4);
    ours.begin(&headers(&format!("00-{CALLER}-00f067aa0ba902b7-01")), "/join").refused("room_full");
    let spans = queue.recv().await.unwrap().spans(&RandomIdGenerator::default());
    assert_eq!(spans[0].span_context.trace_id(), TraceId::from_hex(CALLER).unwrap());
    assert_eq!(
        (spans[0].parent_span_id.to_string().as_str(), spans[0].parent_span_is_remote),
        ("00f067aa0ba902b7", true)
    );
    assert!(spans[1..].iter().all(|span| !span.parent_span_is_remote));

    let (eager, mut queue, _) = tracer(1.0, 4);
    for (traceparent, traced) in [
        (format!("00-{CALLER}-00f067aa0ba902b7-00"), false),
        (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), true),
        ("garbage".to_owned(), true),
        (format!("00-{CALLER}-00f067aa0ba902b7-01-{}", "f".repeat(10_000)), true),
    ] {
        eager.begin(&headers(&traceparent), "/join").refused("room_full");
        let join = queue.try_recv().ok();
        assert_eq!(join.is_some(), traced, "{traceparent:.60}");
        assert!(join.is_none_or(|join| join.begun.parent.is_none()), "nobody's child");
    }
    let (sparing, mut queue, _) = tracer(0.0, 4);
    sparing.begin(&HeaderMap::new(), "/join").refused("room_full");
    assert!(queue.try_recv().is_err());
}

#[test]
fn a_share_of_the_joins_is_traced() {
    let (tracer, _queue, _) = tracer(0.25, 1);
    let traced = (0..4_000).filter(|_| tracer.begin(&HeaderMap::new(), "/join").traced.is_some()).count();
    assert!((800..1_200).contains(&traced), "{traced} of 4,000");
}

#[tokio::test]
async fn without_a_collector_nothing_is_watched() {
    let nowhere = Traces { collector: None, sample_ratio: Ratio::ALL };
    let (tracer, collector) = start(&nowhere, SpanCounters::new(&Registry::new()).unwrap()).unwrap();
    assert!(collector.is_none());
    let mut trace = tracer.begin(&headers(&format!("00-{CALLER}-00f067aa0ba902b7-01")), "/join");
    assert!(trace.traced.is_none());
    assert!(format!("{:?}", trace.watch()).contains("watcher: None"));
}

#[tokio::test]
async fn a_participant_that_vanishes_with_its_shard_is_told_of_all_the_same() {
    let (tracer, mut queue, _) = tracer(1.0, 1);
    let mut trace = tracer.begin(&HeaderMap::new(), "/join");
    let watch = trace.watch();
    trace.let_in();
    drop(watch);
    assert!(matches!(queue.recv().await.unwrap().end, End::Untold { .. }));
}

#[test]
fn what_the_queue_has_no_place_for_is_counted_and_nobody_waits() {
    let (tracer, queue, counters) = tracer(1.0, 2);
    for _ in 0..5 {
        tracer.begin(&HeaderMap::new(), "/join").refused("room_full");
    }
    // Join, signalling, token: it ended before the token was found good.
    assert_eq!((queue.len(), counters.dropped.get()), (2, 3 * 3));
    drop(queue);
    tracer.begin(&HeaderMap::new(), "/join").refused("room_full");
    assert_eq!(counters.dropped.get(), 4 * 3);
}

/// A collector's ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Takes,
    Refuses,
    Hangs,
}

#[derive(Debug)]
struct FakeExporter {
    way: Way,
    batches: Arc<Mutex<Vec<usize>>>,
}

impl SpanExporter for FakeExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.batches.lock().unwrap().push(batch.len());
        match self.way {
            Way::Takes => Ok(()),
            Way::Refuses => Err(OTelSdkError::InternalFailure("no".to_owned())),
            Way::Hangs => std::future::pending().await,
        }
    }
}

/// Exports some joins that were waiting, and gives the sizes of the batches and what was counted.
async fn exported(way: Way, joins: usize) -> (Vec<usize>, u64, u64) {
    let (tracer, queue, counters) = tracer(1.0, joins);
    (0..joins).for_each(|_| tracer.begin(&HeaderMap::new(), "/join").refused("room_full"));
    let batches: Arc<Mutex<Vec<usize>>> = Arc::default();
    let exporter = FakeExporter { way, batches: batches.clone() };
    let export = Export { exporter, counters: counters.clone(), patience: Duration::from_millis(20), warned: None };
    let (_stop, stopped) = oneshot::channel();
    drop(tracer);
    export.run(queue, stopped).await;
    let batches = batches.lock().unwrap().clone();
    (batches, counters.exported.get(), counters.dropped.get())
}

#[tokio::test]
async fn batches_are_bounded_and_what_is_not_taken_is_counted() {
    let (batch, rest) = (limits::TRACES_PER_EXPORT, 6);
    let batches = vec![3 * batch, 3 * batch, 3 * rest];
    let all = batches.iter().sum::<usize>() as u64;
    for (way, taken, dropped) in [(Way::Takes, all, 0), (Way::Refuses, 0, all), (Way::Hangs, 0, all)] {
        assert_eq!(exported(way, 2 * batch + rest).await, (batches.clone(), taken, dropped), "{way:?}");
    }
}

#[tokio::test]
async fn the_end_of_the_server_sends_what_waits() {
    let (tracer, queue, counters) = tracer(1.0, 8);
    let exporter = FakeExporter { way: Way::Takes, batches: Arc::default() };
    let export = Export { exporter, counters: counters.clone(), patience: Duration::from_millis(20), warned: None };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(export.run(queue, stopped));
    tracer.begin(&HeaderMap::new(), "/join").refused("room_full");
    stop.send(()).unwrap();
    tracer.begin(&HeaderMap::new(), "/join").refused("room_full");
    tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
    assert_eq!(counters.exported.get(), 6);
}
