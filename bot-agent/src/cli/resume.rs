//! `bot-agent resume`

use std::io::Write;

use super::{
    global::Global,
    mode,
    offline::{self, Without},
};
use crate::{control::protocol::Request, exit_code::ExitCode};

/// End a bypass: filter again
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent resume [OPTIONS]", after_help = "\
Examples:
  bot-agent resume")]
pub(super) struct Args {}

/// Runs the command.
pub(super) fn run(_args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let view = offline::ask(
        global,
        &Request::Resume {},
        mode::view_of,
        Without::Written,
        |tables, places| tables.resume(&places.state_dir),
    )?;
    mode::write(&view, global.output, out)?;
    Ok(ExitCode::Ok)
}
