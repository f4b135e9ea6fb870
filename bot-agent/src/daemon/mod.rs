//! The agent's one event loop, which owns everything: kernel tables, store, rules, interfaces.
//!
//! Everything else sends it commands (the control socket) or wakes it (rings, netlink, the clock,
//! signals). No error of any of them ends it: each becomes one `error` event.

mod access;
mod belongings;
mod check;
mod commands;
mod crawlers;
mod databases;
pub mod edit;
mod enforcer;
mod feeds;
mod filter;
mod fronts;
mod good;
pub mod import;
mod interfaces;
pub mod lock;
mod made;
pub mod mode;
mod networks;
mod notify;
mod observe;
mod offline;
mod only;
mod prepare;
mod reload;
mod rules;
mod sources;
mod start;
mod status;
mod still;
mod surroundings;
mod tails;
mod tick;
mod timing;
mod wishes;

use std::{io, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use bot_common::{
    abi::{
        record::{DropReport, HelloSegment},
        verdict::VerdictId,
    },
    address::Address,
    decide::in_force,
};
use jiff::Timestamp;
use tokio::{
    net::UnixListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval},
};

use self::{
    databases::Databases,
    feeds::Feeds,
    filter::Filter,
    interfaces::Interfaces,
    mode::ModeState,
    surroundings::{Look, seen},
    tails::Tails,
};
pub use self::{
    interfaces::Wish,
    networks::objection,
    offline::{Offline, OfflineError, stored_rules},
    start::{Start, run},
};
use crate::{
    config::Config,
    control::server::{Call, Limits, serve},
    datapath::{Ring, debug_log::DebugLog},
    event::{Action, Body, Cause, Note, sink::Sink},
    exit_code::ExitCode,
    feeds::{
        crawler::resolver::Verifier, known_good::KnownGood, proxy::FrontProxies, watchdog::Watchdog,
    },
    host::{
        self,
        ports::PortSets,
        protected::Finder,
        watch::{Change, Watch},
    },
    lists::{ListFiles, ListIds},
    policy::List,
    stream::{FlowAssembler, FlowSegment, Outcome},
};

/// Records of one ring that are read before others get their turn.
const TURN: usize = 256;
/// Requests that may wait for the loop.
const CALLS: usize = 64;

/// Everything that is.
struct Daemon {
    config: Arc<Config>,
    config_path: PathBuf,
    started: Timestamp,
    filter: Filter,
    list_files: ListFiles,
    list_ids: ListIds,
    /// The `[[list]]`s, as they are in their files.
    file_lists: Vec<List>,
    feeds: Feeds,
    /// Sources that completed connections in this run.
    known_good: KnownGood,
    watchdog: Watchdog,
    /// Asks DNS about crawlers, if that is wanted.
    verifier: Option<Verifier>,
    fronts: FrontProxies,
    mode: ModeState,
    /// The mode words last written to the kernel; nothing before the first time.
    written: Option<(u64, u64)>,
    sink: Sink,
    interfaces: Interfaces,
    assembler: FlowAssembler,
    tails: Tails,
    /// The tables' secret, for the tags of sources.
    seed: u64,
    finder: Finder,
    databases: Databases,
    ports: PortSets,
    /// From when everything is in place and attached.
    running: bool,
    /// Repairs of the kernel's tables that were told.
    repairs_told: u64,
    /// The last message of each recurring trouble, so that it is told once.
    troubles: tick::Troubles,
}

