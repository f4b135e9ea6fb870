//! Ring buffers: what the programs send up.
//!
//! A reader that stops at a full ring costs reports, never packets. Readiness is cleared only when
//! a ring was found empty, or a wake-up would be lost; and a turn takes a bounded number of
//! records, so that a flood does not starve everything else.

use std::{io, marker::PhantomData};

use aya::maps::{Map, MapData, RingBuf};
use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::error::Error;
use crate::host::readiness::Readiness;

/// One ring of records of type `T`.
pub struct Ring<T> {
    buffer: RingBuf<MapData>,
    readiness: Readiness,
    malformed: u64,
    records: PhantomData<fn() -> T>,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Drained {
    /// Nothing is left: the next [`Ring::ready`] waits.
    Empty,
    /// The turn's records are used up: let others run, then come back.
    More,
}

impl<T: FromBytes + Immutable + KnownLayout> Ring<T> {
    /// Reads the ring in `map`; must be called within a tokio runtime.
    pub(super) fn new(name: &'static str, map: Map) -> Result<Self, Error> {
        let buffer = RingBuf::try_from(map).map_err(|source| Error::Map { name, source })?;
        let readiness = Readiness::of(&buffer).map_err(|source| Error::Ring { name, source })?;
        Ok(Self {
            buffer,
            readiness,
            malformed: 0,
            records: PhantomData,
        })
    }

    /// Waits until there may be records. Cancel-safe.
    pub async fn ready(&mut self) -> io::Result<()> {
        self.readiness.wait().await
    }

    /// Hands at most `max` records to `take`, oldest first. Call it after [`Self::ready`].
    pub fn drain(&mut self, max: usize, mut take: impl FnMut(&T)) -> Drained {
        let Self {
            buffer,
            readiness,
            malformed,
            ..
        } = self;
        let turn = readiness.attempt(|| {
            for _ in 0..max {
                let Some(record) = buffer.next() else {
                    return Err(io::ErrorKind::WouldBlock.into());
                };
                match T::ref_from_prefix(&record) {
                    Ok((record, _)) => take(record),
                    Err(_) => *malformed += 1,
                }
            }
            Ok(())
        });
        if turn.is_ok() {
            Drained::More
        } else {
            Drained::Empty
        }
    }

    /// Records that were too short for their type: never, unless object and agent differ.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }
}

impl<T> std::fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("malformed", &self.malformed)
            .finish_non_exhaustive()
    }
}
