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

use crate::{
    asn::AsInfo,
    control::{
        network::Announced,
        view::{Check, Effect, KernelVerdict, ModeView, RuleView},
    },
    policy::{self, Inputs},
    rules::{
        rule::{Rule, RuleId, Scope},
        set::RuleSet,
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
    /// The rules, as far as they are known.
    pub rules: &'a RuleSet,
    /// What else to say.
    pub notes: Vec<String>,
}

/// Puts the facts together. `behind` finds the rule behind a verdict id.
pub(super) fn check<'a>(
    facts: Facts<'a>,
    behind: impl Fn(VerdictId) -> Option<&'a Rule>,
    hits: impl Fn(RuleId) -> Option<Hits>,
    now: Now,
) -> Check {
    let Facts {
        address,
        announced,
        chain,
        mode,
        rules,
        mut notes,
    } = facts;
    let table = |id| {
        let row = chain.iter().find(|(row, ..)| *row == id);
        row.map(|(_, verdict, _)| *verdict)
    };
    let first = chain.first().map_or(VerdictId::NONE, |(id, ..)| *id);
    let (id, verdict) = in_force(first, table, || now.boot_ns);
    let explanation = policy::explain(&Inputs::of_rules(rules), address, now);
    let rule = behind(id);
    if rule.map(|rule| rule.id) != explanation.winning_rule() {
        notes.push(disagreement(rule, explanation.winning_rule(), id));
    }
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
    Check {
        address: address.to_ip(),
        effect,
        blocked,
        announced: announced.map(Announced::from),
        mode,
        rule: rule.map(shown),
        beneath: beneath.map(shown).collect(),
        kernel: chain
            .iter()
            .skip_while(|(row, ..)| *row != id)
            .filter(|(row, ..)| *row != VerdictId::NONE)
            .map(|(id, verdict, hits)| kernel_verdict(*id, verdict, *hits, now))
            .collect(),
        notes,
    }
}

fn disagreement(rule: Option<&Rule>, wanted: Option<RuleId>, id: VerdictId) -> String {
    let kernel = match rule {
        Some(rule) => format!("rule {}", rule.id),
        None if id == VerdictId::NONE => "no rule".into(),
        None => format!("verdict {} of a rule that is not known here", id.get()),
    };
    let rules = wanted.map_or("none".into(), |id| format!("rule {id}"));
    format!("the kernel's table has {kernel}, the rules say {rules}")
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
