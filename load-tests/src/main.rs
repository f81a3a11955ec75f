//! `sfumato-load`: many real clients in one process load a forwarding server, and tell what each packet cost it.

use std::path::Path;
use std::process::ExitCode;

use sfumato_load::error::Error;
use sfumato_load::options::Options;
use sfumato_load::report::summary::Summary;
use sfumato_load::report::{plot, table};
use sfumato_load::scenario::Scenario;
use sfumato_load::{run, suite, target};

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
    let mut results = Vec::new();
    for scenario in &options.scenarios {
        let reports = runtime.block_on(run::run(options, scenario))?;
        let summaries: Vec<Summary> = reports.into_iter().map(Summary::of).collect();
        println!("{}", table::show(&summaries));
        if let Some(folder) = &options.out {
            write(scenario, &summaries, folder)?;
        }
        results.push((*scenario, summaries));
    }
    if let (Some(path), [(_, summaries)]) = (&options.json, results.as_slice()) {
        let [summary] = summaries.as_slice() else {
            return Err(Error::Usage("--json is for one server: --out for several".to_owned()));
        };
        write_json(summary, path)?;
    }
    if let Some(folder) = &options.out {
        suite::plot_sizes(options, &results, folder)?;
    }
    Ok(results.iter().flat_map(|(scenario, summaries)| doubts(scenario, summaries)).collect())
}

fn doubts(scenario: &Scenario, summaries: &[Summary]) -> Vec<String> {
    let of_target = |summary: &Summary| {
        let doubts = summary.doubts().into_iter();
        doubts.map(|doubt| format!("{}, {}: {doubt}", scenario.describe(), summary.target)).collect::<Vec<_>>()
    };
    summaries.iter().flat_map(of_target).collect()
}

/// Figures and plots; of several targets, the figures in a file each.
fn write(scenario: &Scenario, summaries: &[Summary], folder: &Path) -> Result<(), Error> {
    for summary in summaries {
        let name = match summaries.len() {
            1 => format!("{}.json", scenario.slug()),
            _ => format!("{}-{}.json", scenario.slug(), summary.target),
        };
        write_json(summary, &folder.join(name))?;
    }
    plot::write(summaries, folder)
}

fn write_json(summary: &Summary, path: &Path) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(summary).map_err(std::io::Error::from)?;
    Ok(std::fs::write(path, json + "\n")?)
}
