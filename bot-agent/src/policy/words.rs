//! For tests: rules and lists made from a few words, and what they do to one address.

use bot_common::abi::verdict::{Action, Scope as KernelScope};

use super::{
    simulation::{Answer, Kernel, ROOMY, at, ip, past, rule_set},
    *,
};
use crate::{
    asn::Database,
    rules::{
        rule::{Draft, Origin, RuleAction, Scope},
        set::RuleSet,
    },
};

pub(super) const HERE: &str = "192.0.2.1";
/// HERE is of AS1 in AA.
const INTERNET: &str =
    "192.0.2.0\t192.0.2.255\t1\tAA\tOne\n198.51.100.0\t198.51.100.255\t2\tAA\tTwo\n";

/// A rule (words and subject), or a list of one entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    Rule(&'static str, &'static str),
    List(ListKind, &'static str),
    /// The same about some ports.
    Ports(ListKind, &'static str, &'static str),
}
pub(super) const CRAWLER: ListKind = ListKind::VerifiedCrawler;
pub(super) const ALLOWED: ListKind = ListKind::Allow;
pub(super) const POPULAR: ListKind = ListKind::Popular;
pub(super) const BAD: ListKind = category(Action::Drop, Scope::All);
pub(super) const BAD_FOR_SERVICES: ListKind = category(Action::Drop, Scope::Services);
pub(super) const SLOW: ListKind = category(Action::Throttle, Scope::All);
pub(super) const ONLY: ListKind = ListKind::Only { monitor: false };
/// Its entries have a score of 90, which is dropped.
pub(super) const SCORED: ListKind = ListKind::Score {
    scope: Scope::Services,
    monitor: false,
};

pub(super) const fn category(action: Action, scope: Scope) -> ListKind {
    ListKind::Category {
        action,
        scope,
        monitor: false,
    }
}

pub(super) struct World {
    rules: RuleSet,
    lists: Vec<List>,
    ports: PortGroups,
    database: Database,
}

impl World {
    /// Rules are numbered from 1 on in order, lists likewise.
    pub(super) fn of(sources: &[Said]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), INTERNET).unwrap();
        let (mut drafts, mut lists) = (Vec::new(), Vec::new());
        for source in sources {
            match source {
                Said::Rule(words, subject) => drafts.push(draft(words, subject)),
                Said::List(kind, prefix) => lists.push(list(*kind, prefix, lists.len())),
                Said::Ports(kind, prefix, ports) => {
                    let list = list(*kind, prefix, lists.len());
                    lists.push(list.about(ports.parse().unwrap()));
                }
            }
        }
        Self {
            rules: rule_set(&drafts, at(0)),
            ports: PortGroups::NONE
                .about(lists.iter().filter_map(List::ports), 0)
                .unwrap(),
            lists,
            database: Database::open(&[file.path()]).unwrap(),
        }
    }

    pub(super) fn inputs(&self) -> Inputs<'_> {
        Inputs {
            rules: &self.rules,
            lists: &self.lists,
            ports: &self.ports,
            tiers: Tiers {
                block: Score::new(80),
                ..Tiers::default()
            },
            database: Some(&self.database),
        }
    }

    pub(super) fn winner(&self) -> Option<By> {
        explain(&self.inputs(), ip(HERE), at(0)).winner()
    }

    /// Who decides about packets to a port.
    pub(super) fn winner_at(&self, port: u16) -> Option<By> {
        explain(&self.inputs(), ip(HERE), at(0)).winner_at(self.ports.of(port))
    }

    /// What the kernel does to packets at a time.
    pub(super) fn answer(&self, seconds: u64) -> Answer {
        self.answer_for(0, seconds)
    }

    /// The same for packets to a port.
    pub(super) fn answer_for(&self, port: u16, seconds: u64) -> Answer {
        let mut kernel = Kernel::default();
        let compiled = compile(&self.inputs(), at(0));
        kernel
            .enforce(&mut Enforced::empty(ROOMY), &compiled, at(0))
            .unwrap();
        kernel.lookup_for(ip(HERE), self.ports.of(port), past(seconds))
    }
}

fn list(kind: ListKind, prefix: &str, before: usize) -> List {
    let id = ListId(u32::try_from(before).unwrap() + 1);
    let entry = (prefix.parse().unwrap(), Score::new(90).unwrap());
    List::new(id, "list".into(), kind, [entry])
}

/// `words`: block or allow, and what qualifies it: config, learned, protected, forced, monitor,
/// services, and a number of seconds.
fn draft(words: &str, subject: &str) -> (Draft, Option<u64>) {
    let mut draft = Draft {
        subject: subject.parse().unwrap(),
        action: RuleAction::Allow,
        scope: Scope::All,
        monitor: false,
        forced: false,
        deadline: None,
        reason: String::new(),
        origin: Origin::Operator,
    };
    let mut seconds = None;
    for word in words.split(' ') {
        match word {
            "allow" => {}
            "block" => draft.action = RuleAction::Block,
            "config" => draft.origin = Origin::Config,
            "learned" => draft.origin = Origin::Learned,
            "protected" => draft.origin = Origin::Protected("gateway".into()),
            "forced" => draft.forced = true,
            "monitor" => draft.monitor = true,
            "services" => draft.scope = Scope::Services,
            number => seconds = Some(number.parse().unwrap()),
        }
    }
    (draft, seconds)
}

pub(super) fn drop_answer(scope: KernelScope, flags: u8) -> Answer {
    Answer {
        action: Action::Drop as u8,
        scope: scope as u8,
        flags,
    }
}
