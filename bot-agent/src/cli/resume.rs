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
        Whom::Agent(mut client) => {
            let answer = client.call(&Request::Resume {})?;
            let Response::Mode(view) = answer else {
                return Err(client.unexpected(&answer).into());
            };
            view
        }
        Whom::Tables(mut tables, places) => tables.resume(&places.state_dir)?,
    };
    mode::write(&view, global.output, out)?;
    Ok(ExitCode::Ok)
}
