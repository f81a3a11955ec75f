//! `sfumato-load`: many real clients in one process load a forwarding server, and tell what each packet cost it.

mod client;
mod engine;
mod error;
mod measure;
mod options;
mod progress;
mod report;
mod run;
mod scenario;
mod signalling;
mod suite;
mod target;
mod time;

use std::path::Path;
use std::process::ExitCode;

use error::Error;
use options::Options;
use report::summary::Summary;
use report::{plot, table};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os()) {
        Ok(options) => options,
        // Prints help and version, too, and knows their exit codes.
        Err(usage) => usage.exit(),
    };
    match start(&options) {
        Ok(doubts) if doubts.is_empty() => ExitCode::SUCCESS,
        Ok(doubts) => {
            doubts.iter().for_each(|doubt| eprintln!("sfumato-load: {doubt}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("sfumato-load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all that was asked for. Gives the doubts about what was measured.
fn start(options: &Options) -> Result<Vec<String>, Error> {
    target::bind(&options.cores)?;
    if let Some(folder) = &options.out {
        std::fs::create_dir_all(folder)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut summaries = Vec::new();
    for scenario in &options.scenarios {
        let summary = Summary::of(runtime.block_on(run::run(options, scenario))?);
        println!("{}", table::show(&summary));
        if let Some(folder) = &options.out {
            write_json(&summary, &folder.join(format!("{}.json", scenario.slug())))?;
            plot::write(&summary, folder)?;
        }
        summaries.push((*scenario, summary));
    }
    if let (Some(path), [(_, summary)]) = (&options.json, summaries.as_slice()) {
        write_json(summary, path)?;
    }
    if let Some(folder) = &options.out {
        suite::plot_sizes(options, &summaries, folder)?;
    }
    Ok(summaries.iter().flat_map(|(scenario, summary)| named(scenario.name, summary.doubts())).collect())
}

fn named(name: &str, doubts: Vec<String>) -> Vec<String> {
    doubts.into_iter().map(|doubt| format!("{name}: {doubt}")).collect()
}

fn write_json(summary: &Summary, path: &Path) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(summary).map_err(std::io::Error::from)?;
    Ok(std::fs::write(path, json + "\n")?)
}
