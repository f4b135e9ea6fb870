//! Waiting for a descriptor to become readable; the only unsafe code of the agent.
//!
//! tokio's `AsyncFd::register` is unsafe because a type may close or replace the descriptor it
//! shows. Here the registered value is an [`OwnedFd`] of our own, a duplicate that nothing else can
//! reach, so the promise is kept by construction.
#![expect(
    unsafe_code,
    reason = "tokio offers no safe registration of a descriptor"
)]

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// Readiness of one descriptor.
#[derive(Debug)]
pub struct Readiness(AsyncFd<OwnedFd>);

impl Readiness {
    /// Watches what `object` refers to; must be called within a tokio runtime.
    pub fn of(object: impl AsFd) -> io::Result<Self> {
        let descriptor = object.as_fd().try_clone_to_owned()?;
        // SAFETY: an OwnedFd is open until it is dropped, `as_raw_fd` always returns the same
        // descriptor, and this module gives no access by which it could be replaced.
        let registered =
            unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?;
        Ok(Self(registered))
    }

    /// Waits until there may be something to read. Cancel-safe.
    pub async fn wait(&self) -> io::Result<()> {
        // Dropping the guard keeps the readiness: only `attempt` clears it.
        self.0.readable().await.map(drop)
    }

    /// Runs `read` if readable; when it returns `WouldBlock`, readiness is cleared, unless it came
    /// anew in between.
    pub fn attempt<R>(&self, read: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.0.try_io(Interest::READABLE, |_| read())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    use super::*;

    #[tokio::test]
    async fn readiness_stays_until_nothing_is_left() {
        let (mut writer, mut reader) = UnixStream::pair().unwrap();
        reader.set_nonblocking(true).unwrap();
        let readiness = Readiness::of(&reader).unwrap();
        writer.write_all(b"ab").unwrap();
        let mut byte = [0];
        for expected in b"ab" {
            readiness.wait().await.unwrap();
            readiness.attempt(|| reader.read_exact(&mut byte)).unwrap();
            assert_eq!(byte, [*expected]);
        }
        let error = readiness.attempt(|| reader.read_exact(&mut byte));
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let wait = tokio::time::timeout(std::time::Duration::from_millis(1), readiness.wait());
        assert!(wait.await.is_err());
        writer.write_all(b"c").unwrap();
        readiness.wait().await.unwrap();
    }
}
