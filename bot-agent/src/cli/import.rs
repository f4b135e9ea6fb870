//! `bot-agent import`

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};

use super::{
    global::{Global, Output},
    show,
};
use crate::{
    control::{
        client::{Client, ClientError},
        protocol::{Import, Request, Response},
        view::Imported,
    },
    exit_code::ExitCode,
    host,
    rules::record::{Record, read_lines},
};

/// Bytes of a request up to which rules are put into it; it may have twice as many.
const PART: usize = 512 << 10;
/// What a rule has besides its reason, bytes, at most.
const RULE: usize = 512;
/// What a byte of a reason takes in JSON at most.
const ESCAPED: usize = 6;

/// Make rules again that `export` wrote
///
/// All of them or none: a file with a bad line changes nothing, and the bad lines are named. A rule
/// that is there already, just like that, stays as it is, so the same file may be imported again.
/// What is over by now, and what was not an operator's, is left out and counted.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent import [OPTIONS] <FILE>", after_help = "\
Examples:
  bot-agent import rules.jsonl --dry-run
  ssh other bot-agent export | bot-agent import -

A line needs only `prefix` (or `asn`, `country`) and `action`; without `until` the rule has no end:
  {\"prefix\":\"198.51.100.0/24\",\"action\":\"block\",\"until\":\"2027-01-31T12:00:00Z\",\"reason\":\"scraper\"}")]
pub(super) struct Args {
    /// File of one JSON object a line; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Say what would happen and change nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (name, lines) = open(&args.file)?;
    let mut parts = Parts {
        socket: global.places_of_client().socket,
        client: None,
        rules: Vec::new(),
        bytes: 0,
        sent: 0,
    };
    let read = read_lines(lines, host::now(), |record| parts.add(record));
    read.map_err(|error| error.of_reading(&name))?
        .map_err(|bad| {
            let lines = bad.to_string().replace('\n', "\n  ");
            anyhow!("{name} has bad lines; nothing was changed\n  {lines}")
        })?;
    let imported = parts.end(args.dry_run).map_err(|error| {
        let is_lost = error.is_silent();
        let error = anyhow::Error::from(error);
        if is_lost {
            error.context("whether the rules are in force is not known; import them again")
        } else {
            error
        }
    })?;
    match global.output {
        Output::Human => writeln!(out, "{}", show::imported(&imported))?,
        Output::Json => show::json(&imported, out)?,
        Output::Raw => {
            for rule in &imported.rules {
                writeln!(out, "{}\t{}", rule.rule.0, rule.subject)?;
            }
        }
    }
    Ok(ExitCode::Ok)
}

fn open(file: &Path) -> anyhow::Result<(String, Box<dyn BufRead>)> {
    if file == Path::new("-") {
        return Ok(("standard input".to_owned(), Box::new(io::stdin().lock())));
    }
    let name = file.display().to_string();
    let opened = File::open(file).with_context(|| format!("cannot read {name}"))?;
    Ok((name, Box::new(BufReader::new(opened))))
}

/// Rules on their way to the agent, which makes none of them before it has the last.
struct Parts {
    socket: PathBuf,
    /// Nothing before the first part: the agent does not wait long for who only reads.
    client: Option<Client>,
    rules: Vec<Record>,
    bytes: usize,
    sent: usize,
}

/// Why the reading ended before the file did.
enum Ended {
    Reading(io::Error),
    Sending(ClientError),
}

impl Parts {
    fn add(&mut self, record: Record) -> Result<(), Ended> {
        self.bytes += RULE + record.reason.len() * ESCAPED;
        self.rules.push(record);
        if self.bytes < PART {
            return Ok(());
        }
        let part = self.part(true, false);
        let count = part.rules.len();
        let client = self.client()?;
        let answer = client.call(&Request::Import(part))?;
        if !matches!(answer, Response::Gathered { .. }) {
            return Err(client.unexpected(&answer).into());
        }
        self.sent += count;
        Ok(())
    }

    fn end(mut self, dry_run: bool) -> Result<Imported, ClientError> {
        let part = self.part(false, dry_run);
        let client = self.client()?;
        let answer = client.call(&Request::Import(part))?;
        let Response::Imported(imported) = answer else {
            return Err(client.unexpected(&answer));
        };
        Ok(*imported)
    }

    fn client(&mut self) -> Result<&mut Client, ClientError> {
        let connected = if let Some(client) = self.client.take() {
            client
        } else {
            let mut client = Client::connect(&self.socket)?;
            client.be_patient()?;
            client
        };
        Ok(self.client.insert(connected))
    }

    fn part(&mut self, more: bool, dry_run: bool) -> Import {
        self.bytes = 0;
        Import {
            rules: std::mem::take(&mut self.rules),
            more,
            before: self.sent,
            dry_run,
        }
    }
}

impl Ended {
    fn of_reading(self, name: &str) -> anyhow::Error {
        match self {
            Self::Reading(error) => {
                anyhow::Error::from(error).context(format!("cannot read {name}"))
            }
            Self::Sending(error) => anyhow::Error::from(error).context("nothing was changed"),
        }
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Reading(error)
    }
}

impl From<ClientError> for Ended {
    fn from(error: ClientError) -> Self {
        Self::Sending(error)
    }
}
