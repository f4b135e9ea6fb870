//! The socket's server side: reads requests, hands them to the one task that owns the filter,
//! writes its answers.
//!
//! No client can disturb the agent: lines, waiting time, writing time and the number of clients
//! are bounded, and a client that breaks a bound loses its connection and nothing else. Nor can idle
//! clients keep others out: when every place is taken, the one that is idle longest goes.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, net::UnixListener as StdListener},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    fs::Mode as FileMode,
    process::{Gid, Pid, Uid},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::{broadcast, mpsc, oneshot},
    time::timeout,
};

use super::{
    gather::{Added, Gathered, MAX_GATHERED, Room},
    line::{LineError, next_line},
    list::{List, PAGE},
    places::{Place, Places},
    protocol::{FailureCode, MAX_REQUEST, Request, Response},
};
use crate::event::{Body, Event, Kind, Suppressed, filter::Filter};

/// Clients at the same time.
pub const MAX_CLIENTS: usize = 128;
/// A client that asks for nothing for so long is disconnected.
pub const IDLE: Duration = Duration::from_mins(1);
/// A client that does not read for so long is disconnected.
pub const STALLED: Duration = Duration::from_secs(10);
/// Bytes gathered before a write.
const WRITE_BYTES: usize = 64 * 1024;

/// One request, with the way back.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// By whom.
    pub peer: Peer,
    /// When the end of it was read from the socket.
    pub read: Instant,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answer>,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// The connection's number.
    pub connection: u64,
    /// User id of the process that connected.
    pub uid: u32,
    /// Its session (`getsid(2)`): one login, one session. Nothing when it cannot be seen from here.
    pub session: Option<Pid>,
}

/// What goes back.
#[derive(Debug)]
pub enum Answer {
    /// Lines, and the request is answered.
    Lines(Vec<Response>),
    /// Lines, then events until the client goes.
    Follow {
        /// What has happened already.
        past: Vec<Response>,
        /// What happens from now on.
        live: broadcast::Receiver<Arc<Event>>,
        /// Which of it.
        filter: Filter,
    },
}

/// Limits that tests make small.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// [`IDLE`].
    pub idle: Duration,
    /// [`STALLED`].
    pub stalled: Duration,
    /// [`MAX_CLIENTS`].
    pub clients: usize,
    /// Bytes of unfinished requests that all clients together may have the agent keep.
    pub gathered: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: IDLE,
            stalled: STALLED,
            clients: MAX_CLIENTS,
            gathered: MAX_GATHERED,
        }
    }
}

