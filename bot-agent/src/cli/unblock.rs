//! `bot-agent unblock`

use std::io::Write;

use super::{global::Global, take};
use crate::{control::protocol::Request, exit_code::ExitCode};

/// Take blocks back
///
/// Ends with 1 if a target stays blocked by something else, and says by what; with 2 if there is no
/// such rule (the other targets are done all the same).
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent unblock [OPTIONS] <TARGET>...", after_help = "\
Examples:
  bot-agent unblock 198.51.100.7
  bot-agent unblock AS64500
  bot-agent list --blocks -o raw | cut -f2 | bot-agent unblock --from-file -")]
pub(super) struct Args {
    #[command(flatten)]
    take: take::TakeArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let taken = take::run(&args.take, Request::Unblock, global, out)?;
    Ok(take::exit_code(&taken))
}
