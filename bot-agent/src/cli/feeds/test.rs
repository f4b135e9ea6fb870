//! `bot-agent feeds test`

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    cli::{
        global::{Global, Output},
        progress::Progress,
        show,
    },
    config::{FeedSource, Http},
    control::feeds::ThrownView,
    event::render::Safe,
    exit_code::ExitCode,
    feeds::{
        crowdsec::Poll,
        fetch::{Fetched, Request},
        format::{Format, Tolerance, parse, unpack::unpack},
        rail::Rail,
        rails::{Limits, MAX_CHANGE, Screen, Size, Verdict, judge, screen},
        snapshot::Snapshot,
    },
    wording::{grouped, grouped_of, many_of},
};

/// Longest content.
const LONGEST: u64 = 1 << 30;
/// For a whole answer of a web server.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Percent of unreadable lines from which on a content is refused, as in the configuration.
const BAD_LINES: u8 = 5;

#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
    /// A file, `-` for standard input, or an http:// or https:// address
    #[arg(value_name = "FILE|URL")]
    source: String,

    /// Its format (`bot-agent feeds formats`); without it found out from the content
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Leave out entries of which the publisher is less sure, 0 to 100
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    min_confidence: u8,

    /// Go without a rail: reserved, wide or coverage; may be repeated
    #[arg(long, value_name = "RAIL", value_parser = rail)]
    loosen: Vec<Rail>,

    /// A content from before, to say what has changed since
    #[arg(long, value_name = "FILE")]
    before: Option<std::path::PathBuf>,

    /// Percent of lines that may be unreadable
    #[arg(long, value_name = "PERCENT", default_value_t = BAD_LINES, value_parser = clap::value_parser!(u8).range(..=100))]
    bad_lines: u8,

    /// Write every entry that would be in, a line each, and nothing else
    #[arg(long)]
    entries: bool,
}

/// What a content is good for.
#[derive(Debug, Serialize)]
struct Report {
    source: String,
    format: &'static str,
    lines: usize,
    bad_lines: usize,
    bad_shown: Vec<String>,
    entries: usize,
    addresses_v4: u128,
    addresses_v6: u128,
    /// Entries that are AS numbers or countries.
    networks: usize,
    thrown: Vec<ThrownView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<Timestamp>,
    /// Why the update would be held.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<String>,
    added: usize,
    removed: usize,
}

/// Runs the command: 0 usable, 1 would be held, 2 refused.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let progress = Progress::begin("reading", None);
    let loosen: BTreeSet<Rail> = args.loosen.iter().copied().collect();
    let (snapshot, mut report) = read(args, &args.source, &content(&args.source)?, &loosen)?;
    let before = match &args.before {
        Some(file) => {
            let name = file.display().to_string();
            Some(read(args, &name, &file_content(file)?, &loosen)?.0)
        }
        None => None,
    };
    drop(progress);
    if args.entries {
        for known in snapshot.entries() {
            writeln!(out, "{}\t{}", known.subject, known.confidence)?;
        }
        return Ok(ExitCode::Ok);
    }
    let limits = Limits {
        max_change: MAX_CHANGE,
        loosen: &loosen,
    };
    if let Verdict::Hold(hold) = judge(before.as_ref(), &snapshot, None, &limits) {
        report.held = Some(hold.to_string());
    }
    if let Some(before) = &before {
        let is_new = |known: &crate::feeds::snapshot::Known| before.find(known.subject).is_none();
        report.added = snapshot.entries().filter(is_new).count();
        let same = snapshot.len() - report.added;
        report.removed = before.len().saturating_sub(same);
    }
    match global.output {
        Output::Human => writeln!(out, "{}", report.text(before.is_some()))?,
        Output::Json => show::json(&report, out)?,
        Output::Raw => writeln!(
            out,
            "{}\t{}\t{}\t{}",
            report.format,
            report.entries,
            report.bad_lines,
            report
                .thrown
                .iter()
                .map(|thrown| thrown.count)
                .sum::<usize>()
        )?,
    }
    Ok(if report.held.is_some() {
        ExitCode::Blocked
    } else {
        ExitCode::Ok
    })
}

