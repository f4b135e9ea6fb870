//! Pins of a start that may fail yet.

use std::path::{Path, PathBuf};

use super::{
    error::{self, Error},
    folder::{PinFolder, names_in, remove_if_empty},
};

/// What a start pins where nothing was pinned before, so that it can take it back.
#[derive(Debug)]
pub struct FreshPins {
    /// Nothing when tables were there: those are adopted.
    fresh: Option<PinFolder>,
    shown: PathBuf,
    folder_was_there: bool,
}

impl FreshPins {
    /// To be asked before anything is loaded. `folder_was_there`: before the folder was opened.
    pub fn of(folder: &PinFolder, folder_was_there: bool) -> Result<Self, Error> {
        let is_fresh = !folder.layout().root.exists();
        let fresh = is_fresh.then(|| folder.duplicate()).transpose()?;
        Ok(Self {
            fresh,
            shown: folder.shown().to_owned(),
            folder_was_there,
        })
    }

    /// The path as it was given, for people.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// Removes programs and tables, unless a link is there: something is filtered by them.
    pub fn remove(&self) -> Result<(), Error> {
        let Some(pins) = &self.fresh else {
            return Ok(());
        };
        let layout = pins.layout();
        let links = names_in(&layout.links()).map_err(error::folder("listing", &self.shown))?;
        if links.is_empty() {
            layout.remove()?;
        }
        if !self.folder_was_there {
            remove_if_empty(&self.shown)?;
        }
        Ok(())
    }
}
