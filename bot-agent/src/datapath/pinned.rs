//! The pinned tables without the programs: for commands that work when no daemon runs.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
};

use aya::maps::{Map, MapData};
use bot_common::abi::names;

use super::{
    attachment::{self, Attachment},
    error::{AttachError, Error},
    folder::PinFolder,
    tables::Tables,
};

/// The tables of this layout version.
pub struct Pinned {
    folder: PinFolder,
    tables: Tables,
}

impl Pinned {
    /// Opens what an agent pinned under `pin_dir`. Needs the right to open the pins: root, or the
    /// agent's user.
    pub fn open(pin_dir: &Path) -> Result<Self, Error> {
        let nothing = || Error::NothingPinned {
            path: pin_dir.to_owned(),
        };
        let folder = PinFolder::find(pin_dir)?.ok_or_else(nothing)?;
        let maps = folder.layout().maps();
        if !names::PINNED_MAPS
            .iter()
            .all(|name| maps.join(name).exists())
        {
            return Err(nothing());
        }
        let mut open = |name| {
            MapData::from_pin(maps.join(name))
                .and_then(Map::from_map_data)
                .map_err(|source| Error::Map { name, source })
        };
        let tables = Tables::new(&mut open, &maps)?;
        Ok(Self { folder, tables })
    }

    /// What is attached.
    pub fn attachments(&self) -> Result<Vec<Attachment>, AttachError> {
        attachment::list(&self.folder)
    }
}

impl Deref for Pinned {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.tables
    }
}

impl DerefMut for Pinned {
    fn deref_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }
}
