//! Entries of lists, and how many there are.

use super::{
    marks, scope,
    table::{Table, family},
};
use crate::{
    control::{
        entries::{EntryCount, EntryView},
        list::Summary,
    },
    event::render::Safe,
    wording::many_of,
};

/// A table for entries.
pub(in crate::cli) fn entry_table() -> Table<3> {
    // The longest network of IPv4, and what most entries do.
    Table::new(["PREFIX", "ACTION", "LIST"]).with_room([18, 16, 0])
}

/// An entry as its row.
pub(in crate::cli) fn entry_row(entry: &EntryView) -> [String; 3] {
    let score = entry.score.map(|score| format!(" (score {score})"));
    let marks = marks(entry.scope, entry.monitor, false);
    [
        entry.prefix.to_string(),
        format!("{}{marks}{}", entry.action, score.unwrap_or_default()),
        Safe(&entry.list).to_string(),
    ]
}

/// Tab-separated: prefix, action, scope, list, score.
pub(in crate::cli) fn entry_raw(entry: &EntryView) -> String {
    format!(
        "{}\t{}\t{}\t{}\t{}",
        entry.prefix,
        entry.action,
        scope(entry.scope),
        Safe(&entry.list),
        entry.score.map_or(String::new(), |score| score.to_string())
    )
}

/// What a list of rules leaves out; nothing: nothing.
pub(in crate::cli) fn left_out(summary: &Summary) -> Option<String> {
    let mut names: Vec<&str> = summary.lists.iter().map(|count| &*count.list).collect();
    names.dedup();
    (summary.entries > 0).then(|| {
        format!(
            "not shown: {} of {} (--origin list shows them, --summary counts them)",
            many_of(summary.entries, "prefix"),
            many_of(names.len(), "list")
        )
    })
}

/// A kind of entries, as the first cells of a summary's row.
pub(super) fn kind(count: &EntryCount) -> [String; 3] {
    [
        format!("list {}", Safe(&count.list)),
        count.action.to_string(),
        family(Some(count.family)).to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{
            entries::EntryAction,
            list::{Family, OriginName},
        },
        rules::rule::Scope,
    };

    fn view() -> EntryView {
        EntryView {
            prefix: "198.51.100.0/24".parse().unwrap(),
            action: EntryAction::Block,
            scope: Scope::Services,
            list: "bad".into(),
            score: None,
            monitor: true,
        }
    }

    #[test]
    fn an_entry_says_what_it_does_as_a_rule_does() {
        let cells = ["198.51.100.0/24", "block (services) (monitor only)", "bad"];
        assert_eq!(entry_row(&view()), cells);
        let scored = EntryView {
            action: EntryAction::Throttle,
            scope: Scope::All,
            score: Some(70),
            monitor: false,
            ..view()
        };
        assert_eq!(entry_row(&scored)[1], "throttle (score 70)");
        assert_eq!(
            entry_raw(&view()),
            "198.51.100.0/24\tblock\tservices\tbad\t"
        );
        assert_eq!(
            entry_raw(&scored),
            "198.51.100.0/24\tthrottle\tall\tbad\t70"
        );
    }

    #[test]
    fn what_is_left_out_is_counted_by_prefixes_and_lists() {
        let count = |list: &str, family, entries| EntryCount {
            origin: OriginName::List,
            list: list.into(),
            action: EntryAction::Block,
            family,
            entries,
        };
        let lists = vec![
            count("a", Family::V4, 1_000),
            count("a", Family::V6, 1),
            count("b", Family::V4, 2),
        ];
        let summary = Summary {
            entries: 1_003,
            lists,
            ..Summary::default()
        };
        let said = "not shown: 1,003 prefixes of 2 lists (--origin list shows them, --summary counts them)";
        assert_eq!(left_out(&summary).as_deref(), Some(said));
        assert_eq!(left_out(&Summary::default()), None);
    }
}
