//! What happens once a second.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Daemon,
    mode::{Ended, WITHOUT_AGENT},
};
use crate::{
    control::protocol::Failure,
    event::{Body, Bypass, ModeChange, RuleChange},
    host,
    store::Change,
};

/// The loop's clock.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// Troubles that may come again each second, by what was being done.
pub(super) type Troubles = BTreeMap<String, String>;

impl Daemon {
    pub(super) fn tick(&mut self) {
        let now = host::now();
        self.adopt_mode();
        self.expire_rules();
        self.expire_mode();
        if let Some(result) = self.filter.retry(now) {
            self.trouble_of("enforcing the rules", &result);
        }
        let result = self.filter.look_for_differences(now);
        self.trouble_of("comparing the kernel's table with the rules", &result);
        self.tell_repairs();
        self.look_at_databases();
        self.expire_feeds();
        self.renew_feeds();
        self.tell_tails();
        for outcome in self.assembler.expire(now.boot_ns) {
            self.outcome(&outcome);
        }
        self.sink.tick(now);
    }

    /// Somebody else writes what only the agent should.
    fn tell_repairs(&mut self) {
        let repairs = self.filter.enforcer.repairs();
        let mended = repairs.saturating_sub(self.repairs_told);
        self.repairs_told = repairs;
        if mended > 0 {
            self.emit(Body::error(format!(
                "the kernel's table was not what the rules say, and is again ({mended} mended): \
                 does somebody write to the maps in {}?",
                self.config.agent.pin_dir.display()
            )));
        }
    }

    /// What bursts left folded when they ended.
    fn tell_tails(&mut self) {
        if self.tails.is_idle() {
            return;
        }
        let slots = self.filter.enforcer.datapath.report_slots();
        let message = slots.as_ref().err().map(ToString::to_string);
        self.trouble("reading the report slots", message);
        for tail in self
            .tails
            .sweep(slots.unwrap_or_default(), host::now().boot_ns)
        {
            self.dropped(&tail);
        }
    }

    /// Tells of a trouble when it begins and when it changes.
    pub(super) fn trouble(&mut self, doing: &str, message: Option<String>) {
        match message {
            None => {
                self.troubles.remove(doing);
            }
            Some(message) if self.troubles.get(doing) == Some(&message) => {}
            Some(message) => {
                self.troubles.insert(doing.to_owned(), message.clone());
                self.emit(Body::error(message));
            }
        }
    }

    fn trouble_of(&mut self, doing: &str, result: &Result<(), Failure>) {
        let message = result.as_ref().err();
        self.trouble(doing, message.map(|error| format!("{doing}: {error}")));
    }

    fn expire_rules(&mut self) {
        let (ended, result) = self.filter.expire(host::now());
        self.emit_all(
            ended
                .iter()
                .map(|rule| Body::RuleExpired(RuleChange::of(rule))),
        );
        if !ended.is_empty() {
            self.trouble_of("ending rules", &result);
        }
    }

    /// A rescue that did not wait for the agent (`bypass`, `resume`, `mode monitor`) holds.
    pub(super) fn adopt_mode(&mut self) {
        let (Some(written), Ok(kernel)) = (self.written, self.filter.enforcer.datapath.settings())
        else {
            return;
        };
        let kernel = (kernel.enforce_until, kernel.bypass_until);
        let (mode, bypass) = self.mode.adopt(written, kernel, host::now());
        self.written = Some(kernel);
        let mut changes = Vec::new();
        if mode {
            changes.push(Change::Mode(self.mode.base()));
            self.tell_mode(WITHOUT_AGENT);
        }
        if bypass {
            changes.push(Change::Bypass(self.mode.bypass().cloned()));
            let view = self.mode.view(host::now()).bypass;
            self.emit(Body::Bypass(Bypass {
                active: view.is_some(),
                until: view.and_then(|bypass| bypass.until),
                reason: WITHOUT_AGENT.into(),
            }));
        }
        if !changes.is_empty() {
            let stored = self.filter.store.commit(&changes);
            let message = stored.err().map(|error| error.to_string());
            self.trouble("storing the mode", message);
        }
    }

    fn expire_mode(&mut self) {
        let ended = self.mode.expire(host::now());
        if ended.is_empty() {
            return;
        }
        for what in ended {
            match what {
                Ended::Enforce => self.emit(Body::Mode(ModeChange {
                    mode: "monitor".into(),
                    until: None,
                    reason: "enforcing was not confirmed in time".into(),
                })),
                Ended::Bypass(bypass) => {
                    let stored = self.filter.store.commit(&[Change::Bypass(None)]);
                    let message = stored.err().map(|error| error.to_string());
                    self.trouble("storing the end of the bypass", message);
                    self.emit(Body::Bypass(Bypass {
                        active: false,
                        until: None,
                        reason: format!("its time is over ({})", bypass.reason),
                    }));
                }
            }
        }
        // The kernel has fallen back by itself; its words are tidied up.
        let result = self.write_settings();
        self.trouble_of("writing the mode", &result);
    }

    /// What is wrong with the ASN database, and with rules that need it.
    pub(super) fn look_at_databases(&mut self) {
        let complaints = self.databases.complaints(self.filter.rules());
        self.trouble("reading the ASN database", complaints);
    }
}
