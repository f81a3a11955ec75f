//! The command line: subcommands, options, defaults, and the ranges of counts.

use clap::{Arg, ArgAction, Command, value_parser};

use super::{DURATION, RUNS, TIMEOUT, WHEP, WHIP};
use crate::client::send::PACKET_BYTES;
use crate::scenario::CLIENTS;

/// Rarest decryption: rollovers of the sequence number, every 65,536 packets, must not be missed.
const VERIFY_EVERY: u64 = 10_000;

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

pub(super) fn subcommands() -> Vec<Command> {
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
        scenario(
            "meetings",
            "Meetings side by side, in rooms of their own",
            &[clients("rooms", "20", "Rooms"), clients("participants", "10", "Clients in each")],
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

pub(super) fn command() -> Command {
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
        .arg(option("targets", "FILE", "Load the servers of this list in turn, side by side: load-tests/README.md"))
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
        .arg(number(
            "verify-every",
            "16",
            VERIFY_EVERY,
            "Of the others every so many-th packet of a stream is; 0: none",
        ))
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
