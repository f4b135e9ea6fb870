//! `bot-agent completions`

use std::io::Write;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use crate::exit_code::ExitCode;

/// Write shell completions to standard output
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent completions [OPTIONS] <SHELL>", after_help = "\
Examples:
  bot-agent completions bash > /usr/share/bash-completion/completions/bot-agent")]
pub(super) struct Args {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    // The generator panics when its writer fails, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bot-agent", &mut script);
    out.write_all(&script)?;
    Ok(ExitCode::Ok)
}
