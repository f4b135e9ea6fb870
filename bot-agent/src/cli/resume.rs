//! `bot-agent resume`

use std::io::Write;

use super::{
    global::Global,
    mode,
    offline::{self, Whom},
};
use crate::{
    control::protocol::{Request, Response},
    exit_code::ExitCode,
};

/// End a bypass: filter again
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  bot-agent resume")]
pub(super) struct Args {}

/// Runs the command.
pub(super) fn run(_args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let view = match offline::find(global)? {
        Whom::Agent(mut client) => match client.call(&Request::Resume {})? {
            Response::Mode(view) => view,
            other => return Err(client.unexpected(&other).into()),
        },
        Whom::Tables(mut tables, places) => tables.resume(&places.state_dir)?,
    };
    mode::write(&view, global.output, out)?;
    Ok(ExitCode::Ok)
}
