//! A DNS server on the loopback of a namespace: it answers from a table, and knows no other name.
//!
//! It shares no code with what asks it. Messages are those of RFC 1035 §4.1, over UDP.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::netns::Namespace;

/// How long a question may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long answers are true, in seconds.
const TTL: u32 = 300;
const HEADER: usize = 12;
const NXDOMAIN: u8 = 3;
const IN: u16 = 1;
const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;

/// A record of the table.
#[derive(Clone, Copy, Debug)]
pub enum Record {
    /// The name of an address.
    Name(IpAddr, &'static str),
    /// An address of a name.
    Address(&'static str, IpAddr),
}

/// A server; it ends when dropped.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    asked: Arc<Asked>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The names that were asked for.
#[derive(Debug, Default)]
struct Asked {
    names: Mutex<Vec<String>>,
    changed: Condvar,
}

impl DnsServer {
    /// Answers from `table` in the namespace.
    pub fn new(namespace: &Namespace, table: &[Record]) -> Self {
        let socket =
            namespace.run(|| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
        let address = socket.local_addr().expect("an address");
        let patience = Some(Duration::from_millis(100));
        socket.set_read_timeout(patience).expect("a timeout");
        let (asked, end) = (Arc::new(Asked::default()), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (asked, end) = (Arc::clone(&asked), Arc::clone(&end));
            let table = table.to_vec();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while !end.load(Ordering::Relaxed) {
                    let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                        continue;
                    };
                    let question = Question::read(&buffer[..length]);
                    let answer = question.answer(&table);
                    socket.send_to(&answer, from).expect("an answer");
                    asked.names.lock().expect("names").push(question.name);
                    asked.changed.notify_all();
                }
            })
        };
        Self {
            address,
            asked,
            end,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until a name was asked for and answered.
    #[track_caller]
    pub fn wait_for(&self, name: &str) {
        let until = Instant::now() + PATIENCE;
        let mut names = self.asked.names.lock().expect("names");
        while !names.iter().any(|asked| asked == name) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nobody asked for {name}: {names:?}");
            (names, _) = self.asked.changed.wait_timeout(names, left).expect("names");
        }
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// The name under which the name of an address stands (RFC 1035 §3.5, RFC 3596 §2.5).
pub fn reverse(address: IpAddr) -> String {
    let mut name = String::new();
    match address {
        IpAddr::V4(v4) => {
            for byte in v4.octets().into_iter().rev() {
                write!(name, "{byte}.").expect("a text");
            }
            name + "in-addr.arpa"
        }
        IpAddr::V6(v6) => {
            for byte in v6.octets().into_iter().rev() {
                write!(name, "{:x}.{:x}.", byte & 15, byte >> 4).expect("a text");
            }
            name + "ip6.arpa"
        }
    }
}

impl Record {
    fn owner(&self) -> String {
        match self {
            Self::Name(address, _) => reverse(*address),
            Self::Address(name, _) => (*name).to_owned(),
        }
    }

    fn kind_and_data(&self) -> (u16, Vec<u8>) {
        match self {
            Self::Name(_, name) => (PTR, labels(name)),
            Self::Address(_, IpAddr::V4(v4)) => (A, v4.octets().to_vec()),
            Self::Address(_, IpAddr::V6(v6)) => (AAAA, v6.octets().to_vec()),
        }
    }
}

/// A question as it came.
struct Question<'a> {
    id: &'a [u8],
    /// In lower case.
    name: String,
    kind: u16,
    /// Name, type and class, which an answer repeats.
    bytes: &'a [u8],
}

impl<'a> Question<'a> {
    fn read(message: &'a [u8]) -> Self {
        let (mut at, mut parts) = (HEADER, Vec::new());
        while message[at] != 0 {
            let end = at + 1 + usize::from(message[at]);
            parts.push(String::from_utf8_lossy(&message[at + 1..end]).to_lowercase());
            at = end;
        }
        let kind = u16::from_be_bytes([message[at + 1], message[at + 2]]);
        Self {
            id: &message[..2],
            name: parts.join("."),
            kind,
            bytes: &message[HEADER..at + 5],
        }
    }

    fn answer(&self, table: &[Record]) -> Vec<u8> {
        let named = table.iter().filter(|record| record.owner() == self.name);
        let named: Vec<(u16, Vec<u8>)> = named.map(Record::kind_and_data).collect();
        let fitting = named.iter().filter(|(kind, _)| *kind == self.kind);
        let code = if named.is_empty() { NXDOMAIN } else { 0 };
        let count = u16::try_from(fitting.clone().count()).expect("a few records");
        // A response with authority, to a question that wanted recursion, which is available.
        let mut message = [self.id, &[0x85, 0x80 | code], &1_u16.to_be_bytes()].concat();
        message.extend(count.to_be_bytes());
        message.extend([0; 4]);
        message.extend(self.bytes);
        for (kind, data) in fitting {
            // The name stands in the question.
            message.extend([0xc0, HEADER as u8]);
            message.extend(kind.to_be_bytes());
            message.extend(IN.to_be_bytes());
            message.extend(TTL.to_be_bytes());
            message.extend((data.len() as u16).to_be_bytes());
            message.extend(data);
        }
        message
    }
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
