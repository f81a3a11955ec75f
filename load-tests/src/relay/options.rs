//! What a person types for a relay.
//!
//! What always holds: every share, time and rate is within a bound that is named here; other machines are reached only when told.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::Config;
use crate::link::{LinkConfig, Loss, Reordering};

/// Longest life, seconds.
const SECONDS: u64 = 3_600;
/// Longest delay of any kind, milliseconds.
const DELAY: u64 = 10_000;
/// Rates, kilobits a second.
const RATE: u64 = 10_000_000;

fn number(name: &'static str, unit: &'static str, most: u64, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(unit).help(help).value_parser(value_parser!(u64).range(0..=most))
}

fn share(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("PERCENT").help(help).default_value("0").value_parser(percent)
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..100.0).contains(&percent) { Ok(percent / 100.0) } else { Err("from 0 to below 100".to_owned()) }
}

fn command() -> Command {
    let address = |name| Arg::new(name).long(name).value_name("ADDRESS").value_parser(value_parser!(SocketAddr));
    Command::new("sfumato-link")
        .about("Relays UDP to a server over a link with faults, each way its own")
        .arg(address("listen").default_value("127.0.0.1:0").help("Where clients send to; its port is printed"))
        .arg(address("to").required(true).help("The server"))
        .arg(share("loss", "Datagrams lost, each way that --lossy names"))
        .arg(number("burst", "N", 1_000, "Lost in a row on average; 0: each by itself").default_value("0"))
        .arg(
            Arg::new("lossy")
                .long("lossy")
                .help("Which way loses, reorders and duplicates")
                .value_parser(["down", "up", "both"])
                .default_value("both"),
        )
        .arg(number("delay", "MS", DELAY, "One way, both ways alike").default_value("0"))
        .arg(number("jitter", "MS", DELAY, "At most so much more delay").default_value("0"))
        .arg(number("rate", "KBIT_PER_SECOND", RATE, "Of the bottleneck down; none unless given"))
        .arg(number("queue", "MS", DELAY, "What the bottleneck lets wait").default_value("300"))
        .arg(share("reorder", "Datagrams that come late"))
        .arg(number("late-by", "MS", DELAY, "How late those are").default_value("50"))
        .arg(share("duplicate", "Datagrams that come twice"))
        .arg(number("seed", "N", u64::MAX, "One seed, one course of faults").default_value("1"))
        .arg(number("seconds", "SECONDS", SECONDS, "Until it ends by itself").default_value("600"))
        .arg(Arg::new("allow-remote").long("allow-remote").action(ArgAction::SetTrue).help("Not only on this machine"))
}

impl Config {
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Config, clap::Error> {
        let matches = command().try_get_matches_from(args)?;
        read(&matches).map_err(|text| command().error(clap::error::ErrorKind::ValueValidation, text))
    }
}

fn read(matches: &ArgMatches) -> Result<Config, String> {
    let address = |name: &str| matches.get_one::<SocketAddr>(name).copied().ok_or_else(|| format!("--{name}?"));
    let (listen, server) = (address("listen")?, address("to")?);
    let local = listen.ip().is_loopback() && server.ip().is_loopback();
    if !local && !matches.get_flag("allow-remote") {
        return Err("other machines only with --allow-remote".to_owned());
    }
    let ideal = LinkConfig { delay: milliseconds(matches, "delay"), ..LinkConfig::default() };
    let faulty = LinkConfig { loss: loss(matches), ..faults(matches, ideal) };
    let lossy = matches.get_one::<String>("lossy").map(String::as_str);
    let (up, down) = match lossy {
        Some("down") => (ideal, faulty),
        Some("up") => (faulty, ideal),
        _ => (faulty, faulty),
    };
    let rate = matches.get_one::<u64>("rate").map(|kilobits| kilobits.saturating_mul(1_000));
    Ok(Config {
        listen,
        server,
        up,
        down: LinkConfig { rate, ..down }.with_queue(milliseconds(matches, "queue")),
        seed: whole(matches, "seed"),
        duration: Duration::from_secs(whole(matches, "seconds")),
    })
}

fn faults(matches: &ArgMatches, ideal: LinkConfig) -> LinkConfig {
    LinkConfig {
        jitter: milliseconds(matches, "jitter"),
        reordering: Reordering { share: part(matches, "reorder"), late_by: milliseconds(matches, "late-by") },
        duplication: part(matches, "duplicate"),
        ..ideal
    }
}

fn loss(matches: &ArgMatches) -> Loss {
    match (part(matches, "loss"), whole(matches, "burst")) {
        (share, _) if share <= 0.0 => Loss::None,
        (share, 0) => Loss::Even(share),
        (share, length) => Loss::Bursts { share, length: length as f64 },
    }
}

fn whole(matches: &ArgMatches, name: &str) -> u64 {
    matches.get_one(name).copied().unwrap_or_default()
}

fn part(matches: &ArgMatches, name: &str) -> f64 {
    matches.get_one(name).copied().unwrap_or_default()
}

fn milliseconds(matches: &ArgMatches, name: &str) -> Duration {
    Duration::from_millis(whole(matches, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Config, clap::Error> {
        Config::parse(std::iter::once("sfumato-link").chain(line.split_ascii_whitespace()).map(OsString::from))
    }

    #[test]
    fn faults_are_of_the_ways_that_are_named() {
        let config = parse("--to 127.0.0.1:9 --loss 5 --burst 4 --delay 10 --rate 2000 --lossy down").unwrap();
        assert_eq!(config.up, LinkConfig::delayed(Duration::from_millis(10)));
        assert_eq!(config.down.loss, Loss::Bursts { share: 0.05, length: 4.0 });
        assert_eq!((config.down.rate, config.down.queue_bytes), (Some(2_000_000), 75_000));
        let both = parse("--to 127.0.0.1:9 --loss 1").unwrap();
        assert_eq!((both.up.loss, both.down.loss), (Loss::Even(0.01), Loss::Even(0.01)));
        let ideal = parse("--to 127.0.0.1:9").unwrap().down;
        assert_eq!((ideal.rate, ideal.loss, ideal.delay), (None, Loss::None, Duration::ZERO));
    }

    #[test]
    fn what_is_out_of_bounds_or_not_here_is_refused() {
        for line in ["", "--to 127.0.0.1:9 --loss 100", "--to 127.0.0.1:9 --loss -1", "--to 127.0.0.1:9 --seconds 3601"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("--to 192.0.2.1:9").is_err());
        assert!(parse("--to 127.0.0.1:9 --listen 0.0.0.0:0").is_err());
        assert!(parse("--to 192.0.2.1:9 --allow-remote").is_ok());
    }
}
