//! Plots as SVG: the distribution of delays, what happened second by second, and cost over rate.
//!
//! What always holds: lines have names, axes have units.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::Report;
use super::summary::Summary;
use crate::error::Error;

const SIZE: (u32, u32) = (900, 540);
const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(148, 103, 189),
    RGBColor(255, 127, 14),
    RGBColor(127, 127, 127),
];
const FONT: (&str, u32) = ("sans-serif", 15);
/// Points of a distribution for each factor of ten towards 1.
const POINTS: u32 = 20;
/// Nines that a distribution shows.
const NINES: u32 = 4;

/// A named line.
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

pub struct Axes<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub y: &'a str,
    /// Writes a value of the x axis.
    pub label: fn(&f64) -> String,
}

/// Writes all plots of a scenario into a folder, named after it.
pub fn write(summaries: &[Summary], folder: &Path) -> Result<(), Error> {
    let last_runs: Vec<&Report> = summaries.iter().filter_map(|summary| summary.runs.last()).collect();
    let Some(run) = last_runs.first() else { return Ok(()) };
    let path = |kind: &str| folder.join(format!("{}-{kind}.svg", run.scenario));
    let delays: Vec<Line> = last_runs.iter().flat_map(|run| delays(run)).collect();
    draw(&path("delay"), delay_axes(&format!("One-way delay, {}", run.description)), &delays)?;
    if last_runs.iter().any(|run| run.samples.len() > 1) {
        let title = format!("Server CPU per packet, {}", run.description);
        let axes = Axes { title: &title, x: "seconds", y: "us per packet received", label: plain };
        draw(&path("seconds"), axes, &lines(summaries, seconds))?;
    }
    if last_runs.iter().any(|run| !run.steps.is_empty()) {
        let title = format!("Server CPU per packet over rate, {}", run.description);
        let axes = Axes { title: &title, x: "packets received per second", y: "us per packet received", label: plain };
        draw(&path("rate"), axes, &lines(summaries, rates))?;
    }
    Ok(())
}

/// Cost per packet of scenarios that differ in size alone: a line of (subscribers, cost) for each target.
pub fn sizes(path: &Path, title: &str, targets: Vec<(String, Vec<(f64, f64)>)>) -> Result<(), Error> {
    let axes = Axes { title, x: "subscribers (powers of ten)", y: "us per packet received", label: power };
    let scaled = |points: Vec<(f64, f64)>| points.into_iter().map(|(x, y)| (x.log10(), y)).collect();
    let lines: Vec<Line> = targets.into_iter().map(|(name, points)| Line { name, points: scaled(points) }).collect();
    draw(path, axes, &lines)
}

fn delay_axes(title: &str) -> Axes<'_> {
    Axes { title, x: "share of packets that are faster", y: "milliseconds", label: share }
}

/// The x axis counts nines: 0 is none, 2 is 99 %.
fn share(nines: &f64) -> String {
    let share = 100.0 * (1.0 - 10f64.powf(-nines));
    let digits = (nines - 2.0).max(0.0).ceil() as usize;
    format!("{share:.digits$} %")
}

/// A value as it is.
pub fn plain(value: &f64) -> String {
    // What sums of tenths add behind the digits that count is no part of a label.
    format!("{}", (value * 1e6).round() / 1e6)
}

fn power(exponent: &f64) -> String {
    format!("{:.0}", 10f64.powf(*exponent))
}

fn delays(run: &Report) -> Vec<Line> {
    let line = |(name, times): &(&str, crate::measure::delay::Times)| {
        let at = |point: u32| {
            let nines = f64::from(point) / f64::from(POINTS);
            Some((nines, times.quantile(1.0 - 10f64.powf(-nines))?))
        };
        Line { name: format!("{} {name}", run.target), points: (0..=NINES * POINTS).filter_map(at).collect() }
    };
    run.delays.iter().map(line).filter(|line| !line.points.is_empty()).collect()
}

/// A line for each run of each target.
fn lines(summaries: &[Summary], points: fn(&Report) -> Vec<(f64, f64)>) -> Vec<Line> {
    let runs = summaries.iter().flat_map(|summary| (1..).zip(&summary.runs));
    let line = |(number, run): (i32, &Report)| Line { name: format!("{} {number}", run.target), points: points(run) };
    runs.map(line).collect()
}

fn seconds(run: &Report) -> Vec<(f64, f64)> {
    run.samples.iter().map(|sample| (sample.at_s, sample.server_us_per_packet)).collect()
}

fn rates(run: &Report) -> Vec<(f64, f64)> {
    let held = run.steps.iter().filter(|step| step.holds);
    let mut points: Vec<(f64, f64)> = held.map(|step| (step.packets_per_second, step.server_us_per_packet)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// Writes one plot.
pub fn draw(path: &Path, axes: Axes<'_>, lines: &[Line]) -> Result<(), Error> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    draw_on(&root, &axes, lines).map_err(|error| Error::Plot(format!("{}: {error}", path.display())))
}

type Fault = Box<dyn std::error::Error>;

fn draw_on(root: &DrawingArea<SVGBackend<'_>, Shift>, axes: &Axes<'_>, lines: &[Line]) -> Result<(), Fault> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max);
    let (x, y) = (most(|point| point.0).max(0.001), most(|point| point.1).max(0.001) * 1.05);
    root.fill(&WHITE).map_err(fault)?;
    let mut chart = ChartBuilder::on(root)
        .caption(axes.title, ("sans-serif", 20))
        .margin(16)
        .margin_right(40)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..x, 0.0..y)
        .map_err(fault)?;
    chart
        .configure_mesh()
        .x_desc(axes.x)
        .y_desc(axes.y)
        .x_label_formatter(&axes.label)
        .label_style(FONT)
        .max_light_lines(2)
        .draw()
        .map_err(fault)?;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2));
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2));
        chart.draw_series(series).map_err(fault)?.label(&line.name).legend(legend);
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font(FONT)
        .draw()
        .map_err(fault)?;
    root.present().map_err(fault)
}

fn fault(error: impl std::fmt::Display) -> Fault {
    error.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_digits_that_count() {
        assert_eq!([0.1 + 0.2, 40.0, 0.0].map(|value| plain(&value)), ["0.3", "40", "0"]);
    }

    #[test]
    fn nines_are_told_as_shares() {
        assert_eq!([0.0, 1.0, 2.0, 3.0, 4.0].map(|nines| share(&nines)), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn a_plot_holds_its_names_and_its_line() {
        let folder = std::env::temp_dir().join(format!("sfumato-load-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("sizes.svg");
        let targets = vec![("one".to_owned(), vec![(10.0, 2.0), (100.0, 1.5)]), ("two".to_owned(), vec![(10.0, 3.0)])];
        sizes(&path, "Cost over size", targets).unwrap_or_else(|error| panic!("{error}"));
        let svg = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        for part in ["Cost over size", "us per packet received", "one", "two", "<polyline"] {
            assert!(svg.contains(part), "{part}");
        }
    }

    #[test]
    fn a_plot_that_cannot_be_written_is_an_error() {
        assert!(sizes(Path::new("/nonexistent/x.svg"), "", Vec::new()).is_err());
    }
}
