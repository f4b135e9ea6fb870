//! `bot-agent list`

use std::io::Write;

use super::{
    global::{Global, Output},
    show,
};
use crate::{
    control::{
        client::ClientError,
        protocol::{List, Request, Response},
        view::RuleView,
    },
    exit_code::ExitCode,
    rules::{prefix::Prefix, rule::RuleAction},
};

/// List rules
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent list [OPTIONS]", after_help = "\
Examples:
  bot-agent list
  bot-agent list --overlaps 198.51.100.0/22
  bot-agent list --blocks -o raw | cut -f2 > blocks.txt")]
pub(super) struct Args {
    /// Only blocks
    #[arg(long, conflicts_with = "allows")]
    blocks: bool,

    /// Only exemptions
    #[arg(long)]
    allows: bool,

    /// Only rules that overlap an address or network
    #[arg(long, value_name = "PREFIX")]
    overlaps: Option<Prefix>,

    /// Also what the agent protects by itself
    #[arg(long)]
    protected: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let action = match (args.blocks, args.allows) {
        (true, _) => Some(RuleAction::Block),
        (_, true) => Some(RuleAction::Allow),
        _ => None,
    };
    let request = Request::List(List {
        action,
        overlaps: args.overlaps,
        protected: args.protected,
    });
    let mut client = global.connect()?;
    let mut rules = Vec::new();
    let last = client.ask(&request, |item| {
        if let Response::Rule(rule) = item {
            rules.push(*rule);
        }
        Ok::<(), ClientError>(())
    })?;
    if !matches!(last, Response::End { .. }) {
        return Err(client.unexpected(&last).into());
    }
    write_rules(&rules, global.output, out)?;
    Ok(ExitCode::Ok)
}

fn write_rules(rules: &[RuleView], output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    match output {
        Output::Human if rules.is_empty() => writeln!(out, "no rules")?,
        Output::Human => write!(out, "{}", show::rule_table(rules))?,
        Output::Json => {
            for rule in rules {
                show::json(rule, out)?;
            }
        }
        Output::Raw => {
            for rule in rules {
                writeln!(out, "{}", show::rule_raw(rule))?;
            }
        }
    }
    Ok(())
}
