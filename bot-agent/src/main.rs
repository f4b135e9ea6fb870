//! The `bot-agent` binary: parses, runs, prints an error once.

use std::{
    env,
    io::{self, BufWriter, IsTerminal as _, Write},
    process::ExitCode,
};

use bot_agent::cli::{self, Cli};
use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let Some(line) = cli::usage_error_line(&error, env::args_os()) else {
                error.exit()
            };
            say(&line);
            return bot_agent::exit_code::ExitCode::Failure.into();
        }
    };
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
            say(&cli::error_line(&error, cli.wants_json()));
            cli::exit_code(&error).into()
        }
    }
}

/// If standard error is gone too, the exit code is all there is left to say.
fn say(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}