/// What wakes the loop.
struct Wakers {
    calls: mpsc::Receiver<Call>,
    reports: Ring<DropReport>,
    hellos: Ring<HelloSegment>,
    debug: Option<DebugLog>,
    watch: Watch,
    clock: Interval,
    feeds_clock: Interval,
    look: Option<JoinHandle<Look>>,
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Wakers {
    fn new(daemon: &mut Daemon, listener: UnixListener) -> anyhow::Result<Self> {
        let (sender, calls) = mpsc::channel(CALLS);
        tokio::spawn(serve(listener, sender, Limits::default()));
        let datapath = &mut daemon.filter.enforcer.datapath;
        let mut clock = interval(tick::PERIOD);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut feeds_clock = interval(feeds::PERIOD);
        feeds_clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            calls,
            reports: datapath.take_reports()?,
            hellos: datapath.take_hellos()?,
            debug: datapath.take_debug_log()?,
            watch: Watch::new().context("cannot watch the host's network")?,
            clock,
            feeds_clock,
            look: None,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

impl Daemon {
    /// Runs until somebody wants it to stop.
    async fn serve(&mut self, mut wakers: Wakers) -> anyhow::Result<ExitCode> {
        loop {
            tokio::select! {
                Some(call) = wakers.calls.recv() => self.call(call),
                ready = wakers.reports.ready() => {
                    self.told(ready, "reading drop reports");
                    wakers.reports.drain(TURN, |report| self.report(report));
                }
                ready = wakers.hellos.ready() => {
                    self.told(ready, "reading hellos");
                    wakers.hellos.drain(TURN, |segment| self.segment(segment));
                }
                forwarded = forward(wakers.debug.as_mut()) => {
                    self.told(forwarded, "reading the debug channel");
                }
                change = wakers.watch.next() => match change {
                    Ok(change) => self.changed(&change),
                    Err(error) => self.told(Err(error), "watching the host's network"),
                },
                _ = wakers.clock.tick() => {
                    self.tick();
                    wakers.look.get_or_insert_with(|| Look::begin(&self.finder, &self.ports.served_tcp));
                }
                look = seen(wakers.look.as_mut()) => {
                    wakers.look = None;
                    let seen = look.map(|look| self.saw(look));
                    self.told(seen, "looking at the host");
                }
                _ = wakers.feeds_clock.tick() => self.fetch_due(),
                news = self.feeds.news() => self.feed_news(news),
                finding = crawlers::found(self.verifier.as_mut()) => Self::found_out(&finding),
                _ = wakers.hangup.recv() => {
                    self.adopt_mode();
                    self.reload_and_tell();
                }
                _ = wakers.terminate.recv() => return Ok(self.stop("SIGTERM")),
                _ = wakers.interrupt.recv() => return Ok(self.stop("SIGINT")),
            }
        }
    }

    fn stop(&mut self, signal: &str) -> ExitCode {
        notify::notify("STOPPING=1");
        self.emit(Body::Stop(Note {
            message: format!("stopping on {signal}; the kernel filters on as it does now"),
        }));
        ExitCode::Ok
    }

    fn emit(&mut self, body: Body) {
        self.sink.emit(host::now(), body);
    }

    fn emit_all(&mut self, bodies: impl IntoIterator<Item = Body>) {
        for body in bodies {
            self.emit(body);
        }
    }

    fn told(&mut self, result: io::Result<()>, doing: &str) {
        let message = result.err().map(|error| format!("{doing}: {error}"));
        self.trouble(doing, message);
    }

    fn report(&mut self, report: &DropReport) {
        let report = self.tails.report(report, self.seed);
        self.dropped(&report);
    }

    fn dropped(&mut self, report: &DropReport) {
        let now = host::now();
        let cause = self.filter.cause(report.verdict, report.src, now);
        self.watch_good(report, now);
        let names = self.interfaces.names();
        if let Some(body) = observe::dropped(report, cause, &names) {
            self.sink.emit(now.at(report.time), body);
        }
    }

    fn segment(&mut self, segment: &HelloSegment) {
        let segment_of = FlowSegment::from(segment);
        if let Some(outcome) = self.assembler.push(&segment_of, segment.header.time) {
            self.outcome(&outcome);
        }
    }

    /// Only hellos are events; what became none is counted by the assembler and told by `status`.
    fn outcome(&mut self, outcome: &Outcome) {
        let Ok(hello) = &outcome.result else {
            return;
        };
        self.hello_from(outcome.flow.src);
        let (action, cause) = self.fate_of(outcome.flow.src, outcome.flow.dport);
        let body = observe::hello(outcome.flow, hello, action, cause);
        self.sink.emit(host::now().at(outcome.began), body);
    }

    /// What becomes of a source's packets to a port now, by the kernel's own table.
    fn fate_of(&self, src: Address, port: u16) -> (Action, Cause) {
        let now = host::now();
        let Ok(found) = self.filter.enforcer.datapath.lookup(src) else {
            return (Action::Pass, Cause::default());
        };
        let first = found.first().map_or(VerdictId::NONE, |(id, _)| *id);
        let table = |id: VerdictId| {
            let row = found.iter().find(|(other, _)| *other == id);
            row.map(|(_, verdict)| *verdict)
        };
        let groups = || self.filter.spoken().groups().of(port);
        let (id, verdict) = in_force(first, table, groups, || now.boot_ns);
        let enforces = self.mode.view(now).enforces();
        (
            observe::action(&verdict, enforces),
            self.filter.cause(id, src, now),
        )
    }

    fn changed(&mut self, change: &Change) {
        match change {
            Change::LinkUp(_) | Change::LinkGone(_) => self.look_at_interfaces(),
            Change::Address | Change::Route => self.look_at_host(),
            Change::Lost => {
                self.look_at_interfaces();
                self.look_at_host();
            }
        }
    }

    fn look_at_interfaces(&mut self) {
        let events = self
            .interfaces
            .look_again(&mut self.filter.enforcer.datapath);
        self.emit_all(events);
    }
}

/// Waits for ever when there is no debug channel.
async fn forward(debug: Option<&mut DebugLog>) -> io::Result<()> {
    match debug {
        Some(debug) => debug.forward().await,
        None => std::future::pending().await,
    }
}
