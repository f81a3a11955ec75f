//! `sfumato-sim`: runs the scoreboard's cases in virtual time, one line a case with its figures against the bars, and ends
//! non-zero if one fails. That a case can fail is shown each time by one that must: loss without recovery.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, Command, value_parser};
use sfumato_sim::cases::{CANARY, CASES, Case, Options};
use sfumato_sim::outcome::{Figure, Outcome};
use sfumato_sim::plots;

/// What is to be run.
struct Wishes {
    cases: Vec<String>,
    cell: Option<String>,
    seeds: Vec<u64>,
    options: Options,
    verbose: bool,
    plots: Option<PathBuf>,
}

fn main() -> ExitCode {
    let wishes = wishes();
    if let Some(folder) = &wishes.plots {
        return match plots::write(folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("sfumato-sim: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let wanted =
        |case: &&Case| wishes.cases.is_empty() || wishes.cases.iter().any(|name| name.eq_ignore_ascii_case(case.name));
    let chosen: Vec<&Case> = CASES.iter().filter(wanted).collect();
    let mut failed = chosen.is_empty();
    for case in chosen {
        failed |= !run_case(case, &wishes);
    }
    if wishes.cases.is_empty() && wishes.cell.is_none() && !wishes.options.without_recovery {
        failed |= !canary_fails(&wishes);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn wishes() -> Wishes {
    let cases: Vec<String> = CASES.iter().map(|case| format!("{}: {}", case.name, case.about)).collect();
    let matches = Command::new("sfumato-sim")
        .about("The scoreboard of media quality, in simulation")
        .after_help(cases.join("\n"))
        .arg(Arg::new("case").num_args(0..).help("Which cases; all without one"))
        .arg(Arg::new("cell").long("cell").help("One cell of a case, by its name"))
        .arg(
            Arg::new("seed")
                .long("seed")
                .action(ArgAction::Append)
                .value_parser(value_parser!(u64))
                .help("One seed; more by repeating it"),
        )
        .arg(
            Arg::new("without-recovery")
                .long("without-recovery")
                .action(ArgAction::SetTrue)
                .help("Nobody asks for lost packets or sends them again"),
        )
        .arg(
            Arg::new("verbose")
                .long("verbose")
                .short('v')
                .action(ArgAction::SetTrue)
                .help("Every cell and seed on a line of its own, with the trace's hash"),
        )
        .arg(
            Arg::new("plots")
                .long("plots")
                .value_parser(value_parser!(PathBuf))
                .help("Only write the plots of the documentation into this folder"),
        )
        .get_matches();
    let seeds: Vec<u64> = matches.get_many("seed").map(|seeds| seeds.copied().collect()).unwrap_or_default();
    Wishes {
        cases: matches.get_many("case").map(|cases| cases.cloned().collect()).unwrap_or_default(),
        cell: matches.get_one("cell").cloned(),
        seeds: if seeds.is_empty() { vec![1, 2, 3] } else { seeds },
        options: Options { without_recovery: matches.get_flag("without-recovery"), ..Options::default() },
        verbose: matches.get_flag("verbose"),
        plots: matches.get_one("plots").cloned(),
    }
}

/// Runs all cells and seeds, prints what came out, and says whether all passed.
fn run_case(case: &Case, wishes: &Wishes) -> bool {
    let began = Instant::now();
    let cells = wishes.cell.as_ref().map_or_else(case.cells, |cell| vec![cell.clone()]);
    let mut outcomes = Vec::new();
    for cell in &cells {
        for seed in &wishes.seeds {
            let (outcome, _) = (case.run)(cell, *seed, wishes.options);
            if wishes.verbose {
                println!("  {outcome}; seed {seed}, trace {:016x}", outcome.hash);
            }
            outcomes.push(outcome);
        }
    }
    print(case, &outcomes, began.elapsed());
    outcomes.iter().all(Outcome::passes)
}

fn print(case: &Case, outcomes: &[Outcome], took: Duration) {
    let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.passes()).collect();
    let verdict = if failed.is_empty() { "pass" } else { "FAIL" };
    let simulated: Duration = outcomes.iter().map(|outcome| outcome.virtual_time).sum();
    let runs = format!("{} of {} runs pass", outcomes.len() - failed.len(), outcomes.len());
    let times = format!("{} s simulated in {:.1} s", simulated.as_secs(), took.as_secs_f64());
    println!("{} {verdict}  {}; {runs}; {times}", case.name, worst(outcomes).join(", "));
    for outcome in failed {
        println!("  {outcome}\n    again: {}", outcome.replay());
    }
}

/// Of each figure with a bar, the worst of all runs.
fn worst(outcomes: &[Outcome]) -> Vec<String> {
    let mut by_bar: BTreeMap<String, (usize, &Figure)> = BTreeMap::new();
    let figures = outcomes.iter().flat_map(|outcome| outcome.figures.iter().enumerate());
    for (place, figure) in figures.filter(|(_, figure)| figure.has_bar()) {
        let kept = by_bar.entry(format!("{} {:?}", figure.name, figure.bar)).or_insert((place, figure));
        if figure.is_worse_than(kept.1) {
            *kept = (place, figure);
        }
    }
    let mut worst: Vec<(usize, &Figure)> = by_bar.into_values().collect();
    worst.sort_by_key(|(place, _)| *place);
    worst.into_iter().map(|(_, figure)| figure.to_string()).collect()
}

/// A bar that cannot be missed shows nothing: without recovery, loss must fail.
fn canary_fails(wishes: &Wishes) -> bool {
    let options = Options { without_recovery: true, ..wishes.options };
    let seed = wishes.seeds.first().copied().unwrap_or(1);
    let (outcome, _) = (CANARY.0.run)(CANARY.1, seed, options);
    let fails = !outcome.passes();
    let verdict = if fails { "pass  fails as it must" } else { "FAIL  passes, and must not" };
    println!("canary {verdict}, without recovery: {outcome}");
    fails
}
