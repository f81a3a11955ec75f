//! `sfumato-sim`: runs the scoreboard's cases in virtual time, one line a case with its figures against the bars, and ends
//! non-zero if one fails. That a case can fail is shown each time by those that must: loss without recovery, a path that changes
//! without an estimate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, Command, value_parser};
use sfumato_sim::cases::{CANARIES, CASES, Canary, Case, Options};
use sfumato_sim::outcome::{Figure, Judgement, Outcome, together};
use sfumato_sim::plots;
use sfumato_sim::series::{self, Table};

/// Seeds a case is run with: more where nine of ten have to do.
const SEEDS: u64 = 3;
const SEEDS_OF_TEN: u64 = 10;

/// What is to be run.
struct Wishes {
    cases: Vec<String>,
    cell: Option<String>,
    seeds: Vec<u64>,
    seed_count: Option<u64>,
    options: Options,
    verbose: bool,
    trace: Option<PathBuf>,
    plots: Option<PathBuf>,
    congestion_plots: Option<PathBuf>,
}

fn main() -> ExitCode {
    let wishes = wishes();
    if wishes.plots.is_some() || wishes.congestion_plots.is_some() {
        return draw(&wishes);
    }
    let wanted =
        |case: &&Case| wishes.cases.is_empty() || wishes.cases.iter().any(|name| name.eq_ignore_ascii_case(case.name));
    let chosen: Vec<&Case> = CASES.iter().filter(wanted).collect();
    let mut failed = chosen.is_empty();
    let mut table = wishes.trace.as_ref().map(|_| Table::default());
    for case in chosen {
        failed |= !run_case(case, &wishes, &mut table);
    }
    if let (Some(path), Some(table)) = (&wishes.trace, &table)
        && let Err(error) = table.write(path)
    {
        eprintln!("sfumato-sim: {}: {error}", path.display());
        failed = true;
    }
    let whole = wishes.cases.is_empty() && wishes.cell.is_none();
    if whole && !wishes.options.without_recovery && !wishes.options.without_control {
        failed |= CANARIES.iter().filter(|canary| !fails(canary, &wishes)).count() > 0;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Writes plots, and runs nothing else.
fn draw(wishes: &Wishes) -> ExitCode {
    let quality = wishes.plots.as_deref().map_or(Ok(()), plots::write);
    match quality.and_then(|()| wishes.congestion_plots.as_deref().map_or(Ok(()), plots::congestion::write)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sfumato-sim: {error}");
            ExitCode::FAILURE
        }
    }
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
            Arg::new("seeds")
                .long("seeds")
                .value_parser(value_parser!(u64).range(1..=1_000))
                .conflicts_with("seed")
                .help("So many seeds, from 1 on, for every case; without it as many as the case is judged by"),
        )
        .arg(
            Arg::new("without-control")
                .long("without-control")
                .action(ArgAction::SetTrue)
                .help("Nobody estimates what a way takes"),
        )
        .arg(
            Arg::new("trace")
                .long("trace")
                .value_parser(value_parser!(PathBuf))
                .help("Writes what was estimated, sent and seen in each 100 ms into this file, as CSV"),
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
                .help("Only write the plots of docs/media-quality.md into this folder"),
        )
        .arg(
            Arg::new("congestion-plots")
                .long("congestion-plots")
                .value_parser(value_parser!(PathBuf))
                .help("Only write the plots of docs/congestion-results.md into this folder"),
        )
        .get_matches();
    let seeds: Vec<u64> = matches.get_many("seed").map(|seeds| seeds.copied().collect()).unwrap_or_default();
    let (without_recovery, without_control) =
        (matches.get_flag("without-recovery"), matches.get_flag("without-control"));
    Wishes {
        cases: matches.get_many("case").map(|cases| cases.cloned().collect()).unwrap_or_default(),
        cell: matches.get_one("cell").cloned(),
        seeds,
        seed_count: matches.get_one("seeds").copied(),
        options: Options { without_recovery, without_control, ..Options::default() },
        verbose: matches.get_flag("verbose"),
        trace: matches.get_one("trace").cloned(),
        plots: matches.get_one("plots").cloned(),
        congestion_plots: matches.get_one("congestion-plots").cloned(),
    }
}

