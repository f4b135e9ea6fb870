//! The command line: what was typed, and one module for each command.
//!
//! A command gets its arguments and a writer and returns an [`ExitCode`]. Nothing here prints
//! errors; `main` does, once.

mod allow;
mod asn;
mod attach;
mod block;
mod bypass;
mod check;
mod completions;
mod config;
mod confirm;
mod detach;
mod export;
mod feeds;
pub mod global;
mod import;
mod list;
mod logs;
mod man;
mod mode;
mod offline;
mod only;
mod parts;
mod pcap;
mod progress;
mod put;
mod reload;
mod resume;
mod run;
mod show;
mod status;
mod take;
mod text;
mod unallow;
mod unblock;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    io::{self, Write},
};

use clap::{Parser, Subcommand};

use crate::{
    config::ConfigError,
    control::{
        client::ClientError,
        protocol::{Failure, FailureCode},
    },
    daemon::OfflineError,
    datapath::{AttachError, Error as DatapathError},
    exit_code::ExitCode,
};

/// Help of a command: what people look for first stands first.
const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}{after-help}

{all-args}";

/// Packet-level bot filter for Linux
#[derive(Clone, Debug, Parser)]
#[command(
    name = "bot-agent",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    override_usage = "bot-agent [OPTIONS] <COMMAND>",
    after_help = "\
First steps:
  bot-agent run -i eth0                            load the filter, in monitor mode
  bot-agent block 198.51.100.0/24 --duration 7d    count what would be dropped
  bot-agent logs -f                                see it
  bot-agent mode enforce --confirm-within 60s      drop it
  bot-agent bypass --reason 'looks wrong'          let everything pass, at once

Exit codes: 0 ok, 1 check says drop (unblock: stays blocked), 2 usage or failure, 3 no answer,
4 foreign XDP program, 5 missing privilege, 6 kernel too old, 7 bad configuration"
)]
pub struct Cli {
    #[command(flatten)]
    global: global::Global,

    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Status(status::Args),
    Block(block::Args),
    Unblock(unblock::Args),
    Allow(allow::Args),
    Unallow(unallow::Args),
    List(list::Args),
    Export(export::Args),
    Import(import::Args),
    Check(check::Args),
    Asn(asn::Args),
    Feeds(feeds::Args),
    Logs(logs::Args),
    Only(only::Args),
    Mode(mode::Args),
    Confirm(confirm::Args),
    Bypass(bypass::Args),
    Resume(resume::Args),
    Reload(reload::Args),
    Config(config::Args),
    Pcap(pcap::Args),
    Attach(attach::Args),
    Detach(detach::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Cli {
    /// Whether errors are wanted as JSON too.
    pub fn wants_json(&self) -> bool {
        self.global.output == global::Output::Json
    }

    /// Runs the command that was typed.
    pub fn run(&self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let global = &self.global;
        let code = match &self.command {
            Command::Run(args) => run::run(args, global),
            Command::Status(args) => status::run(args, global, out),
            Command::Block(args) => block::run(args, global, out),
            Command::Unblock(args) => unblock::run(args, global, out),
            Command::Allow(args) => allow::run(args, global, out),
            Command::Unallow(args) => unallow::run(args, global, out),
            Command::List(args) => list::run(args, global, out),
            Command::Export(args) => export::run(args, global, out),
            Command::Import(args) => import::run(args, global, out),
            Command::Check(args) => check::run(args, global, out),
            Command::Asn(args) => asn::run(args, global, out),
            Command::Feeds(args) => feeds::run(args, global, out),
            Command::Logs(args) => logs::run(args, global, out),
            Command::Only(args) => only::run(args, global, out),
            Command::Mode(args) => mode::run(args, global, out),
            Command::Confirm(args) => confirm::run(args, global, out),
            Command::Bypass(args) => bypass::run(args, global, out),
            Command::Resume(args) => resume::run(args, global, out),
            Command::Reload(args) => reload::run(args, global, out),
            Command::Config(args) => config::run(args, global, out),
            Command::Pcap(args) => pcap::run(args, global.output, out),
            Command::Attach(args) => attach::run(args, global, out),
            Command::Detach(args) => detach::run(args, global, out),
            Command::Completions(args) => completions::run(args, out),
            Command::Man(args) => man::run(args, out),
        }?;
        out.flush()?;
        Ok(code)
    }
}

/// The exit code that an error means.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    error.chain().find_map(code_of).unwrap_or(ExitCode::Failure)
}

/// The error and its causes in one line. Causes that the text before them says already are left out.
pub fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            message.push_str(": ");
            message.push_str(&cause);
        }
    }
    message
}

