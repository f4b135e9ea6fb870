//! The real agent as a process, run the way an operator runs it.
//!
//! Each has its own pins, sockets, state and configuration. They outlive the process: a test stops
//! it, kills it and starts it again on what is there.

use std::{
    fs,
    io::BufReader,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{bpffs::BpfFs, netns::Namespace};

/// The user that the agent becomes: nobody makes one for a test.
pub const USER: &str = "nobody";
/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent and its folders.
#[derive(Debug)]
pub struct TestAgent<'a> {
    host: &'a Namespace,
    bpffs: BpfFs,
    folder: TempDir,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    process: Child,
    log: Arc<Log>,
    reader: JoinHandle<()>,
}

/// Lines of standard error as they come.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    events: Vec<Value>,
    ended: bool,
}

/// How a command ended.
#[derive(Debug)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl<'a> TestAgent<'a> {
    /// Folders for an agent in `host`, with `config` (TOML without `[agent]`). Nothing runs yet.
    pub fn new(host: &'a Namespace, config: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        // The agent's user walks through it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let agent = Self {
            host,
            bpffs: BpfFs::mount(),
            folder,
            running: None,
        };
        let main = format!("[agent]\nuser = \"{USER}\"\n");
        fs::create_dir(agent.path("conf.d")).expect("a folder");
        fs::write(agent.path("bot-agent.toml"), main).expect("the configuration");
        agent.configure(config);
        agent
    }

    /// Other configuration, for the next start or reload.
    pub fn configure(&self, config: &str) {
        fs::write(self.path("conf.d/test.toml"), config).expect("the configuration");
    }

    /// A path in the agent's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of the rule store, made for the agent's user. The agent makes it otherwise.
    pub fn make_state_dir(&self) -> PathBuf {
        let path = self.path("state");
        fs::create_dir(&path).expect("a folder");
        give_to_user(&path);
        path
    }

    /// The BPF file system.
    pub fn bpffs(&self) -> &BpfFs {
        &self.bpffs
    }

    /// Starts it and waits until it filters.
    pub fn start(&mut self, arguments: &[&str]) {
        let command = self.run_command(&binary(), arguments);
        self.start_command(command);
    }

    /// The same with another binary.
    pub fn start_binary(&mut self, binary: &Path, arguments: &[&str]) {
        let command = self.run_command(binary, arguments);
        self.start_command(command);
    }

    fn start_command(&mut self, mut command: Command) {
        assert!(self.running.is_none(), "the agent runs already");
        let mut process = command.stderr(Stdio::piped()).spawn().expect("the agent");
        let stderr = process.stderr.take().expect("a pipe");
        let log = Arc::new(Log::default());
        let reader = {
            let log = Arc::clone(&log);
            thread::spawn(move || log.read(BufReader::new(stderr)))
        };
        self.running = Some(Running {
            process,
            log,
            reader,
        });
        self.event("its start", |event| event["event"] == "start");
    }

    /// A start that must fail.
    pub fn refuses_to_start(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new("timeout");
        // A start that works after all would never end.
        command.arg("20");
        let run = self.run_command(&binary(), arguments);
        command.arg(run.get_program()).args(run.get_args());
        Answer::of(&command.output().expect("timeout (package coreutils)"))
    }

    /// `bot-agent run` in the host's namespace.
    pub fn run_command(&self, binary: &Path, arguments: &[&str]) -> Command {
        let mut command = self
            .host
            .command(binary.to_str().expect("a path that is text"));
        command
            .args(self.places())
            .arg("run")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Stops it as a service manager does.
    pub fn stop(&mut self) {
        let status = self.end(Signal::TERM);
        assert!(status.success(), "the agent ended with {status}");
    }

    /// Ends it without a last word.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    fn end(&mut self, signal: Signal) -> std::process::ExitStatus {
        let mut running = self.running.take().expect("a running agent");
        kill_process(pid_of(&running.process), signal).expect("a signal");
        let status = running.process.wait().expect("its end");
        running.reader.join().expect("its log");
        status
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running().process.id()
    }

    /// Whether the process is there still.
    pub fn is_running(&mut self) -> bool {
        let running = self.running.as_mut().expect("a running agent");
        running.process.try_wait().expect("its state").is_none()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid_of(&self.running().process), signal).expect("a signal");
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        self.path("run/control.sock")
    }

    /// Runs a command against it.
    pub fn cli(&self, arguments: &[&str]) -> Answer {
        Answer::of(&self.command(arguments).output().expect("the command"))
    }

    /// Runs a command from a login session of its own.
    pub fn cli_from_new_session(&self, arguments: &[&str]) -> Answer {
        let command = self.command(arguments);
        let output = Command::new("setsid")
            .arg("--wait")
            .arg(command.get_program())
            .args(command.get_args())
            .output();
        Answer::of(&output.expect("setsid (package util-linux)"))
    }

    /// Runs a command that must succeed, and returns what it says.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let answer = self.cli(arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
        answer.out
    }

    /// Runs a command that answers with one JSON object.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.cli(&[&["--output", "json"], arguments].concat());
        serde_json::from_str(&answer.out)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {answer:?}"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let binary = binary();
        let mut command = self
            .host
            .command(binary.to_str().expect("a path that is text"));
        command
            .args(self.places())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn places(&self) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().expect("a path that is text").to_owned();
        [
            ("--config", self.path("bot-agent.toml")),
            ("--pin-dir", self.bpffs.pin_dir()),
            ("--run-dir", self.path("run")),
            ("--state-dir", self.path("state")),
        ]
        .into_iter()
        .flat_map(|(option, path)| [option.to_owned(), text(path)])
        .collect()
    }

    /// The first event that `is` says yes to: one that was, or one that comes.
    pub fn event(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let find = |events: &[Value]| events.iter().find(|event| is(event)).cloned();
        self.running().log.wait(what, find)
    }

    /// The events that `is` says yes to, once there are `count`.
    pub fn events(&self, what: &str, count: usize, is: impl Fn(&Value) -> bool) -> Vec<Value> {
        let find = |events: &[Value]| {
            let found: Vec<_> = events.iter().filter(|event| is(event)).cloned().collect();
            (found.len() >= count).then_some(found)
        };
        self.running().log.wait(what, find)
    }

    /// Every line of this run so far.
    pub fn log(&self) -> Vec<Value> {
        let lines = self.running().log.lines.lock().expect("the log");
        lines.events.clone()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("a running agent")
    }
}