/// Makes the socket at `path`, mode 0660, for `owner` and `group` where given.
///
/// The socket gets its name only when its mode is right, and takes the place of an old one in the
/// same step. The process' umask is changed for an instant: call this while it has one thread.
pub fn bind(path: &Path, owner: Option<Uid>, group: Option<Gid>) -> io::Result<StdListener> {
    let unfinished = path.with_extension(format!("{}.new", std::process::id()));
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let umask = rustix::process::umask(FileMode::from_raw_mode(0o177));
    let listener = StdListener::bind(&unfinished);
    rustix::process::umask(umask);
    let listener = listener?;
    let finish = || {
        if owner.is_some() || group.is_some() {
            rustix::fs::chown(&unfinished, owner, group)?;
        }
        fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o660))?;
        fs::rename(&unfinished, path)
    };
    if let Err(error) = finish() {
        drop(fs::remove_file(&unfinished));
        return Err(error);
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until the receiver of `calls` is gone.
pub async fn serve(listener: UnixListener, calls: mpsc::Sender<Call>, limits: Limits) {
    let places = Places::new(limits.clients);
    let room = Room::new(limits.gathered);
    let mut connection = 0;
    while !calls.is_closed() {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors: wait for some client to go instead of spinning.
                tracing::warn!("control socket: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        connection += 1;
        let Some(place) = places.take() else {
            tokio::spawn(turn_away(stream, limits));
            continue;
        };
        let Ok(credentials) = stream.peer_cred() else {
            continue;
        };
        let peer = Peer {
            connection,
            uid: credentials.uid(),
            session: session_of(credentials.pid()),
        };
        let client = Client {
            peer,
            calls: calls.clone(),
            limits,
            place,
            gathered: Gathered::new(&room),
        };
        tokio::spawn(client.serve(stream));
    }
}

struct Client {
    peer: Peer,
    calls: mpsc::Sender<Call>,
    limits: Limits,
    place: Place,
    gathered: Gathered,
}

/// Why a connection ends. Nobody needs to know more: the client is gone or was told.
struct Closed;

impl Client {
    async fn serve(mut self, stream: UnixStream) {
        let (read, write) = stream.into_split();
        let mut reader = BufReader::new(read);
        let mut writer = Writer {
            write,
            stalled: self.limits.stalled,
        };
        loop {
            let wait = timeout(self.limits.idle, next_line(&mut reader, MAX_REQUEST));
            let line = tokio::select! {
                line = wait => line,
                () = self.place.lost() => return writer.finish(&[busy(&self.limits)]).await,
            };
            let line = match line {
                Ok(Ok(Some(line))) => line,
                Ok(Err(LineError::TooLong)) => {
                    let message = format!(
                        "a request may have {MAX_REQUEST} bytes; send long lists in several requests"
                    );
                    let refusal = Response::error(FailureCode::TooLarge, message);
                    writer.finish(&[refusal]).await;
                    return;
                }
                Ok(Ok(None) | Err(LineError::Io(_))) | Err(_) => return,
            };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let read = Instant::now();
            if !self.place.begin() {
                return writer.finish(&[busy(&self.limits)]).await;
            }
            let answered = match serde_json::from_slice(&line) {
                Ok(request) => match self.gathered.add(request, line.len()) {
                    Added::Whole(request) => {
                        self.answer((request, read), &mut reader, &mut writer).await
                    }
                    Added::Answered(answer) => writer.lines(&[answer]).await,
                },
                Err(error) => {
                    let message = format!("no valid request: {error}");
                    writer
                        .lines(&[Response::error(FailureCode::Invalid, message)])
                        .await
                }
            };
            if answered.is_err() {
                return;
            }
            self.place.end();
        }
    }

    async fn answer(
        &self,
        (request, read): (Request, Instant),
        reader: &mut BufReader<tokio::net::unix::OwnedReadHalf>,
        writer: &mut Writer,
    ) -> Result<(), Closed> {
        if let Request::List(list) = &request
            && list.limit.is_none()
            && !list.summary
        {
            return self.whole_list(list, writer).await;
        }
        match self.ask(request, read).await? {
            Answer::Lines(lines) => writer.lines(&lines).await,
            Answer::Follow { past, live, filter } => {
                writer.lines(&past).await?;
                follow(live, &filter, reader, writer).await
            }
        }
    }

    /// A list without a limit, asked for page by page, each when the client has read the one
    /// before: a million rules take no more memory than a thousand.
    async fn whole_list(&self, list: &List, writer: &mut Writer) -> Result<(), Closed> {
        let mut list = List {
            limit: Some(PAGE),
            ..list.clone()
        };
        let mut shown = 0;
        loop {
            let Answer::Lines(mut lines) = self
                .ask(Request::List(list.clone()), Instant::now())
                .await?
            else {
                return Err(Closed);
            };
            let end = lines.pop().ok_or(Closed)?;
            let Response::End {
                count,
                next,
                next_entry,
                differs,
            } = end
            else {
                return writer.lines(&[end]).await;
            };
            writer.lines(&lines).await?;
            shown += count;
            if next.is_none() && next_entry.is_none() {
                let end = Response::End {
                    count: shown,
                    next,
                    next_entry,
                    differs,
                };
                return writer.lines(&[end]).await;
            }
            list.after = next;
            list.after_entry = next_entry;
        }
    }

    async fn ask(&self, request: Request, read: Instant) -> Result<Answer, Closed> {
        let (reply, answer) = oneshot::channel();
        let call = Call {
            request,
            peer: self.peer,
            read,
            reply,
        };
        self.calls.send(call).await.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }
}

/// Events until the client says anything or goes.
async fn follow(
    mut live: broadcast::Receiver<Arc<Event>>,
    filter: &Filter,
    reader: &mut BufReader<tokio::net::unix::OwnedReadHalf>,
    writer: &mut Writer,
) -> Result<(), Closed> {
    let mut byte = [0];
    loop {
        let event = tokio::select! {
            event = live.recv() => event,
            _ = reader.read(&mut byte) => return Err(Closed),
        };
        let event = match event {
            Ok(event) if filter.matches(&event) => Event::clone(&event),
            Ok(_) => continue,
            Err(broadcast::error::RecvError::Lagged(count)) => lost(count),
            Err(broadcast::error::RecvError::Closed) => return Err(Closed),
        };
        writer.lines(&[Response::Event(Box::new(event))]).await?;
    }
}

/// Said to a follower that reads more slowly than events come: events of any kind, so `suppressed`
/// names its own kind.
fn lost(count: u64) -> Event {
    let body = Body::Suppressed(Suppressed {
        kind: Kind::Suppressed,
        count,
    });
    Event::at(jiff::Timestamp::now(), body)
}

async fn turn_away(stream: UnixStream, limits: Limits) {
    let (_read, write) = stream.into_split();
    let mut writer = Writer {
        write,
        stalled: limits.stalled,
    };
    writer.finish(&[busy(&limits)]).await;
}

/// Said to who finds no place, and to who loses it.
fn busy(limits: &Limits) -> Response {
    let message = format!("{} clients are connected already", limits.clients);
    Response::error(FailureCode::Busy, message)
}

struct Writer {
    write: OwnedWriteHalf,
    stalled: Duration,
}

impl Writer {
    async fn lines(&mut self, lines: &[Response]) -> Result<(), Closed> {
        let mut buffer = Vec::new();
        for line in lines {
            buffer.extend_from_slice(&line.to_line());
            if buffer.len() >= WRITE_BYTES {
                self.bytes(&buffer).await?;
                buffer.clear();
            }
        }
        self.bytes(&buffer).await
    }

    /// The last lines; nobody cares any more whether they arrive.
    async fn finish(&mut self, lines: &[Response]) {
        if self.lines(lines).await.is_ok() {
            drop(timeout(self.stalled, self.write.shutdown()).await);
        }
    }

    async fn bytes(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        match timeout(self.stalled, self.write.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Closed),
        }
    }
}

/// The session of a process, where it can be seen: a process or session leader outside of this PID
/// namespace has the number 0 (`pid_namespaces(7)`), which tells nobody from anybody.
pub(super) fn session_of(pid: Option<i32>) -> Option<Pid> {
    let pid = pid.filter(|pid| *pid > 0)?;
    // Not rustix: it takes a session of 0 for impossible.
    let session = nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid))).ok()?;
    Some(session.as_raw())
        .filter(|session| *session > 0)
        .and_then(Pid::from_raw)
}
