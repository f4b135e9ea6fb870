//! Packets of real sockets: connections that come through or do not, and streams of datagrams that
//! are counted by who sent them.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, SockaddrLike as _, bind, send, socket,
    },
};
use std::os::fd::AsRawFd as _;

use crate::netns::Namespace;

/// A connection that is not answered for so long is taken for filtered. A first SYN is answered at
/// once here; the second one would come after a second.
const UNANSWERED: Duration = Duration::from_millis(1_500);
/// A connection that must work may wait for a busy machine.
const ANSWERED: Duration = Duration::from_secs(10);

/// Listens on a TCP port of the namespace, both families; the kernel answers connections.
pub fn listen(namespace: &Namespace, port: u16) -> TcpListener {
    namespace.run(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("a free port"))
}

/// Whether a connection from `src` to `dst` is made; says what happened.
fn connect(
    from: &Namespace,
    src: IpAddr,
    dst: SocketAddr,
    patience: Duration,
) -> Result<(), io::Error> {
    from.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let socket = if src.is_ipv4() {
                tokio::net::TcpSocket::new_v4()
            } else {
                tokio::net::TcpSocket::new_v6()
            }?;
            socket.bind((src, 0).into())?;
            match tokio::time::timeout(patience, socket.connect(dst)).await {
                Ok(connected) => connected.map(drop),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        })
    })
}

/// The client at `src` must be able to connect.
#[track_caller]
pub fn reaches(from: &Namespace, src: IpAddr, dst: impl Into<SocketAddr>) {
    let dst = dst.into();
    let result = connect(from, src, dst, ANSWERED);
    assert!(result.is_ok(), "{src} to {dst}: {result:?}");
}

/// The client at `src` must not get any answer.
#[track_caller]
pub fn is_cut_off(from: &Namespace, src: IpAddr, dst: impl Into<SocketAddr>) {
    let dst = dst.into();
    let result = connect(from, src, dst, UNANSWERED);
    let kind = result.as_ref().map_err(io::Error::kind);
    assert_eq!(kind, Err(io::ErrorKind::TimedOut), "{src} to {dst}");
}

/// Counts the datagrams that arrive at a port, by source.
#[derive(Debug)]
pub struct Sink {
    counts: Arc<Counts>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    by_source: Mutex<BTreeMap<IpAddr, u64>>,
    changed: Condvar,
}

impl Sink {
    /// Listens on a UDP port of the namespace, both families.
    pub fn new(namespace: &Namespace, port: u16) -> Self {
        let socket =
            namespace.run(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, port)).expect("a free port"));
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a timeout");
        let counts = Arc::new(Counts::default());
        let end = Arc::new(AtomicBool::new(false));
        let thread = {
            let (counts, end) = (Arc::clone(&counts), Arc::clone(&end));
            thread::spawn(move || {
                let mut buffer = vec![0; 65_536];
                while !end.load(Ordering::Relaxed) {
                    if let Ok((_, from)) = socket.recv_from(&mut buffer) {
                        let mut by_source = counts.by_source.lock().expect("counts");
                        *by_source.entry(from.ip().to_canonical()).or_default() += 1;
                        counts.changed.notify_all();
                    }
                }
            })
        };
        Self {
            counts,
            end,
            thread: Some(thread),
        }
    }

    /// Datagrams of a source so far.
    pub fn count(&self, source: IpAddr) -> u64 {
        let by_source = self.counts.by_source.lock().expect("counts");
        by_source.get(&source).copied().unwrap_or(0)
    }

    /// Waits until more datagrams of a source have come than now.
    #[track_caller]
    pub fn wait_for_more(&self, source: IpAddr, more: u64) {
        self.wait_for(source, self.count(source) + more);
    }

    /// Waits until so many datagrams of a source have come in all.
    #[track_caller]
    pub fn wait_for(&self, source: IpAddr, wanted: u64) {
        let until = Instant::now() + ANSWERED;
        let mut by_source = self.counts.by_source.lock().expect("counts");
        while by_source.get(&source).copied().unwrap_or(0) < wanted {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no datagrams from {source}");
            (by_source, _) = self
                .counts
                .changed
                .wait_timeout(by_source, left)
                .expect("counts");
        }
    }

    /// Waits until no datagram of a source has come for half a second.
    #[track_caller]
    pub fn wait_for_silence(&self, source: IpAddr) {
        let until = Instant::now() + ANSWERED;
        let mut before = self.count(source);
        loop {
            thread::sleep(Duration::from_millis(500));
            let now = self.count(source);
            if now == before {
                return;
            }
            assert!(Instant::now() < until, "datagrams from {source} still come");
            before = now;
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Datagrams without end from several sources, a thousand a second from each.
#[derive(Debug)]
pub struct Stream {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Stream {
    /// Begins to send from each of `sources` to `dst`.
    pub fn new(from: &Namespace, sources: &[IpAddr], dst: impl Into<SocketAddr>) -> Self {
        let dst = dst.into();
        let sockets: Vec<UdpSocket> = from.run(|| {
            let bound = |source: &IpAddr| UdpSocket::bind((*source, 0)).expect("the address");
            sources.iter().map(bound).collect()
        });
        let end = Arc::new(AtomicBool::new(false));
        let thread = {
            let end = Arc::clone(&end);
            thread::spawn(move || {
                let mut sent = 0;
                while !end.load(Ordering::Relaxed) {
                    for socket in &sockets {
                        // While the interface is away there is no route.
                        sent += u64::from(socket.send_to(b"datagram", dst).is_ok());
                    }
                    thread::sleep(Duration::from_millis(1));
                }
                sent
            })
        };
        Self {
            end,
            thread: Some(thread),
        }
    }

    /// Ends it, and says how many datagrams were sent from all sources together.
    pub fn end(mut self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("a thread");
        thread.join().expect("the sender")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// A packet socket: frames as they are, onto an interface.
#[derive(Debug)]
pub struct Wire(OwnedFd);

impl Wire {
    /// Opens it on an interface of the namespace.
    pub fn new(namespace: &Namespace, iface: &str) -> Self {
        namespace.run(|| {
            let flags = SockFlag::SOCK_CLOEXEC;
            let socket =
                socket(AddressFamily::Packet, SockType::Raw, flags, None).expect("a packet socket");
            let is_link = |address: &nix::sys::socket::SockaddrStorage| {
                address.family() == Some(AddressFamily::Packet)
            };
            let address = getifaddrs()
                .expect("the interfaces")
                .filter(|found| found.interface_name == iface)
                .find_map(|found| found.address.filter(is_link))
                .expect("the interface");
            bind(socket.as_raw_fd(), &address).expect("bind");
            Self(socket)
        })
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) {
        let sent = send(self.0.as_raw_fd(), frame, MsgFlags::empty()).expect("send");
        assert_eq!(sent, frame.len());
    }
}
