//! Lists: from the `[[list]]`s to what is to be read and what its addresses are good for.

use std::{collections::BTreeSet, path::PathBuf};

use toml::Spanned;

use super::{
    error::ConfigError,
    keys::wrong,
    layers::{Layers, Lines, Place},
    raw,
};
use crate::rules::rule::Scope;

pub use super::raw::ListAction;

/// A `[[list]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct List {
    /// Its name, told apart from those of all others.
    pub name: String,
    /// A file of addresses, CIDRs and ranges, one a line.
    pub file: PathBuf,
    /// What happens to sources that it names.
    pub action: ListAction,
    /// Which packets of theirs; allowed sources are allowed altogether.
    pub scope: Scope,
}

/// All lists, in the order of the files.
pub(super) fn lists(layers: &Layers) -> Result<Vec<List>, ConfigError> {
    let mut names = BTreeSet::new();
    let mut lists = Vec::new();
    for (list, place, lines) in layers.entries(|raw| &raw.list) {
        let list = checked(list, &place, lines)?;
        if !names.insert(list.name.clone()) {
            return Err(wrong(
                "name",
                &place,
                format!("two lists are called `{}`", list.name),
            ));
        }
        lists.push(list);
    }
    Ok(lists)
}

fn checked(list: &raw::List, place: &Place, lines: Lines<'_>) -> Result<List, ConfigError> {
    let name = list.name.get_ref();
    if !is_name(name) {
        let what = format!("`{name}` must have 1 to 32 of the characters a-z, 0-9, - and _");
        return Err(wrong("name", &lines.place(&list.name), what));
    }
    let file = PathBuf::from(list.file.get_ref());
    if !file.is_absolute() {
        let what = format!("`{}` is no absolute path", file.display());
        return Err(wrong("file", &lines.place(&list.file), what));
    }
    let action = *list.action.get_ref();
    if action == ListAction::Allow && list.scope.is_some() {
        let what = "has no meaning for an allow list, which exempts from every block of a list";
        return Err(wrong("scope", place, what));
    }
    Ok(List {
        name: name.clone(),
        file,
        action,
        scope: list
            .scope
            .as_ref()
            .map_or(Scope::Services, |scope| *Spanned::get_ref(scope)),
    })
}

/// Whether a text can be a name, of a list or of what is told apart like one.
pub(super) fn is_name(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=32).contains(&name.len()) && name.bytes().all(fits)
}
