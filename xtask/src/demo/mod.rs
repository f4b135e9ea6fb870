//! `cargo xtask demo`: the filter at work, told in nine scenes on a terminal.
//!
//! Nothing in it is staged: real clients, a real TLS server, native XDP, the real command line. A
//! scene that does not go as the story says ends the demo with an error. Whatever it makes is gone
//! at the end, however the end comes; what a killed demo left is removed by the next one.

mod interrupt;
mod million;
mod place;
mod stage;
mod story;
mod teller;
pub(crate) mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use self::interrupt::{Interrupt, Interrupted};
use self::place::{Host, Place};
use self::stage::{Stage, Tools};
use self::teller::Teller;
use crate::build;
use crate::process;
use crate::setup::{self, Purpose};
use crate::workspace::{Profile, Workspace};

/// Watch the filter at work with real clients, in namespaces of its own.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(crate) struct Args {
    /// Leave everything up at the end and say how to enter it
    #[arg(long)]
    keep: bool,
    /// Only remove what a kept or killed demo left
    #[arg(long, conflicts_with = "keep")]
    clean: bool,
    /// Test the demo: it ends well, and leaves nothing however it ends
    #[arg(long, conflicts_with_all = ["keep", "clean"])]
    test: bool,
    /// What namespaces and folder are called
    #[arg(long, hide = true, default_value = "bot-demo")]
    name: Place,
    /// Everything is set up and built
    #[arg(long, hide = true)]
    prepared: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let place = &args.name;
    if !setup::is_root() {
        bail!(
            "the demo makes network namespaces and loads a program into the kernel: run as root \
             (sudo -E env PATH=\"$PATH\" cargo xtask demo)"
        );
    }
    if args.test {
        return test(workspace);
    }
    let _lock = place.lock()?;
    if args.clean {
        place.clear()?;
        println!("nothing is left of the demo");
        return Ok(ExitCode::SUCCESS);
    }
    // What is shown includes how long things take; the demo's own test is content with less.
    let profile = if args.prepared {
        Profile::Dev
    } else {
        prepare(workspace, Profile::Release)?;
        Profile::Release
    };
    match play(place, tools(workspace, place, profile), args.keep) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => match error.downcast_ref::<Interrupted>() {
            Some(interrupted) => {
                eprintln!("{interrupted}; everything is removed");
                Ok(ExitCode::from(interrupted.exit_code()))
            }
            None => Err(error),
        },
    }
}

fn test(workspace: &Workspace) -> Result<ExitCode> {
    prepare(workspace, Profile::Dev)?;
    let tally = trial::run(workspace)?;
    println!("{tally}");
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn prepare(workspace: &Workspace, profile: Profile) -> Result<()> {
    let toolchain = setup::prepare(workspace, Purpose::Demo)?;
    build::everything(workspace, &toolchain, profile)?;
    Ok(())
}

fn play(place: &Place, tools: Tools, keep: bool) -> Result<()> {
    let interrupt = Interrupt::watch(place)?;
    let teller = Teller::new();
    if !place.remains().is_empty() {
        teller.say("An earlier demo is still there; removing it.")?;
        place.clear()?;
    }
    let bin = tools.bin.display().to_string();
    let mut stage = Stage::build(place.clone(), interrupt, tools)?;
    story::tell(&mut stage, &teller)?;
    if !keep {
        drop(stage);
        let remains = place.remains();
        if !remains.is_empty() {
            bail!("the demo left behind: {}", remains.join(", "));
        }
        return teller.say("\nThe demo's namespaces, processes, mount and files are gone.");
    }
    // Adopted by nothing: the end of the story removed the filter. The rules are stored.
    stage.start_agent(&["run", "--interface", "eth0"])?;
    let folder = place.folder();
    let shown = folder.display();
    teller.title("Left up, as you asked")?;
    teller.say("The agent runs again, with the story's rules, in enforce mode. To look around:")?;
    teller.output(&format!("export PATH={bin}:$PATH\nbot-agent status"))?;
    teller.say("A shell on the server, and one where the clients are:")?;
    for host in Host::ALL {
        let file = place.namespace_file(host);
        teller.output(&format!("nsenter --net={}", file.display()))?;
    }
    teller.say("There, for curl's options:")?;
    teller.output(&format!("cd {shown}; export CURL_HOME={shown}"))?;
    teller.output("curl --interface 198.51.100.77 https://shop.example/")?;
    teller.say("To remove it all:")?;
    teller.output("cargo xtask demo --clean")?;
    stage.stay();
    Ok(())
}

fn tools(workspace: &Workspace, place: &Place, profile: Profile) -> Tools {
    let python = workspace.tools().join("python/bin/python3");
    Tools {
        agent: workspace.agent(profile),
        bin: workspace.target().join("demo").join(place.name()),
        browser: has_curl_cffi(&python).then_some(python),
    }
}

fn has_curl_cffi(python: &PathBuf) -> bool {
    let mut command = std::process::Command::new(python);
    process::capture(command.args(["-c", "import curl_cffi"])).is_ok()
}
