//! The set: two hosts joined by a cable, TLS servers, the agent, and what runs on them.
//!
//! Everything goes when the stage is dropped, unless it was told to stay.

mod scenery;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::interrupt::Interrupt;
use super::place::{Host, MARK, Place};
use crate::process;

/// Hardly a command of the story takes longer.
const LIMIT_SECONDS: u32 = 15;
/// How long servers and the agent may take to be ready.
const PATIENCE: Duration = Duration::from_secs(10);
/// The agent's folder on the BPF file system.
const PINS: &str = "bot-agent";

/// What is there already.
pub(crate) struct Tools {
    /// The agent's program.
    pub(crate) agent: PathBuf,
    /// A folder for programs; /run does not let any run on many hosts.
    pub(crate) bin: PathBuf,
    /// A Python with `curl_cffi`.
    pub(crate) browser: Option<PathBuf>,
}

/// The set while it stands.
pub(crate) struct Stage {
    place: Place,
    interrupt: Interrupt,
    tools: Tools,
    servers: Vec<Child>,
    agent: Option<Child>,
    stays: bool,
}

/// How a command ended, with everything it printed.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Stage {
    /// Builds everything but the agent.
    pub(crate) fn build(place: Place, interrupt: Interrupt, tools: Tools) -> Result<Self> {
        let mut stage = Self {
            place,
            interrupt,
            tools,
            servers: Vec::new(),
            agent: None,
            stays: false,
        };
        stage.write_files().context("preparing the demo's folder")?;
        stage.build_network().context("making network namespaces")?;
        stage.make_certificate()?;
        stage.serve(Host::Server, "443")?;
        stage.serve(Host::Clients, "198.51.100.200:443")?;
        stage.rehearse()?;
        Ok(stage)
    }

    /// Whether the agent has anything pinned.
    pub(crate) fn is_pinned(&self) -> bool {
        self.place.bpf().join(PINS).exists()
    }

    pub(crate) fn has_browser(&self) -> bool {
        self.tools.browser.is_some()
    }

    /// Leaves everything up when this ends.
    pub(crate) fn stay(&mut self) {
        self.stays = true;
    }

    /// Runs a shell command on a host.
    pub(crate) fn run(&self, host: Host, line: &str) -> Result<Finished> {
        self.run_for(LIMIT_SECONDS, host, line)
    }

    /// The same with another limit.
    pub(crate) fn run_for(&self, seconds: u32, host: Host, line: &str) -> Result<Finished> {
        self.interrupt.check()?;
        let mut command = self.command(host, "timeout");
        command.args([&seconds.to_string(), "sh", "-c", line]);
        let mut text = String::new();
        let status = process::lines(&mut command, |line| {
            text.push_str(line);
            text.push('\n');
        })?;
        self.interrupt.check()?;
        Ok(Finished {
            code: code_of(status),
            text,
        })
    }

    /// Follows the agent's events, those of the past first, until `enough` says so.
    pub(crate) fn events(
        &self,
        kind: &str,
        mut enough: impl FnMut(&Value) -> bool,
    ) -> Result<Vec<Value>> {
        self.interrupt.check()?;
        let mut command = self.command(Host::Server, "timeout");
        command
            .args(["5", "bot-agent", "logs", "--follow", "-o", "json"])
            .args(["--event", kind])
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("following the agent's events")?;
        let lines = child.stdout.take().context("no pipe")?;
        let mut events = Vec::new();
        for line in BufReader::new(lines).lines() {
            let event: Value = serde_json::from_str(&line?)?;
            let last = enough(&event);
            events.push(event);
            if last {
                // `timeout` hands it on.
                end(&mut child, Signal::SIGTERM)?;
                return Ok(events);
            }
        }
        child.wait()?;
        self.interrupt.check()?;
        bail!("waited for an event of kind {kind} in vain; there were {events:#?}")
    }

    /// Starts the agent and waits until it is ready.
    pub(crate) fn start_agent(&mut self, arguments: &[&str]) -> Result<()> {
        self.interrupt.check()?;
        let ready = self.place.folder().join("ready");
        drop(fs::remove_file(&ready));
        let socket = UnixDatagram::bind(&ready).context("making a socket")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let log = fs::File::create(self.place.folder().join("agent.log"))?;
        let mut command = self.command(Host::Server, "bot-agent");
        command
            .args(arguments)
            .env("NOTIFY_SOCKET", &ready)
            .stdout(Stdio::null())
            .stderr(log);
        let child = self.agent.insert(command.spawn()?);
        let start = Instant::now();
        let mut message = [0; 64];
        while socket.recv(&mut message).is_err() {
            self.interrupt.check()?;
            if child.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                bail!("the agent does not start:\n{}", self.agent_log()?);
            }
        }
        Ok(())
    }

    pub(crate) fn agent_pid(&self) -> Result<u32> {
        let agent = self.agent.as_ref().context("no agent was started")?;
        Ok(agent.id())
    }

    /// Most memory that the agent had since its start, in MB.
    pub(crate) fn agent_peak(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.agent_pid()?))?;
        let kib = |line: &str| -> Option<u64> {
            let value = line.strip_prefix("VmHWM:")?.trim();
            value.strip_suffix(" kB")?.parse().ok()
        };
        let peak = status.lines().find_map(kib).context("the agent ended")?;
        Ok(peak * 1024 / 1_000_000)
    }

    /// Where commands run.
    pub(crate) fn folder(&self) -> PathBuf {
        self.place.folder()
    }

    /// What the agent printed since its start.
    pub(crate) fn agent_log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.place.folder().join("agent.log"))?)
    }

    /// Waits for the end of the agent, which somebody else brings about.
    pub(crate) fn agent_ended(&mut self) -> Result<ExitStatus> {
        let mut agent = self.agent.take().context("no agent was started")?;
        Ok(agent.wait()?)
    }

    /// A command on a host, out of reach of the terminal's Ctrl-C, which is handled here.
    fn command(&self, host: Host, program: &str) -> Command {
        let folder = self.place.folder();
        let mut search = vec![self.tools.bin.clone()];
        search.extend(
            self.tools
                .browser
                .as_deref()
                .and_then(Path::parent)
                .map(PathBuf::from),
        );
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        search.extend(std::env::split_paths(&inherited));
        let mut command = Command::new("nsenter");
        command
            .arg(format!(
                "--net={}",
                self.place.namespace_file(host).display()
            ))
            .arg(program)
            .current_dir(&folder)
            .env(MARK, self.place.name())
            .env("CURL_HOME", &folder)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .process_group(0);
        if let Ok(path) = std::env::join_paths(search) {
            command.env("PATH", path);
        }
        for variable in [
            "http_proxy",
            "https_proxy",
            "all_proxy",
            "HTTPS_PROXY",
            "ALL_PROXY",
        ] {
            command.env_remove(variable);
        }
        command
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        match self.place.clear() {
            // No zombies either.
            Ok(()) => {
                for child in self.servers.iter_mut().chain(self.agent.as_mut()) {
                    drop(child.wait());
                }
            }
            Err(error) => {
                // No panic here, even if nobody reads.
                let mut out = io::stderr();
                drop(writeln!(
                    out,
                    "error: the demo left something behind: {error:#}"
                ));
            }
        }
    }
}

fn end(child: &mut Child, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(child.id().cast_signed()), signal)?;
    child.wait()?;
    Ok(())
}

fn code_of(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}