impl Wishes {
    fn seeds_of(&self, case: &Case) -> Vec<u64> {
        let usual = if case.judgement == Judgement::NinthOfTen { SEEDS_OF_TEN } else { SEEDS };
        let count = self.seed_count.unwrap_or(usual);
        if self.seeds.is_empty() { (1..=count).collect() } else { self.seeds.clone() }
    }
}

/// Runs all cells and seeds, prints what came out, and says whether the case passes.
fn run_case(case: &Case, wishes: &Wishes, table: &mut Option<Table>) -> bool {
    let began = Instant::now();
    let cells = wishes.cell.as_ref().map_or_else(case.cells, |cell| vec![cell.clone()]);
    let mut outcomes = Vec::new();
    for cell in &cells {
        for seed in wishes.seeds_of(case) {
            let (outcome, scene) = case.run(cell, seed, wishes.options);
            if wishes.verbose {
                println!("  {outcome}; seed {seed}, trace {:016x}", outcome.hash);
            }
            table.iter_mut().for_each(|table| table.add(&outcome, &series::of(&scene)));
            outcomes.push(outcome);
        }
    }
    print(case, &outcomes, began.elapsed())
}

/// The figures that the runs of each cell are judged by.
fn judged(case: &Case, outcomes: &[Outcome]) -> Vec<Figure> {
    let mut cells: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    outcomes.iter().for_each(|outcome| cells.entry(&outcome.cell).or_default().push(outcome));
    cells.values().flat_map(|outcomes| together(outcomes, case.judgement)).collect()
}

/// True when the case passes.
fn print(case: &Case, outcomes: &[Outcome], took: Duration) -> bool {
    let figures = judged(case, outcomes);
    let faultless = outcomes.iter().all(|outcome| outcome.faults.is_empty());
    let passes = faultless && !figures.is_empty() && figures.iter().all(Figure::is_met);
    let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.passes()).collect();
    let verdict = if passes { "pass" } else { "FAIL" };
    let simulated: Duration = outcomes.iter().map(|outcome| outcome.virtual_time).sum();
    let runs = format!("{} of {} runs pass", outcomes.len() - failed.len(), outcomes.len());
    let times = format!("{} s simulated in {:.1} s", simulated.as_secs(), took.as_secs_f64());
    println!("{} {verdict}  {}; {runs}; {times}", case.name, worst(&figures).join(", "));
    for outcome in failed {
        println!("  {outcome}\n    again: {}", outcome.replay());
    }
    passes
}

/// Of each figure with a bar, the worst of all cells.
fn worst(figures: &[Figure]) -> Vec<String> {
    let mut by_bar: BTreeMap<String, (usize, &Figure)> = BTreeMap::new();
    for (place, figure) in figures.iter().enumerate().filter(|(_, figure)| figure.has_bar()) {
        let kept = by_bar.entry(format!("{} {:?}", figure.name, figure.bar)).or_insert((place, figure));
        if figure.is_worse_than(kept.1) {
            *kept = (place, figure);
        }
    }
    let mut worst: Vec<(usize, &Figure)> = by_bar.into_values().collect();
    worst.sort_by_key(|(place, _)| *place);
    worst.into_iter().map(|(_, figure)| figure.to_string()).collect()
}

/// A bar that cannot be missed shows nothing: without what a case is about it must fail.
fn fails(canary: &Canary, wishes: &Wishes) -> bool {
    let seed = wishes.seeds.first().copied().unwrap_or(1);
    let (outcome, _) = canary.case.run(canary.cell, seed, (canary.options)(wishes.options));
    let fails = !outcome.passes();
    let verdict = if fails { "pass  fails as it must" } else { "FAIL  passes, and must not" };
    println!("canary {verdict}, without {}: {outcome}", canary.without);
    fails
}
