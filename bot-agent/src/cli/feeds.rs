//! `bot-agent feeds`

mod formats;
mod test;

use std::io::Write;

use clap::Subcommand;

use super::{
    global::{Global, Output},
    progress::Progress,
    reload::said,
    show,
};
use crate::{
    control::{
        feeds::{Feeds, Health, Verb},
        protocol::{Request, Response},
    },
    exit_code::ExitCode,
};

/// Look at reputation feeds, and decide about their updates
///
/// Feeds are `[[feed]]` tables of the configuration. An update that looks wrong is held until somebody
/// accepts it; what was in force before stays in force.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent feeds [OPTIONS] <COMMAND>", after_help = "\
Examples:
  bot-agent feeds list
  bot-agent feeds show ipsum
  bot-agent feeds test /tmp/drop_v4.json       (what would be in; no agent, no privileges)
  bot-agent feeds accept ipsum                 (take the update that is held)
  bot-agent feeds rollback ipsum               (back to the entries before, at once)
  bot-agent feeds overlap ipsum spamhaus-drop")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// All feeds, a line each; ends with 1 when one needs a look
    List,
    /// Everything about a feed
    Show(Named),
    /// Fetch a feed, or all of them, now
    Refresh {
        /// The feed; without it all of them
        name: Option<String>,
    },
    /// Take the update that is held
    Accept(Named),
    /// Take no more updates; what is in force stays
    Pause(Named),
    /// Take updates again
    Resume(Named),
    /// Put what was in force before the last update into force again, and pause
    Rollback(Named),
    /// Say what two feeds have in common
    Overlap {
        /// A feed
        one: String,
        /// Another one
        other: String,
    },
    /// Read a file or an address as a feed, and say what would be in and what thrown out
    Test(Box<test::Args>),
    /// Formats that feeds may have
    Formats,
}

#[derive(clap::Args, Clone, Debug)]
struct Named {
    /// The feed
    name: String,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (verb, name) = match &args.command {
        Command::List => return list(global, out),
        Command::Show(Named { name }) => return details(name, global, out),
        Command::Overlap { one, other } => return overlap(one, other, global, out),
        Command::Test(args) => return test::run(args, global, out),
        Command::Formats => return formats::run(global, out),
        Command::Refresh { name } => (Verb::Refresh, name.clone()),
        Command::Accept(Named { name }) => (Verb::Accept, Some(name.clone())),
        Command::Pause(Named { name }) => (Verb::Pause, Some(name.clone())),
        Command::Resume(Named { name }) => (Verb::Resume, Some(name.clone())),
        Command::Rollback(Named { name }) => (Verb::Rollback, Some(name.clone())),
    };
    let progress = (verb == Verb::Refresh).then(|| Progress::begin("fetching", None));
    let mut client = global.connect()?;
    if verb == Verb::Refresh {
        // A publisher may take all the time that a feed gives him.
        client.be_patient()?;
    }
    let answer = client.call(&Request::Feeds(Feeds::with(verb, name)))?;
    drop(progress);
    said(&client, &answer, global, out)
}

fn list(global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let request = Request::Feeds(Feeds::with(Verb::List, None));
    let mut client = global.connect()?;
    let answer = client.call(&request)?;
    let Response::Feeds(feeds) = answer else {
        return Err(client.unexpected(&answer).into());
    };
    match global.output {
        Output::Human if feeds.is_empty() => {
            writeln!(
                out,
                "no feed is configured: add a [[feed]] to the configuration and reload"
            )?;
        }
        Output::Human => show::feeds(&feeds, out)?,
        Output::Json => show::json(&feeds, out)?,
        Output::Raw => {
            for feed in &feeds {
                writeln!(out, "{}", show::feed_raw(feed))?;
            }
        }
    }
    let well = |state| matches!(state, Health::Ok | Health::Waiting | Health::Paused);
    Ok(if feeds.iter().all(|feed| well(feed.state)) {
        ExitCode::Ok
    } else {
        ExitCode::Blocked
    })
}

fn details(name: &str, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let request = Request::Feeds(Feeds::with(Verb::List, Some(name.to_owned())));
    let mut client = global.connect()?;
    let answer = client.call(&request)?;
    let Response::Feeds(feeds) = answer else {
        return Err(client.unexpected(&answer).into());
    };
    for feed in &feeds {
        match global.output {
            Output::Human => writeln!(out, "{}", show::feed(feed))?,
            Output::Json => show::json(feed, out)?,
            Output::Raw => writeln!(out, "{}", show::feed_raw(feed))?,
        }
    }
    Ok(ExitCode::Ok)
}

fn overlap(
    one: &str,
    other: &str,
    global: &Global,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let request = Request::Feeds(Feeds {
        verb: Verb::Overlap,
        name: Some(one.to_owned()),
        other: Some(other.to_owned()),
    });
    let mut client = global.connect()?;
    let answer = client.call(&request)?;
    let Response::Overlap(overlap) = answer else {
        return Err(client.unexpected(&answer).into());
    };
    match global.output {
        Output::Human => writeln!(out, "{}", show::overlap(&overlap))?,
        Output::Json => show::json(&overlap, out)?,
        Output::Raw => {
            let common = overlap.common;
            let (v4, v6) = (common.addresses_v4, common.addresses_v6);
            writeln!(out, "{}\t{v4}\t{v6}", common.entries)?;
        }
    }
    Ok(ExitCode::Ok)
}
