//! `bot-agent export`

use std::io::{self, Write};

use clap::ValueEnum;
use jiff::Timestamp;

use super::{global::Global, list::each};
use crate::{
    control::{
        list::{List, OriginName},
        view::RuleView,
    },
    exit_code::ExitCode,
    export::{
        ipset, nft,
        sets::{Item, Sets},
    },
    rules::record::Record,
};

/// Write the rules to standard output, to be kept or taken elsewhere
///
/// Without --format each rule of an operator is a line of JSON that `bot-agent import` makes again,
/// here or on another host. The other formats are sets of the addresses that are blocked now, by
/// operators and configuration together: for comparison, and as a way out. Their comments say what
/// such sets cannot express.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent export [OPTIONS]", after_help = "\
Examples:
  bot-agent export > rules.jsonl
  bot-agent export --all | jq -r 'select(.action == \"allow\") | .prefix'
  bot-agent export --format nft | nft -f -
  bot-agent export --format ipset | ipset restore")]
pub(super) struct Args {
    /// What to write
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Also the configuration's rules and what the agent protects; import leaves them out
    #[arg(long)]
    all: bool,
}

/// What an export is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Format {
    /// JSON, one rule a line
    #[default]
    Jsonl,
    /// A script for `nft -f`: interval sets
    Nft,
    /// A script for `ipset restore`: hash:net sets
    Ipset,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    match args.format {
        Format::Jsonl => lines(args, global, out)?,
        Format::Nft => nft::write(&sets(global)?, Timestamp::now(), out)?,
        Format::Ipset => ipset::write(&sets(global)?, Timestamp::now(), out)?,
    }
    Ok(ExitCode::Ok)
}

fn lines(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<()> {
    let list = List {
        origin: (!args.all).then_some(OriginName::Operator),
        protected: args.all,
        ..List::default()
    };
    each(&mut global.connect()?, list, |rule| {
        serde_json::to_writer(&mut *out, &record(rule))?;
        writeln!(out)
    })?;
    Ok(())
}

fn sets(global: &Global) -> anyhow::Result<Sets> {
    let list = List {
        protected: true,
        ..List::default()
    };
    let mut items = Vec::new();
    each(&mut global.connect()?, list, |rule| {
        items.push(item(rule));
        Ok::<(), io::Error>(())
    })?;
    Ok(Sets::of(items))
}

fn record(rule: &RuleView) -> Record {
    Record {
        subject: rule.subject,
        action: rule.action,
        scope: rule.scope,
        monitor: rule.monitor,
        forced: rule.forced,
        until: rule.until,
        reason: rule.reason.clone(),
        origin: rule.origin.clone(),
        created: Some(rule.created),
        line: None,
    }
}

fn item(rule: &RuleView) -> Item {
    Item {
        subject: rule.subject,
        action: rule.action,
        scope: rule.scope,
        monitor: rule.monitor,
        forced: rule.forced,
        protected: rule.origin.starts_with("protected"),
        seconds: rule.remaining_seconds,
    }
}
