//! The verifier's budget: how many instructions it looks at before it accepts each program.

use bot_tests::{
    kernel::{Entry, Kernel},
    privilege,
};

/// Instructions allowed for each program on every supported kernel; the kernel's own limit is a million.
const BUDGET: u32 = 200_000;

#[test]
fn each_program_stays_within_its_budget() {
    if !privilege::is_root("each_program_stays_within_its_budget") {
        return;
    }
    let kernel = Kernel::load();
    for entry in Entry::ALL {
        let instructions = kernel
            .verified_instructions(entry)
            .expect("known since kernel 5.16");
        println!("{}: {instructions} instructions verified", entry.program());
        assert!(
            instructions <= BUDGET,
            "{} needs {instructions} instructions",
            entry.program()
        );
    }
}
