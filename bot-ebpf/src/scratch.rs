//! Where the walk leaves its packet: per-CPU map memory.
//!
//! The many paths of the walk meet in it: what is read back is unknown to the verifier, which then
//! goes on once instead of once for each path, and the program's stack stays small.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use bot_common::packet::Packet;

#[map]
static SCRATCH: PerCpuArray<Packet> = PerCpuArray::with_max_entries(1, 0);

/// This CPU's packet, with what the last one left.
#[inline(always)]
pub(crate) fn packet() -> Option<&'static mut Packet> {
    let packet = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: a value of a per-CPU map; this CPU alone uses it, and XDP does not nest on a CPU.
    Some(unsafe { &mut *packet })
}

/// The packet as it lies in memory: nothing the compiler remembers of the walk is used further on.
#[inline(always)]
pub(crate) fn settled(packet: &'static mut Packet) -> &'static Packet {
    #[cfg(target_arch = "bpf")]
    // SAFETY: a register is copied to itself; the block may have changed memory, as far as the compiler knows.
    unsafe {
        core::arch::asm!("{0} = {0}", in(reg) packet, options(nostack));
    }
    packet
}
