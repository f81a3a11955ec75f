//! What a person types: scenarios as subcommands, the same options for each.
//!
//! What always holds: every count, rate and time is within a bound that is named here.

mod arguments;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::client::send::Shape;
use crate::error::Error;
use crate::scenario::{CLIENTS, Course, Media, Scenario, Verification};
use crate::signalling::token::ApiKey;
use crate::signalling::{Access, Endpoints, Protocol};
use crate::suite;
use crate::target::{Launch, Target};
use crate::targets;
use arguments::command;

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
    /// Never empty.
    pub targets: Vec<Target>,
    pub room: Option<String>,
    /// For one client to join.
    pub timeout: Duration,
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
        "meetings" => Scenario { rooms: of("rooms"), ..Scenario::steady("meetings", of("participants"), 0) },
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
    let targets = targets(matches)?;
    if targets.iter().any(|target| target.access.protocol != Protocol::Livekit) {
        // Players by HTTP cannot say what they want.
        scenarios.retain(|scenario| !scenario.simulcast);
    }
    if scenarios.is_empty() {
        return Err(Error::Usage("layers are chosen by LiveKit's protocol only: not by HTTP".to_owned()));
    }
    let of_target = |scenario: &Scenario, target: &Target| scenario.by(&target.access.protocol).most_clients();
    let most =
        scenarios.iter().flat_map(|scenario| targets.iter().map(move |target| of_target(scenario, target))).max();
    if most > Some(CLIENTS) {
        return Err(Error::Usage(format!("at most {CLIENTS} clients")));
    }
    let seconds = |name| Duration::from_secs(count(matches, name));
    if scenarios.len() > 1 && targets.iter().any(|target| target.launch.is_none()) {
        return Err(Error::Usage("suite needs servers that it can start: --server or --targets".to_owned()));
    }
    Ok(Options {
        media: media(&scenarios, matches)?,
        scenarios,
        targets,
        timeout: seconds("timeout").max(Duration::from_secs(1)),
        room: text(matches, "room"),
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

fn targets(matches: &ArgMatches) -> Result<Vec<Target>, Error> {
    let access = access(matches)?;
    let targets = match text(matches, "targets") {
        Some(path) => targets::read(Path::new(&path), &access)?,
        None => {
            let (pid, launch) = (matches.get_one("pid").copied(), launch(matches)?);
            vec![Target { name: "server".to_owned(), access, pid, launch }]
        }
    };
    targets.iter().try_for_each(|target| check_loopback(&target.access))?;
    Ok(targets)
}

/// No other machine is loaded by mistake.
fn check_loopback(access: &Access) -> Result<(), Error> {
    let mut urls = vec![&access.url];
    if let Protocol::Http(endpoints) = &access.protocol {
        urls.extend([&endpoints.whip, &endpoints.whep].into_iter().filter(|url| !url.starts_with('/')));
    }
    match urls.into_iter().find(|url| !access.allow_remote && !is_loopback(url)) {
        Some(url) => Err(Error::Usage(format!("{url} is not on this machine: --allow-remote, if you may load it"))),
        None => Ok(()),
    }
}

fn access(matches: &ArgMatches) -> Result<Access, Error> {
    let url = text(matches, "url").unwrap_or_default();
    let secret = |name| text(matches, name).unwrap_or_default();
    Ok(Access {
        // WebSocket addresses are what clients are usually given.
        url: url.strip_prefix("ws").map_or_else(|| url.clone(), |rest| format!("http{rest}")),
        protocol: protocol(matches),
        key: ApiKey { key: secret("api-key"), secret: secret("api-secret") },
        timeout: Duration::from_secs(count(matches, "timeout").max(1)),
        allow_remote: matches.get_flag("allow-remote"),
    })
}

fn protocol(matches: &ArgMatches) -> Protocol {
    if !matches.get_flag("http") {
        return Protocol::Livekit;
    }
    Protocol::Http(Endpoints {
        whip: text(matches, "whip-url").unwrap_or_default(),
        whep: text(matches, "whep-url").unwrap_or_default(),
        server_offers: false,
        others: false,
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
    let Some(program) = text(matches, "server").map(PathBuf::from) else { return Ok(None) };
    let arguments = text(matches, "server-args").unwrap_or_default();
    let arguments = arguments.split_ascii_whitespace().map(str::to_owned).collect();
    Ok(Some(Launch::sfumato(program, arguments, cores(matches, "server-cores")?)))
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
mod tests;
