//! Configuration -> server -> run -> drain -> exit.

use std::process::ExitCode;

use sfumato::config::{self, ConfigError};
use sfumato::server;
use sfumato::telemetry::logs;

fn main() -> ExitCode {
    let loaded = match config::load(std::env::args_os(), std::env::vars_os()) {
        Ok(loaded) => loaded,
        // Prints help and version, too, and knows their exit codes.
        Err(ConfigError::Usage(usage)) => usage.exit(),
        Err(error) => return fail(&error),
    };
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

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("sfumato: {error}");
    ExitCode::FAILURE
}
