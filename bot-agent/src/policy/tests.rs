//! Single cases that deserve a name: chains, pieces, previews.

use bot_common::abi::verdict::MAX_CHAIN;

use super::{
    simulation::{Kernel, ROOMY, SECOND, at, bad, block, ip, past, prefix, rule_set},
    *,
};
use crate::rules::{
    rule::{Draft, Origin, RuleAction},
    set::RuleSet,
};

#[test]
fn a_chain_beyond_the_bound_is_cut_and_passes_at_its_end() {
    // Ten nested blocks, the narrow ones ending first.
    let drafts: Vec<_> = (0..10u64)
        .map(|n| block(&format!("10.0.0.0/{}", 32 - n), Some(10 + n)))
        .collect();
    let rules = rule_set(&drafts, at(0));
    let inputs = Inputs::of_rules(&rules);
    let chain = explain(&inputs, ip("10.0.0.0"), at(0)).chain().clone();
    assert_eq!(chain.len(), MAX_CHAIN);
    let mut kernel = Kernel::default();
    let mut enforced = Enforced::empty(ROOMY);
    kernel
        .enforce(&mut enforced, &compile(&inputs, at(0)), at(0))
        .unwrap();
    assert!(kernel.lookup(ip("10.0.0.0"), past(16)).drops());
    assert!(!kernel.lookup(ip("10.0.0.0"), past(17)).drops());
    // The agent is alive and compiles again: the whole time is covered.
    kernel
        .enforce(&mut enforced, &compile(&inputs, at(11)), at(11))
        .unwrap();
    assert!(kernel.lookup(ip("10.0.0.0"), past(18)).drops());
    assert!(!kernel.lookup(ip("10.0.0.0"), past(19)).drops());
}

#[test]
fn neighbours_that_say_the_same_are_one_piece() {
    let list = bad(
        1,
        &[
            "10.0.0.0/25",
            "10.0.0.128/26",
            "10.0.0.192/26",
            "10.0.0.200",
            "10.0.2.0/24",
        ],
    );
    let rules = RuleSet::default();
    let lists = [list];
    let inputs = Inputs {
        lists: &lists,
        ..Inputs::of_rules(&rules)
    };
    let pieces = compile(&inputs, at(0)).v4;
    let sizes: Vec<u32> = pieces
        .iter()
        .map(|piece| piece.last - piece.first + 1)
        .collect();
    assert_eq!(sizes, [256, 256]);
}

#[test]
fn explanations_have_the_rule_s_own_deadline() {
    let rules = rule_set(&[block("10.0.0.1", Some(1000))], at(0));
    let explanation = explain(&Inputs::of_rules(&rules), ip("10.0.0.1"), at(0));
    let own = at(1000).boot_ns;
    let shown = explanation
        .rules()
        .next()
        .unwrap()
        .deadline
        .unwrap()
        .boot_ns;
    assert_eq!(shown, own);
    let kernel = explanation.chain()[0].terms.expires;
    assert!(kernel > own && kernel - own < 10 * SECOND);
}

#[test]
fn previews_count_what_allow_entries_subtract() {
    let mut drafts = vec![block("10.0.0.0/30", None), block("10.0.0.9", None)];
    for (text, origin) in [
        ("10.0.0.0/31", Origin::Operator),
        ("10.0.0.1", Origin::Config),
        ("10.0.0.254", Origin::Protected("gateway".into())),
    ] {
        let (draft, _) = block(text, None);
        let draft = Draft {
            action: RuleAction::Allow,
            origin,
            ..draft
        };
        drafts.push((draft, None));
    }
    let rules = rule_set(&drafts, at(0));
    let reach = impact(&rules, &[prefix("10.0.0.0/24")], false, at(0));
    assert_eq!(
        (reach.addresses, reach.exempt, reach.exemptions.len()),
        (256, 3, 3)
    );
    let reach = impact(&rules, &[prefix("10.0.0.0/24")], true, at(0));
    assert_eq!((reach.exempt, reach.exemptions.len()), (2, 2));
    let reach = impact(&rules, &[prefix("10.0.0.1")], false, at(0));
    assert_eq!(
        (reach.addresses, reach.exempt, reach.exemptions.len()),
        (1, 1, 2)
    );
}
