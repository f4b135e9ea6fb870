//! The `bot-agent` binary: parses, runs, prints an error once.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use bot_agent::cli::{self, Cli};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run(&mut io::stdout().lock()) {
        Ok(code) => code.into(),
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is gone too, the exit code is all there is left to say.
            drop(writeln!(io::stderr(), "bot-agent: {error:#}"));
            cli::exit_code(&error).into()
        }
    }
}