impl Drop for TestAgent<'_> {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        // Nothing to be done about errors here; the pins go with the file system, the filter with
        // the namespace.
        drop(running.process.kill());
        drop(running.process.wait());
        drop(running.reader.join());
        if thread::panicking()
            && let Ok(lines) = running.log.lines.lock()
        {
            for line in &lines.events {
                eprintln!("agent: {line}");
            }
        }
    }
}

impl Log {
    fn read(&self, stderr: impl std::io::BufRead) {
        for line in stderr.lines() {
            let Ok(line) = line else { break };
            let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
            self.lines.lock().expect("the log").events.push(event);
            self.changed.notify_all();
        }
        self.lines.lock().expect("the log").ended = true;
        self.changed.notify_all();
    }

    fn wait<T>(&self, what: &str, find: impl Fn(&[Value]) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().expect("the log");
        loop {
            if let Some(found) = find(&lines.events) {
                return found;
            }
            assert!(
                !lines.ended,
                "the agent ended before {what}: {:#?}",
                lines.events
            );
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {PATIENCE:?} for {what}");
            (lines, _) = self.changed.wait_timeout(lines, left).expect("the log");
        }
    }
}

impl Answer {
    /// How a process ended that was run outside of [`TestAgent::cli`].
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// The error, if it is one line as it shall be.
    pub fn error_line(&self) -> &str {
        let line = self.err.trim_end();
        assert!(
            line.starts_with("bot-agent: ") && line.lines().count() == 1,
            "not one line of error: {self:?}"
        );
        line
    }
}

/// The agent's binary: where `cargo xtask` says, or where cargo puts it.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("BOT_AGENT").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../target/debug/bot-agent"
            ))
        },
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "{}: no such file; run `cargo xtask build`",
        path.display()
    );
    path
}

/// Gives a folder to the agent's user.
pub fn give_to_user(path: &Path) {
    let user = nix::unistd::User::from_name(USER)
        .expect("the user data base")
        .expect("a user called nobody");
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
}

fn pid_of(process: &Child) -> Pid {
    Pid::from_child(process)
}
