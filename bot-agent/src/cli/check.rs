//! `bot-agent check`

use std::{io::Write, net::IpAddr};

use super::{
    global::{Global, Output},
    offline::{self, Without},
    show,
};
use crate::{
    asn::Database,
    control::{
        network::AddressFacts,
        protocol::{Request, Response},
        view::Check,
    },
    exit_code::ExitCode,
    rules::prefix::Prefix,
};

/// Say what happens to packets from an address, and why
///
/// Reads the kernel's own table, with or without a running agent. Ends with 1 if a block covers
/// the address and drops its packets in enforce mode, whatever the mode is now; with 0 if they pass
/// (also if only a rule with --monitor covers it); with 2 on errors.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent check [OPTIONS] <ADDRESS>", after_help = "\
Examples:
  bot-agent check 198.51.100.7
  bot-agent check 2001:db8::1 -o json | jq .rule
  bot-agent check 198.51.100.7 -o raw    (drop, would_drop or pass)")]
pub(super) struct Args {
    /// Address
    #[arg(value_parser = address)]
    address: IpAddr,
}

/// One address; who asks for more is told where to ask.
fn address(text: &str) -> Result<IpAddr, String> {
    let text = text.trim();
    text.parse().map_err(|_| match text.parse::<Prefix>() {
        Ok(_) => format!(
            "that is more than one address; `bot-agent list --overlaps {text}` shows the rules there"
        ),
        Err(error) => error.to_string(),
    })
}

/// Names the network, which the kernel's tables do not know.
fn announce(check: &mut Check, global: &Global) {
    let files = global.load_config().unwrap_or_default().asn_databases;
    if files.is_empty() {
        return;
    }
    match Database::open(&files) {
        Ok(database) => check.announced = AddressFacts::of(check.address, &database).announced,
        Err(error) => check
            .notes
            .push(format!("the ASN database cannot be read: {error}")),
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let address = args.address.to_canonical();
    let check: Check = offline::ask(
        global,
        &Request::Check { address },
        |answer| {
            let Response::Check(check) = answer else {
                return Err(answer);
            };
            Ok(*check)
        },
        Without::Read,
        |tables, places| {
            let mut check = tables.check(address, &places.state_dir)?;
            announce(&mut check, global);
            Ok(check)
        },
    )?;
    match global.output {
        Output::Human => writeln!(out, "{}", show::check(&check))?,
        Output::Json => show::json(&check, out)?,
        Output::Raw => writeln!(out, "{}", show::effect_word(check.effect))?,
    }
    Ok(if check.blocked {
        ExitCode::Blocked
    } else {
        ExitCode::Ok
    })
}
