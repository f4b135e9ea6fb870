//! `bot-agent status`

use std::io::Write;

use super::{
    global::{Global, Output},
    offline::{self, Without},
    show,
};
use crate::{
    control::{
        protocol::{Request, Response},
        view::Status,
    },
    exit_code::ExitCode,
};

/// Show the mode, the interfaces, the rules and what happened to packets
///
/// Works without a running agent too, and when it does not answer, from the kernel's tables; ends
/// with 3 then.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent status [OPTIONS]", after_help = "\
Examples:
  bot-agent status
  bot-agent status -o json | jq .counters.outcome")]
pub(super) struct Args {}

/// Runs the command.
pub(super) fn run(_args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let status: Status = offline::ask(
        global,
        &Request::Status {},
        |answer| {
            let Response::Status(status) = answer else {
                return Err(answer);
            };
            Ok(*status)
        },
        Without::Read,
        |tables, places| tables.status(&places.state_dir),
    )?;
    match global.output {
        Output::Human => writeln!(out, "{}", show::status(&status))?,
        Output::Json => show::json(&status, out)?,
        Output::Raw => writeln!(out, "{}", show::status_raw(&status))?,
    }
    Ok(if status.agent.is_some() {
        ExitCode::Ok
    } else {
        ExitCode::NotRunning
    })
}
