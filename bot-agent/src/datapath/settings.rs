//! Run-time settings: one map value that switches the filter without a reload.

use std::io;

use bot_common::abi::{names, settings::Settings};
use rustix::rand::{GetRandomFlags, getrandom};
use zerocopy::transmute;

use super::{
    error::Error,
    tables::{TableError, Tables, reading, writing},
};

impl Tables {
    /// What is in force.
    pub fn settings(&self) -> Result<Settings, TableError> {
        let bytes = self
            .settings
            .get(&0, 0)
            .map_err(reading(names::MAP_SETTINGS))?;
        Ok(transmute!(bytes))
    }

    /// Puts settings in force. The seed stays what it is: it lives and dies with the tables,
    /// because everything keyed by it would silently stop matching.
    pub fn set_settings(&mut self, settings: &Settings) -> Result<(), TableError> {
        let seed = self.settings()?.seed;
        self.write_settings(Settings { seed, ..*settings })
    }

    /// Draws the seed of new tables. Returns whether there was one: then they were adopted.
    pub(super) fn ensure_seed(&mut self) -> Result<bool, Error> {
        let settings = self.settings()?;
        if settings.seed != 0 {
            return Ok(true);
        }
        let seed = draw_seed().map_err(Error::Seed)?;
        self.write_settings(Settings { seed, ..settings })?;
        Ok(false)
    }

    fn write_settings(&mut self, settings: Settings) -> Result<(), TableError> {
        let bytes: [u8; size_of::<Settings>()] = transmute!(settings);
        self.settings
            .set(0, bytes, 0)
            .map_err(writing(names::MAP_SETTINGS))
    }
}

/// A random number that is not 0.
fn draw_seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    loop {
        let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
        let seed = u64::from_ne_bytes(bytes);
        if filled == bytes.len() && seed != 0 {
            return Ok(seed);
        }
    }
}
