//! `bot-agent mode`

use std::{io::Write, time::Duration};

use super::{
    global::{Global, Output},
    offline::{self, Without},
    show,
};
use crate::{
    control::{
        protocol::{Mode, Request, Response},
        view::ModeView,
    },
    exit_code::ExitCode,
    rules::duration,
};

/// Show or change the mode: monitor counts and reports, enforce drops
///
/// With --confirm-within the kernel falls back to monitor by itself when the time is over, unless
/// `bot-agent confirm` comes from another login session first: if you locked yourself out, wait.
/// `mode` and `mode monitor` work without a running agent too, and when it does not answer.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent mode [OPTIONS] [MODE]", after_help = "\
Examples:
  bot-agent mode
  bot-agent mode enforce --confirm-within 60s    (then, from a new login: bot-agent confirm)
  bot-agent mode monitor")]
pub(super) struct Args {
    /// The mode to set
    #[arg(value_enum)]
    mode: Option<ModeArg>,

    /// Fall back to monitor after this time unless confirmed
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "mode")]
    confirm_within: Option<Duration>,
}

/// A mode, as it is typed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum ModeArg {
    /// Count and report what would be dropped
    Monitor,
    /// Drop what is blocked
    Enforce,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let request = Request::Mode {
        set: args.mode.map(|mode| match mode {
            ModeArg::Monitor => Mode::Monitor,
            ModeArg::Enforce => Mode::Enforce,
        }),
        confirm_within_seconds: args.confirm_within.map(|time| time.as_secs()),
    };
    let mode = match (args.mode, args.confirm_within) {
        (Some(ModeArg::Enforce), _) | (_, Some(_)) => ask(&request, global)?,
        // A rescue: it must not wait for the agent.
        (Some(ModeArg::Monitor), None) => offline::ask(
            global,
            &request,
            view_of,
            Without::Written,
            |tables, places| tables.monitor(&places.state_dir),
        )?,
        (None, None) => offline::ask(global, &request, view_of, Without::Read, |tables, _| {
            tables.mode()
        })?,
    };
    write(&mode, global.output, out)?;
    Ok(ExitCode::Ok)
}

/// Asks for something that is answered with the mode.
pub(super) fn ask(request: &Request, global: &Global) -> anyhow::Result<ModeView> {
    let mut client = global.connect()?;
    let answer = client.call(request)?;
    let Response::Mode(mode) = answer else {
        return Err(client.unexpected(&answer).into());
    };
    Ok(mode)
}

/// The mode in an answer; another answer is given back.
pub(super) fn view_of(answer: Response) -> Result<ModeView, Response> {
    let Response::Mode(view) = answer else {
        return Err(answer);
    };
    Ok(view)
}

/// Writes the mode.
pub(super) fn write(mode: &ModeView, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    match output {
        Output::Human => writeln!(out, "{}", show::mode(mode))?,
        Output::Json => show::json(mode, out)?,
        Output::Raw => writeln!(out, "{}", show::mode_word(mode))?,
    }
    Ok(())
}
