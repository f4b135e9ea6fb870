//! `bot-agent detach`

use std::io::Write;

use anyhow::bail;

use super::{
    attach,
    global::{Global, Output},
    offline::{self, Absent, Without},
    show,
};
use crate::{
    control::protocol::{Request, Response},
    datapath::{Detached, detach_all, detach_links},
    exit_code::ExitCode,
};

/// What an operator must know who detached behind a silent agent's back.
const AGAIN: &str = "an agent that goes on attaches again: stop it, or use `bot-agent bypass`";

/// Stop filtering an interface, or all of them
///
/// Without a running agent and without an interface this removes everything that was ever pinned:
/// links, programs and tables of every version. Rules stay stored. When the agent runs and does not
/// answer, the interfaces are freed and the tables stay.
#[derive(clap::Args, Clone, Debug)]
#[command(help_template = super::HELP, override_usage = "bot-agent detach [OPTIONS] [IFACE]", after_help = "\
Examples:
  bot-agent detach eth1
  systemctl stop bot-agent && bot-agent detach    (remove everything)")]
pub(super) struct Args {
    /// Interface; all of them if none is named
    iface: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let places = global.places_of_client();
    let request = Request::Detach {
        iface: args.iface.clone(),
    };
    let answered = offline::soon(&places, &request, |answer| {
        let Response::Attached(interfaces) = answer else {
            return Err(answer);
        };
        Ok(interfaces)
    })?;
    match (answered, &args.iface) {
        (Ok(interfaces), iface) => {
            attach::write(&interfaces, global.output, out)?;
            if iface.is_none() && global.output == Output::Human {
                writeln!(
                    out,
                    "the tables stay while the agent runs: stop it and detach again to remove them"
                )?;
            }
        }
        (Err(Absent::NotRunning(error)), Some(_)) => {
            bail!(anyhow::Error::from(error).context(
                "without the agent everything is detached or nothing: leave the interface out"
            ));
        }
        (Err(Absent::NotRunning(_)), None) => {
            let detached = detach_all(&places.pin_dir)?;
            write(&detached, global.output, out)?;
        }
        (Err(absent), iface) => {
            let interfaces = detach_links(&places.pin_dir, iface.as_deref())?;
            if let (Some(iface), []) = (iface, interfaces.as_slice()) {
                bail!("{iface} is not filtered (`bot-agent status` lists what is)");
            }
            absent.tell(global, Without::Written)?;
            offline::note(global, AGAIN)?;
            let detached = Detached {
                interfaces,
                ..Detached::default()
            };
            write(&detached, global.output, out)?;
        }
    }
    Ok(ExitCode::Ok)
}

fn write(detached: &Detached, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    let left: Vec<String> = detached
        .left
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    match output {
        Output::Human => {
            if detached.interfaces.is_empty() && detached.pins == 0 {
                writeln!(out, "nothing was pinned")?;
            } else {
                let names = if detached.interfaces.is_empty() {
                    "no interface".to_owned()
                } else {
                    detached.interfaces.join(", ")
                };
                writeln!(
                    out,
                    "detached from {names}, removed {} pinned tables and programs",
                    detached.pins
                )?;
            }
            for path in left {
                writeln!(out, "left alone, not ours: {path}")?;
            }
        }
        Output::Json => show::json(
            &serde_json::json!({
                "interfaces": detached.interfaces, "pins": detached.pins, "left": left,
            }),
            out,
        )?,
        Output::Raw => {
            for interface in &detached.interfaces {
                writeln!(out, "{interface}")?;
            }
        }
    }
    Ok(())
}
