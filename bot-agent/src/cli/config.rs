//! `bot-agent config`

use std::io::Write;

use clap::Subcommand;

use super::{
    global::{Global, Output},
    show as view,
};
use crate::{
    config::{Config, EXAMPLE, show},
    exit_code::ExitCode,
};

/// Check or show the configuration
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  bot-agent config check
  bot-agent config check -c new.toml
  bot-agent config default > /etc/bot-agent/bot-agent.toml")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Check the file and its conf.d; ends with 7 if something is wrong, and says where
    Check,
    /// Write what is in force, and where each value was set
    Show,
    /// Write a commented file with every key and its default
    Default,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let path = global.config_path();
    match args.what {
        What::Check => {
            let config = Config::load(path, None)?;
            match global.output {
                Output::Human => writeln!(
                    out,
                    "{} is valid ({} rules)",
                    path.display(),
                    config.rules.len()
                )?,
                Output::Json => view::json(
                    &serde_json::json!({ "valid": true, "rules": config.rules.len() }),
                    out,
                )?,
                Output::Raw => {}
            }
        }
        What::Show => {
            let (config, places) = if global.config.is_none() && !path.exists() {
                Config::from_texts(Vec::new())?
            } else {
                Config::load_with_places(path, None)?
            };
            write!(out, "{}", show(&config, &places))?;
        }
        What::Default => write!(out, "{EXAMPLE}")?,
    }
    Ok(ExitCode::Ok)
}
