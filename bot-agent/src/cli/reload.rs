//! `bot-agent reload`

use std::io::Write;

use super::{
    global::{Global, Output},
    show,
};
use crate::{
    control::{
        client::Client,
        protocol::{Request, Response},
    },
    exit_code::ExitCode,
};

/// Read the configuration again: it is valid as a whole, or nothing changes
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent reload [OPTIONS]", after_help = "\
Examples:
  bot-agent config check && bot-agent reload")]
pub(super) struct Args {}

/// Runs the command.
pub(super) fn run(_args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    sentence(&Request::Reload {}, global, out)
}

/// Asks for something that is answered with a sentence, and writes it.
pub(super) fn sentence(
    request: &Request,
    global: &Global,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let mut client = global.connect()?;
    let answer = client.call(request)?;
    said(&client, &answer, global, out)
}

/// Writes a sentence that was the answer.
pub(super) fn said(
    client: &Client,
    answer: &Response,
    global: &Global,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let Response::Ok { message } = answer else {
        return Err(client.unexpected(answer).into());
    };
    match global.output {
        Output::Human => writeln!(out, "{message}")?,
        Output::Json => show::json(answer, out)?,
        Output::Raw => {}
    }
    Ok(ExitCode::Ok)
}
