//! The `bot-agent` binary: parses, runs, prints an error once.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write},
    process::ExitCode,
};

use bot_agent::cli::{self, Cli};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let stdout = io::stdout();
    let mut out: Box<dyn Write> = if stdout.is_terminal() {
        Box::new(stdout.lock())
    } else {
        Box::new(BufWriter::new(stdout.lock()))
    };
    match cli.run(&mut out) {
        Ok(code) => code.into(),
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is gone too, the exit code is all there is left to say.
            drop(writeln!(
                io::stderr(),
                "bot-agent: {}",
                cli::message(&error)
            ));
            cli::exit_code(&error).into()
        }
    }
}
