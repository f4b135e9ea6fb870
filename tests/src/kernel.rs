//! The kernel program with its tables, unpinned and attached to nothing: packets go in through
//! `BPF_PROG_TEST_RUN`, verdicts, counters and records come out.

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader, TestRun,
    maps::{Array, ArrayOfMaps, MapData, PerCpuArray, RingBuf},
    programs::{ProgramError, TestRunOptions, Xdp},
};
use bot_agent::{
    datapath::{
        generation::Generation,
        object::{MISSING, OBJECT},
    },
    rules::prefix::Prefix,
    table::{Image, Ranges, Table},
};
use bot_common::{
    abi::{
        counter::{Counter, Hits},
        names,
        ports::{GROUP_LINES, GroupLine, Groups, PORT_WORDS, PortWord},
        record::{DropReport, HelloSegment},
        settings::{FOREVER, Settings},
        verdict::{Verdict, VerdictId},
    },
    address::Address,
};
use zerocopy::FromBytes;

use self::value::Plain;
use crate::flatten::{self, flatten};

/// A loaded program for a test, or an end of the test where it may be skipped.
#[macro_export]
macro_rules! kernel {
    () => {{
        if !$crate::privilege::is_root(module_path!()) {
            return;
        }
        $crate::kernel::Kernel::load()
    }};
}

/// Which entry point runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Entry {
    /// `xdp.frags`.
    Frags,
    /// Single buffers.
    Plain,
}

impl Entry {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Frags, Self::Plain];

    /// The program's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Frags => names::PROGRAM_FRAGS,
            Self::Plain => names::PROGRAM_PLAIN,
        }
    }
}

/// What the program told the driver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// `XDP_DROP`.
    Drop,
    /// `XDP_PASS`.
    Pass,
}

/// A loaded program.
pub struct Kernel {
    ebpf: Ebpf,
    outer: ArrayOfMaps<MapData, MapData>,
    table: Table<Generation>,
    prefixes: BTreeMap<Prefix, VerdictId>,
    verdicts: Array<MapData, Plain<Verdict>>,
    hits: PerCpuArray<MapData, Plain<Hits>>,
    counters: PerCpuArray<MapData, Plain<Hits>>,
    settings: Array<MapData, Plain<Settings>>,
    ports: Array<MapData, Plain<PortWord>>,
    groups: Array<MapData, Plain<GroupLine>>,
    reports: RingBuf<MapData>,
    hellos: RingBuf<MapData>,
    next: u32,
    now: Settings,
}

impl Kernel {
    /// Loads both entry points with small tables, in enforce mode, with ports 80 and 443 served,
    /// 443 a hello port and 22 a failsafe port.
    pub fn load() -> Self {
        Self::load_with(0)
    }

    /// The same with the debug channel at an aya-log level; 0 is off.
    pub fn load_with(log_level: u8) -> Self {
        let object = OBJECT.expect(MISSING);
        let mut ebpf = EbpfLoader::new()
            .override_global(names::GLOBAL_LOG_LEVEL, &log_level, true)
            .load(object)
            .expect("the object loads");
        for entry in Entry::ALL {
            let program: &mut Xdp = ebpf
                .program_mut(entry.program())
                .expect("a program")
                .try_into()
                .expect("XDP");
            program
                .load()
                .unwrap_or_else(|error| panic!("{}: {}", entry.program(), tail(&error)));
        }
        let mut map = |name| ebpf.take_map(name).unwrap_or_else(|| panic!("map {name}"));
        let mut kernel = Self {
            outer: map(names::MAP_TABLE).try_into().expect("a map of maps"),
            table: generation(&Ranges::default()),
            prefixes: BTreeMap::new(),
            verdicts: map(names::MAP_VERDICTS).try_into().expect("an array"),
            hits: map(names::MAP_VERDICT_HITS)
                .try_into()
                .expect("a per-CPU array"),
            counters: map(names::MAP_COUNTERS)
                .try_into()
                .expect("a per-CPU array"),
            settings: map(names::MAP_SETTINGS).try_into().expect("an array"),
            ports: map(names::MAP_PORTS).try_into().expect("an array"),
            groups: map(names::MAP_PORT_GROUPS).try_into().expect("an array"),
            reports: map(names::MAP_REPORTS).try_into().expect("a ring"),
            hellos: map(names::MAP_HELLOS).try_into().expect("a ring"),
            ebpf,
            next: 1,
            now: Settings::default(),
        };
        kernel.settings(|settings| {
            *settings = Settings {
                enforce_until: FOREVER,
                bypass_until: 0,
                seed: 0x5eed,
                reports_per_second: u32::MAX,
                hellos_per_second: u32::MAX,
            };
        });
        kernel.ports(|port| PortWord {
            served_tcp: u64::from(matches!(port, 80 | 443)),
            served_udp: u64::from(port == 443),
            hello: u64::from(port == 443),
            failsafe: u64::from(port == 22),
        });
        kernel
    }

