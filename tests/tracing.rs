//! Traces of joins against a collector that decodes what it is sent (OTLP over HTTP), with peers of an independent WebRTC stack; and a
//! collector that takes everything and answers nothing.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops where it is wrong")]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use prost::Message;
use support::peer::{Peer, Role};
use support::server::Server;
use support::signal::{Signal, join_request};
use support::{eventually, within};

const CALLER: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// Joins one after another while the collector hangs.
const JOINS: usize = 10;

/// Everything a collector was sent.
#[derive(Clone, Default)]
struct Collected {
    requests: Arc<Mutex<Vec<Bytes>>>,
}

impl Collected {
    /// Starts a collector of its own. One that `hangs` reads and does not answer.
    async fn listen(hangs: bool) -> (Collected, SocketAddr) {
        let collected = Collected::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let take = async move |State(all): State<Collected>, headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            all.requests.lock().expect("no holder panics").push(body);
            if hangs {
                std::future::pending::<()>().await;
            }
            StatusCode::OK
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(collected.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collected, address)
    }

    fn count(&self) -> usize {
        self.requests.lock().expect("no holder panics").len()
    }

    /// All spans so far.
    fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().expect("no holder panics").clone();
        let decoded =
            requests.iter().map(|body| ExportTraceServiceRequest::decode(body.clone()).expect("a request of OTLP"));
        let resources = decoded.flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|of_resource| {
            let resource = of_resource.resource.expect("who tells").attributes;
            assert_eq!(text(&resource, "service.name"), "sfumato");
            assert_eq!(text(&resource, "service.version"), env!("CARGO_PKG_VERSION"));
            of_resource.scope_spans
        });
        scopes.flat_map(|scope| scope.spans).collect()
    }

    /// The spans of the trace whose first has this attribute, its root first.
    async fn trace(&self, key: &str, value: &str) -> Vec<Span> {
        eventually(&format!("a trace with {key} = {value}"), async || {
            let spans = self.spans();
            let root = spans.iter().find(|span| span.name == "join" && text(&span.attributes, key) == value);
            let root = root.ok_or_else(|| format!("{} spans, none like that", spans.len()))?.clone();
            let mut trace: Vec<Span> = spans.into_iter().filter(|span| span.trace_id == root.trace_id).collect();
            trace.sort_by_key(|span| span.span_id != root.span_id);
            Ok(trace)
        })
        .await
    }
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == key).and_then(|attribute| attribute.value.clone());
    match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        _ => String::new(),
    }
}

