//! Packet bytes: the only place that turns an offset into a pointer.
//!
//! Bytes are read from the linear part where they are there, and copied by `bpf_xdp_load_bytes`
//! where a packet continues in other buffers.

use core::mem::MaybeUninit;

use aya_ebpf::{EbpfContext, bindings::xdp_md, helpers::generated, programs::XdpContext};
use bot_common::read::Read;

/// Highest offset at which anything is read: link header, IP header and six extension headers of
/// the largest size. A bound that the verifier can see.
const MAX_OFFSET: usize = 0x3fff;

/// One packet of the driver.
pub(crate) struct Frame {
    ctx: *mut xdp_md,
    data: usize,
    end: usize,
    wire_len: u64,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        // SAFETY: the context is the one this program was called with.
        let wire_len = unsafe { generated::bpf_xdp_get_buff_len(ctx.ctx) };
        Self {
            ctx: ctx.ctx,
            data: ctx.data(),
            end: ctx.data_end(),
            wire_len,
        }
    }

    /// Bytes on the wire, all buffers together.
    #[inline(always)]
    pub(crate) fn wire_len(&self) -> u64 {
        self.wire_len
    }
}

impl Read for Frame {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        if offset > MAX_OFFSET {
            return None;
        }
        let from = self.data + offset;
        if ahead::<N>(from) <= self.end {
            return Some(read(from));
        }
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the helper writes N bytes, which `bytes` has.
        let failed = unsafe {
            generated::bpf_xdp_load_bytes(
                self.ctx,
                offset as u32,
                bytes.as_mut_ptr().cast(),
                N as u32,
            )
        };
        // SAFETY: the helper has written them all if it says so.
        (failed == 0).then(|| unsafe { bytes.assume_init() })
    }

    #[inline(always)]
    fn holds(&self, length: usize) -> bool {
        length as u64 <= self.wire_len
    }

    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    fn forget(&self, value: usize) -> usize {
        let mut value = value;
        // SAFETY: arithmetic on registers; the length is a number that the verifier does not know.
        unsafe {
            core::arch::asm!(
                "{0} += {1}",
                "{0} -= {1}",
                inout(reg) value,
                in(reg) self.wire_len,
                options(nostack, nomem)
            );
        }
        value
    }
}

/// `N` bytes at an address that the caller has compared with the packet's end. Headers begin at
/// even addresses (the driver's headroom is even, and so is every header's length), so an even
/// number of bytes is read in 16-bit loads.
#[inline(always)]
fn read<const N: usize>(from: usize) -> [u8; N] {
    #[repr(C, align(2))]
    struct Even<T>(T);
    if N.is_multiple_of(2) {
        // SAFETY: inside the packet, see above; BPF loads need no alignment on the supported machines.
        unsafe { (from as *const Even<[u8; N]>).read().0 }
    } else {
        // SAFETY: inside the packet, see above.
        unsafe { (from as *const [u8; N]).read() }
    }
}

/// `from + N`, such that the compiler cannot turn `from + 1 <= end` into `from < end`: verifiers
/// before 5.15 prove nothing from that form, and later ones nothing for a variable offset.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn ahead<const N: usize>(from: usize) -> usize {
    let mut next = from;
    // SAFETY: arithmetic on one register.
    unsafe {
        core::arch::asm!("{0} += {1}", inout(reg) next, const N, options(nostack, nomem, pure))
    };
    next
}

#[cfg(not(target_arch = "bpf"))]
fn ahead<const N: usize>(from: usize) -> usize {
    from + N
}

/// Copies `len` bytes (1 to `N`, a power of two) of the packet at `offset` to `to`.
///
/// # Safety
/// `to` must be valid for writes of `N` bytes.
#[inline(always)]
pub(crate) unsafe fn copy<const N: usize>(
    ctx: &XdpContext,
    offset: u32,
    len: u32,
    to: *mut u8,
) -> bool {
    let len = bounded::<N>(len);
    // SAFETY: the caller vouches for `to`, `bounded` for the length.
    unsafe { generated::bpf_xdp_load_bytes(ctx.as_ptr().cast(), offset, to.cast(), len) == 0 }
}

/// `len` where it is 1 to `N`: a mask that the compiler cannot see through and so cannot drop,
/// because the verifier needs it.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn bounded<const N: usize>(len: u32) -> u32 {
    let mut bounded = u64::from(len);
    // SAFETY: arithmetic on one register.
    unsafe {
        core::arch::asm!(
            "{0} += -1",
            "{0} &= {1}",
            "{0} += 1",
            inout(reg) bounded,
            const N - 1,
            options(nostack, nomem)
        );
    }
    bounded as u32
}

#[cfg(not(target_arch = "bpf"))]
fn bounded<const N: usize>(len: u32) -> u32 {
    len.min(N as u32)
}
