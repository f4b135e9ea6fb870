//! Long lists, sent in parts of which each is a transaction, and what is said when the sending ends
//! before the list does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    control::{client::ClientError, protocol::MAX_TARGETS},
    rules::target::Target,
    wording::grouped,
};

/// How it is said: `are in`, and what another run is for.
pub(super) type Words = (&'static str, &'static str);

/// Sends `targets` part by part. When one fails, or somebody interrupts, the error says how many
/// entries the agent has acknowledged.
pub(super) fn send(
    targets: &[Target],
    words: Words,
    mut part: impl FnMut(&[Target]) -> Result<(), ClientError>,
) -> anyhow::Result<()> {
    if targets.len() <= MAX_TARGETS {
        return Ok(part(targets)?);
    }
    let interrupted = watch_interrupts()?;
    let mut done = 0;
    for some in targets.chunks(MAX_TARGETS) {
        if interrupted.load(Ordering::Relaxed) {
            return Err(anyhow::anyhow!("interrupted").context(progress(
                done,
                targets.len(),
                words,
            )));
        }
        part(some).with_context(|| progress(done, targets.len(), words))?;
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

    #[test]
    fn who_is_stopped_half_way_says_how_far_it_came() {
        let mut parts = 0;
        let sent = send(&targets(25_000), ("in", "to add the rest"), |part| {
            parts += 1;
            if parts == 3 {
                assert_eq!(part.len(), 5_000);
                return Err(Failure::new(FailureCode::Failed, "the disk is full").into());
            }
            Ok(())
        });
        assert_eq!(
            crate::cli::message(&sent.unwrap_err()),
            "20,000 of 25,000 entries are in; run it again to add the rest: the disk is full"
        );
    }

    #[test]
    fn an_interrupt_ends_it_between_two_parts() {
        let mut parts = 0;
        let sent = send(&targets(25_000), ("in", "to add the rest"), |_| {
            parts += 1;
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT)
                .unwrap();
            // The watching thread needs a moment to hear it.
            thread::sleep(std::time::Duration::from_millis(200));
            Ok(())
        });
        assert_eq!(
            crate::cli::message(&sent.unwrap_err()),
            "10,000 of 25,000 entries are in; run it again to add the rest: interrupted"
        );
        assert_eq!(parts, 1);
    }
}