impl Report {
    /// A line for each thing that there is to say.
    fn text(&self, compared: bool) -> String {
        let mut lines = vec![
            format!("{}: {}", Safe(&self.source), self.format),
            format!(
                "  in        {}: {} IPv4 and {} IPv6 addresses",
                many_of(self.entries, "entry"),
                grouped(self.addresses_v4),
                grouped(self.addresses_v6)
            ),
        ];
        lines.extend(
            self.made
                .map(|made| format!("  made      {made:.0}, says the publisher")),
        );
        if self.networks > 0 {
            let count = grouped_of(self.networks);
            lines.push(format!(
                "            {count} are AS numbers or countries: they need `database` in [asn]"
            ));
        }
        if compared {
            let (added, removed) = (grouped_of(self.added), grouped_of(self.removed));
            lines.push(format!("  changed   {added} new, {removed} gone"));
        }
        if self.bad_lines > 0 {
            let bad = many_of(self.bad_lines, "line");
            lines.push(format!("  unread    {bad} of {}", grouped_of(self.lines)));
            let shown = self.bad_shown.iter();
            lines.extend(shown.map(|line| format!("            {}", Safe(line))));
        }
        for thrown in &self.thrown {
            let (count, examples) = (grouped_of(thrown.count), thrown.examples.join(", "));
            lines.push(format!("  left out  {count} {}: {examples}", thrown.why));
        }
        lines.push(match &self.held {
            Some(why) => format!("It would be held: {why}."),
            None => "It is usable.".to_owned(),
        });
        lines.join("\n")
    }
}

fn read(
    args: &Args,
    source: &str,
    bytes: &[u8],
    loosen: &BTreeSet<Rail>,
) -> anyhow::Result<(Snapshot, Report)> {
    let refused = || format!("{source} is refused");
    let content = unpack(bytes, LONGEST).with_context(refused)?;
    let tolerance = Tolerance::new(args.bad_lines).unwrap_or_default();
    let parsed = parse(&content, args.format.as_ref(), tolerance).with_context(refused)?;
    let screened = screen(
        parsed,
        &Screen {
            min_confidence: args.min_confidence,
            loosen,
        },
    );
    let update = screened.update;
    let now = crate::host::now().wall;
    let (snapshot, _) = Snapshot::next(None, &update, now, Duration::ZERO);
    let size = Size::of_update(&snapshot, None);
    let report = Report {
        source: source.to_owned(),
        format: update.format,
        lines: update.lines,
        bad_lines: update.bad,
        bad_shown: update.shown.iter().map(ToString::to_string).collect(),
        entries: snapshot.len(),
        addresses_v4: size.v4,
        addresses_v6: size.v6,
        networks: snapshot
            .entries()
            .filter(|known| known.subject.needs_database())
            .count(),
        thrown: screened.thrown.iter().map(ThrownView::of).collect(),
        made: update.made,
        held: None,
        added: 0,
        removed: 0,
    };
    Ok((snapshot, report))
}

fn content(source: &str) -> anyhow::Result<Vec<u8>> {
    if source == "-" {
        let mut bytes = Vec::new();
        let stdin = std::io::stdin().lock();
        stdin
            .take(LONGEST)
            .read_to_end(&mut bytes)
            .context("reading standard input")?;
        return Ok(bytes);
    }
    if !source.starts_with("http://") && !source.starts_with("https://") {
        return file_content(Path::new(source));
    }
    let http = Http {
        url: source.to_owned(),
        headers: Vec::new(),
        bearer: None,
        basic: None,
        ca: None,
        timeout: TIMEOUT,
        max_bytes: LONGEST,
    };
    let request = Request::of(&FeedSource::Http(http), None, Poll::Whole);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match runtime.block_on(request.fetch(None))? {
        Fetched::Body { bytes, .. } => Ok(bytes),
        Fetched::NotModified | Fetched::Decisions(_) => anyhow::bail!("{source} sent nothing"),
    }
}

fn file_content(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(LONGEST)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

fn rail(text: &str) -> Result<Rail, String> {
    let rail = Rail::ALL.into_iter().find(|rail| rail.name() == text);
    rail.ok_or_else(|| {
        let names: Vec<&str> = Rail::ALL.iter().map(|rail| rail.name()).collect();
        format!("there are {}", names.join(", "))
    })
}
