//! Exit codes of the command line: a documented interface, scripts branch on them.

/// How a command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done; for `check`: the address would pass.
    Ok = 0,
    /// `check`: a block covers the address; `unblock`: the address stays blocked by something else.
    Blocked = 1,
    /// Wrong usage, or the command failed.
    Failure = 2,
    /// No agent answers on the control socket.
    NotRunning = 3,
    /// The interface has an XDP program that is not ours.
    ForeignProgram = 4,
    /// A capability or a file permission is missing.
    MissingPrivilege = 5,
    /// The kernel is older than 6.1 or lacks something needed.
    KernelTooOld = 6,
    /// The configuration is wrong.
    BadConfig = 7,
}

impl ExitCode {
    /// Every code with its meaning in a few words, for the documentation.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Ok, "done; check: would pass"),
        (
            Self::Blocked,
            "check: a block covers the address; unblock: it stays blocked",
        ),
        (
            Self::Failure,
            "wrong usage, or failed; unblock: there is no such rule",
        ),
        (Self::NotRunning, "the agent is not running"),
        (
            Self::ForeignProgram,
            "the interface has an XDP program of somebody else",
        ),
        (Self::MissingPrivilege, "missing privilege"),
        (Self::KernelTooOld, "kernel too old (minimum 6.1)"),
        (Self::BadConfig, "bad configuration"),
    ];

    /// The number given to the parent process.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_documentation() {
        let codes: Vec<u8> = ExitCode::ALL.iter().map(|(code, _)| code.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
