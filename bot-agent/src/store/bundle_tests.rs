//! Bundles against a plain map of rules.

use std::collections::BTreeMap;

use proptest::prelude::*;
use redb::{ReadableDatabase as _, ReadableTableMetadata as _};

use super::*;
use crate::store::Store;

/// The `kind`-th rule that somebody makes of identity `id`: kinds differ in their terms.
fn rule(id: u64, kind: u8) -> Arc<Rule> {
    let address = std::net::Ipv4Addr::from(0x0a00_0000 + u32::try_from(id).unwrap());
    Arc::new(Rule {
        id: RuleId(id),
        subject: address.to_string().parse().unwrap(),
        action: RuleAction::Block,
        scope: Scope::All,
        monitor: kind == 1,
        forced: false,
        deadline: None,
        reason: if kind == 2 { "other" } else { "" }.to_owned(),
        origin: Origin::Operator,
        created: Timestamp::UNIX_EPOCH,
    })
}

struct World {
    _folder: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            store: Store::open(folder.path()).unwrap(),
            _folder: folder,
        }
    }

    fn put(&mut self, ids: impl Iterator<Item = u64>, kind: u8) {
        let puts: Vec<Change> = ids.map(|id| Change::Put(rule(id, kind))).collect();
        self.store.commit(&puts).unwrap();
    }

    fn delete(&mut self, ids: impl Iterator<Item = u64>) {
        let deletes: Vec<Change> = ids.map(|id| Change::Delete(RuleId(id))).collect();
        self.store.commit(&deletes).unwrap();
    }

    fn ids(&mut self) -> Vec<u64> {
        let rules = self.store.load().unwrap().rules;
        rules.iter().map(|rule| rule.id.0).collect()
    }

    /// First identity and number of rules of each bundle.
    fn bundles(&mut self) -> Vec<(u64, usize)> {
        let read = self.store.database().unwrap().begin_read().unwrap();
        let bundles = read.open_table(BUNDLES).unwrap();
        let bundles = bundles.iter().unwrap().map(|entry| {
            let (first, value) = entry.unwrap();
            let bundle: Bundle = serde_json::from_slice(value.value()).unwrap();
            (first.value(), bundle.subjects.len())
        });
        bundles.collect()
    }
}

#[test]
fn rules_that_are_made_together_lie_together() {
    let mut world = World::new();
    world.put(1..=600, 0);
    world.put(601..=610, 0);
    world.put(611..=612, 1);
    let expected = [(1, 256), (257, 256), (513, 88), (601, 10), (611, 2)];
    assert_eq!(world.bundles(), expected);
    assert_eq!(world.ids(), (1..=612).collect::<Vec<_>>());
}

#[test]
fn who_goes_leaves_the_others_where_they_are() {
    let mut world = World::new();
    world.put(1..=300, 0);
    world.delete([1, 100, 101, 256, 300, 999].into_iter());
    let expected = [(2, 98), (102, 154), (257, 43)];
    assert_eq!(world.bundles(), expected);
    world.delete(2..=300);
    assert_eq!(world.bundles(), []);
}

#[test]
fn new_terms_of_all_rules_make_new_bundles_of_the_same_size() {
    let mut world = World::new();
    world.put(1..=600, 0);
    world.put(1..=600, 2);
    assert_eq!(world.bundles(), [(1, 256), (257, 256), (513, 88)]);
    let rules = world.store.load().unwrap().rules;
    assert!(rules.iter().all(|rule| rule.reason == "other"));
}

#[test]
fn rules_of_earlier_schemas_go_when_they_are_deleted_or_stored_anew() {
    let mut world = World::new();
    let database = world.store.database().unwrap();
    let transaction = database.begin_write().unwrap();
    let mut single = transaction.open_table(RULES).unwrap();
    for id in [3, 5, 7] {
        let value = json(&*rule(id, 0)).unwrap();
        single.insert(id, value.as_slice()).unwrap();
    }
    drop(single);
    transaction.commit().unwrap();
    world.put(4..=5, 0);
    world.delete([3].into_iter());
    assert_eq!(world.ids(), [4, 5, 7]);
    let read = world.store.database().unwrap().begin_read().unwrap();
    assert_eq!(read.open_table(RULES).unwrap().len().unwrap(), 1);
}

#[test]
fn a_bundle_that_cannot_be_read_is_damage_and_stays() {
    let mut world = World::new();
    world.put(1..=2, 0);
    let database = world.store.database().unwrap();
    let transaction = database.begin_write().unwrap();
    let mut bundles = transaction.open_table(BUNDLES).unwrap();
    bundles.insert(1, &b"{\"subjects\":"[..]).unwrap();
    drop(bundles);
    transaction.commit().unwrap();
    let error = world.store.load().unwrap_err().to_string();
    assert!(error.contains("damaged (rules from 1: "), "{error}");
    let error = world
        .store
        .commit(&[Change::Delete(RuleId(2))])
        .unwrap_err();
    assert!(error.to_string().contains("rules from 1: "), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_there_is_what_was_put_last_and_not_deleted_since(
        commits in proptest::collection::vec(
            proptest::collection::vec((1..40u64, 1..30u64, 0..4u8), 1..4),
            1..6,
        ),
    ) {
        let mut world = World::new();
        let mut expected: BTreeMap<u64, Arc<Rule>> = BTreeMap::new();
        for commit in commits {
            let mut changes = Vec::new();
            for (first, count, kind) in commit {
                for id in first..first + count {
                    if kind == 3 {
                        expected.remove(&id);
                        changes.push(Change::Delete(RuleId(id)));
                    } else {
                        expected.insert(id, rule(id, kind));
                        changes.push(Change::Put(rule(id, kind)));
                    }
                }
            }
            world.store.commit(&changes).unwrap();
            let stored = world.store.load().unwrap().rules;
            let expected: Vec<Rule> = expected.values().map(|rule| Rule::clone(rule)).collect();
            prop_assert_eq!(stored, expected);
        }
        let spans = world.bundles();
        prop_assert!(spans.iter().all(|(_, count)| *count > 0));
    }
}
