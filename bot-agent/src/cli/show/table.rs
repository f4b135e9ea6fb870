//! Tables of any length in bounded memory: the first rows say how wide the columns are.

use std::io::{self, Write};

use super::{action, entries, qualities, seconds};
use crate::{
    control::{
        list::{Family, Summary},
        view::RuleView,
    },
    event::render::Safe,
    wording::grouped_of,
};

/// Rows that are held back to find the widths.
const HELD: usize = 1_000;

/// A table that is written as its rows come.
#[derive(Debug)]
pub(in crate::cli) struct Table<const COLUMNS: usize> {
    widths: [usize; COLUMNS],
    /// For rows that nobody has seen yet.
    room: [usize; COLUMNS],
    held: Vec<[String; COLUMNS]>,
    rows: usize,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table with a heading, which is written with the first row.
    pub(in crate::cli) fn new(heading: [&str; COLUMNS]) -> Self {
        Self {
            widths: [0; COLUMNS],
            room: [0; COLUMNS],
            held: vec![heading.map(str::to_owned)],
            rows: 0,
        }
    }

    /// The same; in a long table no column is narrower than in `room`.
    pub(super) fn with_room(self, room: [usize; COLUMNS]) -> Self {
        Self { room, ..self }
    }

    /// Adds a row. Cells that are wider than any of the first rows push the rest of theirs aside.
    pub(in crate::cli) fn row(
        &mut self,
        row: [String; COLUMNS],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.rows += 1;
        if self.rows > HELD {
            return write_row(&row, self.widths, out);
        }
        self.held.push(row);
        if self.rows == HELD {
            self.widths = self.room;
            self.release(out)?;
        }
        Ok(())
    }

    /// Writes what was held back. Returns how many rows there were; without any there is no heading
    /// either.
    pub(in crate::cli) fn end(mut self, out: &mut dyn Write) -> io::Result<usize> {
        if self.rows > 0 {
            self.release(out)?;
        }
        Ok(self.rows)
    }

    fn release(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let rows = std::mem::take(&mut self.held);
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        rows.iter()
            .try_for_each(|row| write_row(row, self.widths, out))
    }
}

fn write_row<const COLUMNS: usize>(
    row: &[String; COLUMNS],
    widths: [usize; COLUMNS],
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(&format!("{cell:<width$}  "));
    }
    writeln!(out, "{}", line.trim_end())
}

/// A table for rules.
pub(in crate::cli) fn rule_table() -> Table<7> {
    Table::new([
        "RULE", "ACTION", "PREFIX", "ENDS", "PACKETS", "ORIGIN", "REASON",
    ])
    // An id of seven digits, the longest network of IPv4, some days, some packets.
    .with_room([8, 0, 18, 10, 10, 0, 0])
}

/// A rule as its row.
pub(in crate::cli) fn rule_row(rule: &RuleView) -> [String; 7] {
    [
        rule.rule.to_string(),
        format!("{}{}", action(rule.action), qualities(rule)),
        rule.subject.to_string(),
        rule.remaining_seconds.map_or("never".into(), seconds),
        rule.hits
            .map_or(String::new(), |hits| hits.packets.to_string()),
        Safe(&rule.origin).to_string(),
        Safe(&rule.reason).to_string(),
    ]
}

/// How many rules and entries of lists there are, a line for each kind, and of both in all.
pub(in crate::cli) fn summary(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(["ORIGIN", "ACTION", "FAMILY", "COUNT"]);
    for count in &summary.counts {
        let row = [
            count.origin.to_string(),
            action(count.action).to_owned(),
            family(count.family).to_owned(),
            grouped_of(count.rules),
        ];
        table.row(row, out)?;
    }
    for count in &summary.lists {
        let [origin, action, family] = entries::kind(count);
        table.row([origin, action, family, grouped_of(count.entries)], out)?;
    }
    let mut all = |what: &str, count| {
        let cells = [what, "", "", &grouped_of(count)];
        table.row(cells.map(str::to_owned), out)
    };
    // Whoever asks for lists only has no use for the number of rules, which is 0.
    if summary.rules > 0 || summary.entries == 0 {
        all("all rules", summary.rules)?;
    }
    if summary.entries > 0 {
        all("all lists", summary.entries)?;
    }
    table.end(out)?;
    Ok(())
}

/// Tab-separated: origin, action, family, how many, and the list's name.
pub(in crate::cli) fn summary_raw(summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    summary.counts.iter().try_for_each(|count| {
        writeln!(
            out,
            "{}\t{}\t{}\t{}\t",
            count.origin,
            action(count.action),
            family(count.family),
            count.rules
        )
    })?;
    summary.lists.iter().try_for_each(|count| {
        writeln!(
            out,
            "{}\t{}\t{}\t{}\t{}",
            count.origin,
            count.action,
            family(Some(count.family)),
            count.entries,
            Safe(&count.list)
        )
    })
}

pub(super) fn family(family: Option<Family>) -> &'static str {
    match family {
        Some(Family::V4) => "ipv4",
        Some(Family::V6) => "ipv6",
        None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(rows: impl IntoIterator<Item = [String; 2]>) -> String {
        let mut out = Vec::new();
        let mut table = Table::new(["A", "B"]);
        for row in rows {
            table.row(row, &mut out).unwrap();
        }
        table.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let rows = [["long cell", "x"], ["y", ""]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(text(rows), "A          B\nlong cell  x\ny\n");
        assert_eq!(text([]), "");
    }

    #[test]
    fn rows_are_written_before_the_end_and_none_is_lost() {
        let row = |number: usize| [number.to_string(), "x".to_owned()];
        for count in [HELD - 1, HELD, HELD + 1, 3 * HELD] {
            assert_eq!(text((0..count).map(row)).lines().count(), count + 1);
        }
        let (mut out, mut table) = (Vec::new(), Table::new(["A", "B"]));
        for number in 0..=HELD {
            table.row(row(number), &mut out).unwrap();
        }
        assert!(out.ends_with(b"\n1000  x\n"), "nothing waits for the end");
        assert!(table.held.is_empty());
    }
}
