//! `bot-agent config`

use std::{io::Write, path::Path};

use clap::Subcommand;

use super::{
    global::{Global, Output},
    show as view,
};
use crate::{
    asn::Database,
    config::{Config, ConfigError, EXAMPLE, Places, show},
    control::network::DatabaseView,
    daemon::objection,
    exit_code::ExitCode,
};

/// Check or show the configuration
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent config [OPTIONS] <COMMAND>", after_help = "\
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
    #[command(override_usage = "bot-agent config check [OPTIONS]")]
    Check,
    /// Write what is in force, and where each value was set
    #[command(override_usage = "bot-agent config show [OPTIONS]")]
    Show,
    /// Write a commented file with every key and its default
    #[command(override_usage = "bot-agent config default [OPTIONS]")]
    Default,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let path = global.config_path();
    match args.what {
        What::Check => {
            let config = Config::load(path, None)?;
            let asn = check_databases(&config, path)?;
            match global.output {
                Output::Human => {
                    let count = config.rules.len();
                    writeln!(out, "{} is valid ({count} rules)", path.display())?;
                    if let Some(asn) = asn {
                        writeln!(out, "ASN database: {}", view::database(&asn))?;
                        for file in &asn.files {
                            writeln!(out, "  {}", view::file(file))?;
                        }
                    }
                }
                Output::Json => view::json(
                    &serde_json::json!({ "valid": true, "rules": config.rules.len(), "asn": asn }),
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
            write_values(&config, &places, global.output, out)?;
        }
        What::Default if global.output == Output::Human => write!(out, "{EXAMPLE}")?,
        What::Default => {
            write_values(&Config::default(), &Places::new(), global.output, out)?;
        }
    }
    Ok(ExitCode::Ok)
}

/// The ASN database, if one is configured, and whether the rules may be about what it says.
fn check_databases(config: &Config, path: &Path) -> anyhow::Result<Option<DatabaseView>> {
    if config.asn_databases.is_empty() {
        return Ok(None);
    }
    let wrong = |what: String| ConfigError {
        file: path.to_owned(),
        line: None,
        key: None,
        nearest: None,
        message: what,
    };
    let database = Database::open(&config.asn_databases)
        .map_err(|error| wrong(format!("database: {error}")))?;
    match objection(&config.rules, &database) {
        Some(rule) => Err(wrong(rule).into()),
        None => Ok(Some(DatabaseView::of(&database))),
    }
}

fn write_values(
    config: &Config,
    places: &Places,
    output: Output,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let text = show(config, places);
    if output == Output::Human {
        write!(out, "{text}")?;
        return Ok(());
    }
    let table: toml::Table = toml::from_str(&text)?;
    if output == Output::Json {
        return view::json(&table, out);
    }
    for (section, values) in &table {
        if let toml::Value::Table(values) = values {
            for (key, value) in values {
                let key = format!("{section}.{key}");
                let place = places.get(key.as_str()).map(ToString::to_string);
                let place = place.unwrap_or_else(|| "default".into());
                writeln!(out, "{key}\t{}\t{place}", bare(value))?;
            }
        } else if let toml::Value::Array(rules) = values {
            for rule in rules {
                writeln!(out, "{section}\t{}\t", serde_json::to_string(rule)?)?;
            }
        }
    }
    Ok(())
}

/// A text without its quotes; anything else as it stands in the file.
fn bare(value: &toml::Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}
