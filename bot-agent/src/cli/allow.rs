//! `bot-agent allow`

use std::io::Write;

use super::{global::Global, put};
use crate::{control::protocol::Request, exit_code::ExitCode};

/// Exempt addresses, networks, ranges, AS numbers and countries from blocks
///
/// An address, network or range is exempt from every block; an AS number or a country only from
/// blocks of AS numbers and countries and from scores. An exemption that ends unnoticed is an outage, so there is no default: say --duration or
/// --permanent.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent allow [OPTIONS] <TARGET>...", after_help = "\
Examples:
  bot-agent allow 192.0.2.10 --permanent --reason monitoring
  bot-agent allow 198.51.100.64/26 --duration 2h --reason 'load test'
  bot-agent allow AS64501 --permanent --reason 'search engine'
  bot-agent allow --from-file health-checkers.txt --permanent")]
pub(super) struct Args {
    #[command(flatten)]
    put: put::PutArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    put::run(&args.put, (false, None), Request::Allow, global, out)
}
