//! What a person types: scenarios as subcommands, the same options for each.
//!
//! What always holds: every count and time is within a bound that is named here.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tokio_tungstenite::tungstenite::http::Uri;

use crate::client::send::{PACKET_BYTES, Shape};
use crate::error::Error;
use crate::scenario::{CLIENTS, Media, Scenario, Verification};
use crate::signalling::token::ApiKey;

/// Longest window, seconds.
const DURATION: u64 = 3_600;
/// Longest time for a room to become whole, seconds.
const TIMEOUT: u64 = 600;

pub struct Options {
    pub scenario: Scenario,
    /// `ws://host:port`
    pub url: String,
    pub key: ApiKey,
    pub room: Option<String>,
    /// The server's process.
    pub pid: Option<u32>,
    pub media: Media,
    pub verification: Verification,
    pub duration: Duration,
    pub warmup: Duration,
    /// Joins a second.
    pub join_rate: f64,
    pub timeout: Duration,
    pub busy: bool,
    pub allow_remote: bool,
    pub json: Option<PathBuf>,
}

fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help).action(ArgAction::Set).global(true)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue).global(true)
}

fn count(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("N")
        .help(help)
        .default_value(default)
        .value_parser(value_parser!(u32).range(1..=CLIENTS as i64))
}

fn command() -> Command {
    let rate =
        |name, default, help| option(name, "PER_SECOND", help).default_value(default).value_parser(value_parser!(f64));
    let bytes = |name, default, help| {
        let range = value_parser!(u32).range(80..=PACKET_BYTES as i64 - 1);
        option(name, "BYTES", help).default_value(default).value_parser(range)
    };
    let seconds = |name, default, most: u64, help| {
        option(name, "SECONDS", help).default_value(default).value_parser(value_parser!(u64).range(0..=most))
    };
    Command::new("sfumato-load")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .subcommand_required(true)
        .subcommand(Command::new("fanout").about("One publishes, all others watch").arg(count(
            "viewers",
            "50",
            "Clients that watch",
        )))
        .subcommand(Command::new("meeting").about("Everybody publishes and watches everybody else").arg(count(
            "participants",
            "10",
            "Clients",
        )))
        .arg(option("url", "URL", "Where the server signals").default_value("ws://127.0.0.1:7880"))
        .arg(option("api-key", "KEY", "Signs access tokens").default_value("devkey"))
        .arg(option("api-secret", "SECRET", "The key's secret").default_value("secret"))
        .arg(option("room", "NAME", "Room to join; default: one of a random name"))
        .arg(option("pid", "PID", "The server's process, to measure what it uses").value_parser(value_parser!(u32)))
        .arg(rate("video-rate", "250", "Video packets of a publisher; 0 for no video"))
        .arg(
            option("frame-packets", "N", "Video packets sent at once")
                .default_value("10")
                .value_parser(value_parser!(u32).range(1..=64)),
        )
        .arg(bytes("video-bytes", "1100", "RTP packet of video, header included"))
        .arg(switch("uneven", "Half of a frame's packets are a byte longer, as libwebrtc's are"))
        .arg(rate("audio-rate", "50", "Audio packets of a publisher; 0 for no audio"))
        .arg(bytes("audio-bytes", "100", "RTP packet of audio, header included"))
        .arg(
            option("verify-clients", "N", "Clients of which every packet is decrypted")
                .default_value("2")
                .value_parser(value_parser!(u32)),
        )
        .arg(
            option("verify-every", "N", "Of all others every so many-th packet of a stream is decrypted; 0: none")
                .default_value("16")
                .value_parser(value_parser!(u32)),
        )
        .arg(seconds("duration", "10", DURATION, "Time that is measured"))
        .arg(seconds("warmup", "3", DURATION, "Time between the last join and the measurement"))
        .arg(rate("join-rate", "100", "Clients that join"))
        .arg(seconds("timeout", "15", TIMEOUT, "Time for one client to join"))
        .arg(switch("busy", "The media thread never sleeps: lower delays, a whole core"))
        .arg(switch("allow-remote", "Load servers that are not on this machine"))
        .arg(option("json", "FILE", "Write the report there too"))
}

