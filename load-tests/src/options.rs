//! What a person types: scenarios as subcommands, the same options for each.
//!
//! What always holds: every count, rate and time is within a bound that is named here.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tokio_tungstenite::tungstenite::http::Uri;

use crate::client::send::{PACKET_BYTES, Shape};
use crate::error::Error;
use crate::scenario::{CLIENTS, Connections, Course, Media, Scenario, Verification};
use crate::signalling::token::ApiKey;
use crate::signalling::{Access, Endpoints, Protocol};
use crate::suite;
use crate::target::Launch;

/// Longest window, seconds.
const DURATION: u64 = 3_600;
/// Longest time for a client to join, seconds.
const TIMEOUT: u64 = 600;
/// Most runs of a scenario.
const RUNS: u64 = 100;
/// Rates of packets and joins, per second.
const RATES: std::ops::RangeInclusive<f64> = 0.1..=1_000_000.0;

/// Where Sfumato publishes and plays by HTTP.
const WHIP: &str = "/whip/{room}?identity={identity}";
const WHEP: &str = "/whep/{room}/{identity}";

pub struct Options {
    pub scenarios: Vec<Scenario>,
    pub access: Access,
    pub room: Option<String>,
    /// The server's process.
    pub pid: Option<u32>,
    /// Or how to start one.
    pub launch: Option<Launch>,
    /// The generator's own; empty: all.
    pub cores: Vec<usize>,
    pub media: Media,
    pub verification: Verification,
    pub runs: u64,
    pub duration: Duration,
    pub warmup: Duration,
    /// Joins a second.
    pub join_rate: f64,
    /// Where the search for the highest rate begins: video packets a second of all publishers.
    pub max_from: f64,
    /// Length of one of its steps.
    pub step: Duration,
    pub busy: bool,
    pub json: Option<PathBuf>,
    /// Folder for JSON and plots.
    pub out: Option<PathBuf>,
}

/// An option of every scenario.
fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help).action(ArgAction::Set).global(true)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue).global(true)
}

fn number(name: &'static str, default: &'static str, most: u64, help: &'static str) -> Arg {
    option(name, "N", help).default_value(default).value_parser(value_parser!(u64).range(0..=most))
}

fn seconds(name: &'static str, default: &'static str, most: u64, help: &'static str) -> Arg {
    number(name, default, most, help).value_name("SECONDS")
}

fn bytes(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    let range = value_parser!(u64).range(80..=PACKET_BYTES as u64 - 1);
    option(name, "BYTES", help).default_value(default).value_parser(range)
}

fn rate(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    option(name, "PER_SECOND", help).default_value(default).value_parser(value_parser!(f64))
}

/// A count of clients, of one scenario alone.
fn clients(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    let range = value_parser!(u64).range(1..=CLIENTS as u64);
    Arg::new(name).long(name).value_name("N").help(help).default_value(default).value_parser(range)
}

fn scenario(name: &'static str, about: &'static str, arguments: &[Arg]) -> Command {
    Command::new(name).about(about).args(arguments)
}

fn subcommands() -> Vec<Command> {
    let viewers = |default| clients("viewers", default, "Clients that only watch");
    let speakers = |default| clients("speakers", default, "Clients that publish");
    let leaving = rate("churn-rate", "5", "Viewers that leave, and others that join").global(false);
    vec![
        scenario("fanout", "One publishes, all others watch", &[viewers("50")]),
        scenario(
            "meeting",
            "Everybody publishes and watches everybody else",
            &[clients("participants", "10", "Clients")],
        ),
        scenario("webinar", "Few speak, many watch", &[speakers("3"), viewers("100")]),
        scenario("audio-room", "Some speak, all listen, no video", &[speakers("10"), viewers("90")]),
        scenario(
            "storm",
            "Many join at once; the window ends when they all see everything",
            &[viewers("10"), clients("joiners", "100", "Clients that join at once")],
        ),
        scenario("churn", "Viewers come and go", &[viewers("50"), leaving]),
        scenario("layers", "Simulcast; a third of the viewers wants each layer", &[viewers("30")]),
        scenario(
            "max",
            "Searches the highest packet rate that is forwarded with at most 1 % loss",
            &[speakers("1"), viewers("50")],
        ),
        scenario("suite", "A short set of all these, each against a fresh server (--server)", &[]),
    ]
}

