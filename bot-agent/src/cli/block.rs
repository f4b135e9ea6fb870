//! `bot-agent block`

use std::io::Write;

use clap::ValueEnum;

use super::{global::Global, put};
use crate::{control::protocol::Request, exit_code::ExitCode, rules::rule::Scope};

/// Block addresses, networks, ranges, AS numbers and countries
///
/// A block of single addresses lasts 4 hours unless --duration or --permanent says otherwise; for
/// everything else one of the two must be given. Blocks of AS numbers and countries need a database
/// (see `asn`) and are of scope services unless --scope says otherwise. In monitor mode (see `mode`) blocks only count
/// and report. A block again of the same target replaces the earlier one.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent block [OPTIONS] <TARGET>...", after_help = "\
Examples:
  bot-agent block 198.51.100.7 --reason 'credential stuffing'
  bot-agent block 198.51.100.0/24 2001:db8::/48 --duration 7d
  bot-agent block AS64500 --duration 7d --dry-run         (what would it reach?)
  bot-agent block --country XX --duration 7d
  bot-agent block --from-file scrapers.txt --permanent --yes
  bot-agent block 203.0.113.0/24 --permanent --monitor    (count only)")]
pub(super) struct Args {
    #[command(flatten)]
    put: put::PutArgs,

    /// Only count and report, also in enforce mode
    #[arg(long, short)]
    monitor: bool,

    /// Which packets [default: all for addresses, services for AS numbers and countries]
    #[arg(long, value_enum)]
    scope: Option<ScopeArg>,
}

/// Which packets a block covers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum ScopeArg {
    /// Every packet
    All,
    /// Packets to served ports and new connections: answers to this host's own requests pass
    Services,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let scope = args.scope.map(|scope| match scope {
        ScopeArg::All => Scope::All,
        ScopeArg::Services => Scope::Services,
    });
    put::run(
        &args.put,
        (args.monitor, scope),
        Request::Block,
        global,
        out,
    )
}
