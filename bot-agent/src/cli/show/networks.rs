//! What the ASN database says.
#![expect(
    clippy::format_push_string,
    reason = "`write!` into a String needs its result thrown away"
)]

use super::rule;
use crate::{
    control::network::{
        AddressFacts, Announced, DatabaseView, FileView, NetworkFacts, NetworkView,
    },
    event::render::Safe,
    rules::{subject::Subject, target::Target},
    wording::{grouped, many, many_of},
};

/// The ASN database in a line.
pub(in crate::cli) fn database(view: &DatabaseView) -> String {
    let count = |ranges: usize| grouped(u128::try_from(ranges).unwrap_or(u128::MAX));
    format!(
        "{} IPv4 and {} IPv6 ranges of {}",
        count(view.ranges_v4),
        count(view.ranges_v6),
        many_of(view.files.len(), "file")
    )
}

/// A file of the ASN database in a line.
pub(in crate::cli) fn file(view: &FileView) -> String {
    let mut text = format!(
        "{}: {}, {}",
        view.path,
        view.format,
        many(view.ranges.into(), "range")
    );
    if view.unreadable > 0 {
        let bad = many(view.unreadable.into(), "unreadable line");
        text.push_str(&format!(", {bad}: {}", Safe(&view.complaint)));
    }
    text
}

/// Who has an address.
pub(in crate::cli) fn address(facts: &AddressFacts) -> String {
    let Some(announced) = &facts.announced else {
        return format!("{}: not in the ASN database", facts.address);
    };
    let country = announced.country.map(|country| country.to_string());
    [
        format!("{}: {}", facts.address, who(announced)),
        format!("  range    {}", range(announced)),
        format!("  country  {}", country.as_deref().unwrap_or("not known")),
    ]
    .join("\n")
}

/// Tab-separated: address, first and last of its range, ASN, country, name.
pub(in crate::cli) fn address_raw(facts: &AddressFacts) -> String {
    let Some(announced) = &facts.announced else {
        return format!("{}\t\t\t\t\t", facts.address);
    };
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}",
        facts.address,
        announced.first,
        announced.last,
        announced.asn.map(|asn| asn.to_string()).unwrap_or_default(),
        announced
            .country
            .map(|country| country.to_string())
            .unwrap_or_default(),
        Safe(&announced.name)
    )
}

/// An ASN or a country, and the rules about it.
pub(in crate::cli) fn network(facts: &NetworkFacts) -> String {
    let view = &facts.network;
    let mut lines = vec![
        title(view),
        format!("  IPv4   {}", v4(view)),
        format!("  IPv6   {}", v6(view)),
    ];
    match &facts.rules {
        None => lines.push("  rules  known to the agent alone".into()),
        Some(rules) if rules.is_empty() => lines.push("  rules  none".into()),
        Some(rules) => lines.extend(rules.iter().map(|view| format!("  rule   {}", rule(view)))),
    }
    lines.join("\n")
}

/// Tab-separated: ASN or country, IPv4 prefixes and addresses, IPv6 prefixes and addresses, number
/// of rules, name.
pub(in crate::cli) fn network_raw(facts: &NetworkFacts) -> String {
    let view = &facts.network;
    let rules = facts.rules.as_ref().map(|rules| rules.len().to_string());
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{}",
        view.subject,
        view.prefixes_v4,
        view.addresses_v4,
        view.prefixes_v6,
        view.addresses_v6,
        rules.unwrap_or_default(),
        Safe(&view.name)
    )
}

/// An ASN or a country in a line.
pub(in crate::cli) fn network_line(view: &NetworkView) -> String {
    format!("{}: IPv4 {}; IPv6 {}", title(view), v4(view), v6(view))
}

/// The ASN of an address in a line.
pub(in crate::cli) fn who(announced: &Announced) -> String {
    let Some(asn) = announced.asn else {
        return "announced by nobody".into();
    };
    let name = Some(announced.name.as_str()).filter(|name| !name.is_empty());
    name.map_or(asn.to_string(), |name| format!("{asn} {}", Safe(name)))
}

