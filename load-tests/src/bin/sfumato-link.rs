//! `sfumato-link`: makes loopback a link with faults, for clients that are led through it. The first line it prints is where it
//! listens, the last, when it ends (by SIGTERM, SIGINT or in time), what passed, as JSON.

use std::process::ExitCode;

use sfumato_load::relay::{Config, Relay};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let config = match Config::parse(std::env::args_os()) {
        Ok(config) => config,
        Err(usage) => usage.exit(),
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sfumato-link: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let relay = Relay::bind(config).await?;
        println!("{}", relay.address()?);
        let stop = async {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
        };
        let totals = relay.run(stop).await;
        println!("{}", serde_json::to_string(&totals)?);
        Ok(())
    })
}