fn command() -> Command {
    Command::new("sfumato-load")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .subcommand_required(true)
        .subcommands(subcommands())
        .arg(option("url", "URL", "Where a server signals that runs already").default_value("http://127.0.0.1:7880"))
        .arg(option("pid", "PID", "Its process, to measure what it uses").value_parser(value_parser!(u32)))
        .arg(option("server", "FILE", "Start this server program instead, a fresh one for each run"))
        .arg(
            option("server-args", "ARGS", "Its arguments, by blanks")
                .default_value("--shards 1")
                .allow_hyphen_values(true),
        )
        .arg(option("server-cores", "N,N", "Cores it may use; default: all"))
        .arg(option("cores", "N,N", "Cores the generator may use; default: all"))
        .arg(switch(
            "http",
            "Signal by WHIP and WHEP; one connection for each publisher, and one for each watched by each",
        ))
        .arg(option("whip-url", "URL", "Where to publish; a path is below --url").default_value(WHIP))
        .arg(option("whep-url", "URL", "Where to play").default_value(WHEP))
        .arg(option("api-key", "KEY", "Signs access tokens").default_value("devkey"))
        .arg(option("api-secret", "SECRET", "The key's secret").default_value("secret"))
        .arg(option("room", "NAME", "Room to join; default: one of a random name"))
        .arg(rate("video-rate", "250", "Video packets of a publisher; 0 for no video"))
        .arg(number("frame-packets", "10", 64, "Video packets sent at once"))
        .arg(bytes("video-bytes", "1100", "RTP packet of video, header included"))
        .arg(switch("uneven", "Half of a frame's packets are a byte longer, as libwebrtc's are"))
        .arg(rate("audio-rate", "50", "Audio packets of a publisher; 0 for no audio"))
        .arg(bytes("audio-bytes", "100", "RTP packet of audio, header included"))
        .arg(number("verify-clients", "2", CLIENTS as u64, "Receiving clients of which every packet is decrypted"))
        .arg(number("verify-every", "16", 1_000_000, "Of the others every so many-th packet of a stream is; 0: none"))
        .arg(number("runs", "1", RUNS, "Runs of the scenario; the table shows median and spread"))
        .arg(seconds("duration", "10", DURATION, "Time that is measured"))
        .arg(seconds("warmup", "3", DURATION, "Time between the last join and the measurement"))
        .arg(rate("join-rate", "100", "Clients that join"))
        .arg(seconds("timeout", "15", TIMEOUT, "Time for one client to join"))
        .arg(rate("max-from", "2000", "max: video packets a second of all publishers in the first step"))
        .arg(seconds("step", "3", DURATION, "max: time that a step is measured"))
        .arg(switch("busy", "The media thread never sleeps: lower delays, a whole core"))
        .arg(switch("allow-remote", "Load servers that are not on this machine"))
        .arg(option("json", "FILE", "Write the figures there (not for suite)"))
        .arg(option("out", "DIR", "Write figures and plots into this folder"))
}

impl Options {
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Options, clap::Error> {
        let matches = command().try_get_matches_from(args)?;
        let read = match matches.subcommand() {
            Some((name, matches)) => scenarios(name, matches).and_then(|scenarios| read(scenarios, matches)),
            None => Err(Error::Usage("which scenario?".to_owned())),
        };
        read.map_err(|error| command().error(clap::error::ErrorKind::ValueValidation, error))
    }
}

