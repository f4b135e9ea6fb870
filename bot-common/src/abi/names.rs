//! Names of maps, programs and globals, and the version of everything in [`crate::abi`].

/// Raised by any change to a map's shape, a record or a name. Part of the pin folder's path, so
/// pins of another layout are never reused.
pub const LAYOUT_VERSION: u32 = 3;

/// XDP program for drivers that deliver packets in several buffers (`xdp.frags`).
pub const PROGRAM_FRAGS: &str = "bot_filter_frags";
/// XDP program for drivers that deliver single buffers only.
pub const PROGRAM_PLAIN: &str = "bot_filter";

/// `ARRAY_OF_MAPS` of one generation of the prefix store: an `ARRAY` of the lines of [`crate::table`].
pub const MAP_TABLE: &str = "TABLE";
/// Pin of the generation that [`MAP_TABLE`] holds.
pub const MAP_GENERATION: &str = "GENERATION";
/// Flags of every generation: `BPF_F_MMAPABLE`, for the agent writes it in place, and
/// `BPF_F_INNER_MAP`, for each has its own size (`linux/bpf.h`).
pub const GENERATION_FLAGS: u32 = 1 << 10 | 1 << 12;
/// `ARRAY`: [`crate::abi::verdict::VerdictId`] to [`crate::abi::verdict::Verdict`].
pub const MAP_VERDICTS: &str = "VERDICTS";
/// `PERCPU_ARRAY`: [`crate::abi::verdict::VerdictId`] to [`crate::abi::counter::Hits`].
pub const MAP_VERDICT_HITS: &str = "VERDICT_HITS";
/// `PERCPU_ARRAY`: [`crate::abi::counter::Counter`] to [`crate::abi::counter::Hits`].
pub const MAP_COUNTERS: &str = "COUNTERS";
/// `ARRAY` of one [`crate::abi::settings::Settings`].
pub const MAP_SETTINGS: &str = "SETTINGS";
/// `ARRAY` of [`crate::abi::ports::PortWord`], by port number / 64.
pub const MAP_PORTS: &str = "PORTS";
/// `ARRAY` of [`crate::abi::ports::GroupLine`], by port number / 32.
pub const MAP_PORT_GROUPS: &str = "PORT_GROUPS";
/// `ARRAY` of [`crate::abi::flow::FlowSlot`], by flow hash.
pub const MAP_FLOWS: &str = "FLOWS";
/// `PERCPU_ARRAY` of [`crate::abi::record::ReportSlot`], by hash of source and outcome.
pub const MAP_REPORT_SLOTS: &str = "REPORT_SLOTS";
/// `PERCPU_ARRAY` of two [`crate::abi::record::Budget`]: reports and hello segments.
pub const MAP_BUDGETS: &str = "BUDGETS";
/// `RINGBUF` of [`crate::abi::record::DropReport`].
pub const MAP_REPORTS: &str = "REPORTS";
/// `RINGBUF` of [`crate::abi::record::HelloSegment`].
pub const MAP_HELLOS: &str = "HELLOS";

/// Every map that is pinned, in the order in which pins are made.
pub const PINNED_MAPS: &[&str] = &[
    MAP_TABLE,
    MAP_VERDICTS,
    MAP_VERDICT_HITS,
    MAP_COUNTERS,
    MAP_SETTINGS,
    MAP_PORTS,
    MAP_PORT_GROUPS,
    MAP_FLOWS,
    MAP_REPORT_SLOTS,
    MAP_BUDGETS,
    MAP_REPORTS,
    MAP_HELLOS,
];

/// Read-only global (`u8`) of aya-log: the level of the debug channel. 0 is off, and the verifier
/// then removes every log statement; 4 is debug.
pub const GLOBAL_LOG_LEVEL: &str = "AYA_LOG_LEVEL";
