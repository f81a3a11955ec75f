//! `sfumato` without a subcommand: configuration -> server -> run -> drain -> exit.

use std::process::ExitCode;

use super::fail;
use crate::config::Loaded;
use crate::server;
use crate::telemetry::logs;

pub(super) fn run(loaded: Loaded) -> ExitCode {
    logs::init(&loaded.config.logs);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(server::run(loaded.config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}