fn scenarios(name: &str, matches: &ArgMatches) -> Result<Vec<Scenario>, Error> {
    let of = |name| count(matches, name) as usize;
    let one_to = |name| Scenario::steady(name, 1, of("viewers"));
    Ok(vec![match name {
        "fanout" => one_to("fanout"),
        "meeting" => Scenario::steady("meeting", of("participants"), 0),
        "webinar" => Scenario::steady("webinar", of("speakers"), of("viewers")),
        "audio-room" => Scenario::steady("audio-room", of("speakers"), of("viewers")),
        "storm" => Scenario { course: Course::Storm { joiners: of("joiners") }, ..one_to("storm") },
        "churn" => {
            Scenario { course: Course::Churn { per_second: positive(matches, "churn-rate")? }, ..one_to("churn") }
        }
        "layers" => Scenario { simulcast: true, ..one_to("layers") },
        "max" => Scenario { course: Course::Max, ..Scenario::steady("max", of("speakers"), of("viewers")) },
        _ => return Ok(suite::scenarios()),
    }])
}

fn read(mut scenarios: Vec<Scenario>, matches: &ArgMatches) -> Result<Options, Error> {
    if matches.get_flag("http") {
        // Players by HTTP cannot say what they want.
        scenarios.retain(|scenario| !scenario.simulcast);
        scenarios.iter_mut().for_each(|scenario| scenario.connections = Connections::OfEachWatched);
    }
    if scenarios.is_empty() {
        return Err(Error::Usage("layers are chosen by LiveKit's protocol only: not with --http".to_owned()));
    }
    if scenarios.iter().any(|scenario| scenario.most_clients() > CLIENTS) {
        return Err(Error::Usage(format!("at most {CLIENTS} clients")));
    }
    let seconds = |name| Duration::from_secs(count(matches, name));
    let launch = launch(matches)?;
    if scenarios.len() > 1 && launch.is_none() {
        return Err(Error::Usage("suite needs --server".to_owned()));
    }
    Ok(Options {
        media: media(&scenarios, matches)?,
        scenarios,
        access: access(matches)?,
        room: text(matches, "room"),
        pid: matches.get_one("pid").copied(),
        launch,
        cores: cores(matches, "cores")?,
        verification: Verification {
            whole_clients: count(matches, "verify-clients") as usize,
            every: count(matches, "verify-every") as u32,
        },
        runs: count(matches, "runs").max(1),
        duration: seconds("duration").max(Duration::from_secs(1)),
        warmup: seconds("warmup"),
        join_rate: positive(matches, "join-rate")?,
        max_from: positive(matches, "max-from")?,
        step: seconds("step").max(Duration::from_secs(1)),
        busy: matches.get_flag("busy"),
        json: text(matches, "json").map(PathBuf::from),
        out: text(matches, "out").map(PathBuf::from),
    })
}

fn access(matches: &ArgMatches) -> Result<Access, Error> {
    let url = text(matches, "url").unwrap_or_default();
    let allow_remote = matches.get_flag("allow-remote");
    let protocol = protocol(matches);
    let mut urls = vec![&url];
    if let Protocol::Http(endpoints) = &protocol {
        urls.extend([&endpoints.whip, &endpoints.whep].into_iter().filter(|url| !url.starts_with('/')));
    }
    if let Some(url) = urls.into_iter().find(|url| !allow_remote && !is_loopback(url)) {
        return Err(Error::Usage(format!("{url} is not on this machine: --allow-remote, if you may load it")));
    }
    let secret = |name| text(matches, name).unwrap_or_default();
    Ok(Access {
        // WebSocket addresses are what clients are usually given.
        url: url.strip_prefix("ws").map_or_else(|| url.clone(), |rest| format!("http{rest}")),
        protocol,
        key: ApiKey { key: secret("api-key"), secret: secret("api-secret") },
        timeout: Duration::from_secs(count(matches, "timeout").max(1)),
        allow_remote,
    })
}

fn protocol(matches: &ArgMatches) -> Protocol {
    if !matches.get_flag("http") {
        return Protocol::Livekit;
    }
    Protocol::Http(Endpoints {
        whip: text(matches, "whip-url").unwrap_or_default(),
        whep: text(matches, "whep-url").unwrap_or_default(),
        // Development servers want none.
        authorizes: matches.value_source("api-key") == Some(ValueSource::CommandLine),
    })
}