fn title(view: &NetworkView) -> String {
    match view.subject {
        Subject::Country(country) => format!("country {country}"),
        subject @ (Subject::Asn(_) | Subject::Prefix(_)) if view.name.is_empty() => {
            subject.to_string()
        }
        subject @ (Subject::Asn(_) | Subject::Prefix(_)) => {
            format!("{subject} {}", Safe(&view.name))
        }
    }
}

fn v4(view: &NetworkView) -> String {
    if view.prefixes_v4 == 0 {
        return "nothing".into();
    }
    let addresses = many(view.addresses_v4, "address");
    format!("{addresses} in {}", prefixes(view.prefixes_v4))
}

/// Counted in networks of 64 bits, of which a household has one or a few.
fn v6(view: &NetworkView) -> String {
    if view.prefixes_v6 == 0 {
        return "nothing".into();
    }
    let networks = grouped(view.addresses_v6 >> 64);
    format!("{networks} /64s in {}", prefixes(view.prefixes_v6))
}

fn prefixes(count: u64) -> String {
    match count {
        1 => "1 prefix".into(),
        count => format!("{} prefixes", grouped(count.into())),
    }
}

/// A prefix where the range is one.
fn range(announced: &Announced) -> String {
    let (first, last) = (announced.first, announced.last);
    let text = format!("{first}-{last}");
    let target: Option<Target> = text.parse().ok();
    match target.as_ref().map(Target::prefixes) {
        Some([prefix]) => prefix.to_net().to_string(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::show::preview, control::view::Changed};

    fn view(subject: &str, name: &str) -> NetworkView {
        NetworkView {
            subject: subject.parse().unwrap(),
            name: name.into(),
            prefixes_v4: 2,
            prefixes_v6: 1,
            addresses_v4: 4_096,
            addresses_v6: 1 << 80,
        }
    }

    fn announced(first: &str, last: &str, name: &str) -> AddressFacts {
        AddressFacts {
            address: "192.0.2.7".parse().unwrap(),
            announced: Some(Announced {
                first: first.parse().unwrap(),
                last: last.parse().unwrap(),
                asn: "AS64500".parse().ok(),
                name: name.into(),
                country: None,
            }),
        }
    }

    #[test]
    fn an_address_has_its_range_as_a_prefix_where_it_is_one() {
        let facts = announced("192.0.2.0", "192.0.2.255", "Example\u{1b}[2J");
        assert_eq!(
            address(&facts),
            "192.0.2.7: AS64500 Example\\u{1b}[2J\n  range    192.0.2.0/24\n  country  not known"
        );
        let odd = announced("192.0.2.0", "192.0.2.9", "");
        assert!(address(&odd).contains("AS64500\n  range    192.0.2.0-192.0.2.9\n"));
        let none = AddressFacts {
            announced: None,
            ..odd
        };
        assert_eq!(address(&none), "192.0.2.7: not in the ASN database");
        assert_eq!(address_raw(&none).split('\t').count(), 6);
    }

    #[test]
    fn what_only_the_agent_knows_is_not_said_to_be_none() {
        let facts = |rules| NetworkFacts {
            network: view("AS64500", "Example"),
            rules,
        };
        assert!(network(&facts(None)).ends_with("rules  known to the agent alone"));
        assert!(network(&facts(Some(Vec::new()))).ends_with("rules  none"));
        assert_eq!(
            network_raw(&facts(Some(Vec::new()))),
            "AS64500\t2\t4096\t1\t1208925819614629174706176\t0\tExample"
        );
    }

    #[test]
    fn the_preview_of_networks_names_them() {
        let changed = Changed {
            added: 3,
            addresses: 5_000,
            exempt: 2,
            networks: vec![view("AS64500", "Example"), view("country:DE", "")],
            notes: vec!["something".into()],
            ..Changed::default()
        };
        assert_eq!(
            preview(&changed),
            "3 rules, 2 of them about networks:\n  \
             AS64500 Example: IPv4 4,096 addresses in 2 prefixes; IPv6 65,536 /64s in 1 prefix\n  \
             country DE: IPv4 4,096 addresses in 2 prefixes; IPv6 65,536 /64s in 1 prefix\n\
             2 of 5,000 addresses stay exempt, by \n\
             note: something"
        );
    }
}
