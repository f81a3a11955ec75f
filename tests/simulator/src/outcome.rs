//! What a run showed: figures, the bars they are judged by, and one line for people.
//!
//! What always holds: a figure that is not a number meets no bar.

use std::fmt;
use std::time::Duration;

/// What is good enough.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bar {
    /// For information.
    None,
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
}

impl Bar {
    fn is_met(self, value: f64) -> bool {
        match self {
            Bar::None => true,
            Bar::AtMost(bar) => value <= bar,
            Bar::AtLeast(bar) => value >= bar,
            Bar::Below(bar) => value < bar,
        }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    pub bar: Bar,
}

impl Figure {
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str, bar: Bar) -> Figure {
        Figure { name: name.into(), value, unit, bar }
    }

    pub fn is_met(&self) -> bool {
        self.bar.is_met(self.value)
    }

    pub fn has_bar(&self) -> bool {
        self.bar != Bar::None
    }

    /// Of two figures with the same bar.
    pub fn is_worse_than(&self, other: &Figure) -> bool {
        match self.bar {
            Bar::AtLeast(_) => self.value.is_nan() || self.value < other.value,
            _ => self.value.is_nan() || self.value > other.value,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure { name, value, unit, bar } = self;
        let (sign, limit) = match *bar {
            Bar::None => return write!(f, "{name} {}{unit}", plain(*value)),
            Bar::AtMost(limit) => ("<=", limit),
            Bar::AtLeast(limit) => (">=", limit),
            Bar::Below(limit) => ("<", limit),
        };
        let verdict = if self.is_met() { "" } else { " MISSED" };
        write!(f, "{name} {}{unit} ({sign} {}{unit}{verdict})", plain(*value), plain(limit))
    }
}

/// Two digits after the point, without those that are zero.
fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How the runs of a case are judged together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// Each has to pass.
    Worst,
    /// Of each figure of a cell, the value that nine of ten seeds reach has to.
    NinthOfTen,
}

/// Each figure of several runs of one cell, as it is judged.
pub fn together(outcomes: &[&Outcome], judgement: Judgement) -> Vec<Figure> {
    let Some(first) = outcomes.first() else { return Vec::new() };
    let of_place = |place: usize| {
        let mut figures: Vec<&Figure> = outcomes.iter().filter_map(|outcome| outcome.figures.get(place)).collect();
        figures.sort_by(|a, b| a.is_worse_than(b).cmp(&b.is_worse_than(a)));
        let rank = match judgement {
            Judgement::Worst => figures.len(),
            Judgement::NinthOfTen => (figures.len() * 9).div_ceil(10),
        };
        figures.get(rank.saturating_sub(1)).copied().cloned()
    };
    (0..first.figures.len()).filter_map(of_place).collect()
}

/// One run of a case: of one seed, and of one cell where the case has several.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub case: &'static str,
    /// Empty where a case has only one.
    pub cell: String,
    pub seed: u64,
    pub figures: Vec<Figure>,
    pub hash: u64,
    /// What went wrong in the world itself.
    pub faults: Vec<String>,
    pub virtual_time: Duration,
}

impl Outcome {
    pub fn passes(&self) -> bool {
        self.faults.is_empty() && !self.figures.is_empty() && self.figures.iter().all(Figure::is_met)
    }

    pub fn verdict(&self) -> &'static str {
        if self.passes() { "pass" } else { "FAIL" }
    }

    /// The command that runs it again.
    pub fn replay(&self) -> String {
        let cell = if self.cell.is_empty() { String::new() } else { format!(" --cell {}", self.cell) };
        format!("sfumato-sim {}{cell} --seed {}", self.case, self.seed)
    }

    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures: Vec<String> = self.figures.iter().map(Figure::to_string).collect();
        let cell = if self.cell.is_empty() { String::new() } else { format!(" {}", self.cell) };
        write!(f, "{}{cell} {}  {}", self.case, self.verdict(), figures.join(", "))?;
        self.faults.iter().take(3).try_for_each(|fault| write!(f, "; fault: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(figures: Vec<Figure>) -> Outcome {
        let (cell, virtual_time) = ("x".to_owned(), Duration::ZERO);
        Outcome { case: "S9", cell, seed: 4, figures, hash: 0, faults: Vec::new(), virtual_time }
    }

    #[test]
    fn each_bar_can_be_missed() {
        for (bar, met, missed) in
            [(Bar::AtMost(2.0), 2.0, 2.1), (Bar::AtLeast(2.0), 2.0, 1.9), (Bar::Below(2.0), 1.9, 2.0)]
        {
            assert!(Figure::new("a", met, "", bar).is_met() && !Figure::new("a", missed, "", bar).is_met());
            assert!(!Figure::new("a", f64::NAN, "", bar).is_met());
        }
    }

    #[test]
    fn of_ten_runs_one_may_miss_a_bar_where_nine_of_ten_have_to_meet_it() {
        let run = |n: u32| outcome(vec![Figure::new("a", f64::from(n), "", Bar::AtLeast(2.0))]);
        let runs: Vec<Outcome> = [5, 1, 4, 9, 2, 8, 3, 7, 6, 10].map(run).to_vec();
        let judged = |judgement| together(&runs.iter().collect::<Vec<_>>(), judgement)[0].clone();
        assert_eq!((judged(Judgement::Worst).value, judged(Judgement::NinthOfTen).value), (1.0, 2.0));
        let few: Vec<&Outcome> = runs.iter().take(3).collect();
        assert_eq!(together(&few, Judgement::NinthOfTen)[0].value, 1.0, "of three, each has to");
        let lost = outcome(vec![Figure::new("a", f64::NAN, "", Bar::AtMost(2.0))]);
        assert!(!together(&[&lost, &lost], Judgement::NinthOfTen)[0].is_met());
    }

    #[test]
    fn a_missed_bar_or_a_fault_fails_the_case_and_says_how_to_see_it_again() {
        let good = Figure::new("frozen", 0.5, " %", Bar::Below(1.0));
        let bad = Figure::new("frozen", 1.0, " %", Bar::Below(1.0));
        assert_eq!(outcome(vec![good.clone()]).to_string(), "S9 x pass  frozen 0.5 % (< 1 %)");
        assert_eq!(outcome(vec![bad]).to_string(), "S9 x FAIL  frozen 1 % (< 1 % MISSED)");
        assert!(!outcome(Vec::new()).passes(), "nothing measured is nothing shown");
        assert!(!Outcome { faults: vec!["it broke".to_owned()], ..outcome(vec![good.clone()]) }.passes());
        assert_eq!(outcome(vec![good]).replay(), "sfumato-sim S9 --cell x --seed 4");
    }
}