    /// Changes the settings.
    pub fn settings(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.now);
        self.settings
            .set(0, Plain(self.now), 0)
            .expect("settings are written");
    }

    /// The settings as last written.
    pub fn current_settings(&self) -> Settings {
        self.now
    }

    /// Sets every port's bits: each field of the answer is 0 or 1.
    pub fn ports(&mut self, of: impl Fn(u16) -> PortWord) {
        for index in 0..PORT_WORDS {
            let mut word = PortWord::default();
            for bit in 0..64 {
                let port = of((index * 64 + bit) as u16);
                word.served_tcp |= port.served_tcp << bit;
                word.served_udp |= port.served_udp << bit;
                word.hello |= port.hello << bit;
                word.failsafe |= port.failsafe << bit;
            }
            self.ports
                .set(index, Plain(word), 0)
                .expect("ports are written");
        }
    }

    /// Sets the groups of every port.
    pub fn groups(&mut self, of: impl Fn(u16) -> Groups) {
        for index in 0..GROUP_LINES {
            let mut line = GroupLine::EMPTY;
            for (place, groups) in (0..).zip(&mut line.groups) {
                *groups = of((index * 32 + place) as u16);
            }
            self.groups
                .set(index, Plain(line), 0)
                .expect("port groups are written");
        }
    }

    /// Writes a verdict under a new id.
    pub fn verdict(&mut self, verdict: Verdict) -> VerdictId {
        let id = VerdictId::new(self.next).expect("room");
        self.next += 1;
        self.verdicts
            .set(id.get(), Plain(verdict), 0)
            .expect("the verdict is written");
        id
    }

    /// Points a prefix to a verdict; the longest prefix of an address counts.
    pub fn point(&mut self, prefix: &str, id: VerdictId) {
        self.prefixes.insert(flatten::prefix(prefix), id);
        self.fill(&flatten(&self.prefixes));
    }

    /// Puts a generation in force that says exactly this.
    pub fn fill(&mut self, ranges: &Ranges) {
        self.writer().swap(ranges);
    }

    /// Runs `frame` at least so many times on one CPU, while `write` runs at least so many times on
    /// another.
    pub fn race(
        &mut self,
        frame: &[u8],
        (times, changes): (u32, u32),
        mut write: impl FnMut(&mut Writer<'_>),
    ) {
        let program = program(&self.ebpf, Entry::Frags);
        let mut writer = Writer {
            outer: &mut self.outer,
            table: &mut self.table,
        };
        let written = AtomicU32::new(0);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut batches = 0;
                while batches < times.div_ceil(BATCH) || written.load(Ordering::Relaxed) < changes {
                    time(program, frame, BATCH);
                    batches += 1;
                }
            });
            while !reader.is_finished() {
                write(&mut writer);
                written.fetch_add(1, Ordering::Relaxed);
            }
            reader.join().expect("the packets run");
        });
    }

    fn writer(&mut self) -> Writer<'_> {
        Writer {
            outer: &mut self.outer,
            table: &mut self.table,
        }
    }

    /// A rule: a prefix with a verdict of its own.
    pub fn rule(&mut self, prefix: &str, verdict: Verdict) -> VerdictId {
        let id = self.verdict(verdict);
        self.point(prefix, id);
        id
    }

    /// Runs one packet.
    pub fn run(&self, entry: Entry, frame: &[u8]) -> Fate {
        let mut out = vec![0; frame.len() + 256];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut out);
        let result = self
            .program(entry)
            .test_run(options)
            .expect("the packet runs");
        match result.return_value {
            1 => Fate::Drop,
            2 => Fate::Pass,
            other => panic!("XDP action {other}"),
        }
    }

    /// Nanoseconds for one run of a packet, averaged by the kernel over `repeat` runs of the same bytes.
    pub fn time(&self, entry: Entry, frame: &[u8], repeat: u32) -> f64 {
        time(self.program(entry), frame, repeat)
    }

    /// Runs one packet of which only the first `linear` bytes lie in the first buffer. `None` where
    /// this kernel's test interface cannot split packets (before 6.18).
    pub fn run_split(&self, frame: &[u8], linear: usize) -> Option<Fate> {
        let mut out = vec![0; frame.len() + 256];
        // `struct xdp_md`: data, data_end, data_meta, three indexes.
        let context = [0, linear as u32, 0, 0, 0, 0]
            .map(u32::to_ne_bytes)
            .concat();
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut out);
        options.ctx_in = Some(&context);
        match self.program(Entry::Frags).test_run(options) {
            Ok(result) if result.return_value == 1 => Some(Fate::Drop),
            Ok(_) => Some(Fate::Pass),
            Err(_) => None,
        }
    }

    /// Instructions that the verifier looked at.
    pub fn verified_instructions(&self, entry: Entry) -> Option<u32> {
        self.program(entry)
            .info()
            .expect("program info")
            .verified_instruction_count()
    }

    /// A counter, summed over CPUs.
    pub fn counter(&self, counter: Counter) -> Hits {
        sum(self
            .counters
            .get(&counter.index(), 0)
            .expect("a counter")
            .iter())
    }

    /// Every counter that is not zero, by name.
    pub fn packets(&self) -> Vec<(&'static str, u64)> {
        let named = Counter::all().map(|counter| (counter.name().1, self.counter(counter).packets));
        named.filter(|(_, packets)| *packets > 0).collect()
    }

    /// Hits of a verdict, summed over CPUs.
    pub fn hits(&self, id: VerdictId) -> Hits {
        sum(self.hits.get(&id.get(), 0).expect("hits").iter())
    }

    /// The table's answer for an address, by the code that the program runs.
    pub fn lookup(&self, address: Address) -> VerdictId {
        self.table.lookup(&address)
    }

    /// Drains the report ring.
    pub fn reports(&mut self) -> Vec<DropReport> {
        let mut reports = Vec::new();
        while let Some(item) = self.reports.next() {
            reports.push(DropReport::read_from_bytes(&item).expect("a whole record"));
        }
        reports
    }

    /// Drains the hello ring.
    pub fn hellos(&mut self) -> Vec<HelloSegment> {
        let mut hellos = Vec::new();
        self.each_hello(|hello| hellos.push(*hello));
        hellos
    }

    /// Drains the hello ring without a copy.
    pub fn each_hello(&mut self, mut each: impl FnMut(&HelloSegment)) {
        while let Some(item) = self.hellos.next() {
            each(HelloSegment::ref_from_bytes(&item).expect("a whole record"));
        }
    }

    fn program(&self, entry: Entry) -> &Xdp {
        program(&self.ebpf, entry)
    }
}

