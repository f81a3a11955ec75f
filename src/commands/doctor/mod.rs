//! `sfumato doctor`: what clients will find, told before they do. One small check each; `report` tells what came of them.
//!
//! What always holds: each check is a finding, which may ask the system, and a pure judgement of it; nothing is changed; it
//! ends within seconds; what cannot be known from this machine is said to be unknown. The server need not run, and may.

mod addresses;
mod certificate;
mod clock;
mod control_group;
mod descriptors;
mod keys;
mod memory;
mod offload;
mod ports;
mod processors;
mod reachability;
mod report;
mod running;
mod udp_buffers;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction};

use super::{Invocation, Subcommand, fail};
use crate::config::{Config, KeysNeeded};
use report::{Finding, Report};

pub(super) const SUBCOMMAND: Subcommand = Subcommand {
    name: "doctor",
    about: "Check what clients will find: addresses, ports, UDP, clock, certificate, limits; exit with 1 if a check fails",
    flags,
    keys: KeysNeeded::IfServing,
    run,
};

fn flags() -> Vec<Arg> {
    vec![Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object instead of lines")]
}

fn run(invocation: &Invocation) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let report = {
        // Listeners that are tried out belong to it.
        let _entered = runtime.enter();
        examine(&invocation.config, &invocation.warnings)
    };
    match invocation.flags.get_flag("json") {
        true => println!("{}", report.json()),
        false => print!("{}", report.text()),
    }
    if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn examine(config: &Config, warnings: &[String]) -> Report {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let running = running::find(config);
    let ports = ports::find(config);
    let addresses = addresses::find(config, &ports);
    let mut findings = vec![running::judge(&running)];
    findings.extend(warnings.iter().map(|warning| Finding::warn("settings", warning.clone(), "see --help")));
    findings.extend(ports::judge(&ports, &running));
    findings.extend(addresses::judge(&addresses));
    findings.extend(addresses.offered.iter().map(|to| reachability::judge(&reachability::find(*to, &addresses.own))));
    findings.push(udp_buffers::judge(&udp_buffers::find()));
    findings.push(offload::judge(&offload::find()));
    findings.extend(clock::judge(&clock::find(now)));
    findings.push(certificate::judge(&certificate::find(config), now));
    findings.push(keys::judge(config));
    findings.push(descriptors::judge(descriptors::find(), config.media.shards.get()));
    findings.push(processors::judge(&processors::find(config)));
    findings.push(memory::judge(&memory::find(config)));
    Report { findings }
}
