//! How the story looks: 80 columns, colour on a terminal only, long lines broken at spaces.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use rustix::termios::tcgetwinsize;

/// Columns where nobody says how many there are.
const USUAL_WIDTH: usize = 80;
/// Longer lines are hard to read.
const WIDEST: usize = 120;

/// Writes to standard output. A reader that goes away ends the story.
pub(crate) struct Teller {
    colour: bool,
    width: usize,
}

#[derive(Clone, Copy)]
enum Style {
    Title,
    Prompt,
    Command,
    Good,
}

impl Teller {
    pub(crate) fn new() -> Self {
        let out = io::stdout();
        let terminal = out.is_terminal();
        let columns = tcgetwinsize(&out).map_or(0, |size| usize::from(size.ws_col));
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colour: terminal && !dumb && !plain,
            width: if columns == 0 { USUAL_WIDTH } else { columns }.clamp(40, WIDEST),
        }
    }

    pub(crate) fn title(&self, text: &str) -> Result<()> {
        line("")?;
        line(&self.paint(Style::Title, text))
    }

    /// Prose.
    pub(crate) fn say(&self, text: &str) -> Result<()> {
        for part in wrap(text, self.width.min(USUAL_WIDTH), "", "") {
            line(&part)?;
        }
        Ok(())
    }

    /// A command as it was typed on a host.
    pub(crate) fn command(&self, host: &str, command: &str) -> Result<()> {
        line("")?;
        let mut lines =
            wrap(&format!("$ {command}"), self.width - host.len(), "", "    ").into_iter();
        let first = lines.next().unwrap_or_default();
        let prompt = self.paint(Style::Prompt, host);
        line(&format!("{prompt}{}", self.paint(Style::Command, &first)))?;
        for part in lines {
            line(&self.paint(Style::Command, &part))?;
        }
        Ok(())
    }

    /// What a command printed.
    pub(crate) fn output(&self, text: &str) -> Result<()> {
        for printed in text.trim_end().lines() {
            if printed.trim().is_empty() {
                line("")?;
                continue;
            }
            for part in wrap(printed.trim_end(), self.width, "  ", "      ") {
                line(&part)?;
            }
        }
        Ok(())
    }

    /// What was seen to be true.
    pub(crate) fn good(&self, text: &str) -> Result<()> {
        for part in wrap(text, self.width.min(USUAL_WIDTH), "=> ", "   ") {
            line(&self.paint(Style::Good, &part))?;
        }
        Ok(())
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match style {
            Style::Title => "1;36",
            Style::Prompt => "34",
            Style::Command => "1",
            Style::Good => "32",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

fn line(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}")?;
    Ok(())
}

/// Breaks a line at spaces. Words that are longer than a line stay whole; spaces inside a line
/// stay as they are, so that columns line up.
fn wrap(text: &str, width: usize, first: &str, next: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    let mut indent = first;
    loop {
        let room = width.saturating_sub(indent.len()).max(1);
        let fits = rest.chars().count() <= room;
        let end = if fits { None } else { break_at(rest, room) };
        let Some(end) = end else {
            lines.push(format!("{indent}{rest}"));
            return lines;
        };
        let (line, more) = rest.split_at(end);
        lines.push(format!("{indent}{}", line.trim_end()));
        rest = more.trim_start();
        indent = next;
    }
}

/// Byte position of the last space within the first `room` + 1 characters, or of the first one
/// behind them; none when there is nothing to break.
fn break_at(text: &str, room: usize) -> Option<usize> {
    // Spaces in front are no place to break: the line would be empty.
    let start = text.len() - text.trim_start().len();
    let spaces = || {
        text.char_indices()
            .enumerate()
            .filter(|(_, (byte, c))| *c == ' ' && *byte > start)
    };
    let within = spaces().take_while(|(count, _)| *count <= room).last();
    within
        .or_else(|| spaces().next())
        .map(|(_, (byte, _))| byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_the_last_space_that_fits() {
        assert_eq!(
            wrap("one two three four", 9, "", "  "),
            ["one two", "  three", "  four"]
        );
        assert_eq!(wrap("one two", 7, "", ""), ["one two"]);
        assert_eq!(wrap("", 7, "  ", ""), ["  "]);
    }

    #[test]
    fn long_words_stay_whole() {
        assert_eq!(
            wrap("a 2001:db8:aaaa:bbbb::1 b", 8, "", ""),
            ["a", "2001:db8:aaaa:bbbb::1", "b"]
        );
    }

    #[test]
    fn columns_stay_in_line() {
        assert_eq!(wrap("  rule     none", 40, "  ", ""), ["    rule     none"]);
        assert_eq!(wrap("  aaaaaaaaaa bb", 6, "", ""), ["  aaaaaaaaaa", "bb"]);
    }

    #[test]
    fn nothing_gets_lost() {
        let text = "The kernel decides from the packet and its maps alone.";
        for width in 1..80 {
            assert_eq!(wrap(text, width, "", "").join(" "), text, "{width}");
        }
    }
}
