//! What must hold for any rules and lists.

use bot_common::{
    abi::verdict::{Flags, MAX_CHAIN, VerdictId},
    address::Address,
};
use proptest::prelude::*;

use super::{
    family::Family,
    reference::reference,
    simulation::{Answer, Kernel, ROOMY, at, ip, past},
    worlds::{
        PROBE_PORTS, PROBES, World, any_prefix, any_small_world, any_world, groups_of, inputs,
        regions,
    },
    *,
};
use crate::rules::{prefix::Prefix, time::Now};

fn any_history(changes: usize) -> impl Strategy<Value = Vec<(World, u64)>> {
    proptest::collection::vec((any_world(), 0u64..8), 1..changes)
}

/// What the kernel may say at `now`: what the policy says, or pass behind a chain that was cut.
fn agrees(kernel: &Kernel, inputs: &Inputs<'_>, cut_after: Option<u64>, now: Now) {
    for (text, port) in probes() {
        let got = kernel.lookup_for(ip(text), groups_of(port), now);
        let right = reference(inputs, ip(text), port, now);
        let cut = cut_after.is_some_and(|cut| now.boot_ns >= cut) && got == Answer::PASS;
        assert!(
            got == right || cut,
            "{text}, port {port:?}: kernel {got:?}, policy {right:?}"
        );
    }
}

/// Packets of half of the kinds from every address, other kinds from its neighbours.
fn probes() -> impl Iterator<Item = (&'static str, Option<u16>)> {
    PROBES.into_iter().enumerate().flat_map(|(place, text)| {
        let kinds = [place, place + 1, place + 3];
        kinds.map(|kind| (text, PROBE_PORTS[kind % PROBE_PORTS.len()]))
    })
}

fn first_cut(compiled: &Compiled) -> Option<u64> {
    let v4 = compiled.v4.iter().map(|piece| piece.chain);
    let v6 = compiled.v6.iter().map(|piece| piece.chain);
    let full = v4
        .chain(v6)
        .flat_map(|chain| PROBE_PORTS.map(|port| (chain, groups_of(port))))
        .map(|(chain, groups)| compiled.chains.links(chain, groups).collect::<Vec<_>>())
        .filter(|links| links.len() == MAX_CHAIN);
    full.filter_map(|links| links.last().map(|link| link.terms.expires))
        .min()
}

/// What a decision says, by kind of packets.
type Links = [Vec<Link>; PROBE_PORTS.len()];

/// Pieces with what their decisions say, clipped to a region.
fn said<A: Family>(pieces: &[Piece<A>], chains: &Chains, region: (A, A)) -> Vec<(A, A, Links)> {
    let inside = pieces
        .iter()
        .filter(|piece| piece.first <= region.1 && piece.last >= region.0);
    inside
        .map(|piece| {
            let of = |port| {
                chains
                    .links(piece.chain, groups_of(port))
                    .copied()
                    .collect()
            };
            let links = PROBE_PORTS.map(of);
            (piece.first.max(region.0), piece.last.min(region.1), links)
        })
        .collect()
}

