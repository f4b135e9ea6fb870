//! The prefix store: which generation is in force, and the one that this agent writes.
//!
//! A whole new policy goes into a new generation, which is then put in force by one update of the map
//! of maps; the kernel returns from it when no packet is decided by the old one any more. Small
//! changes are stored into the generation in force, in an order that shows every packet the old answer
//! or the new one ([`crate::table`]). The generation in force is pinned beside the map of maps,
//! because an agent without `CAP_SYS_ADMIN` cannot open it through the latter.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::maps::{ArrayOfMaps, Map, MapData, MapError};
use bot_common::{
    abi::{names, verdict::VerdictId},
    address::Address,
};

use super::{
    error::Error,
    generation::Generation,
    tables::{TableError, writing},
};
use crate::{
    rules::prefix::Prefix,
    table::{Image, Ranges, Table, Usage, View},
};

/// Lines beyond those of the image that a generation has room for, as a share of them.
const ROOM_SHARE: u32 = 4;
/// Lines that it has room for at least (256 KiB).
const ROOM_LINES: u32 = 4096;
/// Changes in place after which replaced blocks are given free.
const CHANGES_TO_QUIESCE: u32 = 1024;

/// The map of maps and what it holds.
pub(super) struct PrefixStore {
    outer: ArrayOfMaps<MapData, MapData>,
    in_force: InForce,
    pins: PathBuf,
    changes: u32,
}

enum InForce {
    /// No verdict for any address.
    Nothing,
    /// An earlier agent's, or another process's: read only.
    Found(View<Generation>),
    /// Written by this agent.
    Own(Table<Generation>),
}

impl PrefixStore {
    /// `pins`: the folder of map pins.
    pub(super) fn new(outer: Map, pins: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Map {
            name: names::MAP_TABLE,
            source,
        };
        let outer = ArrayOfMaps::try_from(outer).map_err(failed)?;
        let in_force = match find(pins).map_err(failed)? {
            Some(generation) => match View::new(generation) {
                Ok(view) => InForce::Found(view),
                Err(damaged) => {
                    tracing::warn!("the table of an earlier agent: {damaged}; it is replaced");
                    InForce::Nothing
                }
            },
            None => InForce::Nothing,
        };
        Ok(Self {
            outer,
            in_force,
            pins: pins.to_owned(),
            changes: 0,
        })
    }

    /// The verdict id of an address, read as the kernel reads it.
    pub(super) fn lookup(&self, address: &Address) -> VerdictId {
        match &self.in_force {
            InForce::Nothing => VerdictId::NONE,
            InForce::Found(view) => view.lookup(address),
            InForce::Own(table) => table.lookup(address),
        }
    }

    /// Everything that the generation in force says.
    pub(super) fn ranges(&self) -> Ranges {
        match &self.in_force {
            InForce::Nothing => Ranges::default(),
            InForce::Found(view) => view.ranges(),
            InForce::Own(table) => table.ranges(),
        }
    }

    /// The same within a prefix.
    pub(super) fn ranges_within(&self, region: Prefix) -> Ranges {
        match &self.in_force {
            InForce::Nothing => Ranges::default(),
            InForce::Found(view) => view.ranges_within(region),
            InForce::Own(table) => table.ranges_within(region),
        }
    }

    /// How much of the generation is used; none before the first [`Self::swap`].
    pub(super) fn usage(&self) -> Option<Usage> {
        match &self.in_force {
            InForce::Nothing | InForce::Found(_) => None,
            InForce::Own(table) => Some(table.usage()),
        }
    }

    /// Puts a new generation in force. When it returns, no packet is decided by the old one any more.
    pub(super) fn swap(&mut self, image: Image) -> Result<(), TableError> {
        let used = image.lines();
        let lines = used.saturating_add((used / ROOM_SHARE).max(ROOM_LINES));
        let generation = Generation::make(lines).map_err(writing(names::MAP_GENERATION))?;
        let table = Table::install(generation, image).map_err(|full| TableError::Room { full })?;
        self.put_in_force(table.memory())?;
        self.in_force = InForce::Own(table);
        self.changes = 0;
        Ok(())
    }

    /// Stores `ranges` as all that `region` says, in place. `false`: that takes a new generation.
    pub(super) fn update(&mut self, region: Prefix, ranges: &Ranges) -> Result<bool, TableError> {
        let InForce::Own(table) = &mut self.in_force else {
            return Ok(false);
        };
        self.changes += 1;
        if self.changes < CHANGES_TO_QUIESCE && table.update(region, ranges).is_ok() {
            return Ok(true);
        }
        self.changes = 0;
        // The kernel returns from an update of a map of maps when every run has ended that might
        // have read what was there before: the replaced blocks can be used again.
        let map = table.memory().map();
        self.outer
            .set(0, map, 0)
            .map_err(writing(names::MAP_TABLE))?;
        table.quiesce();
        Ok(table.update(region, ranges).is_ok())
    }

    /// The pin is made before the update and gets its name after it: a stop in between leaves both,
    /// and then the unfinished one is in force (see [`find`]).
    fn put_in_force(&mut self, generation: &Generation) -> Result<(), TableError> {
        let unfinished = self.pins.join(UNFINISHED);
        let pin = |source| TableError::Pin { source };
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(pin(error)),
            Ok(()) | Err(_) => {}
        }
        generation
            .map()
            .pin(&unfinished)
            .map_err(|error| pin(io::Error::other(error)))?;
        self.outer
            .set(0, generation.map(), 0)
            .map_err(writing(names::MAP_TABLE))?;
        fs::rename(&unfinished, self.pins.join(names::MAP_GENERATION)).map_err(pin)
    }
}

/// The pin of a generation that is being put in force; a BPF file system refuses names with a dot.
const UNFINISHED: &str = "GENERATION_NEW";

/// The generation in force, if an agent put one there.
fn find(pins: &Path) -> Result<Option<Generation>, MapError> {
    for name in [UNFINISHED, names::MAP_GENERATION] {
        let path = pins.join(name);
        if path.exists() {
            return MapData::from_pin(path)
                .and_then(Generation::adopt)
                .map(Some);
        }
    }
    Ok(None)
}
