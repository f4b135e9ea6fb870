//! The demo's own test: it runs to its end, and leaves nothing, however it ends.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::place::Place;
use crate::process;
use crate::tally::Tally;
use crate::workspace::Workspace;

/// What a demo prints in the middle: the filter drops, and clients run.
const MIDDLE: &str = "4. ";

/// One way in which a demo can go.
type Trial = fn(&Place) -> Result<()>;

/// Runs the demo four times; needs everything built.
pub(crate) fn run(workspace: &Workspace) -> Result<Tally> {
    // Its own name: a demo that somebody keeps is left alone, and so are other checkouts.
    let mut hasher = DefaultHasher::new();
    workspace.target().hash(&mut hasher);
    let name = format!("bot-demo-test-{:04x}", hasher.finish() & 0xffff);
    let place: Place = name.parse().map_err(anyhow::Error::msg)?;
    let mut tally = Tally::default();
    let trials: [(&str, Trial); 4] = [
        ("Ctrl-C in the middle leaves nothing", interrupted),
        ("SIGTERM in the middle leaves nothing", terminated),
        (
            "what a killed demo leaves goes with --clean",
            killed_then_cleaned,
        ),
        (
            "a killed demo does not disturb the next, which ends well",
            killed_then_whole,
        ),
    ];
    for (what, trial) in trials {
        match trial(&place).and_then(|()| leaves_nothing(&place)) {
            Ok(()) => {
                println!("demo: {what} ... ok");
                tally.passed += 1;
            }
            Err(error) => {
                println!("demo: {what} ... FAILED: {error:#}");
                tally.failed += 1;
                place.clear()?;
            }
        }
    }
    Ok(tally)
}

fn interrupted(place: &Place) -> Result<()> {
    ended_by(place, Signal::SIGINT, 130)
}

fn terminated(place: &Place) -> Result<()> {
    ended_by(place, Signal::SIGTERM, 143)
}

fn ended_by(place: &Place, signal: Signal, code: i32) -> Result<()> {
    let status = stop_in_the_middle(place, signal)?;
    if status.code() != Some(code) {
        bail!("ended with {status}, not {code}");
    }
    Ok(())
}

fn killed_then_cleaned(place: &Place) -> Result<()> {
    killed(place)?;
    succeeds(demo(place)?.arg("--clean"))
}

fn killed_then_whole(place: &Place) -> Result<()> {
    killed(place)?;
    succeeds(&mut demo(place)?)
}

/// Without a chance to clean up; only then the other trials prove anything.
fn killed(place: &Place) -> Result<()> {
    let status = stop_in_the_middle(place, Signal::SIGKILL)?;
    if status.signal() != Some(Signal::SIGKILL as i32) || place.remains().is_empty() {
        bail!("ended with {status}, and nothing was left");
    }
    Ok(())
}

fn succeeds(command: &mut Command) -> Result<()> {
    let mut text = String::new();
    let status = process::lines(command, |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    if !status.success() {
        bail!("ended with {status}:\n{text}");
    }
    Ok(())
}

fn stop_in_the_middle(place: &Place, signal: Signal) -> Result<ExitStatus> {
    let mut child = demo(place)?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let stopped = signal_in_the_middle(&mut child, signal);
    let status = child.wait()?;
    stopped.with_context(|| format!("ended with {status}"))?;
    Ok(status)
}

fn signal_in_the_middle(child: &mut Child, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(child.id().cast_signed());
    let mut text = String::new();
    let output = child.stdout.take().context("no pipe")?;
    let mut lines = BufReader::new(output).lines();
    for line in &mut lines {
        let line = line?;
        if line.starts_with(MIDDLE) {
            kill(pid, signal)?;
            // A closed pipe would end the demo too, in another way.
            lines.for_each(drop);
            return Ok(());
        }
        text.push_str(&line);
        text.push('\n');
    }
    bail!("never came to the middle:\n{text}")
}

fn leaves_nothing(place: &Place) -> Result<()> {
    let remains = place.remains();
    if !remains.is_empty() {
        bail!("left behind: {}", remains.join(", "));
    }
    Ok(())
}

fn demo(place: &Place) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["demo", "--prepared", "--name", place.name()]);
    Ok(command)
}
