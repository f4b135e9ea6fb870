//! The port tables: four sets of ports side by side, and the groups that verdicts ask about.

use bot_common::abi::{
    names,
    ports::{GROUP_LINES, GroupLine, PortWord},
};
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

    /// Makes the table of port groups say `lines`, entry by entry. Only entries that differ are written;
    /// in each, a port goes from its old groups to its new ones at once.
    pub fn set_port_groups(&mut self, lines: &[GroupLine]) -> Result<(), TableError> {
        for (index, wanted) in (0..GROUP_LINES).zip(lines) {
            if self.port_groups(index)? != *wanted {
                let bytes: [u8; size_of::<GroupLine>()] = transmute!(*wanted);
                self.port_groups
                    .set(index, bytes, 0)
                    .map_err(writing(names::MAP_PORT_GROUPS))?;
            }
        }
        Ok(())
    }

    /// What the table of port groups says about the 32 ports of an entry.
    pub fn port_groups(&self, index: u32) -> Result<GroupLine, TableError> {
        let bytes = self
            .port_groups
            .get(&index, 0)
            .map_err(reading(names::MAP_PORT_GROUPS))?;
        Ok(transmute!(bytes))
    }
}
