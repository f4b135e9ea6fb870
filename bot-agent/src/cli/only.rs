//! `bot-agent only`

use std::io::Write;

use super::{
    global::{Global, Output},
    show,
};
use crate::{
    control::{
        protocol::{Request, Response},
        view::OnlyView,
    },
    exit_code::ExitCode,
    policy::Ports,
};

/// Lock ports to the addresses of lists: an origin to its CDN
///
/// Packets to these TCP and UDP ports from anywhere else are dropped (in monitor mode: reported),
/// whatever else covers them. Your own allow and block rules, protected addresses and failsafe ports come
/// first. A lock stays until `only remove`. When one of its lists is missing or empty, its ports are open.
#[derive(clap::Args, Clone, Debug)]
#[command(
    help_template = super::HELP,
    override_usage = "bot-agent only [OPTIONS] --port <PORTS> --from <LIST>...\n       bot-agent only list\n       bot-agent only remove --port <PORTS>",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  bot-agent only --port 443 --from cdn --monitor
  bot-agent only --port 443,8443 --from cdn office
  bot-agent only list
  bot-agent only remove --port 443"
)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    lock: Option<Lock>,
}

#[derive(clap::Args, Clone, Debug)]
struct Lock {
    /// Ports, between commas
    #[arg(long, value_name = "PORTS")]
    port: Ports,

    /// Names of the lists whose addresses stay
    #[arg(long, value_name = "LIST", num_args = 1.., required = true)]
    from: Vec<String>,

    /// Only count and report
    #[arg(long)]
    monitor: bool,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum Action {
    /// Show the locks
    List,
    /// Open ports again
    Remove {
        /// Just the ports of a lock, between commas
        #[arg(long, value_name = "PORTS")]
        port: Ports,
    },
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let request = match (&args.action, &args.lock) {
        (Some(Action::Remove { port }), _) => Request::OnlyRemove {
            ports: port.clone(),
        },
        (None, Some(lock)) => Request::Only {
            ports: lock.port.clone(),
            from: lock.from.clone(),
            monitor: lock.monitor,
        },
        (Some(Action::List), _) | (None, None) => Request::OnlyList {},
    };
    let mut client = global.connect()?;
    let answer = client.call(&request)?;
    if let Response::Onlys(onlys) = &answer {
        list(onlys, global.output, out)?;
        return Ok(ExitCode::Ok);
    }
    let Response::Ok { message } = answer else {
        return Err(client.unexpected(&answer).into());
    };
    match global.output {
        Output::Human => writeln!(out, "{message}")?,
        Output::Json => show::json(&serde_json::json!({ "message": message }), out)?,
        Output::Raw => {}
    }
    Ok(ExitCode::Ok)
}

fn list(onlys: &[OnlyView], output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    match output {
        Output::Json => show::json(&onlys, out)?,
        Output::Human if onlys.is_empty() => writeln!(out, "no port is locked")?,
        Output::Human => {
            for only in onlys {
                writeln!(out, "{}", show::only(only))?;
            }
        }
        Output::Raw => {
            for only in onlys {
                writeln!(out, "{}", show::only_raw(only))?;
            }
        }
    }
    Ok(())
}
