//! `bot-agent bypass`

use std::{io::Write, time::Duration};

use super::{
    global::Global,
    mode,
    offline::{self, Without},
};
use crate::{control::protocol::Request, exit_code::ExitCode, rules::duration};

/// Let everything pass at once; rules and mode stay as they are
///
/// Works without a running agent too, and when it does not answer. `bot-agent resume` ends it.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent bypass [OPTIONS] --reason <TEXT>", after_help = "\
Examples:
  bot-agent bypass --reason 'customers report errors' --for 30m
  bot-agent bypass --reason maintenance")]
pub(super) struct Args {
    /// Why; logged, and shown by status
    #[arg(long, short, value_name = "TEXT")]
    reason: String,

    /// Filter again by itself after this time
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    limit: Option<Duration>,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let request = Request::Bypass {
        reason: args.reason.clone(),
        seconds: args.limit.map(|limit| limit.as_secs()),
    };
    let view = offline::ask(
        global,
        &request,
        mode::view_of,
        Without::Written,
        |tables, places| tables.bypass(args.reason.clone(), args.limit, &places.state_dir),
    )?;
    mode::write(&view, global.output, out)?;
    Ok(ExitCode::Ok)
}
