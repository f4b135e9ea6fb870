//! From a configuration to a running agent.
//!
//! What needs root comes first ([`prepare`]). A start that fails takes back what it made. The tables
//! are filled before anything is attached, so that from its first packet on an interface is filtered
//! by the rules that are, and an adopted one never by anything else.

use std::{
    fs,
    os::unix::net::UnixListener as StdListener,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use tokio::net::UnixListener;

use super::{
    Daemon, Wakers, Wish, access,
    databases::Databases,
    feeds::Feeds,
    filter::Filter,
    fronts, good,
    interfaces::Interfaces,
    mode::ModeState,
    networks::objection,
    notify::notify,
    prepare::{Prepared, prepare},
    tails::Tails,
    tick::Troubles,
    wishes,
};
use crate::{
    cli::global::Places,
    config::Config,
    datapath::{Datapath, Opened, PinFolder, object},
    event::{
        Body, Bypass as BypassEvent, Note, console::Console, file::LogFile, recent::RECENT_EVENTS,
        sink::Sink,
    },
    exit_code::ExitCode,
    feeds::known_good::KnownGood,
    host::{self, protected::Finder},
    lists::{ListFiles, ListIds},
    rules::{mode::Mode, set::RuleSet},
    store::{Bypass, Change, Store},
    stream::{FlowAssembler, Limits as StreamLimits},
};

/// What to run.
#[derive(Debug)]
pub struct Start {
    /// The configuration.
    pub config: Config,
    /// Its file, for reloads.
    pub config_path: PathBuf,
    /// The folders in force.
    pub places: Places,
    /// Interfaces named on the command line: they must be there.
    pub interfaces: Vec<String>,
    /// How to filter them; nothing: as configured.
    pub wish: Option<Wish>,
}

/// Runs the agent until somebody wants it to stop.
pub fn run(start: &Start) -> anyhow::Result<ExitCode> {
    let console = Console::new(wishes::log_format(&start.config));
    console.install(wishes::log_filter(&start.config));
    let prepared = prepare(start)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make the event loop")?;
    runtime.block_on(async {
        let Prepared {
            pins,
            finder,
            listener,
            locks,
            // Dropped after the daemon, before the locks.
            mut made,
            warnings,
        } = prepared;
        let mut daemon = open(start, console, pins, finder)?;
        daemon.emit_all(warnings);
        let wakers = match daemon.begin(start, listener) {
            Ok(wakers) => wakers,
            Err(error) => {
                // What an earlier agent attached stays.
                let undone = daemon.interfaces.undo(&mut daemon.filter.enforcer.datapath);
                daemon.emit_all(undone);
                return Err(error);
            }
        };
        made.keep();
        daemon.tell_start();
        notify("READY=1");
        let code = daemon.serve(wakers).await;
        // Nobody listens any more: who asks shall hear that at once.
        if let Err(error) = fs::remove_file(&start.places.socket) {
            tracing::debug!("{}: {error}", start.places.socket.display());
        }
        drop(locks);
        code
    })
}

fn open(
    start: &Start,
    console: Console,
    pins: PinFolder,
    finder: Finder,
) -> anyhow::Result<Daemon> {
    let config = &start.config;
    let now = host::now();
    let Opened { datapath, adopted } =
        Datapath::open(&wishes::options(config, object::OBJECT), pins)?;
    let mut store = Store::open(&start.places.state_dir)?;
    let mut stored = store.load()?;
    let (rules, rebased) = RuleSet::load(stored.rules, stored.next_id, now);
    let mut changes: Vec<Change> = rebased.into_iter().map(Change::Put).collect();
    let kernel = datapath.settings()?;
    if adopted && kernel.enforce_until == 0 && stored.mode == Some(Mode::Enforce) {
        // `mode monitor` behind the back of an agent that did not live to store it.
        changes.push(Change::Mode(Mode::Monitor));
        stored.mode = Some(Mode::Monitor);
    }

    let mode = ModeState::restore(
        wishes::mode(config, stored.mode),
        stored.bypass.clone(),
        adopted.then_some(&kernel),
        now,
    );
    if mode.bypass() != stored.bypass.as_ref() {
        // It began or ended while no agent ran: so that it does after a reboot too.
        changes.push(Change::Bypass(mode.bypass().cloned()));
    }
    let mut trouble = store.commit(&changes).err().map(|error| error.to_string());
    let file = match wishes::log_file(config).map(LogFile::open).transpose() {
        Ok(file) => file,
        Err(error) => {
            let path = config.log.file.as_deref().unwrap_or(Path::new(""));
            trouble = Some(access::no_log_file(path, &error));
            None
        }
    };
    let sink = Sink::new(console, config.log.budget_per_second, file, RECENT_EVENTS);
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let filter = Filter::new(datapath, store, wishes::limits(config), rules, stored.onlys)?;
    let mut daemon = Daemon {
        config: Arc::new(config.clone()),
        config_path: start.config_path.clone(),
        started: now.wall,
        filter,
        list_files: ListFiles::default(),
        list_ids: ListIds::default(),
        file_lists: Vec::new(),
        feeds: Feeds::new(&start.places.state_dir, credentials.as_deref()),
        known_good: KnownGood::default(),
        watchdog: good::watchdog(config),
        verifier: None,
        fronts: fronts::watch_for([]),
        mode,
        written: None,
        sink,
        interfaces: Interfaces::default(),
        assembler: FlowAssembler::new(StreamLimits::default()),
        tails: Tails::default(),
        seed: kernel.seed,
        finder,
        databases: Databases::default(),
        ports: host::ports::PortSets::default(),
        running: false,
        repairs_told: 0,
        troubles: Troubles::new(),
    };
    daemon.trouble("starting", trouble);
    daemon.tell_bypass(stored.bypass.as_ref());
    daemon.fill()?;
    Ok(daemon)
}

impl Daemon {
    /// Everything that decides about packets, before there are any.
    fn fill(&mut self) -> anyhow::Result<()> {
        let now = host::now();
        // Before the rules, which may be about what it says.
        self.databases.follow(&self.config.asn_databases);
        let (_, ended) = self.filter.expire(now);
        ended?;
        let (lists, files) = ListFiles::read(&self.config.lists, &[], &mut self.list_ids);
        self.file_lists = lists;
        let config = Arc::clone(&self.config);
        self.follow_feeds(&config);
        let lists = self.all_lists(now);
        let configured = self.configured(&config, lists);
        self.filter.configure(configured, now)?;
        self.tell_list_files(files);
        self.tell_locks();
        self.look_at_databases();
        let database = self.databases.get().ok();
        if let Some(rule) = database.and_then(|database| objection(&self.config.rules, database)) {
            // Files change; a start must not depend on it.
            self.trouble(
                "configured rules",
                Some(format!("in force all the same: {rule}")),
            );
        }
        self.look_at_host();
        // Nothing of this was put into the kernel yet: there it comes all at once.
        self.filter.enforce(now)?;
        self.watch_fronts();
        self.follow_crawlers();
        if let Some(excess) = self.filter.excess(now) {
            self.emit(Body::error(excess));
        }
        self.write_settings()?;
        Ok(())
    }

    /// Attaches, and gets ready to be asked.
    fn begin(&mut self, start: &Start, listener: StdListener) -> anyhow::Result<Wakers> {
        self.attach_all(start)?;
        Wakers::new(self, UnixListener::from_std(listener)?)
    }

    /// Interfaces of the command line must work. Configured ones may come later, but a foreign
    /// program on one is for the operator to decide.
    fn attach_all(&mut self, start: &Start) -> anyhow::Result<()> {
        let wish = start.wish.unwrap_or_else(|| wishes::wish(&self.config));
        for iface in &start.interfaces {
            let datapath = &mut self.filter.enforcer.datapath;
            let events = self.interfaces.add(datapath, iface, wish)?;
            self.emit_all(events);
        }
        for iface in &Arc::clone(&self.config).agent.interfaces {
            if start.interfaces.contains(iface) {
                continue;
            }
            let datapath = &mut self.filter.enforcer.datapath;
            match self.interfaces.add(datapath, iface, wish) {
                Err(crate::datapath::AttachError::NoSuchInterface(_)) => {
                    self.interfaces.want(iface, wish);
                    self.trouble(
                        iface,
                        Some(format!(
                            "there is no interface {iface} now; it is filtered as soon as it comes"
                        )),
                    );
                }
                events => self.emit_all(events?),
            }
        }
        self.take_over(wish);
        Ok(())
    }

    /// What an earlier agent filters and nobody named now is filtered on: by this agent's program,
    /// and where people see it. Only `detach` ends that.
    fn take_over(&mut self, wish: Wish) {
        let filtered = match self.filter.enforcer.datapath.filtered() {
            Ok(filtered) => filtered,
            Err(error) => return self.emit(Body::error(error.to_string())),
        };
        for iface in filtered {
            if self.interfaces.wanted().any(|wanted| wanted == iface) {
                continue;
            }
            match self
                .interfaces
                .add(&mut self.filter.enforcer.datapath, &iface, wish)
            {
                Ok(events) => {
                    self.emit_all(events);
                    self.emit(Body::error(format!(
                        "{iface} is filtered since an earlier start and is not configured now: \
                         add it to `interfaces`, or `bot-agent detach {iface}`"
                    )));
                }
                Err(error) => self.emit(Body::error(error.to_string())),
            }
        }
    }

    /// What began, goes on or ended while no agent was there to tell.
    fn tell_bypass(&mut self, stored: Option<&Bypass>) {
        let view = self.mode.view(host::now()).bypass;
        let (active, reason) = match (&view, stored) {
            (Some(view), _) => {
                let reason = view.reason.as_deref().unwrap_or_default();
                (
                    true,
                    format!("{reason} (in force at the start of the agent)"),
                )
            }
            (None, Some(stored)) => {
                let reason = &stored.reason;
                (false, format!("ended while no agent ran ({reason})"))
            }
            (None, None) => return,
        };
        self.emit(Body::Bypass(BypassEvent {
            active,
            until: view.and_then(|view| view.until),
            reason,
        }));
    }

    fn tell_start(&mut self) {
        self.running = true;
        let rules = self.filter.rules().len();
        let mode = self.mode.view(host::now()).mode;
        self.emit(Body::Start(Note {
            message: format!(
                "bot-agent {} filters {} in {mode} mode, {rules} rules",
                env!("CARGO_PKG_VERSION"),
                self.interfaces
                    .names()
                    .into_values()
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        }));
    }
}
