//! Configured lists from their files. A file that cannot be read or is no list changes nothing: what
//! the list had stays, and the reason is told.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use bot_common::abi::verdict::Action;

use super::{ListIds, read};
use crate::{
    config::{List as Configured, ListAction},
    policy::{List, ListId, ListKind, Score},
};

/// What is known of the files of lists.
#[derive(Debug, Default)]
pub struct ListFiles {
    /// Of each list by name: what is wrong with its file.
    pub troubles: BTreeMap<String, String>,
}

impl ListFiles {
    /// Reads the files of all `configured` lists; `present` are the lists so far. Whether the result fits
    /// is for others to say.
    #[must_use]
    pub fn read(
        configured: &[Configured],
        present: &[List],
        ids: &mut ListIds,
    ) -> (Vec<List>, Self) {
        let mut lists = Vec::with_capacity(configured.len());
        let mut next = Self::default();
        for list in configured {
            let id = ids.of(&list.name);
            let before = present.iter().find(|before| before.id() == id);
            match load(list, id) {
                Ok((loaded, bad)) => {
                    lists.push(loaded);
                    next.troubles
                        .extend(bad.map(|bad| (list.name.clone(), bad)));
                }
                Err(error) => {
                    let kept = before.filter(|before| before.kind() == kind(list));
                    let stays = match kept {
                        Some(kept) => format!("its {} earlier entries stay", kept.len()),
                        None => "it has no entries".to_owned(),
                    };
                    lists.extend(kept.cloned());
                    let trouble = format!("list {}: {error}; {stays}", list.name);
                    next.troubles.insert(list.name.clone(), trouble);
                }
            }
        }
        (lists, next)
    }
}

/// The list, and what is to be said about lines that could not be read.
fn load(list: &Configured, id: ListId) -> Result<(List, Option<String>), String> {
    let bytes = read_file(&list.file)?;
    let entries = read(&bytes).map_err(|error| format!("{}: {error}", list.file.display()))?;
    let bad = (entries.bad > 0).then(|| {
        let shown: Vec<String> = entries.shown.iter().map(ToString::to_string).collect();
        let file = list.file.display();
        format!(
            "list {}: {} lines of {file} are left out ({})",
            list.name,
            entries.bad,
            shown.join("; ")
        )
    });
    let prefixes = entries.prefixes.into_iter();
    let scored = prefixes.map(|prefix| (prefix, Score::MAX));
    let name: Arc<str> = list.name.as_str().into();
    // The operator's own word: what popular networks are exempt from is feeds.
    let loaded = List::new(id, name, kind(list), scored).past_guard();
    Ok((loaded, bad))
}

fn read_file(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("reading {}: {error}", file.display()))
}

fn kind(list: &Configured) -> ListKind {
    let blocks = |monitor| ListKind::Category {
        action: Action::Drop,
        scope: list.scope,
        monitor,
    };
    match list.action {
        ListAction::Allow => ListKind::Allow,
        ListAction::Block => blocks(false),
        ListAction::Monitor => blocks(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::rule::Scope;

    fn configured(name: &str, file: &Path, action: ListAction) -> Configured {
        Configured {
            name: name.into(),
            file: file.to_owned(),
            action,
            scope: Scope::Services,
        }
    }

    /// Lists and their files, as an agent has them.
    #[derive(Default)]
    struct World(Vec<List>, ListFiles, ListIds);

    impl World {
        fn read(&self, configured: &[Configured]) -> Self {
            let mut ids = self.2.clone();
            let (lists, files) = ListFiles::read(configured, &self.0, &mut ids);
            Self(lists, files, ids)
        }
    }

    #[test]
    fn a_list_follows_its_file_and_keeps_what_it_had_when_that_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bad.txt");
        let wanted = [configured("bad", &file, ListAction::Block)];
        let nothing = World::default().read(&wanted);
        assert!(nothing.0.is_empty());
        assert!(nothing.1.troubles["bad"].contains("has no entries"));

        fs::write(&file, "192.0.2.1\n192.0.2.2\n").unwrap();
        let two = nothing.read(&wanted);
        assert_eq!((two.0[0].len(), two.1.troubles.len()), (2, 0));

        fs::write(&file, "<html>not a list</html>\n").unwrap();
        let kept = two.read(&wanted);
        assert_eq!(kept.0[0].len(), 2);
        assert!(kept.1.troubles["bad"].contains("2 earlier entries stay"));
        // Another use of the list is no use for what it had.
        let allow = [configured("bad", &file, ListAction::Allow)];
        assert!(kept.read(&allow).0.is_empty());
        assert!(kept.read(&[]).0.is_empty());
    }

    #[test]
    fn a_list_keeps_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&a, "192.0.2.1\n").unwrap();
        fs::write(&b, "192.0.2.2\n").unwrap();
        let first = configured("a", &a, ListAction::Block);
        let second = configured("b", &b, ListAction::Allow);
        let both = World::default().read(&[first.clone(), second.clone()]);
        let swapped = both.read(&[second, first]);
        assert_eq!(both.0[0].id(), swapped.0[1].id());
        assert_eq!(both.0[1].id(), swapped.0[0].id());
        assert_ne!(both.0[0].id(), both.0[1].id());
    }
}
