//! The clock of all deadlines.

use aya_ebpf::helpers::generated;

/// `CLOCK_BOOTTIME`, nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes nothing and returns a number.
    unsafe { generated::bpf_ktime_get_boot_ns() }
}