fn program(ebpf: &Ebpf, entry: Entry) -> &Xdp {
    ebpf.program(entry.program())
        .expect("a program")
        .try_into()
        .expect("XDP")
}

/// Lines that a generation has for changes in place.
const ROOM: u32 = 4096;

/// Packets of one call in [`Kernel::race`].
const BATCH: u32 = 100_000;

/// The table's side of a race.
pub struct Writer<'a> {
    outer: &'a mut ArrayOfMaps<MapData, MapData>,
    table: &'a mut Table<Generation>,
}

impl Writer<'_> {
    /// Puts a new generation in force.
    pub fn swap(&mut self, ranges: &Ranges) {
        let table = generation(ranges);
        self.outer
            .set(0, table.memory().map(), 0)
            .expect("the generation is put in force");
        *self.table = table;
    }

    /// Stores what `region` says, in place.
    pub fn update(&mut self, region: &str, ranges: &Ranges) {
        let region = flatten::prefix(region);
        if self.table.update(region, ranges).is_err() {
            self.outer
                .set(0, self.table.memory().map(), 0)
                .expect("the kernel waits for readers");
            self.table.quiesce();
            self.table
                .update(region, ranges)
                .expect("there is room again");
        }
    }
}

/// A generation that says `ranges`, in force nowhere.
fn generation(ranges: &Ranges) -> Table<Generation> {
    let image = Image::build(ranges).expect("the ranges fit");
    let memory = Generation::make(image.lines() + ROOM).expect("a generation is made");
    Table::install(memory, image).expect("the image fits")
}

