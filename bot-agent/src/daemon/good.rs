//! Sources known to be good: found among this host's connections, asked before an update of a feed, and
//! watched after it.

use std::{sync::Arc, time::Duration};

use bot_common::{abi::record::DropReport, address::Address};

use super::{Daemon, filter::Behind};
use crate::{
    config::Config,
    event::{Action, Body},
    feeds::watchdog::{Limits, Watchdog},
    host,
    policy::ListKind,
    rules::time::Now,
    wording::{many, many_of},
};

/// How long a feed's update is watched.
const WINDOW: Duration = Duration::from_mins(2);
/// Sources that are named.
const NAMED: usize = 10;

/// Watches updates as configured.
pub(super) fn watchdog(config: &Config) -> Watchdog {
    Watchdog::new(Limits {
        window: WINDOW,
        sources: usize::try_from(config.rails.known_good).unwrap_or(usize::MAX),
    })
}

impl Daemon {
    /// Takes note of sources with proved connections, those aside whose packets are dropped.
    pub(super) fn saw_good(&mut self, sources: impl IntoIterator<Item = (Address, u32)>) {
        let now = host::now();
        for (address, connections) in sources {
            let known = self.known_good.contains(address);
            if known || self.fate_of(address, 0).0 == Action::Pass {
                self.known_good.saw(address, connections, now.boot_ns);
            }
        }
    }

    /// An update of a feed is in force.
    pub(super) fn watchdog_sees(&mut self, feed: &str, now: Now) {
        if self.running {
            self.watchdog.swapped(vec![Arc::from(feed)], now.boot_ns);
        }
    }

    /// Packets were dropped, or would be: by a feed, and of a source known to be good?
    pub(super) fn watch_good(&mut self, report: &DropReport, now: Now) {
        let behind = self.filter.behind(report.verdict, report.src, now);
        let Some(Behind::List(list)) = behind else {
            return;
        };
        let is_own = self.file_lists.iter().any(|own| own.id() == list.id());
        if is_own || matches!(list.kind(), ListKind::Only { .. }) {
            return;
        }
        self.ask_who(report.src);
        let packets = report.packets;
        let alarm = self
            .watchdog
            .dropped(report.src, packets, &self.known_good, now.boot_ns);
        let Some(alarm) = alarm else { return };
        self.watchdog.rolled_back();
        let named = alarm.sources.iter().take(NAMED);
        let named: Vec<String> = named.map(|source| source.to_ip().to_string()).collect();
        let why = format!(
            "its update drops {} known to be good, {}: {}",
            many_of(alarm.sources.len(), "source"),
            many(alarm.packets.into(), "packet"),
            named.join(", ")
        );
        for feed in alarm.feeds {
            if let Err(failure) = self.roll_back(&feed, &why) {
                let what = format!("feed {feed}: {why}; it cannot be rolled back: {failure}");
                self.emit(Body::error(what));
            }
        }
    }
}
