//! The two clocks and the boot they belong to.

use std::sync::OnceLock;

use jiff::Timestamp;
use rustix::{
    rand::{GetRandomFlags, getrandom},
    time::{ClockId, clock_gettime},
};

use crate::rules::time::{BootId, Now};

/// Reads both clocks.
pub fn now() -> Now {
    Now {
        wall: Timestamp::now(),
        boot_ns: boot_ns(),
        boot: boot_id(),
    }
}

/// `CLOCK_BOOTTIME`, nanoseconds: the clock of every deadline in the kernel's tables.
pub fn boot_ns() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// The running boot, from `/proc/sys/kernel/random/boot_id`.
///
/// Where that cannot be read, a random id of this process: it equals no stored one, so deadlines
/// set earlier are judged by wall time, as after a reboot.
pub fn boot_id() -> BootId {
    static BOOT: OnceLock<BootId> = OnceLock::new();
    *BOOT.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .ok()
            .and_then(|text| parse_boot_id(&text))
            .unwrap_or_else(random_boot_id)
    })
}

fn parse_boot_id(text: &str) -> Option<BootId> {
    let digits = text.trim().replace('-', "");
    if digits.len() != 32 {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(BootId)
}

fn random_boot_id() -> BootId {
    let mut bytes = [0; 16];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(16) => BootId(u128::from_ne_bytes(bytes)),
        _ => BootId(u128::from(boot_ns()) << 64 | u128::from(std::process::id())),
    }
}

/// A random number; the clock's last digits where the kernel gives none.
pub fn random() -> u32 {
    let mut bytes = [0; 4];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(4) => u32::from_ne_bytes(bytes),
        _ => boot_ns()
            .to_ne_bytes()
            .first_chunk()
            .map_or(0, |low| u32::from_ne_bytes(*low)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_ids_are_the_uuids_128_bits() {
        assert_eq!(
            parse_boot_id("00000000-0000-0000-0000-0000000000ff\n"),
            Some(BootId(255))
        );
        assert_eq!(parse_boot_id(""), None);
        assert_eq!(parse_boot_id("no"), None);
    }

    #[test]
    fn the_boot_does_not_change_and_its_clock_runs() {
        assert_eq!(boot_id(), boot_id());
        let before = boot_ns();
        assert!(before > 0);
        assert!(now().boot_ns >= before);
    }
}
