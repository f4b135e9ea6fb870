//! ASNs and countries that rules are about: what they are now, and what a rule about them would
//! reach. Pure.

use std::collections::BTreeSet;

use crate::{
    asn::{Database, Extent, Reach, Spans},
    control::{
        network::NetworkView,
        protocol::{Failure, FailureCode},
        view::{Changed, ExemptingList, RuleView, SHOWN_RULES},
    },
    policy::{Inputs, List},
    rules::{
        prefix::Prefix,
        rule::{Draft, Rule, RuleAction},
        set::RuleSet,
        subject::Subject,
        time::Now,
    },
    wording::grouped,
};

/// An ASN or a country, and what the database has of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network<'a> {
    subject: Subject,
    database: &'a Database,
    extent: Extent<'a>,
    reach: Reach,
}

/// The ASNs and countries among `subjects`. Without a `database` (then it is said why there is
/// none) they are refused, and so are countries where it has none, and very large ones unless
/// forced.
pub(super) fn networks<'a>(
    subjects: &BTreeSet<Subject>,
    database: Result<&'a Database, &str>,
    force: bool,
) -> Result<Vec<Network<'a>>, Failure> {
    let named = subjects.iter().filter(|subject| subject.needs_database());
    named
        .map(|subject| {
            let database =
                database.map_err(|why| refused(format!("{subject} needs a database: {why}")))?;
            let network = network(*subject, database);
            match network.objection(force) {
                Some(Objection::Wide(text)) => Err(refused(format!(
                    "{text}; if that is meant, say so with --force"
                ))),
                Some(Objection::NoCountries(text)) => Err(refused(text)),
                None => Ok(network),
            }
        })
        .collect()
}

/// What is wrong with configured rules that `database` resolves.
pub fn objection(rules: &[Draft], database: &Database) -> Option<String> {
    let named = rules.iter().filter(|rule| rule.subject.needs_database());
    let mut objections = named.filter_map(|rule| {
        let network = network(rule.subject, database);
        match network.objection(rule.forced)? {
            Objection::Wide(text) => Some(format!(
                "{text}; if that is meant, say so with force = true"
            )),
            Objection::NoCountries(text) => Some(text),
        }
    });
    objections.next()
}

/// Why a rule about a network is not made just like that.
enum Objection {
    NoCountries(String),
    Wide(String),
}

/// What `database` has of an ASN or a country.
fn network(subject: Subject, database: &Database) -> Network<'_> {
    let extent = database.of(subject).unwrap_or_default();
    Network {
        subject,
        database,
        extent,
        reach: extent.reach(),
    }
}

impl Network<'_> {
    fn objection(&self, force: bool) -> Option<Objection> {
        let subject = self.subject;
        if matches!(subject, Subject::Country(_)) && !self.database.has_countries() {
            return Some(Objection::NoCountries(format!(
                "{subject}: no file of the ASN database says which countries addresses are in; add \
                 one to `database` in [asn]"
            )));
        }
        let wide = !force && self.database.is_too_wide(&self.reach);
        wide.then(|| {
            Objection::Wide(format!(
                "{subject} has {}: more than a /8 (IPv4) or /19 (IPv6), and more than 1/64 of all \
                 known addresses",
                self.size()
            ))
        })
    }

    /// As it is shown.
    pub(super) fn view(&self) -> NetworkView {
        NetworkView::with(self.subject, self.database, self.reach)
    }

    /// What a rule about it does not do, if there is anything to say.
    pub(super) fn note(&self) -> Option<String> {
        self.extent.is_empty().then(|| {
            format!(
                "the ASN database has no address of {}: the rule does nothing until it has",
                self.subject
            )
        })
    }

    /// The ASNs and countries that there are rules about.
    fn others(&self, rules: &RuleSet) -> impl Iterator<Item = (Subject, Extent<'_>)> {
        let asns = rules.by_asn().map(|(asn, _)| Subject::Asn(asn));
        let countries = rules
            .by_country()
            .map(|(country, _)| Subject::Country(country));
        asns.chain(countries)
            .filter_map(|subject| Some((subject, self.database.of(subject)?)))
    }

    fn size(&self) -> String {
        let Reach {
            addresses_v4,
            prefixes_v6,
            ..
        } = self.reach;
        format!(
            "{} IPv4 addresses and {} IPv6 prefixes",
            grouped(addresses_v4),
            grouped(prefixes_v6.into())
        )
    }
}

