//! The verifier's budget: how many instructions it looks at before it accepts each program.

use bot_tests::{
    kernel::{Entry, Kernel},
    privilege,
};

/// Instructions allowed for each program on every supported kernel; the kernel's own limit is a
/// million. 6.1 looks at more than twice as many as later ones.
const BUDGET: u32 = 350_000;

/// aya-log's level that lets everything through which the program says.
const DEBUG: u8 = 4;

#[test]
fn each_program_stays_within_its_budget() {
    if !privilege::is_root("each_program_stays_within_its_budget") {
        return;
    }
    for (channel, level) in [("off", 0), ("on", DEBUG)] {
        let kernel = Kernel::load_with(level);
        for entry in Entry::ALL {
            let count = kernel
                .verified_instructions(entry)
                .expect("known since kernel 5.16");
            let program = entry.program();
            println!("{program}, debug channel {channel}: {count} instructions verified");
            assert!(count <= BUDGET, "{program} needs {count} instructions");
        }
    }
}
