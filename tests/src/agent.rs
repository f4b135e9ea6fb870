//! The `bot-agent` binary, as its users run it.
//!
//! `cargo xtask test` builds it before; it lies two folders above the test binary.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::{bpffs::BpfFs, netns::Namespace};

/// The user that agents become, so that nothing works only because they are root.
pub const USER: &str = "nobody";

/// How long an agent may take to start, or an event to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Path of the binary.
pub fn binary() -> PathBuf {
    let test = env::current_exe().expect("the test binary");
    let folder = test.ancestors().nth(2).expect("the target folder");
    let binary = folder.join("bot-agent");
    assert!(
        binary.exists(),
        "{} is missing: `cargo xtask test` builds it",
        binary.display()
    );
    binary
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            err: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Ran {
    /// Standard output of a command that must have worked.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Standard error of a command that must have ended with `code`, in one line.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        self.err
    }

    /// Standard output as one JSON object.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs the binary without an agent.
pub fn bare(arguments: &[&str]) -> Ran {
    let command = Command::new(binary()).args(arguments).output();
    command.expect("bot-agent").into()
}

/// An agent with folders and pins of its own; killed, and everything of it removed, when dropped.
#[derive(Debug)]
pub struct TestAgent {
    folder: TempDir,
    bpffs: BpfFs,
    child: Option<Child>,
}

impl TestAgent {
    /// Folders for an agent that does not run yet, with an empty configuration.
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), open).expect("chmod");
        let agent = Self {
            folder,
            bpffs: BpfFs::mount(),
            child: None,
        };
        agent.configure("");
        agent
    }

    /// Writes the configuration: that the agent becomes [`USER`], and `text`.
    pub fn configure(&self, text: &str) {
        let text = format!("[agent]\nuser = \"{USER}\"\n{text}");
        fs::write(self.path("bot-agent.toml"), text).expect("the configuration");
    }

    /// A path in the agent's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of its pins.
    pub fn pin_dir(&self) -> PathBuf {
        self.bpffs.pin_dir()
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.path("run/control.sock")
    }

    /// A command with the agent's folders, inside `namespace`.
    pub fn command(&self, namespace: Option<&Namespace>, arguments: &[&str]) -> Command {
        let binary = binary();
        let mut command = match namespace {
            Some(namespace) => namespace.command(&binary.to_string_lossy()),
            None => Command::new(binary),
        };
        command
            .args(arguments)
            .arg("--config")
            .arg(self.path("bot-agent.toml"))
            .arg("--run-dir")
            .arg(self.path("run"))
            .arg("--state-dir")
            .arg(self.path("state"))
            .arg("--pin-dir")
            .arg(self.pin_dir());
        command
    }

    /// Runs a command against the agent.
    pub fn cli(&self, arguments: &[&str]) -> Ran {
        let output = self.command(None, arguments).output();
        output.expect("bot-agent").into()
    }

    /// Runs a command in a login session of its own.
    pub fn cli_in_new_session(&self, arguments: &[&str]) -> Ran {
        let inner = self.command(None, arguments);
        let mut command = Command::new("setsid");
        command
            .arg("--wait")
            .arg(inner.get_program())
            .args(inner.get_args());
        command.output().expect("setsid (util-linux)").into()
    }

    /// Tries to start inside `namespace`; for starts that must fail.
    pub fn try_start(&self, namespace: &Namespace, arguments: &[&str]) -> Ran {
        let arguments = [&["run"], arguments].concat();
        let output = self.command(Some(namespace), &arguments).output();
        output.expect("bot-agent").into()
    }

    /// Starts inside `namespace` and waits until it says that it is ready.
    pub fn start(&mut self, namespace: &Namespace, arguments: &[&str]) {
        let notify = self.path("notify");
        drop(fs::remove_file(&notify));
        let manager = UnixDatagram::bind(&notify).expect("the notification socket");
        // As systemd's: whoever the agent has become may write to it.
        fs::set_permissions(&notify, fs::Permissions::from_mode(0o666)).expect("chmod");
        manager
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit");
        let log = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path("stderr"))
            .expect("the log");
        let arguments = [&["run"], arguments].concat();
        let child = self
            .command(Some(namespace), &arguments)
            .env("NOTIFY_SOCKET", &notify)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("bot-agent"));
        let mut buffer = [0; 32];
        let ready = manager.recv(&mut buffer);
        assert!(ready.is_ok(), "not ready: {ready:?}\n{}", self.log());
    }

    /// Everything it wrote to standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running agent").id()
    }

    /// Sends SIGTERM and returns the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        let status = self.child.take().expect("a running agent").wait();
        status.expect("waiting").code()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill").success());
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a running agent");
        child.kill().expect("kill");
        child.wait().expect("waiting");
    }

    /// Events since the start, and from now on: whether one comes before or after this call makes
    /// no difference.
    pub fn follow(&self, arguments: &[&str]) -> Follower {
        let all = ["logs", "--follow", "--since", "1h", "--output", "json"];
        let arguments = [&all, arguments].concat();
        let inner = self.command(None, &arguments);
        let mut command = Command::new("timeout");
        command
            .arg(PATIENCE.as_secs().to_string())
            .arg(inner.get_program())
            .args(inner.get_args());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("timeout");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Follower { child, lines }
    }
}

impl Default for TestAgent {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            eprintln!("--- the agent's log\n{}", self.log());
        }
    }
}

/// `logs --follow`.
#[derive(Debug)]
pub struct Follower {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Follower {
    /// The next event; panics when none comes in time.
    pub fn next_event(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("reading events");
        assert!(!line.is_empty(), "no event came");
        serde_json::from_str(&line).expect("JSON")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether `path` is there; for what must be gone.
pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
