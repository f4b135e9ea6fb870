//! The compiled kernel program inside this binary.

/// The ELF object, aligned to eight bytes; `None` when the agent was built
/// without the program, which plain `cargo build` without an earlier
/// `cargo xtask build` does.
pub const OBJECT: Option<&[u8]> = include!(concat!(env!("OUT_DIR"), "/object.rs"));

/// What a binary without the program tells its user.
pub const MISSING: &str = "this bot-agent was built without the kernel program; build it with `cargo xtask build --release`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedded_object_is_an_aligned_elf_file_for_bpf() {
        const EM_BPF: u8 = 247;
        if let Some(object) = OBJECT {
            assert_eq!(object.as_ptr().align_offset(8), 0);
            assert_eq!(object.get(..4), Some(&b"\x7fELF"[..]));
            assert_eq!(object.get(18), Some(&EM_BPF));
        }
    }
}
