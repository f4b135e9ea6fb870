//! The socket's client side: blocking, with a time limit on every wait.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};

use super::protocol::{Failure, FailureCode, Request, Response};

/// How long an answer may take. Commands wait for the disk (fsync), so this is generous.
const ANSWER: Duration = Duration::from_mins(1);
/// How long the answer to a request of a million rules may take.
const PATIENT: Duration = Duration::from_mins(15);
/// How long an agent may stay silent before an emergency goes on without it.
pub const SILENT: Duration = Duration::from_secs(2);
/// How long an agent that answers may take for what is asked in an emergency.
const RESCUE: Duration = Duration::from_secs(5);
/// How long a full house is asked again.
const BUSY: Duration = Duration::from_secs(5);
/// The first pause before that; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(25);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No socket, or nobody listens on it.
    #[error("the agent is not running on {}: start it with `systemctl start bot-agent`", path.display())]
    NotRunning {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The socket is not for this user.
    #[error("no permission to use {}: be root or a member of the socket's group", path.display())]
    Permission {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke, or took too long.
    #[error("lost the agent on {}: {source}", path.display())]
    Lost {
        /// The socket.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// The line is no response; the agent is of another version, or this is no agent.
    #[error("the answer from {} is not understood ({detail}); are the agent and this command of the same version?", path.display())]
    Garbled {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Whoever reads the answer wants no more of it.
    #[error("the answer was not read to its end")]
    Stopped,
    /// The agent said no.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl ClientError {
    /// Whether every place is taken.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Failure(failure) if failure.code == FailureCode::Busy)
    }

    /// Whether the agent is there and says nothing in time, or is gone before it does.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }
}

/// A connection to the agent.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the socket at `path`.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        Self::connect_within(path, ANSWER)
    }

    /// Connects to an agent that must show within [`SILENT`] that it answers.
    ///
    /// What it is asked for that has no effect: a request that nobody waits for any more must not
    /// be carried out when a stopped agent goes on.
    pub fn connect_to_live(path: &Path) -> Result<Self, ClientError> {
        let mut client = Self::connect_within(path, SILENT)?;
        client.ask_once(&Request::Version {}, &mut |_| Ok(()))?;
        let set = client.stream.get_ref().set_read_timeout(Some(RESCUE));
        set.map_err(|source| client.lost(source))?;
        Ok(client)
    }

    fn connect_within(path: &Path, limit: Duration) -> Result<Self, ClientError> {
        let path = path.to_owned();
        match open(&path, limit) {
            Ok(stream) => Ok(Self {
                path,
                stream: BufReader::new(stream),
            }),
            Err(source) => {
                let is = |kind| source.kind() == kind;
                Err(
                    if is(io::ErrorKind::NotFound) || is(io::ErrorKind::ConnectionRefused) {
                        ClientError::NotRunning { path }
                    } else if is(io::ErrorKind::PermissionDenied) {
                        ClientError::Permission { path }
                    } else {
                        ClientError::Lost { path, source }
                    },
                )
            }
        }
    }

    /// Asks, and returns the final line; `item` gets the lines before it. A full house is asked
    /// again over a new connection for some seconds.
    pub fn ask(
        &mut self,
        request: &Request,
        mut item: impl FnMut(Response) -> Result<(), ClientError>,
    ) -> Result<Response, ClientError> {
        let until = Instant::now() + BUSY;
        let mut pause = PAUSE;
        loop {
            match self.ask_once(request, &mut item) {
                Err(error) if error.is_busy() && Instant::now() + pause < until => {
                    thread::sleep(pause);
                    pause *= 2;
                    let limit = self.stream.get_ref().read_timeout();
                    let stream = open(&self.path, ANSWER).map_err(|source| self.lost(source))?;
                    let limit = limit.map_err(|source| self.lost(source))?;
                    let set = stream.set_read_timeout(limit);
                    set.map_err(|source| self.lost(source))?;
                    self.stream = BufReader::new(stream);
                }
                answer => return answer,
            }
        }
    }

    fn ask_once(
        &mut self,
        request: &Request,
        item: &mut impl FnMut(Response) -> Result<(), ClientError>,
    ) -> Result<Response, ClientError> {
        self.send(request)?;
        loop {
            let response = self.receive()?;
            if response.is_item() {
                item(response)?;
                continue;
            }
            return match response.failure() {
                Some(failure) => Err(failure.clone().into()),
                None => Ok(response),
            };
        }
    }

    /// Asks for something that has no items.
    pub fn call(&mut self, request: &Request) -> Result<Response, ClientError> {
        self.ask(request, |_| Ok(()))
    }

    /// The same, and a full house is an error at once.
    pub fn call_once(&mut self, request: &Request) -> Result<Response, ClientError> {
        self.ask_once(request, &mut |_| Ok(()))
    }

    /// Waits longer from now on: for an answer that takes the agent a while.
    pub fn be_patient(&mut self) -> Result<(), ClientError> {
        let result = self.stream.get_ref().set_read_timeout(Some(PATIENT));
        result.map_err(|source| self.lost(source))
    }

    /// Waits without limit from now on (following).
    pub fn wait_for_ever(&mut self) -> Result<(), ClientError> {
        let result = self.stream.get_ref().set_read_timeout(None);
        result.map_err(|source| self.lost(source))
    }

    /// The final line was not the one that belongs to the request.
    pub fn unexpected(&self, response: &Response) -> ClientError {
        ClientError::Garbled {
            path: self.path.clone(),
            detail: format!("unexpected {response:?}"),
        }
    }

    fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(request).map_err(|error| self.garbled(&error))?;
        line.push(b'\n');
        let sent = self.stream.get_mut().write_all(&line);
        // A server that turns us away closes before it reads: what it said is still there to read.
        match sent {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(self.lost(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn receive(&mut self) -> Result<Response, ClientError> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(0) => Err(self.lost(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => serde_json::from_slice(&line).map_err(|error| self.garbled(&error)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(self.lost(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
            }
            Err(error) => Err(self.lost(error)),
        }
    }

    fn lost(&self, source: io::Error) -> ClientError {
        ClientError::Lost {
            path: self.path.clone(),
            source,
        }
    }

    fn garbled(&self, error: &serde_json::Error) -> ClientError {
        ClientError::Garbled {
            path: self.path.clone(),
            detail: error.to_string(),
        }
    }
}

/// A connection on which every wait has a limit, that for a place in the queue too.
fn open(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    for which in [sockopt::Timeout::Send, sockopt::Timeout::Recv] {
        sockopt::set_socket_timeout(&socket, which, Some(limit))?;
    }
    connect(&socket, &address)?;
    Ok(UnixStream::from(socket))
}