/// The program that does nothing but drop: what every measurement is compared with.
pub struct Bare(Ebpf);

impl Bare {
    /// Loads it.
    pub fn load() -> Self {
        let object = fs::read(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../target/bpf/bot-ebpf-bench.o"
        ))
        .expect("the BPF object: run `cargo xtask build`");
        let mut ebpf = Ebpf::load(&object).expect("the object loads");
        let program: &mut Xdp = ebpf
            .program_mut("bare_drop")
            .expect("a program")
            .try_into()
            .expect("XDP");
        program.load().expect("the program loads");
        Self(ebpf)
    }

    /// As [`Kernel::time`].
    pub fn time(&self, frame: &[u8], repeat: u32) -> f64 {
        let program = self
            .0
            .program("bare_drop")
            .expect("a program")
            .try_into()
            .expect("XDP");
        time(program, frame, repeat)
    }
}

/// Whether this is one of the machines that `cargo xtask vm` emulates: everything takes long.
pub fn is_emulated() -> bool {
    std::env::var_os("BOT_VM").is_some()
}

/// `CLOCK_BOOTTIME`, nanoseconds.
pub fn now() -> u64 {
    let text = fs::read_to_string("/proc/uptime").expect("uptime");
    let seconds = text
        .split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("seconds");
    Duration::from_secs_f64(seconds).as_nanos() as u64
}

fn time(program: &Xdp, frame: &[u8], repeat: u32) -> f64 {
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.repeat = repeat;
    program
        .test_run(options)
        .expect("the packet runs")
        .duration
        .as_secs_f64()
        * 1e9
}

/// The end of a load error: the verifier's last words stand there.
fn tail(error: &ProgramError) -> String {
    let text = format!("{error:?}").replace("\\n", "\n");
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

fn sum<'a>(cpus: impl Iterator<Item = &'a Plain<Hits>>) -> Hits {
    cpus.fold(Hits::default(), |all, Plain(one)| Hits {
        packets: all.packets + one.packets,
        bytes: all.bytes + one.bytes,
    })
}

mod value {
    //! Lets aya carry the interface's types.
    #![allow(
        unsafe_code,
        reason = "aya's marker for plain old data is an unsafe trait"
    )]

    use bot_common::abi::{
        counter::Hits,
        ports::{GroupLine, PortWord},
        settings::Settings,
        verdict::Verdict,
    };

    /// A map value.
    #[derive(Clone, Copy)]
    #[repr(transparent)]
    pub(super) struct Plain<T>(pub T);

    // SAFETY: `repr(C)` without padding and valid for every bit pattern, as zerocopy has proved.
    unsafe impl aya::Pod for Plain<Verdict> {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Plain<Hits> {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Plain<Settings> {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Plain<PortWord> {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Plain<GroupLine> {}
}
