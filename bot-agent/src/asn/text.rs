//! Reads text databases line by line, whatever is in them.

use std::io::{self, BufRead, Read as _};

use super::{
    database::Pile,
    line::{Fault, Line, Separator, is_heading, parse, separator},
    names,
    open::{Format, Tally},
};

/// Longest line, bytes. Names in a table of the whole Internet have about 100.
const LONGEST_LINE: u64 = 4096;

/// Adds what `reader` says to `pile`, up to its end. Lines that cannot be read are counted.
pub(super) fn read(
    mut reader: impl BufRead,
    pile: &mut Pile,
    names: &mut names::Builder,
) -> io::Result<(Format, Tally)> {
    let separator = separator(reader.fill_buf()?);
    let mut tally = Tally::default();
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        let mut start = reader.by_ref().take(LONGEST_LINE);
        if start.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let cut = start.limit() == 0 && !line.ends_with(b"\n");
        if number == 1 {
            if line.starts_with(b"\xef\xbb\xbf") {
                line.drain(..3);
            }
            if !cut && is_heading(&line, separator) {
                continue;
            }
        }
        if cut {
            skip_line(&mut reader)?;
            tally.bad(number, Fault::TooLong);
            continue;
        }
        match parse(&line, separator) {
            Ok(Line::V4(range, name)) => {
                if let Some(asn) = range.asn {
                    names.add(asn, &name);
                }
                pile.v4.push(range);
                tally.entries += 1;
            }
            Ok(Line::V6(range, name)) => {
                if let Some(asn) = range.asn {
                    names.add(asn, &name);
                }
                pile.v6.push(range);
                tally.entries += 1;
            }
            Ok(Line::NotRouted) => tally.unrouted += 1,
            Ok(Line::Nothing) => {}
            Err(fault) => tally.bad(number, fault),
        }
    }
    let format = match separator {
        Separator::Comma => Format::Csv,
        Separator::Tab => Format::Tsv,
    };
    Ok((format, tally))
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    reader.skip_until(b'\n').map(|_| ())
}
