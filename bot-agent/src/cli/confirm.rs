//! `bot-agent confirm`

use std::io::Write;

use super::{global::Global, mode};
use crate::{control::protocol::Request, exit_code::ExitCode};

/// Keep enforcing after `mode enforce --confirm-within`
///
/// Must come from another login session than the one that set the mode: that a new login works is
/// what it proves.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent confirm [OPTIONS]", after_help = "\
Examples:
  bot-agent confirm")]
pub(super) struct Args {
    /// Accept it from the session that set the mode (for scripts; proves nothing)
    #[arg(long)]
    same_session: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let request = Request::Confirm {
        same_session: args.same_session,
    };
    mode::write(&mode::ask(&request, global)?, global.output, out)?;
    Ok(ExitCode::Ok)
}
