//! What may be typed, and what is refused.

use super::arguments::subcommands;
use super::*;

fn parse(line: &str) -> Result<Options, clap::Error> {
    Options::parse(std::iter::once("sfumato-load").chain(line.split_ascii_whitespace()).map(OsString::from))
}

fn parsed(line: &str) -> Options {
    parse(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn the_defaults_are_the_rates_of_the_reference() {
    let options = parsed("fanout");
    assert_eq!(options.scenarios, [Scenario::steady("fanout", 1, 50)]);
    assert!((options.media.packets_per_second() - 300.0).abs() < 1e-6);
}

#[test]
fn options_stand_before_or_after_the_scenario() {
    let options = parsed("--pid 7 meeting --participants 4 --audio-rate 0 --duration 2");
    assert_eq!((options.targets[0].pid, options.scenarios), (Some(7), vec![Scenario::steady("meeting", 4, 0)]));
    assert!(options.media.audio.is_none());
    assert_eq!(options.duration, Duration::from_secs(2));
}

#[test]
fn every_scenario_can_be_named() {
    for command in subcommands() {
        let options = parsed(&format!("{} --server x", command.get_name()));
        assert!(!options.scenarios.is_empty());
    }
    assert!(parsed("audio-room").media.video.is_none());
    assert_eq!(parsed("storm --joiners 7").scenarios[0].course, Course::Storm { joiners: 7 });
    assert_eq!(parsed("churn --churn-rate 2.5").scenarios[0].course, Course::Churn { per_second: 2.5 });
}

#[test]
fn a_server_to_start_has_cores_and_arguments() {
    let options = parsed("suite --server bin/x --server-args --shards=2 --server-cores 0,2 --cores 1");
    let launch = options.targets[0].launch.as_ref().unwrap();
    assert_eq!(launch.arguments.last().map(String::as_str), Some("--shards=2"));
    assert_eq!((launch.cores.as_slice(), options.cores.as_slice()), (&[0, 2][..], &[1][..]));
}

#[test]
fn by_http_the_addresses_can_be_anothers() {
    let options = parsed("fanout --http --whep-url http://127.0.0.1:8889/{room}/whep --api-key k");
    let Protocol::Http(endpoints) = &options.targets[0].access.protocol else { panic!("not by HTTP") };
    assert_eq!(endpoints.whip, WHIP);
    assert_eq!(endpoints.whep, "http://127.0.0.1:8889/{room}/whep");
    assert!(endpoints.authorizes);
    assert_eq!(parsed("suite --http --server x").scenarios.len(), suite::scenarios().len() - 1);
}

#[test]
fn other_machines_are_loaded_only_when_told() {
    assert_eq!(
        parsed("fanout --url ws://192.0.2.1:7880 --allow-remote").targets[0].access.url,
        "http://192.0.2.1:7880"
    );
    assert!(parse("fanout --url ws://[::1]:7880").is_ok());
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    for line in [
        "",
        "nonsense",
        "suite",
        "fanout --viewers 10001",
        "fanout --viewers 10000",
        "storm --joiners 9990",
        "fanout --video-bytes 1400",
        "fanout --duration 3601",
        "fanout --audio-rate 0 --video-rate 0",
        "fanout --video-rate -1",
        "fanout --join-rate 0",
        "fanout --runs 101",
        "fanout --cores x",
        "fanout --url ws://192.0.2.1:7880",
        "fanout --url ws://127.0.0.1.example.net:7880",
        "fanout --url nonsense",
        "layers --http",
        "fanout --http --whip-url http://192.0.2.1/whip",
        "webinar --http --speakers 30 --viewers 500",
        "fanout --targets /nonexistent/targets.json",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}
