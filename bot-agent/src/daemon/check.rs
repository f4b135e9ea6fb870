//! What happens to an address: the kernel's own table, put into words. Pure; with and without an
//! agent.

use std::{cmp::Reverse, collections::BTreeSet};

use bot_common::{
    abi::{
        counter::Hits,
        ports::Groups,
        verdict::{Action, Flags, Scope as KernelScope, Verdict, VerdictId},
    },
    address::Address,
    decide::in_force,
};

use super::filter::Behind;
use crate::{
    asn::AsInfo,
    control::{
        network::Announced,
        view::{Check, Effect, KernelVerdict, ListedView, ModeView, PortsCheck, RuleView},
    },
    feeds::reputation::Evidence,
    policy::{self, By, Explanation, Inputs, List, Source},
    rules::{
        rule::{Rule, RuleId, Scope},
        time::Now,
    },
};

/// What is known about the address.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// The address.
    pub address: Address,
    /// Who has it, as far as that is known.
    pub announced: Option<AsInfo<'a>>,
    /// What the kernel has of the address: ids, terms, hits; the first is that of the address.
    pub chain: Vec<(VerdictId, Verdict, Hits)>,
    /// The mode in force.
    pub mode: ModeView,
    /// Rules and lists, as far as they are known.
    pub inputs: Inputs<'a>,
    /// What feeds say, as far as that is known.
    pub evidence: Option<Evidence>,
    /// What else to say.
    pub notes: Vec<String>,
}

/// Puts the facts together. `behind` finds what stands behind a verdict id.
pub(super) fn check<'a>(
    facts: Facts<'a>,
    behind: impl Fn(VerdictId) -> Option<Behind<'a>>,
    hits: impl Fn(RuleId) -> Option<Hits>,
    now: Now,
) -> Check {
    let Facts {
        address,
        announced,
        ref chain,
        ref mode,
        inputs,
        ref evidence,
        ref notes,
    } = facts;
    let mut notes = notes.clone();
    let explanation = policy::explain(&inputs, address, now);
    let judge = |groups| Judged::new(chain, mode, groups, &behind, now);
    let shown = |rule: &Rule| RuleView::of(rule, now).with_hits(hits(rule.id));
    let rest = judge(Groups::NONE);
    notes.extend(rest.disagreement(explanation.winner()));
    if rest.drops {
        notes.extend(exceptions(&rest.verdict));
    }
    let mut named = BTreeSet::new();
    let mut ports = Vec::new();
    for groups in asked(chain) {
        let these = judge(groups);
        // Those in more groups were named before.
        let own = inputs.ports.ports(groups).into_iter();
        let own: Vec<u16> = own.filter(|port| named.insert(*port)).collect();
        if own.is_empty() || these.id == rest.id {
            continue;
        }
        let decides = these.disagreement(explanation.winner_at(groups));
        notes.extend(decides.map(|note| format!("of {}: {note}", many_ports(&own))));
        ports.push(PortsCheck {
            ports: own,
            effect: these.effect,
            blocked: these.blocked,
            rule: these.rule().map(shown),
            list: these.list().map(|list| list.name().to_string()),
            kernel: these.kernel(chain, now),
        });
    }
    if ports.iter().any(|ports| ports.blocked) && !rest.drops {
        notes.push("failsafe ports stay open".into());
    }
    let beneath = explanation
        .rules()
        .filter(|other| Some(other.id) != rest.rule().map(|rule| rule.id));
    let mut lists = lists(&explanation);
    if let (Some(list), Some(first)) = (rest.list(), lists.first_mut()) {
        first.decides = first.list == **list.name();
    }
    Check {
        address: address.to_ip(),
        effect: rest.effect,
        blocked: rest.blocked,
        announced: announced.map(Announced::from),
        mode: mode.clone(),
        rule: rest.rule().map(shown),
        beneath: beneath.map(shown).collect(),
        lists,
        evidence: evidence
            .clone()
            .filter(|evidence| !evidence.parts.is_empty()),
        kernel: rest.kernel(chain, now),
        ports,
        notes,
    }
}

/// The verdict of packets of one kind, and what it means.
struct Judged<'a> {
    id: VerdictId,
    verdict: Verdict,
    behind: Option<Behind<'a>>,
    effect: Effect,
    drops: bool,
    blocked: bool,
}

