//! `bot-agent list`

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::{
    global::{Global, Output},
    offline::note,
    show::{self, Table},
};
use crate::{
    control::{
        client::{Client, ClientError},
        entries::EntryView,
        list::{Family, List, OriginName},
        protocol::{Request, Response},
        view::RuleView,
    },
    exit_code::ExitCode,
    rules::{prefix::Prefix, rule::RuleAction},
};

/// List rules, or the entries of lists
///
/// Rules and entries are written as they come, so a million of them take no memory. A rule that is made while
/// the list is on its way may come at its end. When the kernel's table is not what the rules say, a
/// line on standard error tells so.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent list [OPTIONS]", after_help = "\
Examples:
  bot-agent list
  bot-agent list --overlaps 198.51.100.0/22
  bot-agent list --within 2001:db8::/32 --origin operator
  bot-agent list --list spamhaus --within 198.51.100.0/22
  bot-agent list --origin list -o raw | cut -f1
  bot-agent list --summary
  bot-agent list --blocks -o raw | cut -f2 > blocks.txt")]
pub(super) struct Args {
    /// Only blocks, or only exemptions
    #[arg(long, value_enum)]
    action: Option<ActionArg>,

    /// The same as --action block
    #[arg(long, conflicts_with_all = ["allows", "action"])]
    blocks: bool,

    /// The same as --action allow
    #[arg(long, conflicts_with = "action")]
    allows: bool,

    /// Only rules of one origin; what the agent protects by itself, and the entries of lists, are
    /// shown only when asked for
    #[arg(long, value_enum)]
    origin: Option<OriginName>,

    /// Only the entries of one `[[list]]`
    #[arg(long, value_name = "NAME")]
    list: Option<String>,

    /// Only IPv4 or only IPv6
    #[arg(long, value_enum, value_name = "4|6")]
    family: Option<Family>,

    /// Only rules all of whose addresses lie in a network
    #[arg(long, value_name = "PREFIX")]
    within: Option<Prefix>,

    /// Only rules that overlap an address or network
    #[arg(long, value_name = "PREFIX")]
    overlaps: Option<Prefix>,

    /// Also what the agent protects by itself
    #[arg(long)]
    protected: bool,

    /// Only how many rules and entries of lists there are, by origin (all of them) or list, action
    /// and family
    #[arg(long)]
    summary: bool,
}

/// What rules do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum ActionArg {
    /// Exemptions
    Allow,
    /// Blocks
    Block,
}

impl Args {
    fn action(&self) -> Option<RuleAction> {
        match (self.action, self.blocks, self.allows) {
            (Some(ActionArg::Block), ..) | (_, true, _) => Some(RuleAction::Block),
            (Some(ActionArg::Allow), ..) | (.., true) => Some(RuleAction::Allow),
            (None, false, false) => None,
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let list = List {
        action: args.action(),
        origin: args.origin,
        list: args.list.clone(),
        family: args.family,
        overlaps: args.overlaps,
        within: args.within,
        protected: args.protected,
        summary: args.summary,
        ..List::default()
    };
    let mut client = global.connect()?;
    let mut notes = Vec::new();
    if args.summary {
        notes.extend(summarize(&mut client, list, global.output, out)?);
    } else if list.is_of_entries() {
        notes.extend(write(&mut client, list, global.output, entries(), out)?);
    } else {
        notes.extend(write(
            &mut client,
            list.clone(),
            global.output,
            rules(),
            out,
        )?);
        if list.origin.is_none() && global.output == Output::Human {
            notes.extend(left_out(&mut client, list)?);
        }
    }
    // Behind the rules, where both go to a terminal.
    out.flush()?;
    notes.iter().try_for_each(|text| note(global, text))?;
    Ok(ExitCode::Ok)
}

/// What a list is made of, and how it is shown.
struct Shape<T, const COLUMNS: usize> {
    of: fn(Response) -> Option<Box<T>>,
    table: Table<COLUMNS>,
    row: fn(&T) -> [String; COLUMNS],
    raw: fn(&T) -> String,
    /// In place of an empty table.
    none: &'static str,
}

fn rules() -> Shape<RuleView, 7> {
    Shape {
        of: rule_of,
        table: show::rule_table(),
        row: show::rule_row,
        raw: show::rule_raw,
        none: "no rules",
    }
}

fn entries() -> Shape<EntryView, 3> {
    Shape {
        of: entry_of,
        table: show::entry_table(),
        row: show::entry_row,
        raw: show::entry_raw,
        none: "no entries",
    }
}

fn rule_of(item: Response) -> Option<Box<RuleView>> {
    if let Response::Rule(view) = item {
        Some(view)
    } else {
        None
    }
}

fn entry_of(item: Response) -> Option<Box<EntryView>> {
    if let Response::Entry(view) = item {
        Some(view)
    } else {
        None
    }
}

/// Hands over every rule of a list as it comes. Returns why the kernel's table is not what the rules
/// say, if it is not.
pub(super) fn each(
    client: &mut Client,
    list: List,
    rule: impl FnMut(&RuleView) -> io::Result<()>,
) -> anyhow::Result<Option<String>> {
    each_item(client, list, rule_of, rule)
}

fn each_item<T>(
    client: &mut Client,
    list: List,
    of: fn(Response) -> Option<Box<T>>,
    mut take: impl FnMut(&T) -> io::Result<()>,
) -> anyhow::Result<Option<String>> {
    let mut failed = None;
    let end = client.ask(&Request::List(list), |item| {
        if let Some(view) = of(item)
            && let Err(error) = take(&view)
        {
            failed = Some(error);
            return Err(ClientError::Stopped);
        }
        Ok(())
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let end = end?;
    if let Response::End { differs, .. } = end {
        return Ok(differs);
    }
    Err(client.unexpected(&end).into())
}

fn write<T: Serialize, const COLUMNS: usize>(
    client: &mut Client,
    list: List,
    output: Output,
    shape: Shape<T, COLUMNS>,
    out: &mut dyn Write,
) -> anyhow::Result<Option<String>> {
    let Shape {
        of,
        mut table,
        row,
        raw,
        none,
    } = shape;
    match output {
        Output::Human => {
            let differs = each_item(client, list, of, |item| table.row(row(item), out))?;
            if table.end(out)? == 0 {
                writeln!(out, "{none}")?;
            }
            Ok(differs)
        }
        Output::Json => each_item(client, list, of, |item| {
            serde_json::to_writer(&mut *out, item)?;
            writeln!(out)
        }),
        Output::Raw => each_item(client, list, of, |item| writeln!(out, "{}", raw(item))),
    }
}

/// What of lists meets the same conditions and is not shown. The rules have been: an agent that
/// cannot say it does not make that a failure.
fn left_out(client: &mut Client, list: List) -> anyhow::Result<Option<String>> {
    let of_lists = List {
        origin: Some(OriginName::List),
        summary: true,
        ..list
    };
    match client.call(&Request::List(of_lists)) {
        Ok(Response::Summary(summary)) => Ok(show::left_out(&summary)),
        Ok(other) => Err(client.unexpected(&other).into()),
        Err(ClientError::Failure(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn summarize(
    client: &mut Client,
    list: List,
    output: Output,
    out: &mut dyn Write,
) -> anyhow::Result<Option<String>> {
    let answer = client.call(&Request::List(list))?;
    let Response::Summary(summary) = answer else {
        return Err(client.unexpected(&answer).into());
    };
    match output {
        Output::Human => show::summary(&summary, out)?,
        Output::Json => show::json(&summary, out)?,
        Output::Raw => show::summary_raw(&summary, out)?,
    }
    Ok(summary.differs)
}
