//! Sizes of the kernel's tables, and refusals of what does not fit.

use bot_common::abi::verdict::VerdictId;

use super::slots::to_index;

/// How much the kernel's tables hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Different prefixes that rules and lists may name, protection aside.
    pub prefixes: usize,
    /// Verdict ids, [`VerdictId::NONE`] included; more than 65,536 are not used.
    pub verdicts: usize,
}

/// A table that cannot hold the policy. Nothing was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TableFull {
    /// Too many prefixes.
    #[error(
        "rules and lists name {needed} prefixes, [tables] prefixes allows {capacity}: raise [tables] \
         prefixes and reload; the old table stays in force"
    )]
    Prefixes {
        /// Prefixes of the new table.
        needed: usize,
        /// `[tables] prefixes`.
        capacity: usize,
    },
    /// Too many verdicts, though rules of one origin that say the same share them and their
    /// deadlines were rounded up to 1/16 of their life.
    #[error(
        "the rules need more than the {capacity} verdicts there are, even with shared ones: give \
         rules the same deadline{}; the old table stays in force",
        raise(*capacity)
    )]
    Verdicts {
        /// Ids besides [`VerdictId::NONE`].
        capacity: usize,
    },
    /// There are enough verdicts, but some were freed a moment ago.
    #[error(
        "the change needs verdicts that were freed within the last seconds: try again in \
         {seconds} s; the old table stays in force"
    )]
    Resting {
        /// When it will do.
        seconds: u64,
    },
}

/// What helps besides, unless the table is as large as it can be.
fn raise(capacity: usize) -> String {
    if capacity >= to_index(VerdictId::MAX) {
        return String::new();
    }
    let most = to_index(VerdictId::MAX) + 1;
    format!(", or raise [tables] verdicts ({most} at most) and restart the agent")
}
