//! An agent that lives in one host's namespace, whose every event a test can wait for.
//!
//! Folders and commands are those of [`TestAgent`]. They outlive the process: a test stops it, kills
//! it and starts it again on what is there.

use std::{
    fs,
    io::{BufRead, BufReader},
    ops::Deref,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    agent::{Ran, TestAgent, USER, binary},
    netns::Namespace,
};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent and its host.
#[derive(Debug)]
pub struct Resident<'a> {
    host: &'a Namespace,
    folders: TestAgent,
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

impl<'a> Resident<'a> {
    /// Folders for an agent in `host`, with `config` beside what [`TestAgent`] configures. Nothing
    /// runs yet.
    pub fn new(host: &'a Namespace, config: &str) -> Self {
        let this = Self {
            host,
            folders: TestAgent::new(),
            running: None,
        };
        fs::create_dir(this.path("conf.d")).expect("a folder");
        this.configure(config);
        this
    }

    /// Other configuration, for the next start or reload.
    pub fn configure(&self, config: &str) {
        fs::write(self.path("conf.d/test.toml"), config).expect("the configuration");
    }

    /// The folder of the rule store, made for the agent's user. The agent makes it otherwise.
    pub fn make_state_dir(&self) -> PathBuf {
        let path = self.path("state");
        fs::create_dir(&path).expect("a folder");
        give_to_user(&path);
        path
    }

    /// Starts it and waits until it filters.
    pub fn start(&mut self, arguments: &[&str]) {
        self.start_binary(&binary(), arguments);
    }

    /// The same with another binary.
    pub fn start_binary(&mut self, binary: &Path, arguments: &[&str]) {
        assert!(self.running.is_none(), "the agent runs already");
        let mut command = self.run_command(arguments);
        if binary != crate::agent::binary() {
            command = with_binary(&command, binary);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the agent");
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
    pub fn refuses_to_start(&self, arguments: &[&str]) -> Ran {
        let run = self.run_command(arguments);
        // A start that works after all would never end.
        let mut command = Command::new("timeout");
        command
            .arg("20")
            .arg(run.get_program())
            .args(run.get_args());
        let output = command.output().expect("timeout (package coreutils)");
        output.into()
    }

    /// `bot-agent run` in the host's namespace.
    pub fn run_command(&self, arguments: &[&str]) -> Command {
        let arguments = [&["run"], arguments].concat();
        self.command(Some(self.host), &arguments)
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
        kill_process(Pid::from_child(&running.process), signal).expect("a signal");
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
        kill_process(Pid::from_child(&self.running().process), signal).expect("a signal");
    }

    /// Runs a command that must succeed, and returns what it says.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.cli(arguments).ok()
    }

    /// Runs a command that answers with one JSON object.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.cli(&[arguments, &["--output", "json"]].concat())
            .json()
    }

    /// Runs a command inside the host's namespace: without an agent it looks at interfaces itself.
    pub fn cli(&self, arguments: &[&str]) -> Ran {
        let output = self.command(Some(self.host), arguments).output();
        output.expect("bot-agent").into()
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

impl Drop for Resident<'_> {
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
    fn read(&self, stderr: impl BufRead) {
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

impl Deref for Resident<'_> {
    type Target = TestAgent;

    fn deref(&self) -> &TestAgent {
        &self.folders
    }
}

/// Gives a folder to the agent's user.
pub fn give_to_user(path: &Path) {
    let user = nix::unistd::User::from_name(USER)
        .expect("the user data base")
        .expect("a user called nobody");
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
}

/// The same command for another binary: `nsenter --net=PATH BINARY ...`.
fn with_binary(command: &Command, binary: &Path) -> Command {
    let mut arguments: Vec<_> = command.get_args().collect();
    arguments[1] = binary.as_os_str();
    let mut other = Command::new(command.get_program());
    other.args(arguments);
    other
}
