//! What the kernel said, out of aya's errors: some of them keep the error number in their source,
//! where a message on one line does not show it.

use aya::{
    maps::MapError,
    programs::{ProgramError, xdp::XdpError},
};

/// The error number of a map operation.
pub(super) fn map_errno(error: &MapError) -> Option<i32> {
    if let MapError::SyscallError(error) = error {
        return error.io_error.raw_os_error();
    }
    if let MapError::IoError(error) = error {
        return error.raw_os_error();
    }
    None
}

/// A map operation's failure in words.
pub(super) fn map_reason(error: &MapError) -> String {
    if let MapError::SyscallError(error) = error {
        return error.io_error.to_string();
    }
    error.to_string()
}

/// The error number of a program's load or attachment.
pub(super) fn program_errno(error: &ProgramError) -> Option<i32> {
    if let ProgramError::SyscallError(error) = error {
        return error.io_error.raw_os_error();
    }
    if let ProgramError::XdpError(XdpError::NetlinkError(error)) = error {
        return error.raw_os_error();
    }
    None
}

/// A program's failure in words: the kernel's reason, and of a refused load the last lines of the
/// verifier's log, where its complaint stands.
pub(super) fn program_reason(error: &ProgramError) -> String {
    const LINES: usize = 12;
    if let ProgramError::SyscallError(error) = error {
        return error.io_error.to_string();
    }
    if let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    {
        let log = verifier_log.to_string();
        let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
        let tail = lines
            .get(lines.len().saturating_sub(LINES)..)
            .unwrap_or_default()
            .join("\n");
        return format!("{io_error}; the verifier's last words:\n{tail}");
    }
    error.to_string()
}
