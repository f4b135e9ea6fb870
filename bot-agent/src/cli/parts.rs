//! Long lists, sent in parts of which each is a transaction, and what is said when the sending ends
//! before the list does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::anyhow;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    control::{client::ClientError, protocol::MAX_TARGETS},
    rules::target::Target,
    wording::grouped,
};

/// How it is said what was done, and what another run is for.
pub(super) type Words = (&'static str, &'static str);

/// Sends `targets` part by part. When one fails, or somebody interrupts, the error says how many
/// entries the agent has acknowledged. Without `words` nothing is changed and nothing needs saying.
pub(super) fn send(
    targets: &[Target],
    words: Option<Words>,
    mut part: impl FnMut(&[Target]) -> Result<(), ClientError>,
) -> anyhow::Result<()> {
    match words {
        Some(words) if targets.len() > MAX_TARGETS => {
            send_until(targets, words, watch_interrupts()?.as_ref(), part)
        }
        Some(_) | None => Ok(targets.chunks(MAX_TARGETS).try_for_each(&mut part)?),
    }
}

fn send_until(
    targets: &[Target],
    words: Words,
    interrupted: &AtomicBool,
    mut part: impl FnMut(&[Target]) -> Result<(), ClientError>,
) -> anyhow::Result<()> {
    let mut done = 0;
    for some in targets.chunks(MAX_TARGETS) {
        if interrupted.load(Ordering::Relaxed) {
            return Err(anyhow!("interrupted").context(progress(done, targets.len(), words)));
        }
        if let Err(error) = part(some) {
            // Without an answer nobody knows whether this part is in.
            let least = if error.is_silent() { "at least " } else { "" };
            let progress = progress(done, targets.len(), words);
            return Err(match (done, least) {
                (0, "") => error.into(),
                _ => anyhow::Error::from(error).context(format!("{least}{progress}")),
            });
        }
        done += some.len();
    }
    Ok(())
}

fn progress(done: usize, all: usize, (verb, rest): Words) -> String {
    let wide = |count: usize| u128::try_from(count).unwrap_or(u128::MAX);
    format!(
        "{} of {} entries are {verb}; run it again {rest}",
        grouped(wide(done)),
        grouped(wide(all))
    )
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

    const WORDS: Words = ("in", "to add the rest");

    /// What is said when the third part ends with `error`.
    fn third_part_fails(error: ClientError) -> String {
        let mut error = Some(error);
        let mut parts = 0;
        let sent = send_until(&targets(25_000), WORDS, &AtomicBool::default(), |part| {
            parts += 1;
            if parts == 3 {
                assert_eq!(part.len(), 5_000);
                return Err(error.take().unwrap());
            }
            Ok(())
        });
        crate::cli::message(&sent.unwrap_err())
    }

    #[test]
    fn who_is_stopped_half_way_says_how_far_it_came() {
        assert_eq!(
            third_part_fails(Failure::new(FailureCode::Failed, "the disk is full").into()),
            "20,000 of 25,000 entries are in; run it again to add the rest: the disk is full"
        );
        let lost = third_part_fails(ClientError::Lost {
            path: "/run/x".into(),
            source: std::io::ErrorKind::UnexpectedEof.into(),
        });
        assert!(lost.starts_with("at least 20,000 of 25,000"), "{lost}");
    }

    #[test]
    fn who_is_refused_at_once_hears_why_only() {
        let refused = send_until(&targets(25_000), WORDS, &AtomicBool::default(), |_| {
            Err(Failure::new(FailureCode::Refused, "protected").into())
        });
        assert_eq!(crate::cli::message(&refused.unwrap_err()), "protected");
    }

    #[test]
    fn an_interrupt_ends_it_between_two_parts() {
        let interrupted = AtomicBool::default();
        let mut parts = 0;
        let sent = send_until(&targets(25_000), WORDS, &interrupted, |_| {
            parts += 1;
            interrupted.store(true, Ordering::Relaxed);
            Ok(())
        });
        assert_eq!(
            crate::cli::message(&sent.unwrap_err()),
            "10,000 of 25,000 entries are in; run it again to add the rest: interrupted"
        );
        assert_eq!(parts, 1);
    }
}
