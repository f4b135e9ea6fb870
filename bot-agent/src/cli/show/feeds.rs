//! Feeds as people read them.

use std::io::{self, Write};

use super::{Table, packets, seconds};
use crate::{
    control::feeds::{Amount, FeedView, OverlapSide, OverlapView},
    event::render::Safe,
    wording::{grouped, grouped_of, many_of},
};

/// A line for each feed, and below the table why one needs a look.
pub(in crate::cli) fn feeds(feeds: &[FeedView], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new([
        "FEED", "STATE", "ENTRIES", "NEW", "GONE", "AGE", "NEXT", "PACKETS", "FOR",
    ]);
    for feed in feeds {
        let row = [
            feed.name.clone(),
            feed.state.name().to_owned(),
            grouped_of(feed.entries),
            grouped_of(feed.added),
            grouped_of(feed.removed),
            feed.age_seconds.map_or("never".to_owned(), brief),
            feed.next_seconds.map_or("-".to_owned(), brief),
            grouped(feed.hits.packets.into()),
            purpose(feed),
        ];
        table.row(row, out)?;
    }
    table.end(out)?;
    for feed in feeds {
        if let Some(held) = &feed.held {
            writeln!(out, "{}: {}", feed.name, Safe(&held.why))?;
        }
        if let Some(error) = &feed.error {
            writeln!(out, "{}: {}", feed.name, Safe(error))?;
        }
    }
    Ok(())
}

/// Everything about a feed, a line for each thing that there is to say.
pub(in crate::cli) fn feed(feed: &FeedView) -> String {
    let mut lines = vec![
        format!("{}: {}", feed.name, feed.state.name()),
        row("from", &Safe(&feed.source).to_string()),
        row("for", &purpose(feed)),
    ];
    lines.extend(feed.format.as_ref().map(|format| row("format", format)));
    lines.push(row("group", &feed.group));
    lines.push(row("entries", &entries(feed)));
    if let (Some(fetched), Some(age)) = (feed.fetched, feed.age_seconds) {
        lines.push(row(
            "fetched",
            &format!("{fetched:.0}, {} ago", seconds(age)),
        ));
    }
    lines.extend(
        feed.made
            .map(|made| row("made", &format!("{made:.0}, says the publisher"))),
    );
    let next = feed
        .next_seconds
        .map(|next| format!("in {}", seconds(next)));
    lines.extend(next.map(|next| row("next", &next)));
    lines.push(row("hits", &packets(feed.hits)));
    if feed.bad_lines > 0 {
        let bad = many_of(feed.bad_lines, "line");
        lines.push(row("unread", &format!("{bad} of the last content")));
        let shown = feed.bad_shown.iter();
        lines.extend(shown.map(|line| row("", &Safe(line).to_string())));
    }
    for thrown in &feed.thrown {
        let examples = thrown.examples.join(", ");
        let count = grouped_of(thrown.count);
        lines.push(row(
            "left out",
            &format!("{count} {}: {examples}", thrown.why),
        ));
    }
    if let Some(previous) = &feed.previous {
        let entries = many_of(previous.entries, "entry");
        let text = format!(
            "{entries} of {:.0}; `feeds rollback` puts them back",
            previous.fetched
        );
        lines.push(row("before", &text));
    }
    if let Some(held) = &feed.held {
        lines.push(row("held", &Safe(&held.why).to_string()));
    }
    lines.extend(
        feed.error
            .as_ref()
            .map(|error| row("trouble", &Safe(error).to_string())),
    );
    lines.join("\n")
}

/// Tab-separated: name, state, entries, prefixes, enforced, added, removed, age and next fetch in
/// seconds, packets.
pub(in crate::cli) fn feed_raw(feed: &FeedView) -> String {
    let or_nothing = |seconds: Option<u64>| seconds.map(|it| it.to_string()).unwrap_or_default();
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        feed.name,
        feed.state.name(),
        feed.entries,
        feed.prefixes,
        feed.enforced,
        feed.added,
        feed.removed,
        or_nothing(feed.age_seconds),
        or_nothing(feed.next_seconds),
        feed.hits.packets
    )
}

/// What two feeds have in common.
pub(in crate::cli) fn overlap(overlap: &OverlapView) -> String {
    let share = |side: &OverlapSide| {
        let [entries, v4, v6] = overlap.common.percent_of(&side.amount);
        format!(
            "{}: {}; in both are {entries:.1} % of its entries, {v4:.1} % of its IPv4 addresses, \
             {v6:.1} % of its IPv6 addresses",
            side.name,
            amount(&side.amount),
        )
    };
    format!(
        "in both: {}\n{}\n{}",
        amount(&overlap.common),
        share(&overlap.one),
        share(&overlap.other)
    )
}

fn amount(amount: &Amount) -> String {
    format!(
        "{}, {} IPv4 and {} IPv6 addresses",
        many_of(amount.entries, "entry"),
        grouped(amount.addresses_v4),
        grouped(amount.addresses_v6)
    )
}

fn purpose(feed: &FeedView) -> String {
    match &feed.category {
        Some(category) => format!("{} ({category})", feed.role),
        None => feed.role.clone(),
    }
}

fn entries(feed: &FeedView) -> String {
    let mut text = many_of(feed.entries, "entry");
    if feed.prefixes != feed.entries {
        text.push_str(&format!(", {}", many_of(feed.prefixes, "prefix")));
    }
    if feed.enforced == feed.prefixes {
        text.push_str(", all of them in force");
    } else {
        let enforced = grouped_of(feed.enforced);
        text.push_str(&format!(", {enforced} in force: see `bot-agent status`"));
    }
    text.push_str(&format!("; last update: {} new", grouped_of(feed.added)));
    text.push_str(&format!(", {} gone", grouped_of(feed.removed)));
    if feed.lingering > 0 {
        text.push_str(&format!(
            ", {} kept for their grace",
            grouped_of(feed.lingering)
        ));
    }
    text
}

fn row(name: &str, text: &str) -> String {
    format!("  {name:<9} {text}")
}

/// The largest unit alone.
fn brief(time: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(size, _)| time >= *size);
    unit.map_or_else(
        || format!("{time}s"),
        |(size, unit)| format!("{}{unit}", time / size),
    )
}
