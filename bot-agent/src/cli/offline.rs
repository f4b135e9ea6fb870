//! Commands that must work whatever state the agent is in: not there, stopped, or overrun.
//!
//! An agent that does not answer soon is left alone, and the kernel's tables are read or written
//! without it; it takes over what it finds there when it goes on.

use std::io::{self, Write as _};

use super::global::{Global, Output, Places};
use crate::{
    control::{
        client::{Client, ClientError},
        protocol::{Request, Response},
    },
    daemon::{Offline, OfflineError},
    datapath::Error,
};

/// What a command did without the agent, for the line that says so.
#[derive(Clone, Copy, Debug)]
pub(super) enum Without {
    /// It looked.
    Read,
    /// It changed something.
    Written,
}

/// Why there is no answer, when the tables can stand in.
#[derive(Debug)]
pub(super) enum Absent {
    /// No agent runs.
    NotRunning(ClientError),
    /// One runs and says nothing.
    Silent(ClientError),
    /// One runs and serves as many as it can.
    Busy(ClientError),
}

/// Asks the agent, or does it by the tables. `answer` takes the final line apart, or gives it back.
pub(super) fn ask<T>(
    global: &Global,
    request: &Request,
    answer: impl FnOnce(Response) -> Result<T, Response>,
    without: Without,
    tables: impl FnOnce(&mut Offline, &Places) -> Result<T, OfflineError>,
) -> anyhow::Result<T> {
    let places = global.places_of_client();
    let absent = match soon(&places, request, answer)? {
        Ok(answered) => return Ok(answered),
        Err(absent) => absent,
    };
    let mut offline = match Offline::open(&places.pin_dir) {
        Ok(offline) => offline,
        // The agent is the remedy for that too.
        Err(OfflineError::Datapath(Error::NothingPinned { .. })) => {
            return Err(absent.into_error().into());
        }
        Err(error) => return Err(anyhow::Error::from(error).context(absent.into_error())),
    };
    let done = tables(&mut offline, &places)?;
    absent.tell(global, without)?;
    Ok(done)
}

/// Asks an agent that answers soon.
pub(super) fn soon<T>(
    places: &Places,
    request: &Request,
    answer: impl FnOnce(Response) -> Result<T, Response>,
) -> Result<Result<T, Absent>, ClientError> {
    let asked = Client::connect_to_live(&places.socket).and_then(|mut client| {
        let line = client.call_once(request)?;
        answer(line).map_err(|line| client.unexpected(&line))
    });
    match asked {
        Ok(answered) => Ok(Ok(answered)),
        Err(error @ ClientError::NotRunning { .. }) => Ok(Err(Absent::NotRunning(error))),
        Err(error) if error.is_silent() => Ok(Err(Absent::Silent(error))),
        Err(error) if error.is_busy() => Ok(Err(Absent::Busy(error))),
        Err(error) => Err(error),
    }
}

impl Absent {
    pub(super) fn into_error(self) -> ClientError {
        match self {
            Self::NotRunning(error) | Self::Silent(error) | Self::Busy(error) => error,
        }
    }

    /// Says on standard error that the agent had no part in it. That none runs is no surprise.
    pub(super) fn tell(&self, global: &Global, without: Without) -> io::Result<()> {
        let agent = match self {
            Self::NotRunning(_) => return Ok(()),
            Self::Silent(_) => "the agent does not answer",
            Self::Busy(_) => "the agent is busy",
        };
        let did = match without {
            Without::Read => "this is from the kernel's tables",
            Without::Written => "done in the kernel's tables",
        };
        note(global, &format!("{agent}; {did}"))
    }
}

/// A line on standard error beside the answer.
pub(super) fn note(global: &Global, text: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    match global.output {
        Output::Json => writeln!(stderr, "{}", serde_json::json!({ "note": text })),
        Output::Human | Output::Raw => writeln!(stderr, "bot-agent: {text}"),
    }
}
