//! Whole runs against the server itself, in this process: what the tool says is sound, and is what happened.

use std::ffi::OsString;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::report::Report;
use crate::run;

const START: Duration = Duration::from_secs(10);

/// A server on a free port of the loopback interface, for as long as the tests run.
fn server() -> u16 {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let arguments = format!(
        "sfumato --dev --bind 127.0.0.1 --port {port} --udp-port 0 --node-ip 127.0.0.1 --shards 1 --metrics-port 0"
    );
    let arguments: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
    std::thread::spawn(move || {
        let config = sfumato::config::load(arguments, []).unwrap().config;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(sfumato::server::run(config)).unwrap();
    });
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < START, "the server does not listen");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    port
}

/// The only run of a scenario.
fn report(port: u16, line: &str) -> Report {
    report_after(1, port, line)
}

/// The same, looked at after so many seconds.
fn report_after(seconds: u32, port: u16, line: &str) -> Report {
    let fixed = format!("--url http://127.0.0.1:{port} --pid {} --duration 2 --warmup {seconds}", std::process::id());
    let line = format!("sfumato-load {line} {fixed}");
    let options = Options::parse(line.split(' ').map(OsString::from)).unwrap_or_else(|error| panic!("{error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let reports = runtime.block_on(run::run(&options, &options.scenarios[0]));
    reports.unwrap_or_else(|error| panic!("{line}: {error}")).remove(0).remove(0)
}

fn assert_sound(report: &Report) {
    assert_eq!(report.doubts(), [] as [String; 0], "{}", report.description);
    assert!(report.generator.verified > 0 && report.video_delay_ms.count > 0, "{}", report.description);
    assert_eq!((report.traffic.loss, report.traffic.duplicates), (0.0, 0), "{}", report.description);
}

#[test]
fn everybody_receives_what_is_sent_by_either_protocol() {
    let port = server();
    for line in ["fanout --viewers 3", "meeting --participants 3", "meeting --participants 3 --http"] {
        let report = report(port, line);
        assert_sound(&report);
        let receivers = if line.starts_with("fanout") { 3.0 } else { 2.0 };
        let (sent, received) = (report.traffic.sent_packets_per_second, report.traffic.packets_per_second);
        assert!((received / sent / receivers - 1.0).abs() < 0.1, "{line}: {received} of {sent} times {receivers}");
    }
}

#[test]
fn viewers_get_the_layers_they_want() {
    // On a busy machine it may take a second probe to find that loopback takes the highest layer.
    let report = report_after(8, server(), "layers --viewers 3 --verify-every 1");
    assert_sound(&report);
    let by_layer = report.traffic.verified_by_encoding;
    let (low, medium, high) = (by_layer.low as f64, by_layer.medium as f64, by_layer.high as f64);
    // 1, 3 and 10 packets a frame.
    assert!((medium / low - 3.0).abs() < 0.5 && (high / low - 10.0).abs() < 1.5, "{by_layer:?}");
}

#[test]
fn those_who_join_and_leave_meanwhile_are_counted() {
    let port = server();
    let storm = report(port, "storm --viewers 1 --joiners 5");
    assert_sound(&storm);
    assert_eq!((storm.clients.joined, storm.clients.connected, storm.first_media_ms.count), (5, 7, 5));
    let churn = report(port, "churn --viewers 3 --churn-rate 3 --verify-every 1");
    assert_sound(&churn);
    assert_eq!((churn.clients.joined, churn.clients.connected, churn.first_media_ms.count), (6, 4, 6));
}
