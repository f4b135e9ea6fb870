//! `cargo xtask bench`: runs every example called `bench_*` in release mode and
//! gathers the measurements they print, one JSON object a line:
//! `{"bench":…,"case":…,"value":…,"unit":…,"ratio":…}`. A case that cannot be measured here has
//! `"skipped":"why"` instead of a value. More fields (what a case is made of) are passed on.
//!
//! Numbers of different machines do not compare; ratios within one run do. So
//! the page in docs/ names the machine and shows the ratio beside every value.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::setup::{self, Purpose};
use crate::workspace::{Profile, Workspace};
use crate::{build, conformance, process};

/// Folders with benches, and the packages they belong to.
const PLACES: [(&str, &str); 2] = [("bot-agent", "bot-agent"), ("tests", "bot-tests")];

const PAGE: &str = "docs/benchmarks.md";
const BEGIN: &str = "<!-- measurements: written by `cargo xtask bench --write` -->";
const END: &str = "<!-- end of measurements -->";

/// Compare timings in one run; `--write` renders docs/benchmarks.md.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only benches whose name contains this
    filter: Option<String>,
    /// How to print the measurements
    #[arg(short, long, value_enum, default_value_t = Output::Human)]
    output: Output,
    /// Put the measurements into docs/benchmarks.md
    #[arg(long, conflicts_with = "filter")]
    write: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Human,
    Json,
}

/// One line of a bench.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Measurement {
    bench: String,
    case: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    /// Against the first case of the same kind, when that makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    /// Why there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let benches: Vec<(String, &str)> = PLACES
        .iter()
        .flat_map(|(folder, package)| {
            names(&workspace.root().join(folder).join("examples"))
                .into_iter()
                .map(move |name| (name, *package))
        })
        .filter(|(name, _)| args.filter.as_ref().is_none_or(|part| name.contains(part)))
        .collect();
    if benches.is_empty() {
        bail!("no bench of that name");
    }
    let toolchain = setup::prepare(workspace, Purpose::Bench)?;
    build::everything(workspace, &toolchain, Profile::Release)?;
    let mut measurements = Vec::new();
    for (name, package) in &benches {
        eprintln!("== {name}");
        measurements.extend(measure(workspace, package, name)?);
    }
    match args.output {
        Output::Human => print!("{}", table(&measurements)),
        Output::Json => {
            for measurement in &measurements {
                println!("{}", serde_json::to_string(measurement)?);
            }
        }
    }
    if args.write {
        let path = workspace.root().join(PAGE);
        let section = format!("{}\n{}", machine()?, table(&measurements));
        let old = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, page(&old, &section)?)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Examples called `bench_*`, in order.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let path = entry.path();
            let name = path.file_stem()?.to_str()?;
            name.starts_with("bench_").then(|| name.to_owned())
        })
        .collect();
    names.sort();
    names
}

fn measure(workspace: &Workspace, package: &str, name: &str) -> Result<Vec<Measurement>> {
    let mut command = workspace.cargo();
    command.args([
        "run",
        "--release",
        "--quiet",
        "--package",
        package,
        "--example",
        name,
    ]);
    if let Some(folder) = conformance::folder(workspace) {
        command.env("BOT_DATA", folder);
    }
    let mut measurements = Vec::new();
    let status = process::lines(&mut command, |line| match serde_json::from_str(line) {
        Ok(measurement) => measurements.push(measurement),
        Err(_) => eprintln!("{line}"),
    })?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    if measurements.is_empty() {
        bail!("{name} measured nothing");
    }
    Ok(measurements)
}

/// A Markdown table, which also reads well on a terminal.
fn table(measurements: &[Measurement]) -> String {
    let rows: Vec<[String; 4]> = measurements
        .iter()
        .map(|m| {
            let ratio = m
                .ratio
                .map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let value = match (m.value, &m.skipped) {
                (Some(value), _) => {
                    format!("{} {}", rounded(value), m.unit.as_deref().unwrap_or(""))
                }
                (None, reason) => format!("skipped: {}", reason.as_deref().unwrap_or("?")),
            };
            [m.bench.clone(), m.case.clone(), value, ratio]
        })
        .collect();
    let head = ["bench", "case", "value", "ratio"].map(str::to_owned);
    let widths: Vec<usize> = (0..4)
        .map(|column| {
            std::iter::once(&head)
                .chain(&rows)
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: &[String; 4]| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    let body: String = rows.iter().map(line).collect();
    format!("{}| {} |\n{body}", line(&head), rule.join(" | "))
}

/// Three figures are more than a shared machine can promise.
fn rounded(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// Replaces what lies between the marks, or makes a page around them.
fn page(old: &str, section: &str) -> Result<String> {
    if old.is_empty() {
        return Ok(format!("# Benchmarks\n\n{BEGIN}\n{section}{END}\n"));
    }
    let (before, rest) = old
        .split_once(BEGIN)
        .with_context(|| format!("{PAGE} has no line {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("{PAGE} has no line {END}"))?;
    Ok(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

/// Date, kernel and processor in one line.
fn machine() -> Result<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let processor = fs::read_to_string("/proc/cpuinfo")?
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(
            || "unknown processor".to_owned(),
            |(_, name)| name.to_owned(),
        );
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
    Ok(format!(
        "{date}, Linux {}, {processor}, {cores} cores.\n",
        kernel.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(case: &str, value: f64, ratio: Option<f64>) -> Measurement {
        Measurement {
            bench: "packet".to_owned(),
            case: case.to_owned(),
            value: Some(value),
            unit: Some("ns".to_owned()),
            ratio,
            skipped: None,
            fields: Map::new(),
        }
    }

    #[test]
    fn a_line_of_a_bench() {
        let line = r#"{"bench":"packet","case":"blocked","value":31.5,"unit":"ns","ratio":2.1}"#;
        let read: Measurement = serde_json::from_str(line).unwrap();
        assert_eq!(read, measurement("blocked", 31.5, Some(2.1)));
    }

    #[test]
    fn a_line_that_says_why_there_is_no_figure() {
        let line = r#"{"bench":"load","case":"nft","skipped":"no nft here"}"#;
        let read: Measurement = serde_json::from_str(line).unwrap();
        assert!(table(&[read]).contains("| skipped: no nft here |"));
    }

    #[test]
    fn fields_of_a_bench_are_passed_on() {
        let line = r#"{"bench":"lookup","case":"hit","value":9.0,"unit":"ns","family":"IPv4"}"#;
        let read: Measurement = serde_json::from_str(line).unwrap();
        assert_eq!(read.fields.get("family"), Some(&"IPv4".into()));
        let again: Value = serde_json::to_value(&read).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(line).unwrap());
    }

    #[test]
    fn the_table_lines_up() {
        let text = table(&[
            measurement("bare drop", 15.04, Some(1.0)),
            measurement("blocked", 1431.7, None),
        ]);
        assert_eq!(
            text,
            "| bench  | case      | value   | ratio |\n\
             | ------ | --------- | ------- | ----- |\n\
             | packet | bare drop | 15.0 ns | 1.00  |\n\
             | packet | blocked   | 1432 ns |       |\n"
        );
    }

    #[test]
    fn words_around_the_measurements_stay() {
        let first = page("", "old\n").unwrap();
        let edited = first.replace("# Benchmarks", "# Benchmarks\n\nHow to read this.");
        let second = page(&edited, "new\n").unwrap();
        assert!(second.contains("How to read this."));
        assert!(second.contains("new") && !second.contains("old"));
    }

    #[test]
    fn a_page_without_marks_is_left_alone() {
        assert!(page("# Something else\n", "new\n").is_err());
    }
}
