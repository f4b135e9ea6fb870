//! `bot-agent run`

use crate::{
    control::protocol::XdpMode,
    daemon::{self, Start, Wish},
    exit_code::ExitCode,
};

use super::global::Global;

/// Load the filter, attach it, and serve until stopped
///
/// When this ends, however it ends, the kernel filters on as it did; `bot-agent detach` takes the
/// filter off. Started as root it becomes the configured user and gives up every privilege but the
/// three capabilities that it needs.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent run [OPTIONS]", after_help = "\
Examples:
  bot-agent run -i eth0
  bot-agent run -c /etc/bot-agent/bot-agent.toml
  nsenter --net=/run/netns/web bot-agent run -i veth0    (a network namespace)")]
pub(super) struct Args {
    /// Interface to filter, besides the configured ones; may be repeated
    #[arg(long = "interface", short, value_name = "IFACE")]
    interfaces: Vec<String>,

    /// Where to filter: native is in the driver, generic behind it [default: as configured]
    #[arg(long, value_enum)]
    xdp: Option<XdpMode>,

    /// Take the place of XDP programs that are not ours
    #[arg(long)]
    replace: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let mut config = global.load_config()?;
    config.xdp.replace |= args.replace;
    let wish = args.xdp.map(|xdp| Wish {
        xdp,
        replace: config.xdp.replace,
    });
    daemon::run(&Start {
        places: global.places(&config),
        config,
        config_path: global.config_path().to_owned(),
        interfaces: args.interfaces.clone(),
        wish,
    })
}
