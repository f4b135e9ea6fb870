//! `bot-agent logs`

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use jiff::Timestamp;

use super::{
    global::{Global, Output},
    show,
};
use crate::{
    control::{
        client::ClientError,
        protocol::{Logs, Request, Response},
    },
    event::{Event, Kind, file::read_events, filter::Filter},
    exit_code::ExitCode,
    rules::{duration, prefix::Prefix},
};

/// Older files of a log file that are read.
const OLDER_FILES: u32 = 1_000;

/// Show events
///
/// Without options: the last 100. The agent keeps the last 10,000 in memory; what is older is in
/// the log file, if one is configured (--file reads it, also when no agent runs).
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent logs [OPTIONS]", after_help = "\
Examples:
  bot-agent logs -f
  bot-agent logs --since 10m --event would_drop --event drop
  bot-agent logs -f --event hello --ja4 't13d1516h2_*'
  bot-agent logs --src 198.51.100.0/24 -o json")]
pub(super) struct Args {
    /// Go on as events come
    #[arg(long, short, conflicts_with = "file")]
    follow: bool,

    /// Not older than this: 90s, 10m, 4h
    #[arg(long, short, value_name = "TIME", value_parser = duration::parse)]
    since: Option<Duration>,

    /// At most so many of the past
    #[arg(long, short = 'n', value_name = "COUNT")]
    lines: Option<usize>,

    /// Only this kind; may be repeated
    #[arg(long, short, value_enum, value_name = "KIND")]
    event: Vec<Kind>,

    /// Only about this source address or network
    #[arg(long, value_name = "PREFIX")]
    src: Option<Prefix>,

    /// Only hellos with this JA4; a * at the end stands for anything
    #[arg(long, value_name = "JA4")]
    ja4: Option<String>,

    /// Read a log file (and its older files PATH.1, ...) instead of asking the agent
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let filter = Filter {
        events: args.event.clone(),
        src: args.src,
        ja4: args.ja4.clone(),
    };
    match &args.file {
        Some(path) => from_file(args, path, &filter, global.output, out)?,
        None => from_agent(args, filter, global, out)?,
    }
    Ok(ExitCode::Ok)
}

fn from_agent(
    args: &Args,
    filter: Filter,
    global: &Global,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut client = global.connect()?;
    if args.follow {
        client.wait_for_ever()?;
    }
    let request = Request::Logs(Logs {
        follow: args.follow,
        since_seconds: args.since.map(|since| since.as_secs()),
        limit: args.lines,
        filter,
    });
    let mut failed = None;
    let last = client.ask(&request, |item| {
        if let Response::Event(event) = item
            && let Err(error) = write_event(&event, global.output, out)
        {
            failed = Some(error);
            return Err(ClientError::Stopped);
        }
        Ok(())
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    last?;
    Ok(())
}

fn from_file(
    args: &Args,
    path: &std::path::Path,
    filter: &Filter,
    output: Output,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let since = args
        .since
        .and_then(|since| Timestamp::now().checked_sub(since).ok());
    let limit = args.lines.unwrap_or(usize::MAX);
    let mut found = std::collections::VecDeque::new();
    read_events(path, OLDER_FILES, |event| {
        if filter.matches(&event) && since.is_none_or(|since| event.ts >= since) {
            if args.lines.is_none() {
                return write_event(&event, output, out);
            }
            if found.len() >= limit {
                found.pop_front();
            }
            found.push_back(event);
        }
        Ok(())
    })
    .with_context(|| format!("cannot read {}", path.display()))?;
    for event in found.iter().rev().take(limit).rev() {
        write_event(event, output, out)?;
    }
    Ok(())
}

fn write_event(event: &Event, output: Output, out: &mut dyn Write) -> io::Result<()> {
    match output {
        Output::Human => writeln!(out, "{event}")?,
        Output::Json => writeln!(out, "{}", event.to_json())?,
        Output::Raw => writeln!(out, "{}", show::event_raw(event))?,
    }
    out.flush()
}
