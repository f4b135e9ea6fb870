//! Maps by bpf(2) itself: a longest-prefix trie, filled in batches as any loader can do best, and maps
//! that refuse what is written.
#![allow(unsafe_code, reason = "bpf(2) has no safe wrapper for these")]

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd},
};

use nix::libc;

use crate::lists::Entry;

const MAP_CREATE: libc::c_long = 0;
const MAP_FREEZE: libc::c_long = 22;
const MAP_UPDATE_BATCH: libc::c_long = 26;
const TYPE_LPM_TRIE: u32 = 11;
const NO_PREALLOC: u32 = 1;
/// Entries handed over in one call.
const BATCH: usize = 4096;

/// The head of `union bpf_attr` for `BPF_MAP_CREATE`.
#[repr(C)]
struct Create {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

/// `union bpf_attr` for the batch commands.
#[repr(C)]
struct Batch {
    first: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Makes a trie over `octets` octets (4 or 16) with `u32` values.
pub fn trie(octets: u32, entries: u32) -> io::Result<OwnedFd> {
    let attr = Create {
        map_type: TYPE_LPM_TRIE,
        key_size: 4 + octets,
        value_size: 4,
        max_entries: entries,
        map_flags: NO_PREALLOC,
    };
    // SAFETY: the attribute is what the command reads, of the size that is said.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            MAP_CREATE,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Puts every entry into a trie over 4 octets (`v4`) or 16.
pub fn fill(trie: BorrowedFd<'_>, v4: bool, entries: &[Entry]) -> io::Result<()> {
    for entries in entries.chunks(BATCH) {
        let mut keys = Vec::with_capacity(entries.len() * 20);
        let mut values: Vec<u32> = Vec::with_capacity(entries.len());
        for entry in entries {
            let octets = entry.first.to_be_bytes();
            let (bits, octets) = if v4 {
                (entry.bits - 96, &octets[12..])
            } else {
                (entry.bits, &octets[..])
            };
            keys.extend_from_slice(&u32::from(bits).to_ne_bytes());
            keys.extend_from_slice(octets);
            values.push(entry.id);
        }
        update(trie, &keys, &values)?;
    }
    Ok(())
}

fn update(map: BorrowedFd<'_>, keys: &[u8], values: &[u32]) -> io::Result<()> {
    let attr = Batch {
        first: 0,
        next: 0,
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: values.len() as u32,
        map_fd: map.as_raw_fd().cast_unsigned(),
        elem_flags: 0,
        flags: 0,
    };
    // SAFETY: keys and values outlive the call and hold `count` elements of the map's sizes.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            MAP_UPDATE_BATCH,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has the kernel refuse from now on what any process writes into a map. Programs go on.
pub fn freeze(map: impl AsFd) -> io::Result<()> {
    // The head of `union bpf_attr` for this command is the descriptor.
    let attr = map.as_fd().as_raw_fd();
    // SAFETY: the attribute is what the command reads, of the size that is said.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            MAP_FREEZE,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Bytes that the kernel says a map takes (`memlock`); kernels before 6.4 estimate.
pub fn memory(map: impl AsFd) -> u64 {
    let path = format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd());
    let text = fs::read_to_string(path).expect("fdinfo");
    let of = |line: &str| line.strip_prefix("memlock:")?.trim().parse().ok();
    text.lines().find_map(of).expect("a map says its size")
}