impl<'a> Judged<'a> {
    /// Of packets to a port in these groups.
    fn new(
        chain: &[(VerdictId, Verdict, Hits)],
        mode: &ModeView,
        groups: Groups,
        behind: impl Fn(VerdictId) -> Option<Behind<'a>>,
        now: Now,
    ) -> Self {
        let table = |id| {
            let row = chain.iter().find(|(row, ..)| *row == id);
            row.map(|(_, verdict, _)| *verdict)
        };
        let first = chain.first().map_or(VerdictId::NONE, |(id, ..)| *id);
        let (id, verdict) = in_force(first, table, || groups, || now.boot_ns);
        let drops = Action::from_code(verdict.action) == Action::Drop;
        let blocked = drops && !verdict.has(Flags::MONITOR_ONLY);
        let effect = match (drops, blocked && mode.enforces(), &mode.bypass) {
            (false, ..) | (true, false, Some(_)) => Effect::Pass,
            (true, true, _) => Effect::Drop,
            (true, false, None) => Effect::WouldDrop,
        };
        Self {
            id,
            verdict,
            behind: behind(id),
            effect,
            drops,
            blocked,
        }
    }

    fn rule(&self) -> Option<&'a Rule> {
        match self.behind? {
            Behind::Rule(rule) => Some(rule),
            Behind::List(_) => None,
        }
    }

    fn list(&self) -> Option<&'a List> {
        match self.behind? {
            Behind::Rule(_) => None,
            Behind::List(list) => Some(list),
        }
    }

    /// Says so if somebody else should decide.
    fn disagreement(&self, wanted: Option<By>) -> Option<String> {
        let decides = self.behind.map(|behind| match behind {
            Behind::Rule(rule) => By::Rule(rule.id),
            Behind::List(list) => By::List(list.id()),
        });
        (decides != wanted).then(|| disagreement(decides, wanted, self.id))
    }

    /// The verdict that applies, then what follows when it ends.
    fn kernel(&self, chain: &[(VerdictId, Verdict, Hits)], now: Now) -> Vec<KernelVerdict> {
        let mut rows = Vec::new();
        let mut next = self.id;
        while let Some((id, verdict, hits)) = chain.iter().find(|(id, ..)| *id == next) {
            if rows.len() == chain.len() {
                break;
            }
            rows.push(kernel_verdict(*id, verdict, *hits, now));
            next = verdict.then;
        }
        rows
    }
}

/// The groups that verdicts ask about, many together first.
fn asked(chain: &[(VerdictId, Verdict, Hits)]) -> Vec<Groups> {
    let asked: BTreeSet<Groups> = chain.iter().map(|(_, verdict, _)| verdict.ports).collect();
    let mut asked: Vec<Groups> = asked
        .into_iter()
        .filter(|groups| !groups.is_none())
        .collect();
    asked.sort_by_key(|groups| Reverse(groups.0.count_ones()));
    asked
}

fn many_ports(ports: &[u16]) -> String {
    let words: Vec<String> = ports.iter().map(ToString::to_string).collect();
    format!("port {}", words.join(","))
}

/// A list that decides is named by its entry in `lists`, which comes first.
fn lists(explanation: &Explanation) -> Vec<ListedView> {
    let entries = explanation.covering.iter();
    entries
        .filter_map(|covering| match &covering.source {
            Source::Rule(_) => None,
            Source::Entry { name, prefix, .. } => Some(ListedView {
                list: name.to_string(),
                prefix: *prefix,
                decides: false,
            }),
        })
        .collect()
}

fn disagreement(kernel: Option<By>, wanted: Option<By>, id: VerdictId) -> String {
    let name = |by: By| match by {
        By::Rule(rule) => format!("rule {rule}"),
        By::List(_) => "a list".to_owned(),
    };
    let kernel = match kernel {
        Some(by) => name(by),
        None if id == VerdictId::NONE => "no rule".into(),
        None => format!("verdict {} of a rule that is not known here", id.get()),
    };
    let wanted = wanted.map_or("none".into(), name);
    format!("the kernel's table has {kernel}, the rules say {wanted}")
}

fn exceptions(verdict: &Verdict) -> Vec<String> {
    let mut notes = Vec::new();
    if KernelScope::from_code(verdict.scope) == KernelScope::Services {
        notes.push(
            "scope services: only packets to served ports and new connections are meant".into(),
        );
    }
    if !verdict.has(Flags::FORCED) {
        notes.push("failsafe ports stay open, and ICMP errors pass".into());
    }
    notes
}

fn kernel_verdict(id: VerdictId, verdict: &Verdict, hits: Hits, now: Now) -> KernelVerdict {
    let action = match Action::from_code(verdict.action) {
        Action::Pass => "pass",
        Action::Monitor => "monitor",
        Action::Throttle => "throttle",
        Action::Reject => "reject",
        Action::Drop => "drop",
        Action::Challenge => "challenge",
    };
    let left = verdict.expires.saturating_sub(now.boot_ns) / 1_000_000_000;
    KernelVerdict {
        verdict: id.get(),
        action: action.into(),
        scope: match KernelScope::from_code(verdict.scope) {
            KernelScope::All => Scope::All,
            KernelScope::Services => Scope::Services,
        },
        monitor: verdict.has(Flags::MONITOR_ONLY),
        forced: verdict.has(Flags::FORCED),
        remaining_seconds: (verdict.expires != 0).then_some(left),
        hits: Some(hits.into()),
    }
}