impl Options {
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Options, clap::Error> {
        let matches = command().try_get_matches_from(args)?;
        let usage = |error: Error| command().error(clap::error::ErrorKind::ValueValidation, error);
        let (scenario, matches) = match matches.subcommand() {
            Some(("fanout", of)) => (Scenario::Fanout { viewers: number(of, "viewers") as usize }, of),
            Some(("meeting", of)) => (Scenario::Meeting { participants: number(of, "participants") as usize }, of),
            _ => return Err(usage(Error::Usage("which scenario?".to_owned()))),
        };
        Options::read(scenario, matches).map_err(usage)
    }

    fn read(scenario: Scenario, matches: &ArgMatches) -> Result<Options, Error> {
        if scenario.clients() > CLIENTS {
            return Err(Error::Usage(format!("at most {CLIENTS} clients")));
        }
        let flag = |name| matches.get_flag(name);
        let url = text(matches, "url").unwrap_or_default();
        if !flag("allow-remote") && !is_loopback(&url) {
            return Err(Error::Usage(format!("{url} is not on this machine: --allow-remote, if you may load it")));
        }
        let time = |name| Duration::from_secs(matches.get_one::<u64>(name).copied().unwrap_or_default());
        let media = media(matches);
        if media.packets_per_second() == 0.0 {
            return Err(Error::Usage("nothing to send: neither audio nor video".to_owned()));
        }
        let join_rate = decimal(matches, "join-rate");
        if !(0.1..=10_000.0).contains(&join_rate) {
            return Err(Error::Usage("--join-rate is 0.1 to 10000".to_owned()));
        }
        Ok(Options {
            scenario,
            url,
            key: ApiKey {
                key: text(matches, "api-key").unwrap_or_default(),
                secret: text(matches, "api-secret").unwrap_or_default(),
            },
            room: text(matches, "room"),
            pid: matches.get_one("pid").copied(),
            media,
            verification: Verification {
                whole_clients: number(matches, "verify-clients") as usize,
                every: number(matches, "verify-every"),
            },
            duration: time("duration"),
            warmup: time("warmup"),
            join_rate,
            timeout: time("timeout"),
            busy: flag("busy"),
            allow_remote: flag("allow-remote"),
            json: text(matches, "json").map(PathBuf::from),
        })
    }
}

fn is_loopback(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn media(matches: &ArgMatches) -> Media {
    let shape = |rate, burst, bytes, uneven| {
        let rate = decimal(matches, rate);
        let bytes = number(matches, bytes) as usize;
        (rate > 0.0).then(|| Shape::of_rate(rate.min(1e6), burst, bytes, uneven))
    };
    Media {
        video: shape("video-rate", number(matches, "frame-packets"), "video-bytes", matches.get_flag("uneven")),
        audio: shape("audio-rate", 1, "audio-bytes", false),
    }
}

fn text(matches: &ArgMatches, name: &str) -> Option<String> {
    matches.get_one::<String>(name).cloned()
}

fn number(matches: &ArgMatches, name: &str) -> u32 {
    matches.get_one::<u32>(name).copied().unwrap_or_default()
}

fn decimal(matches: &ArgMatches, name: &str) -> f64 {
    matches.get_one::<f64>(name).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Options::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_defaults_are_the_rates_of_the_reference() {
        let options = parse("sfumato-load fanout").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(options.scenario, Scenario::Fanout { viewers: 50 });
        assert!((options.media.packets_per_second() - 300.0).abs() < 1e-6);
    }

    #[test]
    fn options_stand_before_or_after_the_scenario() {
        let options = parse("sfumato-load --pid 7 meeting --participants 4 --audio-rate 0 --duration 2")
            .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((options.pid, options.scenario), (Some(7), Scenario::Meeting { participants: 4 }));
        assert!(options.media.audio.is_none());
        assert_eq!(options.duration, Duration::from_secs(2));
    }

    #[test]
    fn other_machines_are_loaded_only_when_told() {
        assert!(parse("sfumato-load fanout --url ws://192.0.2.1:7880 --allow-remote").is_ok());
        assert!(parse("sfumato-load fanout --url ws://[::1]:7880").is_ok());
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        for line in [
            "sfumato-load",
            "sfumato-load fanout --viewers 10001",
            "sfumato-load fanout --viewers 10000",
            "sfumato-load fanout --video-bytes 1400",
            "sfumato-load fanout --duration 3601",
            "sfumato-load fanout --audio-rate 0 --video-rate 0",
            "sfumato-load fanout --join-rate 0",
            "sfumato-load fanout --url ws://192.0.2.1:7880",
            "sfumato-load fanout --url ws://127.0.0.1.example.net:7880",
            "sfumato-load fanout --url nonsense",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
