//! A publisher of feeds: a web server on this host that answers as it is told, also badly.
//!
//! It shares no code with what asks it. One request a connection; a thread each.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tempfile::TempDir;

/// A web server; it ends when dropped.
#[derive(Debug)]
pub struct Publisher {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
    keys: Option<TempDir>,
}

#[derive(Debug, Default)]
struct Shared {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<Asked>>,
    over: AtomicBool,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Path and query.
    pub target: String,
    /// Header fields, their names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    delivery: Delivery,
}

/// How a body is sent.
#[derive(Clone, Copy, Debug)]
pub enum Delivery {
    /// With its length.
    Whole,
    /// With this length, whatever it has.
    Length(usize),
    /// In chunks.
    Chunks,
    /// In chunks, of which the last is missing.
    ChunksWithoutEnd,
    /// With neither: it ends with the connection.
    Unframed,
    /// With its length, one byte after such a time.
    Drip(Duration),
}

impl Publisher {
    /// A server on a free port of the loopback interface, without any page.
    pub fn start() -> Self {
        Self::on("127.0.0.1:0".parse().expect("an address"))
    }

    /// A server on an address of the thread's network namespace.
    pub fn on(address: SocketAddr) -> Self {
        Self::listen(address, None)
    }

    /// A server that speaks TLS, on a free port of the loopback interface. Only [`Self::ca`] vouches
    /// for it.
    pub fn secure() -> Self {
        let keys = TempDir::new().expect("a temporary folder");
        let [key, cert] = ["key", "cert"].map(|name| keys.path().join(name));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-newkey", "ec"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-days", "1"])
            .args(["-subj", "/CN=publisher"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&cert)
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{made:?}");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(cert).expect("a certificate")],
                PrivateKeyDer::from_pem_file(key).expect("a key"),
            )
            .expect("a key of the certificate");
        let address = "127.0.0.1:0".parse().expect("an address");
        let mut server = Self::listen(address, Some(Arc::new(config)));
        server.keys = Some(keys);
        server
    }

    fn listen(address: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).expect("an address to listen on");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        let listening = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.over.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, tls) = (Arc::clone(&serving), tls.clone());
                // A client that goes away is none of the server's business.
                thread::spawn(move || drop(shared.serve(stream, tls)));
            }
        });
        Self {
            address,
            shared,
            listening: Some(listening),
            keys: None,
        }
    }

    /// From now on a path is answered so.
    pub fn put(&self, path: &str, answer: Answer) {
        let mut answers = self.shared.answers.lock().expect("answers");
        answers.insert(path.to_owned(), answer);
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.keys.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// A file with the certificate that vouches for a server that speaks TLS.
    pub fn ca(&self) -> PathBuf {
        let keys = self.keys.as_ref().expect("a server that speaks TLS");
        keys.path().join("cert")
    }

    /// What was asked so far, or since this was called last.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.asked.lock().expect("requests"))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // So that it looks.
        drop(TcpStream::connect(self.address));
        drop(self.listening.take().map(JoinHandle::join));
    }
}

impl Answer {
    /// A page with a body.
    pub fn page(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
            delivery: Delivery::Whole,
        }
    }

    /// The page of a file.
    pub fn file(path: &Path) -> Self {
        Self::page(fs::read(path).expect("a file"))
    }

    /// A status, with a page that says so.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::page(format!("<html><h1>{status}</h1></html>"))
        }
    }

    /// A redirect.
    pub fn redirect(to: &str) -> Self {
        Self::status(302).with("Location", to)
    }

    /// The same with a header field. With `ETag` or `Last-Modified` it answers 304 to who has it.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, sent in another way.
    #[must_use]
    pub fn sent(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    /// Whether who asks has it already. `ETag` is asked first (RFC 9110, 13.2.2).
    fn is_had_by(&self, asked: &Asked) -> bool {
        let own = |wanted: &str| {
            let mut fields = self.headers.iter();
            fields.find_map(|(name, value)| (name == wanted).then_some(value))
        };
        match asked.headers.get("if-none-match") {
            Some(theirs) => own("ETag") == Some(theirs),
            None => asked
                .headers
                .get("if-modified-since")
                .is_some_and(|theirs| own("Last-Modified") == Some(theirs)),
        }
    }

    fn send(&self, to: &mut impl Write) -> io::Result<()> {
        let Self { body, delivery, .. } = self;
        let framing = match delivery {
            Delivery::Whole | Delivery::Drip(_) => format!("Content-Length: {}\r\n", body.len()),
            Delivery::Length(length) => format!("Content-Length: {length}\r\n"),
            Delivery::Chunks | Delivery::ChunksWithoutEnd => {
                "Transfer-Encoding: chunked\r\n".to_owned()
            }
            Delivery::Unframed => String::new(),
        };
        self.send_head(to, self.status, &framing)?;
        match delivery {
            Delivery::Whole | Delivery::Length(_) | Delivery::Unframed => to.write_all(body)?,
            Delivery::Chunks | Delivery::ChunksWithoutEnd => {
                for chunk in body.chunks(1000) {
                    write!(to, "{:x}\r\n", chunk.len())?;
                    to.write_all(chunk)?;
                    to.write_all(b"\r\n")?;
                }
                if matches!(delivery, Delivery::Chunks) {
                    to.write_all(b"0\r\n\r\n")?;
                }
            }
            Delivery::Drip(wait) => {
                for byte in body {
                    thread::sleep(*wait);
                    to.write_all(&[*byte])?;
                    to.flush()?;
                }
            }
        }
        to.flush()
    }

    fn send_head(&self, to: &mut impl Write, status: u16, framing: &str) -> io::Result<()> {
        write!(
            to,
            "HTTP/1.1 {status} Status\r\nConnection: close\r\n{framing}"
        )?;
        for (name, value) in &self.headers {
            write!(to, "{name}: {value}\r\n")?;
        }
        to.write_all(b"\r\n")
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
        let Some(config) = tls else {
            self.answer(&mut &stream)?;
            // Without reading what else came, closing would throw away what was sent.
            stream.shutdown(Shutdown::Write)?;
            return io::copy(&mut &stream, &mut io::sink()).map(drop);
        };
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        self.answer(&mut stream)?;
        stream.conn.send_close_notify();
        stream.flush()
    }

    fn answer(&self, stream: &mut (impl Read + Write)) -> io::Result<()> {
        let Some(asked) = read(stream)? else {
            return Ok(());
        };
        let path = asked
            .target
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned();
        let answer = self.answers.lock().expect("answers").get(&path).cloned();
        let answer = answer.unwrap_or_else(|| Answer::status(404));
        let is_had = answer.is_had_by(&asked);
        self.asked.lock().expect("requests").push(asked);
        if is_had {
            return answer.send_head(stream, 304, "");
        }
        answer.send(stream)
    }
}

/// A request without a body.
fn read(stream: &mut impl Read) -> io::Result<Option<Asked>> {
    // Nothing comes behind the empty line, so that a buffer swallows nothing.
    let mut lines = BufReader::new(stream).lines();
    let Some(first) = lines.next().transpose()? else {
        return Ok(None);
    };
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Some(Asked { target, headers }))
}
