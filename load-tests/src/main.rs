//! `sfumato-load`: many real clients in one process load a forwarding server, and tell what each packet cost it.

mod client;
mod engine;
mod error;
mod measure;
mod options;
mod report;
mod run;
mod scenario;
mod signalling;
mod time;

use std::process::ExitCode;

use error::Error;
use options::Options;
use report::{Report, table};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os()) {
        Ok(options) => options,
        // Prints help and version, too, and knows their exit codes.
        Err(usage) => usage.exit(),
    };
    match start(&options) {
        Ok(report) if report.is_sound() => ExitCode::SUCCESS,
        Ok(report) => {
            eprintln!("sfumato-load: the room was not whole or packets were damaged; {:?}", report.faults);
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("sfumato-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Options) -> Result<Report, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(run::run(options))?;
    println!("{}", table::show(&report));
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
        std::fs::write(path, json + "\n")?;
    }
    Ok(report)
}