/// How many addresses the prefixes and networks have together.
pub(super) fn addresses(prefixes: &[Prefix], networks: &[Network<'_>]) -> u128 {
    all(prefixes, networks).addresses()
}

/// What a block of the prefixes and networks would reach, what exempts from it, and what a forced one
/// takes the protection from. Rules about networks and allow lists exempt from blocks of networks
/// only, and never from what is forced.
pub(super) fn reach(
    inputs: &Inputs<'_>,
    prefixes: &[Prefix],
    networks: &[Network<'_>],
    force: bool,
    now: Now,
) -> Changed {
    let rules = inputs.rules;
    let all = all(prefixes, networks);
    let named = self::all(&[], networks);
    let allows = |rule: &&Rule| rule.action == RuleAction::Allow && rule.is_live(now);
    let (mut exempting, mut unprotected) = (Vec::new(), Vec::new());
    let (mut narrow, mut wide, mut listed) = (Vec::new(), Vec::new(), Listed::default());
    for (prefix, at) in rules.by_prefix() {
        let met = at.filter(allows).filter(|_| all.meets(prefix));
        let protection = |rule: &&Rule| force && rule.origin.is_protection();
        let (taken, left): (Vec<&Rule>, Vec<&Rule>) = met.partition(protection);
        unprotected.extend(taken);
        if !left.is_empty() {
            narrow.push(prefix);
            exempting.extend(left);
        }
    }
    if let Some(network) = networks.first().filter(|_| !force) {
        for (subject, extent) in network.others(rules) {
            let mut allowing = rules.about(subject).filter(allows).peekable();
            let meets = || !named.common(&Spans::of([], [extent])).is_empty();
            if allowing.peek().is_some() && meets() {
                wide.push(extent);
                exempting.extend(allowing);
            }
        }
        listed = Listed::meeting(&named, inputs.lists);
    }
    let exempt = all.common(&Spans::of(narrow, []));
    let wide = named.common(&Spans::of(listed.prefixes, wide));
    // Where the block names addresses too, what exempts from networks alone does nothing.
    let hidden = wide.common(&Spans::of(prefixes.iter().copied(), []));
    let hidden = hidden.addresses() - hidden.common(&exempt).addresses();
    let exempt = exempt.union(wide).addresses().saturating_sub(hidden);
    let shown = |rules: Vec<&Rule>| {
        let shown = rules.into_iter().take(SHOWN_RULES);
        shown.map(|rule| RuleView::of(rule, now)).collect()
    };
    Changed {
        addresses: all.addresses(),
        exempt,
        exempt_by: shown(exempting),
        exempt_by_lists: listed.lists,
        protected: shown(unprotected),
        ..Changed::default()
    }
}

/// Entries of lists that exempt from networks.
#[derive(Default)]
struct Listed {
    prefixes: Vec<Prefix>,
    lists: Vec<ExemptingList>,
}

impl Listed {
    /// Those that have addresses of `named`.
    fn meeting(named: &Spans, lists: &[List]) -> Self {
        let mut this = Self::default();
        let exempting = lists.iter();
        for list in exempting.filter(|list| list.exempts_from_networks()) {
            let before = this.prefixes.len();
            let entries = list.entries().map(|(prefix, _)| prefix);
            let entries = entries.filter(|prefix| named.meets(*prefix));
            this.prefixes.extend(entries);
            let entries = this.prefixes.len() - before;
            if entries > 0 {
                let list = list.name().to_string();
                this.lists.push(ExemptingList { list, entries });
            }
        }
        this
    }
}

fn all(prefixes: &[Prefix], networks: &[Network<'_>]) -> Spans {
    let extents = networks.iter().map(|network| network.extent);
    Spans::of(prefixes.iter().copied(), extents)
}

fn refused(message: String) -> Failure {
    Failure::new(FailureCode::Refused, message)
}

#[cfg(test)]
#[path = "networks_tests.rs"]
mod tests;