fn clipped(compiled: &Compiled, region: Prefix) -> [Vec<(u128, u128, Links)>; 2] {
    let v4 = u32::of(region).map_or(Vec::new(), |(first, bits)| {
        said(&compiled.v4, &compiled.chains, (first, first.last_of(bits)))
    });
    let v6 = u128::of(region).map_or(Vec::new(), |(first, bits)| {
        said(&compiled.v6, &compiled.chains, (first, first.last_of(bits)))
    });
    let wide = |(first, last, links)| (u128::from(first), u128::from(last), links);
    [v4.into_iter().map(wide).collect(), v6]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_kernel_says_what_the_precedence_says_before_and_after_every_deadline(world in any_world()) {
        let made = world.made(at(0));
        let inputs = inputs(&made);
        let compiled = compile(&inputs, at(0));
        let mut kernel = Kernel::default();
        kernel.enforce(&mut Enforced::empty(ROOMY), &compiled, at(0)).unwrap();
        agrees(&kernel, &inputs, None, at(0));
        for seconds in 0..31 {
            agrees(&kernel, &inputs, first_cut(&compiled), past(seconds));
        }
    }

    #[test]
    fn every_address_has_the_verdict_that_the_precedence_gives_it(world in any_small_world(), seconds in 0u64..31) {
        let made = world.made(at(0));
        let inputs = inputs(&made);
        let compiled = compile(&inputs, at(0));
        let mut kernel = Kernel::default();
        kernel.enforce(&mut Enforced::empty(ROOMY), &compiled, at(0)).unwrap();
        let now = past(seconds);
        let cut = first_cut(&compiled).is_some_and(|cut| now.boot_ns >= cut);
        for base in ["10.0.0.0", "2001:db8::"] {
            for last in 0..=255 {
                let mut octets = ip(base).octets();
                octets[15] = last;
                let address = Address::from_v6(octets);
                for port in [None, PROBE_PORTS[usize::from(last) % PROBE_PORTS.len()]] {
                    let got = kernel.lookup_for(address, groups_of(port), now);
                    let right = reference(&inputs, address, port, now);
                    prop_assert!(
                        got == right || (cut && got == Answer::PASS),
                        "{}, port {:?}: kernel {:?}, policy {:?}", address.to_ip(), port, got, right
                    );
                }
            }
        }
    }

    #[test]
    fn what_only_monitors_tells_what_it_would_do_as_a_block(world in any_world(), seconds in 0u64..31) {
        let (watching, acting) = (world.all_blocks(true), world.all_blocks(false));
        let (watching, acting) = (watching.made(at(0)), acting.made(at(0)));
        let now = past(seconds);
        let decided = |made, text, port| {
            let decision = explain(&inputs(made), ip(text), now).decision;
            let first = decision.of(groups_of(port)).first();
            let beneath = Beneath::all(VerdictId::NONE, VerdictId::NONE);
            let verdict = first.map(|link| link.terms.verdict(beneath));
            verdict.map_or(Answer::PASS, |verdict| Answer::of(&verdict))
        };
        for (text, port) in probes() {
            let told = decided(&watching, text, port);
            let mut done = decided(&acting, text, port);
            if done.action != Answer::PASS.action {
                done.flags |= Flags::MONITOR_ONLY.0;
            }
            prop_assert_eq!(told, done, "{}, port {:?}", text, port);
        }
    }

    #[test]
    fn a_region_compiles_to_what_everything_does_there(
        world in any_world(), region in any_prefix(), wider in 0u8..40, seconds in 0u64..31
    ) {
        let made = world.made(at(0));
        let inputs = inputs(&made);
        let root = if region.is_v4() { 96 } else { 0 };
        let region = region.shortened(region.bits().saturating_sub(wider).max(root));
        let part = compile_within(&inputs, region, at(seconds));
        let whole = compile(&inputs, at(seconds));
        prop_assert_eq!(clipped(&part, region), clipped(&whole, region));
        // And nothing else.
        let everywhere = part.v4.len() + part.v6.len();
        prop_assert_eq!(clipped(&part, region).concat().len(), everywhere);
        let names = named(&inputs, at(seconds));
        prop_assert_eq!(whole.prefixes, Some(names));
        prop_assert!(names <= inputs.named_at_most());
    }

    #[test]
    fn each_address_keeps_its_old_verdict_until_the_new_table_is_published(history in any_history(6)) {
        let mut kernel = Kernel::default();
        let mut enforced = Enforced::empty(ROOMY);
        let mut seconds = 0;
        for (world, pause) in history {
            seconds += pause;
            let now = at(seconds);
            let made = world.made(now);
            let inputs = inputs(&made);
            let answers = |kernel: &Kernel| -> Vec<Answer> {
                let answer = |(text, port)| kernel.lookup_for(ip(text), groups_of(port), now);
                probes().map(answer).collect()
            };
            let old = answers(&kernel);
            let compiled = compile(&inputs, now);
            let assigned = enforced.assign(&compiled, |address| kernel.id_at(address), now).unwrap();
            kernel.write(&assigned, now);
            prop_assert_eq!(answers(&kernel), old);
            kernel.publish(assigned.ranges);
            enforced.sweep(kernel.live(), now);
            agrees(&kernel, &inputs, None, now);
        }
    }

    #[test]
    fn what_is_enforced_already_changes_nothing(history in any_history(6)) {
        let mut kernel = Kernel::default();
        let mut enforced = Enforced::empty(ROOMY);
        let mut seconds = 0;
        for (world, pause) in &history {
            seconds += pause;
            let made = world.made(at(seconds));
            let compiled = compile(&inputs(&made), at(seconds));
            let first = kernel.enforce(&mut enforced, &compiled, at(seconds)).unwrap();
            let again = kernel.enforce(&mut enforced, &compiled, at(seconds)).unwrap();
            prop_assert_eq!(again.fresh, []);
            prop_assert_eq!(again.ranges, first.ranges);
            let live = enforced.verdicts() - 1;
            prop_assert_eq!(live, kernel.reachable().len(), "nothing else is in use");
        }
    }

    #[test]
    fn an_agent_that_comes_back_changes_nothing_that_is_right(
        world in any_world(), later in any_world(), away in 0u64..40
    ) {
        let made = world.made(at(0));
        let compiled = compile(&inputs(&made), at(0));
        let mut kernel = Kernel::default();
        let mut before = Enforced::empty(ROOMY);
        let was = kernel.enforce(&mut before, &compiled, at(0)).unwrap();
        let back = |kernel: &Kernel| Enforced::from_kernel(ROOMY, &kernel.verdicts(), kernel.live());

        let mut after = back(&kernel);
        let is = kernel.enforce(&mut after, &compiled, at(0)).unwrap();
        prop_assert_eq!(is.fresh, []);
        prop_assert_eq!(is.ranges, was.ranges);
        let owners = |enforced: &Enforced| enforced.owners().collect::<Vec<_>>();
        prop_assert_eq!(owners(&after), owners(&before));

        kernel.outlive_agent();
        let mut after = back(&kernel);
        let made = later.made(at(away));
        let inputs = inputs(&made);
        kernel.enforce(&mut after, &compile(&inputs, at(away)), at(away)).unwrap();
        agrees(&kernel, &inputs, None, at(away));
    }

    #[test]
    fn tight_tables_are_full_or_right_and_never_in_between(
        history in any_history(8), prefixes in 1usize..40, verdicts in 1usize..14,
    ) {
        let mut kernel = Kernel::default();
        let mut enforced = Enforced::empty(Limits { prefixes, verdicts });
        let mut seconds = 0;
        for (world, pause) in history {
            seconds += pause;
            let now = at(seconds);
            let made = world.made(now);
            let inputs = inputs(&made);
            let state = |enforced: &mut Enforced| {
                let owners: Vec<_> = enforced.owners().collect();
                let said: Vec<_> = owners.iter().map(|(id, _)| enforced.verdict(*id)).collect();
                (owners, said, enforced.verdicts(), enforced.take_reclaimed())
            };
            enforced.take_reclaimed();
            let untouched = state(&mut enforced);
            let compiled = compile(&inputs, now);
            let rehearsed = enforced.clone().assign(&compiled, |address| kernel.id_at(address), now);
            prop_assert_eq!(&untouched, &state(&mut enforced));
            let done = kernel.enforce(&mut enforced, &compiled, now);
            prop_assert_eq!(&rehearsed, &done);
            if done.is_err() {
                prop_assert_eq!(untouched, state(&mut enforced));
                continue;
            }
            prop_assert!(kernel.verdicts.len() < verdicts.max(1));
            agrees(&kernel, &inputs, None, now);
        }
    }

    #[test]
    fn explanations_name_who_the_table_goes_by(world in any_world(), seconds in 0u64..31) {
        let made = world.made(at(0));
        let inputs = inputs(&made);
        let now = past(seconds);
        let compiled = compile(&inputs, now);
        for text in PROBES {
            let explanation = explain(&inputs, ip(text), now);
            let here = clipped(&compiled, Prefix::host(ip(text).to_ip())).concat();
            let stored = here.first().map_or(Links::default(), |(_, _, links)| links.clone());
            let chains = PROBE_PORTS.map(|port| explanation.decision.of(groups_of(port)).clone());
            prop_assert_eq!(chains, &stored[..]);
            let first = explanation.covering.first().map(|covering| match &covering.source {
                Source::Rule(rule) => By::Rule(rule.id),
                Source::Entry { list, .. } => By::List(*list),
            });
            prop_assert_eq!(explanation.winner(), first.filter(|_| !explanation.chain().is_empty()));
            let others = explanation.covering.get(1..).unwrap_or_default();
            prop_assert!(others.is_sorted_by_key(|covering| covering.class));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn region_by_region_each_address_changes_once_and_ends_as_after_a_rebuild(
        history in any_history(4), order in any::<u64>()
    ) {
        let mut kernel = Kernel::default();
        let mut enforced = Enforced::empty(ROOMY);
        let mut regions = regions();
        regions.sort_by_key(|region| {
            let at = u128::from_be_bytes(region.address().octets());
            at.wrapping_mul(u128::from(order | 1)).rotate_left(u32::from(region.bits()))
        });
        let mut seconds = 0;
        for (world, pause) in history {
            seconds += pause;
            let now = at(seconds);
            let made = world.made(now);
            let inputs = inputs(&made);
            let said = |kernel: &Kernel, (text, port)| kernel.lookup_for(ip(text), groups_of(port), now);
            let old: Vec<Answer> = probes().map(|probe| said(&kernel, probe)).collect();
            let right = |(text, port)| reference(&inputs, ip(text), port, now);
            let new: Vec<Answer> = probes().map(right).collect();
            for region in &regions {
                let part = compile_within(&inputs, *region, now);
                kernel.enforce_within(&mut enforced, *region, &part, now).unwrap();
                for ((probe, old), new) in probes().zip(&old).zip(&new) {
                    let got = said(&kernel, probe);
                    prop_assert!(got == *old || got == *new, "{:?} is {:?}", probe, got);
                }
            }
            agrees(&kernel, &inputs, None, now);
            let mut rebuilt = Kernel::default();
            let whole = compile(&inputs, now);
            rebuilt.enforce(&mut Enforced::empty(ROOMY), &whole, now).unwrap();
            prop_assert_eq!(kernel.meaning(), rebuilt.meaning());
        }
    }
}
