//! `bot-agent check`

use std::{io::Write, net::IpAddr};

use super::{
    global::{Global, Output},
    offline::{self, Whom},
    show,
};
use crate::{
    control::{
        protocol::{Request, Response},
        view::Check,
    },
    exit_code::ExitCode,
};

/// Say what happens to packets from an address, and why
///
/// Reads the kernel's own table, with or without a running agent. Ends with 1 if a block covers
/// the address and drops its packets in enforce mode, whatever the mode is now; with 0 if they pass
/// (also if only a rule with --monitor covers it); with 2 on errors.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  bot-agent check 198.51.100.7
  bot-agent check 2001:db8::1 -o json | jq .rule
  bot-agent check 198.51.100.7 -o raw    (drop, would_drop or pass)")]
pub(super) struct Args {
    /// Address
    address: IpAddr,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let address = args.address.to_canonical();
    let check: Check = match offline::find(global)? {
        Whom::Agent(mut client) => {
            let answer = client.call(&Request::Check { address })?;
            let Response::Check(check) = answer else {
                return Err(client.unexpected(&answer).into());
            };
            *check
        }
        Whom::Tables(tables, places) => tables.check(address, &places.state_dir)?,
    };
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
