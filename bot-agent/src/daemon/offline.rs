//! The filter without an agent: what the pinned tables and the store say, and the switches that
//! must work in an emergency.

use std::{fs, io, net::IpAddr, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use bot_common::abi::{
    ports::{GROUP_LINES, GroupLine, Groups},
    verdict::{Action, VerdictId},
};
use rustix::process::{Gid, Uid};

use super::{
    belongings::in_state_dir,
    check::{Facts, check},
    filter::Behind,
    interfaces::view_of,
    mode::{ModeState, view_of_settings},
    status::{count, lost},
};
use crate::{
    control::{
        protocol::{Failure, Mode},
        view::{Check, ModeView, RuleCounts, Status, counters},
    },
    datapath::{Error, Pinned, TableError},
    host::{
        self,
        ownership::{Ids, give},
        privilege,
    },
    policy::{self, Inputs, PortGroups},
    rules::{rule::RuleAction, set::RuleSet},
    store::{Bypass, Change, FILE, Store},
};

/// The pinned tables.
pub struct Offline {
    pinned: Pinned,
}

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// Not enough rights.
    #[error("{0}; without a running agent this needs root")]
    Privilege(Error),
    /// The tables cannot be opened.
    #[error(transparent)]
    Datapath(#[from] Error),
    /// A table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// It makes no sense now.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Offline {
    /// Opens the tables pinned under `pin_dir`.
    pub fn open(pin_dir: &Path) -> Result<Self, OfflineError> {
        match Pinned::open(pin_dir) {
            Ok(pinned) => Ok(Self { pinned }),
            Err(error @ Error::NothingPinned { .. }) if privilege::is_root() => Err(error.into()),
            Err(error) if !privilege::is_root() => Err(OfflineError::Privilege(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// The mode, from the kernel's words.
    pub fn mode(&self) -> Result<ModeView, OfflineError> {
        Ok(view_of_settings(&self.pinned.settings()?, host::now()))
    }

    /// What can be seen of the filter.
    pub fn status(&self, state_dir: &Path) -> Result<Status, OfflineError> {
        let read = self.pinned.counters()?;
        let mut notes = lost(&read);
        let interfaces = match self.pinned.attachments() {
            Ok(attachments) => attachments.iter().map(view_of).collect(),
            Err(error) => {
                notes.push(error.to_string());
                Vec::new()
            }
        };
        let rules = stored_rules(state_dir)
            .map_err(|note| notes.push(note))
            .ok();
        let mut mode = self.mode()?;
        if let Some(bypass) = &mut mode.bypass {
            bypass.reason = stored_bypass(state_dir).map(|bypass| bypass.reason);
        }
        Ok(Status {
            agent: None,
            mode,
            interfaces,
            // What is protected is known to the agent alone.
            rules: rules.as_ref().map(|rules| RuleCounts {
                protected: None,
                ..count(rules)
            }),
            table: None,
            lists: Vec::new(),
            onlys: Vec::new(),
            asn: None,
            counters: counters(&read),
            known_good: None,
            ports: None,
            notes,
        })
    }

    /// What happens to an address.
    pub fn check(&self, address: IpAddr, state_dir: &Path) -> Result<Check, OfflineError> {
        let now = host::now();
        let address = address.into();
        let found = self.pinned.lookup(address)?;
        let ids: Vec<VerdictId> = found.iter().map(|(id, _)| *id).collect();
        let hits = self.pinned.hits(&ids)?;
        let groups = self.port_groups()?;
        let mut notes =
            vec!["without the agent: configured rules and protection are not named here".into()];
        let rules = stored_rules(state_dir).unwrap_or_else(|note| {
            notes.push(note);
            RuleSet::default()
        });
        let rows = found.into_iter().zip(hits);
        let chain: Vec<_> = rows
            .map(|((id, verdict), hits)| (id, verdict, hits))
            .collect();
        let inputs = Inputs {
            ports: &groups,
            ..Inputs::of_rules(&rules)
        };
        let winner = policy::explain(&inputs, address, now)
            .winning_rules()
            .next()
            .and_then(|id| rules.get(id));
        let behind = |id: VerdictId| -> Option<Behind<'_>> {
            let (_, verdict, _) = chain.iter().find(|(row, ..)| *row == id)?;
            let drops = Action::from_code(verdict.action) == Action::Drop;
            winner
                .filter(|rule| (rule.action == RuleAction::Block) == drops)
                .map(Behind::Rule)
        };
        let facts = Facts {
            address,
            announced: None,
            chain: chain.clone(),
            mode: self.mode()?,
            inputs,
            evidence: None,
            notes,
        };
        Ok(check(facts, behind, |_| None, now))
    }

    /// Lets everything pass. Kept for the next agent too, if the store can be written.
    pub fn bypass(
        &mut self,
        reason: String,
        limit: Option<Duration>,
        state_dir: &Path,
    ) -> Result<ModeView, OfflineError> {
        let now = host::now();
        let mut state = ModeState::restore(Mode::Monitor, None, None, now);
        state.start_bypass(limit, reason, now)?;
        self.write_bypass(state.words(now).1)?;
        keep(state_dir, Change::Bypass(state.bypass().cloned()));
        let mut view = self.mode()?;
        if let Some(bypass) = &mut view.bypass {
            bypass.reason = state.bypass().map(|bypass| bypass.reason.clone());
        }
        Ok(view)
    }

    /// Filters again.
    pub fn resume(&mut self, state_dir: &Path) -> Result<ModeView, OfflineError> {
        self.write_bypass(0)?;
        keep(state_dir, Change::Bypass(None));
        self.mode()
    }

    /// Drops nothing any more.
    pub fn monitor(&mut self, state_dir: &Path) -> Result<ModeView, OfflineError> {
        let mut settings = self.pinned.settings()?;
        settings.enforce_until = 0;
        self.pinned.set_settings(&settings)?;
        keep(state_dir, Change::Mode(Mode::Monitor));
        self.mode()
    }

    /// The port groups of the kernel, whoever asks about them.
    fn port_groups(&self) -> Result<PortGroups, TableError> {
        let lines = (0..GROUP_LINES).map(|index| self.pinned.port_groups(index));
        let lines: Vec<GroupLine> = lines.collect::<Result<_, _>>()?;
        Ok(PortGroups::from_lines(&lines, Groups::NONE))
    }

    fn write_bypass(&mut self, bypass_until: u64) -> Result<(), TableError> {
        let mut settings = self.pinned.settings()?;
        settings.bypass_until = bypass_until;
        self.pinned.set_settings(&settings)
    }
}

/// The rules in the store, if there is one that can be opened now; else why not.
pub fn stored_rules(state_dir: &Path) -> Result<RuleSet, String> {
    let file = state_dir.join(FILE);
    if !file.exists() {
        return Err(format!("there is no rule store at {}", file.display()));
    }
    let mut store = Store::open(state_dir).map_err(|error| error.to_string())?;
    let stored = store.load().map_err(|error| error.to_string())?;
    let (mut rules, _) = RuleSet::load(stored.rules, stored.next_id, host::now());
    rules.expire(host::now());
    Ok(rules)
}

fn stored_bypass(state_dir: &Path) -> Option<Bypass> {
    if !state_dir.join(FILE).exists() {
        return None;
    }
    Store::open(state_dir).ok()?.load().ok()?.bypass
}

/// The kernel's word decides; the store remembers the reason. A rescue works without it too: why
/// it does not know is only told.
fn keep(state_dir: &Path, change: Change) {
    let is_new = !state_dir.join(FILE).exists();
    let worth_a_store = matches!(change, Change::Bypass(Some(_)));
    if is_new && (!worth_a_store || !state_dir.is_dir()) {
        return;
    }
    let kept = Store::open(state_dir).and_then(|mut store| store.commit(&[change]));
    if let Err(error) = kept {
        tracing::warn!("the store does not know of it: {error}");
    }
    if is_new && let Err(error) = give_like(state_dir) {
        tracing::warn!("{}: {error}", state_dir.display());
    }
}

/// A store that root makes here must be the agent's, as the folder is.
fn give_like(state_dir: &Path) -> io::Result<()> {
    let folder = fs::metadata(state_dir)?;
    let owner = Ids {
        uid: Uid::from_raw(folder.uid()),
        gid: Gid::from_raw(folder.gid()),
    };
    give(state_dir, owner, false, in_state_dir)
}