fn is_loopback(url: &str) -> bool {
    // Braces of a template are not for an address to hold.
    let uri = url.replace(['{', '}'], "").parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn launch(matches: &ArgMatches) -> Result<Option<Launch>, Error> {
    let Some(binary) = text(matches, "server").map(PathBuf::from) else { return Ok(None) };
    let arguments = text(matches, "server-args").unwrap_or_default();
    Ok(Some(Launch {
        binary,
        arguments: arguments.split_ascii_whitespace().map(str::to_owned).collect(),
        cores: cores(matches, "server-cores")?,
    }))
}

fn cores(matches: &ArgMatches, name: &str) -> Result<Vec<usize>, Error> {
    let Some(text) = text(matches, name) else { return Ok(Vec::new()) };
    let cores = text.split(',').map(|core| core.trim().parse::<usize>().ok().filter(|core| *core < 1_024));
    cores.collect::<Option<_>>().ok_or_else(|| Error::Usage(format!("--{name} {text}: numbers by commas")))
}

fn media(scenarios: &[Scenario], matches: &ArgMatches) -> Result<Media, Error> {
    let shape = |rate, burst: u64, bytes, uneven| -> Result<Option<Shape>, Error> {
        if decimal(matches, rate) == 0.0 {
            return Ok(None);
        }
        let bytes = count(matches, bytes) as usize;
        Ok(Some(Shape::of_rate(positive(matches, rate)?, burst.max(1) as u32, bytes, uneven)))
    };
    let video = shape("video-rate", count(matches, "frame-packets"), "video-bytes", matches.get_flag("uneven"))?;
    let audio = shape("audio-rate", 1, "audio-bytes", false)?;
    let silent = scenarios.iter().all(|scenario| scenario.name == "audio-room");
    let media = Media { video: video.filter(|_| !silent), audio };
    if media.packets_per_second() == 0.0 {
        return Err(Error::Usage("nothing to send: neither audio nor video".to_owned()));
    }
    Ok(media)
}

fn text(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.get_one::<String>(name).cloned()
}

fn count(matches: &ArgMatches, name: &str) -> u64 {
    matches.get_one::<u64>(name).copied().unwrap_or_default()
}

fn decimal(matches: &ArgMatches, name: &str) -> f64 {
    matches.get_one::<f64>(name).copied().unwrap_or_default()
}

fn positive(matches: &ArgMatches, name: &str) -> Result<f64, Error> {
    let value = decimal(matches, name);
    if RATES.contains(&value) { Ok(value) } else { Err(Error::Usage(format!("--{name} is within {RATES:?}"))) }
}

#[cfg(test)]
mod tests {
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
        assert_eq!((options.pid, options.scenarios), (Some(7), vec![Scenario::steady("meeting", 4, 0)]));
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
        let launch = options.launch.unwrap();
        assert_eq!(
            (launch.arguments, launch.cores, options.cores),
            (vec!["--shards=2".to_owned()], vec![0, 2], vec![1])
        );
    }

    #[test]
    fn by_http_the_addresses_can_be_anothers() {
        let options = parsed("fanout --http --whep-url http://127.0.0.1:8889/{room}/whep --api-key k");
        let Protocol::Http(endpoints) = options.access.protocol else { panic!("not by HTTP") };
        assert_eq!(endpoints.whip, WHIP);
        assert_eq!(endpoints.whep, "http://127.0.0.1:8889/{room}/whep");
        assert!(endpoints.authorizes);
        assert_eq!(options.scenarios[0].connections, Connections::OfEachWatched);
        assert_eq!(parsed("suite --http --server x").scenarios.len(), suite::scenarios().len() - 1);
    }

    #[test]
    fn other_machines_are_loaded_only_when_told() {
        assert_eq!(parsed("fanout --url ws://192.0.2.1:7880 --allow-remote").access.url, "http://192.0.2.1:7880");
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
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
