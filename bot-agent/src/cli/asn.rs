//! `bot-agent asn`

use std::{io::Write, path::PathBuf};

use anyhow::Context as _;
use clap::Subcommand;

use super::{
    global::{Global, Output, Places},
    offline, show,
};
use crate::{
    asn::{Database, UNCONFIGURED},
    control::{
        client::ClientError,
        network::{AddressFacts, NetworkFacts, Wanted},
        protocol::{Request, Response},
    },
    daemon::stored_rules,
    exit_code::ExitCode,
    host,
    rules::{
        set::RuleSet,
        subject::{Asn, Subject},
    },
};

/// Say which network and country addresses belong to, and what an AS has
///
/// Answers come from the files that `asn.database` of the configuration names, from the running agent
/// or without one. Nothing is looked up over the network.
#[derive(clap::Args, Clone, Debug)]
#[command(
    help_template = super::HELP,
    override_usage = "bot-agent asn [OPTIONS] <ADDRESS|ASN>...\n       bot-agent asn show [OPTIONS] <ASN>...",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  bot-agent asn 192.0.2.7 2001:db8::1
  bot-agent asn show AS64500
  bot-agent asn country:XX
  bot-agent asn 192.0.2.7 -o raw | cut -f4    (the AS number alone)
  bot-agent asn 192.0.2.7 --database /tmp/asn-ipv4.csv.gz    (before you configure a file)")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Addresses, AS numbers (AS64500) and countries (country:XX)
    #[arg(value_name = "ADDRESS|ASN", required = true)]
    wanted: Vec<Wanted>,

    /// Read FILE in place of the configured files, and do not ask the agent; may be repeated
    #[arg(long, value_name = "FILE")]
    database: Vec<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Say what an AS has: name, prefixes, addresses, rules about it
    #[command(override_usage = "bot-agent asn show [OPTIONS] <ASN>...")]
    Show {
        /// AS numbers, like AS64500
        #[arg(value_name = "ASN", required = true)]
        asns: Vec<Asn>,

        /// Read FILE in place of the configured files, and do not ask the agent; may be repeated
        #[arg(long, value_name = "FILE")]
        database: Vec<PathBuf>,
    },
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (wanted, files) = match &args.command {
        None => (args.wanted.clone(), &args.database),
        Some(Command::Show { asns, database }) => {
            let asns = asns.iter().map(|asn| Wanted::Network(Subject::Asn(*asn)));
            (asns.collect(), database)
        }
    };
    let mut source = if files.is_empty() {
        Source::Agent(global.places_of_client())
    } else {
        Source::Files(Box::new(Local::open(files, None)?))
    };
    for wanted in wanted {
        let facts = source.ask(wanted, global)?;
        write(&facts, global.output, out)?;
    }
    Ok(ExitCode::Ok)
}

/// An answer.
enum Facts {
    Address(Box<AddressFacts>),
    Network(Box<NetworkFacts>),
}

/// Whom to ask.
enum Source {
    /// The agent, until it does not answer.
    Agent(Places),
    Files(Box<Local>),
}

/// The files, read here.
struct Local {
    database: Database,
    rules: Option<RuleSet>,
}

impl Source {
    fn ask(&mut self, wanted: Wanted, global: &Global) -> anyhow::Result<Facts> {
        if let Self::Agent(places) = self {
            match ask_agent(places, wanted) {
                Ok(Some(facts)) => return Ok(facts),
                Ok(None) => {}
                Err(error) => return Err(error.into()),
            }
            let files = global.load_config()?.asn_databases;
            let rules = stored_rules(&places.state_dir).ok();
            *self = Self::Files(Box::new(Local::open(&files, rules)?));
        }
        match self {
            Self::Files(local) => Ok(local.ask(wanted)),
            Self::Agent(_) => anyhow::bail!("the agent does not answer"),
        }
    }
}

/// What the agent says; nothing when there is none to ask, or not for this user.
fn ask_agent(places: &Places, wanted: Wanted) -> Result<Option<Facts>, ClientError> {
    let request = Request::Asn {
        of: wanted.to_string(),
    };
    let take = |answer| {
        if let Response::Address(facts) = answer {
            Ok(Facts::Address(facts))
        } else if let Response::Network(facts) = answer {
            Ok(Facts::Network(facts))
        } else {
            Err(answer)
        }
    };
    match offline::soon(places, &request, take) {
        Ok(Ok(facts)) => Ok(Some(facts)),
        Ok(Err(_)) | Err(ClientError::Permission { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Local {
    fn open(files: &[PathBuf], rules: Option<RuleSet>) -> anyhow::Result<Self> {
        if files.is_empty() {
            anyhow::bail!(UNCONFIGURED);
        }
        let database = Database::open(files).context("the ASN database cannot be read")?;
        Ok(Self { database, rules })
    }

    fn ask(&self, wanted: Wanted) -> Facts {
        let Self { database, rules } = self;
        match wanted {
            Wanted::Address(address) => {
                Facts::Address(Box::new(AddressFacts::of(address, database)))
            }
            Wanted::Network(subject) => {
                let rules = rules.as_ref();
                let facts = NetworkFacts::of(subject, database, rules, host::now());
                Facts::Network(Box::new(facts))
            }
        }
    }
}

fn write(facts: &Facts, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    match (output, facts) {
        (Output::Human, Facts::Address(facts)) => writeln!(out, "{}", show::address(facts))?,
        (Output::Human, Facts::Network(facts)) => writeln!(out, "{}", show::network(facts))?,
        (Output::Json, Facts::Address(facts)) => show::json(facts, out)?,
        (Output::Json, Facts::Network(facts)) => show::json(facts, out)?,
        (Output::Raw, Facts::Address(facts)) => writeln!(out, "{}", show::address_raw(facts))?,
        (Output::Raw, Facts::Network(facts)) => writeln!(out, "{}", show::network_raw(facts))?,
    }
    Ok(())
}
