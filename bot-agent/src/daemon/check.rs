//! What happens to an address: the kernel's own table, put into words. Pure; with and without an
//! agent.

use bot_common::{
    abi::{
        counter::Hits,
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
        view::{Check, Effect, KernelVerdict, ListedView, ModeView, RuleView},
    },
    feeds::reputation::Evidence,
    policy::{self, By, Explanation, Inputs, Source},
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
    /// The kernel's chain: id, terms, hits.
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
        chain,
        mode,
        inputs,
        evidence,
        mut notes,
    } = facts;
    let table = |id| {
        let row = chain.iter().find(|(row, ..)| *row == id);
        row.map(|(_, verdict, _)| *verdict)
    };
    let first = chain.first().map_or(VerdictId::NONE, |(id, ..)| *id);
    let (id, verdict) = in_force(first, table, || now.boot_ns);
    let explanation = policy::explain(&inputs, address, now);
    let behind = behind(id);
    let decides = behind.map(|behind| match behind {
        Behind::Rule(rule) => By::Rule(rule.id),
        Behind::List(list) => By::List(list.id()),
    });
    if decides != explanation.winner() {
        notes.push(disagreement(decides, explanation.winner(), id));
    }
    let rule = match behind {
        Some(Behind::Rule(rule)) => Some(rule),
        Some(Behind::List(_)) | None => None,
    };
    let drops = Action::from_code(verdict.action) == Action::Drop;
    let watched = verdict.has(Flags::MONITOR_ONLY);
    let blocked = drops && !watched;
    let effect = match (drops, blocked && mode.enforces(), &mode.bypass) {
        (false, ..) | (true, false, Some(_)) => Effect::Pass,
        (true, true, _) => Effect::Drop,
        (true, false, None) => Effect::WouldDrop,
    };
    if drops {
        notes.extend(exceptions(&verdict));
    }
    let shown = |rule: &Rule| RuleView::of(rule, now).with_hits(hits(rule.id));
    let beneath = explanation
        .rules()
        .filter(|other| Some(other.id) != rule.map(|rule| rule.id));
    let mut lists = lists(&explanation);
    if let (Some(Behind::List(list)), Some(first)) = (behind, lists.first_mut()) {
        first.decides = first.list == **list.name();
    }
    Check {
        address: address.to_ip(),
        effect,
        blocked,
        announced: announced.map(Announced::from),
        mode,
        rule: rule.map(shown),
        beneath: beneath.map(shown).collect(),
        lists,
        evidence: evidence.filter(|evidence| !evidence.parts.is_empty()),
        kernel: chain
            .iter()
            .skip_while(|(row, ..)| *row != id)
            .filter(|(row, ..)| *row != VerdictId::NONE)
            .map(|(id, verdict, hits)| kernel_verdict(*id, verdict, *hits, now))
            .collect(),
        notes,
    }
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
