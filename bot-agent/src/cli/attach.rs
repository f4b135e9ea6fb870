//! `bot-agent attach`

use std::io::Write;

use super::{
    global::{Global, Output},
    show,
};
use crate::{
    control::{
        protocol::{Request, Response, XdpMode},
        view::Interface,
    },
    exit_code::ExitCode,
};

/// Filter an interface, until `detach` or a reboot (for good: `interfaces` in the configuration)
///
/// It is filtered on when the agent stops, and taken over by the next one.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent attach [OPTIONS] <IFACE>", after_help = "\
Examples:
  bot-agent attach eth1
  bot-agent attach eth1 --xdp native")]
pub(super) struct Args {
    /// Interface
    iface: String,

    /// Where to filter: native is in the driver, generic behind it
    #[arg(long, value_enum, default_value_t)]
    xdp: XdpMode,

    /// Take the place of an XDP program that is not ours
    #[arg(long)]
    replace: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut client = global.connect()?;
    let request = Request::Attach {
        iface: args.iface.clone(),
        xdp: args.xdp,
        replace: args.replace,
    };
    let answer = client.call(&request)?;
    let Response::Attached(interfaces) = answer else {
        return Err(client.unexpected(&answer).into());
    };
    write(&interfaces, global.output, out)?;
    Ok(ExitCode::Ok)
}

/// Writes the interfaces that are filtered now.
pub(super) fn write(
    interfaces: &[Interface],
    output: Output,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match output {
        Output::Human if interfaces.is_empty() => writeln!(out, "no interface is filtered")?,
        Output::Human => {
            for interface in interfaces {
                writeln!(out, "{}", show::interface(interface))?;
            }
        }
        Output::Json => {
            for interface in interfaces {
                show::json(interface, out)?;
            }
        }
        Output::Raw => {
            for interface in interfaces {
                writeln!(out, "{}", interface.iface)?;
            }
        }
    }
    Ok(())
}
