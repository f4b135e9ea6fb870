//! Long lists, sent in parts. The agent makes a change of them when it has the last, so a list comes
//! into force as a whole or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};

use super::progress::Progress;
use crate::{
    control::{
        client::{Client, ClientError},
        protocol::{MAX_TARGETS, Request, Response},
    },
    rules::target::Target,
    wording::grouped_of,
};

/// Where a request stands in its list.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    /// Others follow.
    pub(super) more: bool,
    /// How many targets came before.
    pub(super) before: usize,
}

/// Sends `targets`, in several requests if they are many, and returns the answer to them all. When
/// that `changes` something, an interrupt waits for an answer.
pub(super) fn send(
    client: &mut Client,
    targets: &[Target],
    changes: bool,
    request: impl Fn(&[Target], Place) -> Request,
) -> anyhow::Result<Response> {
    if targets.len() <= MAX_TARGETS {
        return Ok(client.call(&request(targets, Place::default()))?);
    }
    client.be_patient()?;
    let interrupted = if changes {
        watch_interrupts()?
    } else {
        Arc::default()
    };
    let progress = Progress::begin("sending", Some(targets.len()));
    send_parts(targets, &interrupted, |part, place| {
        progress.at(place.before);
        client.call(&request(part, place))
    })
}

fn send_parts(
    targets: &[Target],
    interrupted: &AtomicBool,
    mut send: impl FnMut(&[Target], Place) -> Result<Response, ClientError>,
) -> anyhow::Result<Response> {
    let mut before = 0;
    loop {
        if interrupted.load(Ordering::Relaxed) {
            bail!("interrupted; nothing was changed");
        }
        let rest = targets.get(before..).unwrap_or_default();
        let (part, rest) = rest.split_at(rest.len().min(MAX_TARGETS));
        let more = !rest.is_empty();
        let answer = send(part, Place { more, before });
        if more {
            answer.context("nothing was changed")?;
            before += part.len();
            continue;
        }
        return match answer {
            Err(error) if error.is_silent() => Err(anyhow::Error::from(error).context(format!(
                "whether the {} entries are in force is not known; run it again",
                grouped_of(targets.len())
            ))),
            answer => Ok(answer?),
        };
    }
}

/// A flag that the first Ctrl-C or SIGTERM sets: what is under way is ended properly. A second one
/// ends the command at once.
fn watch_interrupts() -> anyhow::Result<Arc<AtomicBool>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    thread::spawn(move || {
        runtime.block_on(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if set.swap(true, Ordering::Relaxed) {
                    std::process::exit(crate::exit_code::ExitCode::Failure.code().into());
                }
            }
        });
    });
    Ok(flag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{Failure, FailureCode};

    fn targets(count: u32) -> Vec<Target> {
        let address = |number| std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
        (0..count)
            .map(|number| address(number).parse().unwrap())
            .collect()
    }

    fn lost() -> ClientError {
        ClientError::Lost {
            path: "/run/x".into(),
            source: std::io::ErrorKind::UnexpectedEof.into(),
        }
    }

    fn full() -> ClientError {
        Failure::new(FailureCode::Failed, "the disk is full").into()
    }

    /// What is said when the third request, of three, ends with `error`, or the second one does.
    fn said_when(which: usize, error: ClientError) -> String {
        let (mut error, mut requests) = (Some(error), 0);
        let sent = send_parts(&targets(25_000), &AtomicBool::default(), |part, _| {
            requests += 1;
            if requests == which {
                return Err(error.take().unwrap());
            }
            Ok(Response::Gathered { count: part.len() })
        });
        crate::cli::message(&sent.unwrap_err())
    }

    #[test]
    fn parts_follow_one_another_and_the_last_one_is_answered() {
        let mut places = Vec::new();
        let answer = send_parts(&targets(25_000), &AtomicBool::default(), |part, place| {
            places.push((part.len(), place.before, place.more));
            Ok(Response::end(part.len()))
        });
        assert_eq!(answer.unwrap(), Response::end(5_000));
        let expected = [
            (10_000, 0, true),
            (10_000, 10_000, true),
            (5_000, 20_000, false),
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn who_is_refused_hears_why_only() {
        assert_eq!(said_when(3, full()), "the disk is full");
    }

    #[test]
    fn before_the_last_part_nothing_has_changed() {
        let said = said_when(2, full());
        assert_eq!(said, "nothing was changed: the disk is full");
        let said = said_when(2, lost());
        assert!(said.starts_with("nothing was changed: lost"), "{said}");
    }

    #[test]
    fn who_hears_no_answer_to_the_last_part_is_told_to_look() {
        let said = said_when(3, lost());
        assert!(
            said.starts_with(
                "whether the 25,000 entries are in force is not known; run it again: "
            ),
            "{said}"
        );
    }

    #[test]
    fn an_interrupt_ends_it_between_two_parts() {
        let interrupted = AtomicBool::default();
        let mut requests = 0;
        let sent = send_parts(&targets(25_000), &interrupted, |part, _| {
            requests += 1;
            interrupted.store(true, Ordering::Relaxed);
            Ok(Response::Gathered { count: part.len() })
        });
        let said = crate::cli::message(&sent.unwrap_err());
        assert_eq!(said, "interrupted; nothing was changed");
        assert_eq!(requests, 1);
    }
}
