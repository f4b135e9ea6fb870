//! `bot-agent man`

use std::{fs, io::Write, path::PathBuf};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use super::Cli;
use crate::exit_code::ExitCode;

/// Write the manual page to standard output, or one page for each command into a folder
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent man [OPTIONS]", after_help = "\
Examples:
  bot-agent man | man -l -
  bot-agent man --dir /usr/share/man/man8")]
pub(super) struct Args {
    /// Folder for bot-agent.8, bot-agent-block.8, ...
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut command = Cli::command();
    command.build();
    let Some(dir) = &args.dir else {
        out.write_all(&page(&command, "bot-agent", true)?)?;
        return Ok(ExitCode::Ok);
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let save = |name: &str, page: Vec<u8>| {
        let path = dir.join(format!("{name}.8"));
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
    };
    save("bot-agent", page(&command, "bot-agent", true)?)?;
    for sub in command.get_subcommands() {
        if sub.get_name() != "help" {
            let name = format!("bot-agent-{}", sub.get_name());
            save(&name, page(sub, &name, false)?)?;
        }
    }
    Ok(ExitCode::Ok)
}

fn page(command: &clap::Command, title: &str, exit_codes: bool) -> anyhow::Result<Vec<u8>> {
    let man = Man::new(command.clone()).title(title).section("8");
    let mut text = Vec::new();
    man.render(&mut text)?;
    if exit_codes {
        let mut roff = Roff::new();
        roff.control("SH", ["EXIT STATUS"]);
        for (code, meaning) in ExitCode::ALL {
            roff.control("TP", []);
            roff.text([roman(code.code().to_string())]);
            roff.text([roman(*meaning)]);
        }
        roff.to_writer(&mut text)?;
    }
    Ok(text)
}
