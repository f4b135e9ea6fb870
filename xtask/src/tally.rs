//! Adding up what test runners say about themselves.

use std::fmt;
use std::ops::AddAssign;

/// Counts as printed by a runner; nothing is inferred from exit codes here.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Reads a summary line of cargo-nextest or of Rust's own test harness.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        parse_libtest(line).or_else(|| parse_nextest(line))
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; …`
fn parse_libtest(line: &str) -> Option<Tally> {
    let (_, rest) = line
        .trim()
        .strip_prefix("test result: ")?
        .split_once(". ")?;
    let mut tally = Tally::default();
    for part in rest.split("; ") {
        match counted(part) {
            Some((count, "passed")) => tally.passed = count,
            Some((count, "failed")) => tally.failed = count,
            Some((count, "ignored")) => tally.skipped = count,
            _ => {}
        }
    }
    Some(tally)
}

/// `Summary [ 0.1s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2 skipped`
fn parse_nextest(line: &str) -> Option<Tally> {
    let rest = line.trim().strip_prefix("Summary [")?;
    let (_, rest) = rest.split_once(" run: ")?;
    let mut tally = Tally::default();
    for part in without_brackets(rest).split(',') {
        match counted(part) {
            Some((count, "passed")) => tally.passed += count,
            Some((count, "failed" | "timed out" | "exec failed")) => tally.failed += count,
            Some((count, "skipped")) => tally.skipped += count,
            _ => {}
        }
    }
    Some(tally)
}

/// `12 passed` as a number and a word.
fn counted(part: &str) -> Option<(u64, &str)> {
    let (count, what) = part.trim().split_once(' ')?;
    Some((count.parse().ok()?, what.trim()))
}

fn without_brackets(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => {
                    depth = depth.saturating_sub(1);
                    return false;
                }
                _ => {}
            }
            depth == 0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, skipped: u64) -> Tally {
        Tally {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn lines_of_rusts_own_harness() {
        for (line, expected) in [
            (
                "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s",
                tally(12, 0, 1),
            ),
            (
                "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\r",
                tally(10, 2, 0),
            ),
        ] {
            assert_eq!(Tally::parse(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn lines_of_nextest() {
        for (line, expected) in [
            (
                "     Summary [   0.005s] 3 tests run: 3 passed, 0 skipped",
                tally(3, 0, 0),
            ),
            (
                "     Summary [  61.005s] 8 tests run: 5 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 1 exec failed, 4 skipped",
                tally(5, 3, 4),
            ),
            (
                "     Summary [   0.005s] 2/9 tests run: 1 passed, 1 failed, 0 skipped",
                tally(1, 1, 0),
            ),
            (
                "     Summary [   0.005s] 1 test run: 1 passed (1 leaky), 12 skipped",
                tally(1, 0, 12),
            ),
        ] {
            assert_eq!(Tally::parse(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in [
            "",
            "running 3 tests",
            "test a::b ... ok",
            "Summary of changes",
            "3 passed, 0 failed",
        ] {
            assert_eq!(Tally::parse(line), None, "{line}");
        }
    }

    #[test]
    fn the_closing_line() {
        let mut sum = Tally::default();
        sum += Tally::parse(
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
        )
        .unwrap();
        sum += Tally::parse("Summary [ 0.1s] 3 tests run: 2 passed, 1 failed, 0 skipped").unwrap();
        assert_eq!(sum.to_string(), "4 passed, 1 failed, 1 skipped");
    }
}
