//! `bot-agent config`

use std::io::Write;

use clap::Subcommand;

use super::{
    global::{Global, Output},
    show as view,
};
use crate::{
    asn::Database,
    config::{Config, EXAMPLE, Places, show},
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
            let (asn, warnings) = check_databases(&config);
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
                    for warning in warnings {
                        writeln!(out, "warning: {warning}")?;
                    }
                }
                Output::Json => {
                    let rules = config.rules.len();
                    let checked = serde_json::json!({
                        "valid": true, "rules": rules, "asn": asn, "warnings": warnings,
                    });
                    view::json(&checked, out)?;
                }
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

/// The ASN database, if one is configured, and what is wrong with it or with rules that are about
/// what it says. That is no error: its files change by themselves, and the agent starts without them.
fn check_databases(config: &Config) -> (Option<DatabaseView>, Vec<String>) {
    if config.asn_databases.is_empty() {
        return (None, Vec::new());
    }
    match Database::open(&config.asn_databases) {
        Ok(database) => {
            let objection = objection(&config.rules, &database);
            let view = DatabaseView::of(&database);
            (Some(view), objection.into_iter().collect())
        }
        Err(error) => {
            let message = format!("the ASN database cannot be read: {error}");
            (None, vec![message])
        }
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
