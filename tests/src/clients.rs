//! TLS as it is spoken in the wild: a server, the clients that a host has, and an independent
//! capture of what they say.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::netns::Namespace;

/// The name that clients ask for.
pub const NAME: &str = "demo.example";
/// The server's port.
pub const PORT: u16 = 443;

/// A TLS server that speaks HTTP, on port 443.
#[derive(Debug)]
pub struct TlsServer {
    process: Child,
    _keys: TempDir,
}

impl TlsServer {
    /// Starts it, and waits until it accepts connections.
    pub fn new(host: &Namespace) -> Self {
        let keys = TempDir::new().expect("a temporary folder");
        let (key, cert) = (keys.path().join("key"), keys.path().join("cert"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-newkey", "ec"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-subj", &format!("/CN={NAME}"), "-days", "1"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&cert)
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{made:?}");
        let mut process = host
            .command("openssl")
            .args(["s_server", "-www", "-alpn", "http/1.1"])
            .args(["-accept", &PORT.to_string()])
            .arg("-key")
            .arg(&key)
            .arg("-cert")
            .arg(&cert)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let stdout = process.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let accepts = lines.any(|line| line.is_ok_and(|line| line.starts_with("ACCEPT")));
        assert!(accepts, "openssl s_server ended");
        // It goes on writing: somebody must read.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            _keys: keys,
        }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A TLS client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Client {
    /// curl.
    Curl,
    /// `openssl s_client`.
    OpenSsl,
    /// `openssl s_client` without TLS 1.3 and without a server name.
    OpenSsl12,
    /// Python's `ssl`.
    Python,
    /// A client that says hello as Chrome 136 does: post-quantum, so in several segments.
    Chrome,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Curl,
        Self::OpenSsl,
        Self::OpenSsl12,
        Self::Python,
        Self::Chrome,
    ];

    /// Whether this host has it; says so if not.
    pub fn is_here(self) -> bool {
        let probe = match self {
            Self::Curl => Command::new("curl").arg("--version").output(),
            Self::OpenSsl | Self::OpenSsl12 => Command::new("openssl").arg("version").output(),
            Self::Python => Command::new("python3").args(["-c", "import ssl"]).output(),
            Self::Chrome => Command::new(python())
                .args(["-c", "import curl_cffi"])
                .output(),
        };
        let here = probe.is_ok_and(|output| output.status.success());
        if !here {
            eprintln!("SKIPPED client {self:?}: not on this host (`cargo xtask setup` gets it)");
        }
        here
    }

    /// Connects from `src` to the server at `dst`; the connection must work.
    #[track_caller]
    pub fn connects(self, from: &Namespace, src: IpAddr, dst: IpAddr) {
        let output = self.command(from, src, dst).output().expect("a client");
        assert!(
            output.status.success(),
            "{self:?} from {src}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn command(self, from: &Namespace, src: IpAddr, dst: IpAddr) -> Command {
        let (src, dst) = (src.to_string(), dst.to_string());
        let bracketed = if dst.contains(':') {
            format!("[{dst}]")
        } else {
            dst.clone()
        };
        let port = PORT.to_string();
        let mut command = match self {
            Self::Curl => {
                let mut command = from.command("curl");
                command
                    .args(["--silent", "--show-error", "--insecure", "--max-time", "15"])
                    .args(["--interface", &src])
                    .args(["--resolve", &format!("{NAME}:{PORT}:{bracketed}")])
                    .arg(format!("https://{NAME}/"));
                command
            }
            Self::OpenSsl | Self::OpenSsl12 => {
                let mut command = from.command("openssl");
                let bind = if src.contains(':') {
                    format!("[{src}]:0")
                } else {
                    format!("{src}:0")
                };
                command
                    .args(["s_client", "-connect", &format!("{bracketed}:{PORT}")])
                    .args(["-bind", &bind]);
                if self == Self::OpenSsl12 {
                    command.args(["-tls1_2", "-noservername"]);
                } else {
                    command.args(["-servername", NAME, "-alpn", "h2,http/1.1"]);
                }
                command
            }
            Self::Python => script(from, "python3", PYTHON_CLIENT, &[&src, &dst, &port, NAME]),
            Self::Chrome => script(from, &python(), CHROME_CLIENT, &[&src, &dst, &port, NAME]),
        };
        for variable in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(variable);
            command.env_remove(variable.to_ascii_uppercase());
        }
        command.stdin(Stdio::null());
        command
    }
}

fn script(from: &Namespace, python: &str, script: &str, arguments: &[&str]) -> Command {
    let mut command = from.command(python);
    command.args(["-c", script]).args(arguments);
    command
}

const PYTHON_CLIENT: &str = "
import socket, ssl, sys
src, dst, port, name = sys.argv[1:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.set_alpn_protocols(['http/1.1'])
plain = socket.create_connection((dst, int(port)), timeout=15, source_address=(src, 0))
with context.wrap_socket(plain, server_hostname=name) as tls:
    tls.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
    assert tls.recv(1)
";

const CHROME_CLIENT: &str = "
import sys
import curl_cffi
src, dst, port, name = sys.argv[1:]
at = f'[{dst}]' if ':' in dst else dst
options = {curl_cffi.CurlOpt.RESOLVE: [f'{name}:{port}:{at}']}
with curl_cffi.Session(curl_options=options, interface=src, verify=False) as session:
    answer = session.get(f'https://{name}:{port}/', impersonate='chrome136', timeout=15)
    assert answer.status_code == 200
";

/// The Python that has the browser-like client: where `cargo xtask setup` puts it.
fn python() -> String {
    env::var("BOT_PYTHON").unwrap_or_else(|_| {
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../target/tools/python/bin/python3"
        )
        .to_owned()
    })
}

/// tcpdump on an interface: what was on the wire, seen by something that is not the agent.
#[derive(Debug)]
pub struct Capture {
    process: Child,
    folder: TempDir,
}

impl Capture {
    /// Starts it, and waits until it listens. `None`, and a note, where there is no tcpdump.
    pub fn new(namespace: &Namespace, iface: &str) -> Option<Self> {
        if Command::new("tcpdump").arg("--version").output().is_err() {
            eprintln!("SKIPPED comparison with a capture: no tcpdump on this host");
            return None;
        }
        let folder = TempDir::new().expect("a temporary folder");
        let mut process = namespace
            .command("tcpdump")
            .args(["-i", iface, "-Z", "root", "--immediate-mode", "-U", "-w"])
            .arg(folder.path().join("capture"))
            .args(["tcp", "port", &PORT.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tcpdump");
        let stderr = process.stderr.take().expect("a pipe");
        let mut lines = BufReader::new(stderr).lines();
        let listens = lines.any(|line| line.is_ok_and(|line| line.contains("listening on")));
        assert!(listens, "tcpdump ended");
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, folder })
    }

    /// Ends it; the file.
    pub fn end(&mut self) -> PathBuf {
        kill_process(Pid::from_child(&self.process), Signal::INT).expect("a signal");
        let status = self.process.wait().expect("its end");
        assert!(status.success(), "tcpdump ended with {status}");
        self.path()
    }

    fn path(&self) -> PathBuf {
        Path::join(self.folder.path(), "capture")
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
