//! The programs' debug channel: `aya-log` records, passed on to tracing.
//!
//! Off, the verifier removes every log statement from the programs and the channel costs nothing.

use std::io;

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Level, Log, Metadata, Record};

use super::error::Error;
use crate::host::readiness::Readiness;

/// What `AYA_LOG_LEVEL` is when the channel is on: debug and everything above.
pub(super) const LEVEL: u8 = Level::Debug as u8;

/// The receiving end.
pub struct DebugLog {
    logger: EbpfLogger<Tracing>,
    readiness: Readiness,
}

impl DebugLog {
    /// Opens the channel of programs that were loaded with it; within a tokio runtime.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let logger = EbpfLogger::init_with_logger(ebpf, Tracing).map_err(Error::DebugLog)?;
        let readiness = Readiness::of(&logger).map_err(|source| Error::Ring {
            name: "AYA_LOGS",
            source,
        })?;
        Ok(Self { logger, readiness })
    }

    /// Waits for records and passes them on. Cancel-safe; to be called again and again.
    pub async fn forward(&mut self) -> io::Result<()> {
        self.readiness.wait().await?;
        let flushed = self.readiness.attempt(|| {
            self.logger.flush();
            Err::<(), _>(io::ErrorKind::WouldBlock.into())
        });
        match flushed {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for DebugLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DebugLog").finish_non_exhaustive()
    }
}

/// Passes records to tracing, whatever logger the process has.
struct Tracing;

impl Log for Tracing {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args();
        match record.level() {
            Level::Error => tracing::error!(target: "bpf", "{message}"),
            Level::Warn => tracing::warn!(target: "bpf", "{message}"),
            Level::Info => tracing::info!(target: "bpf", "{message}"),
            Level::Debug => tracing::debug!(target: "bpf", "{message}"),
            Level::Trace => tracing::trace!(target: "bpf", "{message}"),
        }
    }

    fn flush(&self) {}
}
