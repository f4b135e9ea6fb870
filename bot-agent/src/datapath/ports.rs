//! The port table: four sets of ports side by side.

use bot_common::abi::{names, ports::PortWord};
use zerocopy::transmute;

use super::tables::{TableError, Tables, reading, writing};
use crate::host::ports::PortSets;

/// What the port table holds, as far as this process knows; served ports are looked at every
/// second and seldom change.
pub(super) type Written = Option<PortSets>;

impl Tables {
    /// Makes the port table say `sets`. Only entries that differ are written; each is replaced as
    /// a whole, field by field.
    pub fn set_ports(&mut self, sets: &PortSets) -> Result<(), TableError> {
        if self.written.as_ref() == Some(sets) {
            return Ok(());
        }
        self.written = None;
        for index in Self::port_words() {
            let wanted = sets.word(index);
            if self.port_word(index)? != wanted {
                let bytes: [u8; size_of::<PortWord>()] = transmute!(wanted);
                self.ports
                    .set(index, bytes, 0)
                    .map_err(writing(names::MAP_PORTS))?;
            }
        }
        self.written = Some(sets.clone());
        Ok(())
    }

    /// What the port table says about the 64 ports of an entry.
    pub fn port_word(&self, index: u32) -> Result<PortWord, TableError> {
        let bytes = self
            .ports
            .get(&index, 0)
            .map_err(reading(names::MAP_PORTS))?;
        Ok(transmute!(bytes))
    }
}