/// Names of the spans below one, in the order of their beginnings.
fn below(trace: &[Span], name: &str) -> Vec<String> {
    let parent = trace.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {trace:#?}"));
    let mut children: Vec<&Span> = trace.iter().filter(|span| span.parent_span_id == parent.span_id).collect();
    children.sort_by_key(|span| (span.start_time_unix_nano, span.end_time_unix_nano));
    for child in &children {
        let within = parent.start_time_unix_nano..=parent.end_time_unix_nano;
        assert!(
            within.contains(&child.start_time_unix_nano) && within.contains(&child.end_time_unix_nano),
            "{child:?}"
        );
    }
    children.into_iter().map(|span| span.name.clone()).collect()
}

async fn traced(flags: &[&str]) -> (Server, Collected) {
    let (collected, address) = Collected::listen(false).await;
    let endpoint = format!("http://{address}");
    let server = Server::start_with(&[&["--otlp-endpoint", &endpoint], flags].concat());
    (server, collected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_is_one_trace_from_the_request_to_the_first_picture() {
    for shards in [&["--shards", "1"][..], &["--shards", "2", "--room-spread", "1"]] {
        let (mut server, collected) = traced(shards).await;
        let publisher = Peer::join(&server, "tracing-room", "publisher-name", Role::Publisher).await;
        let of_publisher = collected.trace("sfumato.participant.id", &publisher.sid().await).await;
        assert_eq!(below(&of_publisher, "join"), ["signalling", "ice", "dtls", "first media received"]);

        let subscriber = Peer::join(&server, "tracing-room", "subscriber-name", Role::Subscriber).await;
        subscriber.track(true).await.more(1).await;
        let trace = collected.trace("sfumato.participant.id", &subscriber.sid().await).await;
        let root = &trace[0];
        let mut stages = below(&trace, "join");
        stages[3..].sort();
        assert_eq!(stages, ["signalling", "ice", "dtls", "first frame sent", "first media sent"]);
        assert_eq!(below(&trace, "signalling"), ["token", "admission", "answer"]);
        assert_eq!(trace.len(), 9, "{trace:#?}");
        assert!(root.parent_span_id.is_empty(), "nobody called");
        assert_eq!(text(&root.attributes, "sfumato.join.outcome"), "connected");
        assert!(text(&root.attributes, "sfumato.room.id").starts_with("RM_"));
        assert!(trace.iter().all(|span| span.status.clone().unwrap_or_default().code() == SpanStatus::Unset));
        assert_ne!(root.trace_id, of_publisher[0].trace_id);

        for body in collected.requests.lock().expect("no holder panics").iter() {
            let told = String::from_utf8_lossy(body);
            for secret in ["tracing-room", "publisher-name", "subscriber-name", "127.0.0.1"] {
                assert!(!told.contains(secret), "{secret} was told");
            }
        }
        assert_eq!(server.metric("sfumato_spans_exported_total"), collected.spans().len() as u64);
        assert_eq!(server.metric("sfumato_spans_dropped_total"), 0);
        assert_eq!(server.metric("sfumato_join_duration_seconds_count"), 2);
        assert_eq!(server.metric("sfumato_first_media_duration_seconds_count"), 1);
        assert_eq!(server.metric("sfumato_first_frame_duration_seconds_count"), 1);
        server.assert_alive();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_trace_goes_on_and_who_leaves_early_is_in_it() {
    let (server, collected) = traced(&["--trace-sample-ratio", "0"]).await;
    let token = server.token("calls", "caller");
    let headers = [("traceparent", &*format!("00-{CALLER}-00f067aa0ba902b7-01"))];
    let signal = Signal::connect_with(server.address(), &token, &join_request(None), &headers).await;
    let sid = signal.join().await.participant.expect("a participant").sid;
    drop(signal);
    let trace = collected.trace("sfumato.join.outcome", "abandoned").await;
    let root = &trace[0];
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!((hex(&root.trace_id), hex(&root.parent_span_id)), (CALLER.to_owned(), "00f067aa0ba902b7".to_owned()));
    assert_eq!(text(&root.attributes, "sfumato.participant.id"), sid);
    assert_eq!(below(&trace, "join"), ["signalling"]);

    // Nobody decided about this one, and the ratio is 0.
    drop(Signal::connect(server.address(), &token, &join_request(None)).await);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(collected.spans().len(), trace.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_slows_no_join_and_is_told_of_once() {
    let (collected, address) = Collected::listen(true).await;
    let endpoint = format!("http://{address}");
    let mut server = Server::start_with(&["--otlp-endpoint", &endpoint]);
    let token = server.token("hanging", "first");
    drop(Signal::connect(server.address(), &token, &join_request(None)).await);
    eventually(
        "the collector hanging",
        async || if collected.count() > 0 { Ok(()) } else { Err("nothing sent".to_owned()) },
    )
    .await;
    let mut took = Vec::new();
    for index in 0..JOINS {
        let token = server.token("hanging", &format!("next-{index}"));
        let begun = Instant::now();
        let signal = Signal::connect(server.address(), &token, &join_request(None)).await;
        signal.join().await;
        took.push(begun.elapsed());
    }
    took.sort();
    assert!(took[JOINS / 2] < Duration::from_millis(500), "{took:?}");
    within("spans being given up", async {
        while server.metric("sfumato_spans_dropped_total") == 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    let warnings = || server.log().matches("the collector of traces does not take spans").count();
    assert_eq!((warnings(), server.metric("sfumato_spans_exported_total")), (1, 0));
    server.assert_alive();
}
