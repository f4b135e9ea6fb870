//! What `unblock` and `unallow` share.

use std::{io::Write, path::PathBuf};

use anyhow::bail;
use clap::Args;

use super::{
    global::{Global, Output},
    parts,
    put::gather_from,
    show,
};
use crate::{
    control::{
        protocol::{Request, Response, Take},
        view::Taken,
    },
    exit_code::ExitCode,
    rules::{
        subject::{Country, Subject},
        target::Target,
    },
    wording::many_of,
};

/// Options of commands that take rules back.
#[derive(Args, Clone, Debug)]
pub(super) struct TakeArgs {
    /// Addresses, networks, ranges and AS numbers, as they were given
    #[arg(value_name = "TARGET", required_unless_present_any = ["from_file", "country"])]
    pub targets: Vec<String>,

    /// Also the rule about a country, by the letters of ISO 3166; may be repeated
    #[arg(long, value_name = "XX")]
    pub country: Vec<Country>,

    /// Also every target in FILE, one a line; # and ; begin comments; - is standard input. All of it
    /// is applied, or nothing
    #[arg(long, short, value_name = "FILE")]
    pub from_file: Option<PathBuf>,

    /// Say what would happen and change nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}

/// Takes the rules back; `request` says of which kind.
pub(super) fn run(
    args: &TakeArgs,
    request: impl Fn(Take) -> Request,
    global: &Global,
    out: &mut dyn Write,
) -> anyhow::Result<Taken> {
    let mut targets = gather_from(&args.targets, args.from_file.as_deref())?;
    let countries = args.country.iter().copied().map(Subject::Country);
    targets.extend(countries.map(Target::from));
    let mut client = global.connect()?;
    let answer = parts::send(&mut client, &targets, !args.dry_run, |part, place| {
        let targets = part.iter().map(|target| target.given().to_owned());
        request(Take {
            targets: targets.collect(),
            dry_run: args.dry_run,
            more: place.more,
            before: place.before,
        })
    })?;
    let Response::Taken(taken) = answer else {
        return Err(client.unexpected(&answer).into());
    };
    let taken = *taken;
    match global.output {
        // Targets without a rule are told as an error.
        Output::Human if taken.removed == 0 && taken.still.is_empty() => {}
        Output::Human => writeln!(out, "{}", show::taken(&taken))?,
        Output::Json => show::json(&taken, out)?,
        Output::Raw => {
            for rule in &taken.rules {
                writeln!(out, "{}\t{}", rule.rule.0, rule.subject)?;
            }
        }
    }
    out.flush()?;
    refuse_absent(&taken)?;
    Ok(taken)
}

/// A target without a rule is probably a typo, which a script must notice.
fn refuse_absent(taken: &Taken) -> anyhow::Result<()> {
    const NAMED: usize = 10;
    if taken.absent == 0 {
        return Ok(());
    }
    let named = taken.absent_named().take(NAMED);
    let mut absent: Vec<String> = named.map(|subject| subject.to_string()).collect();
    let more = taken.absent.saturating_sub(absent.len());
    if more > 0 {
        absent.push(many_of(more, "other"));
    }
    bail!("there is no such rule: {}", absent.join(", "))
}

/// Exit code of a command after which its targets should not be covered any more.
pub(super) fn exit_code(taken: &Taken) -> ExitCode {
    if taken.still.is_empty() {
        ExitCode::Ok
    } else {
        ExitCode::Blocked
    }
}
