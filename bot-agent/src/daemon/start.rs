//! From a configuration to a running agent.
//!
//! What needs root comes first, while there is one thread; then the privileges go. The tables are
//! filled before anything is attached, so that from its first packet on an interface is filtered
//! by the rules that are, and an adopted one never by anything else.

use std::{
    fs::{self, DirBuilder},
    os::unix::{fs::DirBuilderExt as _, net::UnixListener as StdListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use rustix::process::{Gid, Uid};
use tokio::net::UnixListener;

use super::{
    Daemon, Wakers, Wish,
    filter::Filter,
    interfaces::Interfaces,
    lock::{self, Lock},
    mode::ModeState,
    notify::notify,
    tick::Troubles,
    wishes,
};
use crate::{
    cli::global::Places,
    config::Config,
    control::{protocol::Mode, server::bind},
    datapath::{Datapath, Opened, PinFolder, folder::Owner, object},
    event::{Body, Note, console::Console, file::LogFile, recent::RECENT_EVENTS, sink::Sink},
    exit_code::ExitCode,
    host::{
        self,
        privilege::{self, User},
        protected::Finder,
    },
    rules::{rule::Origin, set::RuleSet},
    store::{Change, Store},
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
            warnings,
        } = prepared;
        let mut daemon = open(start, console, pins, finder)?;
        daemon.emit_all(warnings);
        daemon.attach_all(start)?;
        let listener = UnixListener::from_std(listener)?;
        let wakers = Wakers::new(&mut daemon, listener)?;
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

/// What was made with root's rights.
struct Prepared {
    pins: PinFolder,
    finder: Finder,
    listener: StdListener,
    locks: Vec<Lock>,
    warnings: Vec<Body>,
}

fn prepare(start: &Start) -> anyhow::Result<Prepared> {
    let Places {
        run_dir,
        socket,
        pin_dir,
        state_dir,
    } = &start.places;
    let mut warnings = Vec::new();
    let user = user(&start.config, &mut warnings)?;
    make_folder(run_dir, 0o755, user.as_ref())?;
    let mut locks = vec![lock::run_dir(run_dir)?];

    let finder = Finder::new()?;
    let pins = if privilege::is_root() {
        let owner = user
            .as_ref()
            .map_or(Owner { uid: 0, gid: 0 }, |user| Owner {
                uid: user.uid,
                gid: user.gid,
            });
        PinFolder::prepare(pin_dir, owner)?
    } else {
        PinFolder::open(pin_dir)?
    };
    locks.extend(lock::pin_dir(pin_dir)?);
    make_folder(state_dir, 0o750, user.as_ref())?;
    if let Some(folder) = start.config.log.file.as_deref().and_then(Path::parent) {
        make_folder(folder, 0o750, user.as_ref())?;
    }
    let listener = listen(socket, &start.config, user.as_ref())?;
    match &user {
        Some(user) => privilege::drop_to(user)?,
        None => privilege::confine()?,
    }
    Ok(Prepared {
        pins,
        finder,
        listener,
        locks,
        warnings,
    })
}

/// The user to become: nobody else unless this is root.
fn user(config: &Config, warnings: &mut Vec<Body>) -> anyhow::Result<Option<User>> {
    if !privilege::is_root() || config.agent.user == "root" {
        return Ok(None);
    }
    match User::find(&config.agent.user) {
        Ok(user) => Ok(Some(user)),
        Err(error @ privilege::Error::NoSuchUser(_))
            if config.agent.user == Config::default().agent.user =>
        {
            // A first try on a host without the package: less separated, but confined all the same.
            warnings.push(Body::error(format!(
                "{error}; until then the agent runs as root with its capabilities reduced"
            )));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes a folder that is missing; an existing one keeps its mode, and its owner unless that is
/// root and the agent will be somebody else.
fn make_folder(path: &Path, mode: u32, user: Option<&User>) -> anyhow::Result<()> {
    let missing = !path.exists();
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))?;
    if let Some(user) = user
        && missing
    {
        give(path, user)?;
    }
    Ok(())
}

fn give(path: &Path, user: &User) -> anyhow::Result<()> {
    let owner = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::fs::chown(path, Some(owner.0), Some(owner.1))
        .with_context(|| format!("cannot give {} to {}", path.display(), user.name))
}

fn listen(socket: &Path, config: &Config, user: Option<&User>) -> anyhow::Result<StdListener> {
    let group = match &config.control.group {
        Some(name) => {
            let group = nix::unistd::Group::from_name(name)
                .with_context(|| format!("cannot look up the group {name}"))?
                .with_context(|| {
                    format!(
                        "there is no group `{name}` (control.group); `groupadd {name}` makes it"
                    )
                })?;
            Some(Gid::from_raw(group.gid.as_raw()))
        }
        None => user.map(|user| Gid::from_raw(user.gid)),
    };
    let owner = user.map(|user| Uid::from_raw(user.uid));
    bind(socket, owner, group)
        .with_context(|| format!("cannot make the control socket {}", socket.display()))
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
    let mut trouble = store.commit(&changes).err().map(|error| error.to_string());

    let mode = ModeState::restore(
        wishes::mode(config, stored.mode),
        stored.bypass,
        adopted.then_some(&kernel),
        now,
    );
    let file = match wishes::log_file(config).map(LogFile::open).transpose() {
        Ok(file) => file,
        Err(error) => {
            trouble = Some(format!("no log file: {error}"));
            None
        }
    };
    let sink = Sink::new(console, config.log.budget_per_second, file, RECENT_EVENTS);
    let filter = Filter::new(datapath, store, wishes::limits(config), rules)?;
    let mut daemon = Daemon {
        config: Arc::new(config.clone()),
        config_path: start.config_path.clone(),
        started: now.wall,
        filter,
        mode,
        written: None,
        sink,
        interfaces: Interfaces::default(),
        assembler: FlowAssembler::new(StreamLimits::default()),
        finder,
        ports: host::ports::PortSets::default(),
        running: false,
        troubles: Troubles::new(),
    };
    daemon.trouble("starting", trouble);
    daemon.fill()?;
    Ok(daemon)
}

impl Daemon {
    /// Everything that decides about packets, before there are any.
    fn fill(&mut self) -> anyhow::Result<()> {
        let now = host::now();
        let (_, ended) = self.filter.expire(now);
        ended?;
        let ours = |origin: &Origin| *origin == Origin::Config;
        let (_, synced) = self.filter.sync(ours, self.config.rules.clone(), now);
        synced?;
        self.look_at_host();
        // Whatever was the same as before is compiled here for the first time.
        self.filter.enforce(now)?;
        self.write_settings()?;
        Ok(())
    }

    /// Interfaces of the command line must work. Configured ones may come later, but a foreign
    /// program on one is for the operator to decide.
    fn attach_all(&mut self, start: &Start) -> anyhow::Result<()> {
        let wish = start.wish.unwrap_or_else(|| wishes::wish(&self.config));
        for iface in &start.interfaces {
            let datapath = &mut self.filter.datapath;
            let events = self.interfaces.add(datapath, iface, wish);
            self.attached(events)?;
        }
        for iface in &Arc::clone(&self.config).agent.interfaces {
            if start.interfaces.contains(iface) {
                continue;
            }
            let datapath = &mut self.filter.datapath;
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
                events => self.attached(events)?,
            }
        }
        self.take_over(wish);
        Ok(())
    }

    /// What an earlier agent filters and nobody named now is filtered on: by this agent's program,
    /// and where people see it. Only `detach` ends that.
    fn take_over(&mut self, wish: Wish) {
        let filtered = match self.filter.datapath.filtered() {
            Ok(filtered) => filtered,
            Err(error) => return self.emit(Body::error(error.to_string())),
        };
        for iface in filtered {
            if self.interfaces.wanted().any(|wanted| wanted == iface) {
                continue;
            }
            match self.interfaces.add(&mut self.filter.datapath, &iface, wish) {
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

    /// On an error takes back what this start attached: what an earlier agent attached stays.
    fn attached(
        &mut self,
        events: Result<Vec<Body>, crate::datapath::AttachError>,
    ) -> anyhow::Result<()> {
        match events {
            Ok(events) => {
                self.emit_all(events);
                Ok(())
            }
            Err(error) => {
                for body in self.interfaces.undo(&mut self.filter.datapath) {
                    self.emit(body);
                }
                Err(error.into())
            }
        }
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
