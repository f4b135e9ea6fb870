//! A real `CrowdSec` Local API with a folder of its own: no agent of `CrowdSec`, no hub, no central
//! API, no network but loopback.
//!
//! `cargo xtask setup` unpacks Debian's package without installing it: installed, it would start a
//! service and register this host at a third party.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The key of the bouncer that asks.
pub const KEY: &str = "key-of-the-tests";

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Local API; it ends when dropped.
pub struct CrowdSec {
    folder: TempDir,
    command: Box<dyn Fn(&Path) -> Command + Send + Sync>,
    address: String,
    process: Option<Child>,
}

impl CrowdSec {
    /// Starts one on a free port of the loopback interface; nothing, with a note, where the program is
    /// missing.
    pub fn start() -> Option<Self> {
        Self::start_by(|program| Command::new(program))
    }

    /// The same by a command of the caller's: inside a namespace, say.
    pub fn start_by(command: impl Fn(&Path) -> Command + Send + Sync + 'static) -> Option<Self> {
        if !is_here() {
            return None;
        }
        let folder = TempDir::new().expect("a temporary folder");
        let mut server = Self {
            address: free_address(),
            folder,
            command: Box::new(command),
            process: None,
        };
        server.configure();
        server.cscli(&["machines", "add", "tests", "--password", "tests", "--force"]);
        server.cscli(&["bouncers", "add", "bot-agent", "--key", KEY]);
        server.run();
        Some(server)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A file with the bouncer's key.
    pub fn key_file(&self) -> PathBuf {
        self.path("key")
    }

    /// Adds a decision: `--ip 192.0.2.7 --duration 1h`, `--range …`, `--type captcha`, or
    /// `--scope AS --value 64500`.
    pub fn decide(&self, decision: &[&str]) {
        self.cscli(&[&["decisions", "add"], decision].concat());
    }

    /// Lifts decisions: `--ip 192.0.2.7`, `--value DE`, `--id 3`, `--all`.
    pub fn lift(&self, decisions: &[&str]) {
        self.cscli(&[&["decisions", "delete"], decisions].concat());
    }

    /// Ends it.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Starts it again after [`Self::stop`], with all that it had.
    pub fn run(&mut self) {
        let log = fs::File::create(self.path("log")).expect("a log");
        let process = (self.command)(&program("crowdsec"))
            .arg("-c")
            .arg(self.path("config.yaml"))
            .args(["-no-cs", "-no-capi"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("crowdsec");
        self.process = Some(process);
        let began = Instant::now();
        loop {
            let process = self.process.as_mut().expect("a process");
            let ended = process.try_wait().expect("its state");
            let waits = ended.is_none() && began.elapsed() < PATIENCE;
            if self.ask(&["decisions", "list"]).status.success() {
                return;
            }
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(waits, "{ended:?}: {log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn cscli(&self, arguments: &[&str]) {
        let output = self.ask(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = (self.command)(&program("cscli"));
        command.arg("-c").arg(self.path("config.yaml"));
        command.args(arguments).output().expect("cscli")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self) {
        for folder in ["data", "hub"] {
            fs::create_dir(self.path(folder)).expect("a folder");
        }
        let (folder, address) = (self.folder.path().display(), &self.address);
        let config = format!(
            "common:
  daemonize: false
  log_media: stdout
  log_level: info
  working_dir: {folder}
config_paths:
  config_dir: {folder}
  data_dir: {folder}/data
  simulation_path: {folder}/simulation.yaml
  hub_dir: {folder}/hub
  index_path: {folder}/hub/.index.json
  notification_dir: {folder}/notifications
  plugin_dir: {folder}/plugins
db_config:
  type: sqlite
  db_path: {folder}/data/crowdsec.db
  use_wal: true
api:
  client:
    credentials_path: {folder}/credentials.yaml
  server:
    listen_uri: {address}
    profiles_path: {folder}/profiles.yaml
prometheus:
  enabled: false
"
        );
        let profile = "name: tests
filters:
 - Alert.Remediation == true
decisions:
 - type: ban
   duration: 4h
on_success: break
";
        let credentials = format!("url: http://{address}\nlogin: tests\npassword: tests\n");
        for (name, content) in [
            ("config.yaml", config.as_str()),
            ("profiles.yaml", profile),
            ("simulation.yaml", "simulation: false\n"),
            ("credentials.yaml", &credentials),
            ("key", KEY),
        ] {
            fs::write(self.path(name), content).expect(name);
        }
    }
}

impl Drop for CrowdSec {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether it can be run. If not: `false` with a note, or a panic when `CI` is set.
fn is_here() -> bool {
    let ran = Command::new(program("crowdsec")).arg("-version").output();
    let here = ran.is_ok_and(|output| output.status.success());
    if !here {
        assert!(
            env::var_os("CI").is_none(),
            "crowdsec is missing, and CI is set"
        );
        eprintln!("SKIPPED: crowdsec is missing (`cargo xtask setup` gets it)");
    }
    here
}

/// Where `cargo xtask setup` puts it, or where `BOT_CROWDSEC` says; otherwise that of the host.
fn program(name: &str) -> PathBuf {
    let unpacked = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/tools/crowdsec/usr/bin"
    );
    let folder = env::var_os("BOT_CROWDSEC").map_or_else(|| unpacked.into(), PathBuf::from);
    let program = folder.join(name);
    if program.is_file() {
        program
    } else {
        name.into()
    }
}

/// It cannot listen on a port of the system's choice: that would not be told.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}