/// The line for standard error.
pub fn error_line(error: &anyhow::Error, json: bool) -> String {
    let message = message(error);
    if json {
        return json_line(&message, exit_code(error).code());
    }
    format!("bot-agent: {message}")
}

/// What is wrong with the command line, for who asked for JSON in it: one object, as for every
/// other error. Nothing when help or a version was asked for, or no JSON.
pub fn usage_error_line(
    error: &clap::Error,
    words: impl Iterator<Item = OsString>,
) -> Option<String> {
    if !error.use_stderr() || !asks_for_json(words) {
        return None;
    }
    let text = error.render().to_string();
    let message = text.split("\n\n").next().unwrap_or_default();
    let message: Vec<&str> = message.lines().map(str::trim).collect();
    let message = message.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    Some(json_line(message, ExitCode::Failure.code()))
}

fn json_line(message: &str, exit: u8) -> String {
    serde_json::json!({ "error": message, "exit": exit }).to_string()
}

/// The words are no command line, so only the option itself can be looked for.
fn asks_for_json(words: impl Iterator<Item = OsString>) -> bool {
    let words: Vec<OsString> = words.collect();
    let joined = ["-ojson", "-o=json", "--output=json"];
    words.iter().any(|word| joined.iter().any(|form| word == form))
        || words.windows(2).any(|pair| {
            matches!(pair, [option, value] if (option == "-o" || option == "--output") && value == "json")
        })
}

/// Whether the reader of our output went away (`| head`): nothing to complain about.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            || cause
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|error| error.io_error_kind() == Some(io::ErrorKind::BrokenPipe))
    })
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<ExitCode> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(code_of_failure(failure.code));
    }
    if let Some(error) = cause.downcast_ref::<ClientError>() {
        return Some(match error {
            ClientError::NotRunning { .. } => ExitCode::NotRunning,
            ClientError::Permission { .. } => ExitCode::MissingPrivilege,
            ClientError::Failure(failure) => code_of_failure(failure.code),
            ClientError::Garbled { .. } | ClientError::Lost { .. } | ClientError::Stopped => {
                ExitCode::Failure
            }
        });
    }
    if let Some(error) = cause.downcast_ref::<OfflineError>() {
        return Some(match error {
            OfflineError::Privilege(_) => ExitCode::MissingPrivilege,
            OfflineError::Datapath(error) => code_of_datapath(error),
            OfflineError::Failure(failure) => code_of_failure(failure.code),
            OfflineError::Table(_) => ExitCode::Failure,
        });
    }
    if let Some(error) = cause.downcast_ref::<AttachError>() {
        return Some(code_of_attach(error));
    }
    if let Some(error) = cause.downcast_ref::<DatapathError>() {
        return Some(code_of_datapath(error));
    }
    cause
        .downcast_ref::<ConfigError>()
        .map(|_| ExitCode::BadConfig)
}

fn code_of_attach(error: &AttachError) -> ExitCode {
    match error {
        AttachError::Foreign { .. } | AttachError::ForeignLink { .. } => ExitCode::ForeignProgram,
        AttachError::Folder(error) => code_of_datapath(error),
        AttachError::Link { .. }
        | AttachError::Netlink(_)
        | AttachError::NoSuchInterface(_)
        | AttachError::Pin { .. }
        | AttachError::Refused { .. } => ExitCode::Failure,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most of the many stages have no exit code of their own"
)]
fn code_of_datapath(error: &DatapathError) -> ExitCode {
    match error {
        DatapathError::KernelTooOld { .. } => ExitCode::KernelTooOld,
        DatapathError::MissingPrivilege { .. } => ExitCode::MissingPrivilege,
        DatapathError::NothingPinned { .. } => ExitCode::NotRunning,
        _ => ExitCode::Failure,
    }
}

fn code_of_failure(code: FailureCode) -> ExitCode {
    match code {
        FailureCode::BadConfig => ExitCode::BadConfig,
        FailureCode::ForeignProgram => ExitCode::ForeignProgram,
        FailureCode::KernelTooOld => ExitCode::KernelTooOld,
        FailureCode::MissingPrivilege => ExitCode::MissingPrivilege,
        FailureCode::Busy
        | FailureCode::Failed
        | FailureCode::Invalid
        | FailureCode::Refused
        | FailureCode::TooLarge => ExitCode::Failure,
    }
}
