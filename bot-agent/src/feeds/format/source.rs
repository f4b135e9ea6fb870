//! Words that name sources, and numbers that say how sure a publisher is.

use std::{net::IpAddr, num::NonZeroU32};

use ipnet::IpNet;

use super::{reader::Holds, tally::Fault};
use crate::{
    feeds::entry::SURE,
    rules::{
        prefix::{ParseError, Prefix, quoted},
        subject::{Asn, Subject},
        target::Target,
    },
};

/// Gives `take` what `word` names: a range is several prefixes. Nothing is given before an error.
pub(super) fn subjects(
    word: &str,
    holds: Holds,
    mut take: impl FnMut(Subject),
) -> Result<(), ParseError> {
    match holds {
        Holds::Addresses => prefixes(word, |prefix| take(prefix.into())),
        Holds::Asns => asn(word).map(|asn| take(asn.into())),
        Holds::Any => {
            let target: Target = word.parse()?;
            target.subjects().for_each(take);
            Ok(())
        }
    }
}

/// How sure a publisher is who gives `number`, where `full` means that he is sure; 0 to 100.
pub(super) fn confidence(number: &str, full: NonZeroU32) -> Result<u8, Fault> {
    let share = number.trim().parse::<f64>().ok();
    let share = share.filter(|share| share.is_finite() && *share >= 0.0);
    let share = share.ok_or_else(|| Fault::Confidence(quoted(number)))?;
    let percent = share * f64::from(SURE) / f64::from(full.get());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 100"
    )]
    Ok(percent.round().clamp(0.0, f64::from(SURE)) as u8)
}

fn prefixes(word: &str, mut take: impl FnMut(Prefix)) -> Result<(), ParseError> {
    // What nearly all are, first: lists have a million of them.
    if let Ok(address) = word.parse::<IpAddr>() {
        take(Prefix::host(address));
    } else if word.contains('-') {
        let target: Target = word.parse()?;
        if target.named().is_some() {
            return Err(ParseError::Syntax(quoted(word)));
        }
        target.prefixes().iter().copied().for_each(take);
    } else if let Some(prefix) = network(word) {
        take(prefix);
    } else {
        // Whatever is wrong with it is named there.
        take(word.parse()?);
    }
    Ok(())
}

/// The prefix of a CIDR, if it is one without host bits.
fn network(word: &str) -> Option<Prefix> {
    let net: IpNet = word.parse().ok()?;
    (net.addr() == net.network()).then(|| Prefix::from_net(net))
}

/// `AS64500`, or the number alone.
fn asn(word: &str) -> Result<Asn, ParseError> {
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = word.parse().ok().and_then(Asn::new);
        return number.ok_or_else(|| ParseError::Asn(quoted(word)));
    }
    word.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(word: &str, holds: Holds) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        subjects(word, holds, |subject| found.push(subject.to_string()))
            .map(|()| found)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_word_means_what_the_column_holds() {
        let addresses = |word| named(word, Holds::Addresses);
        assert_eq!(addresses("192.0.2.1").unwrap(), ["192.0.2.1"]);
        assert_eq!(addresses("2001:db8::/32").unwrap(), ["2001:db8::/32"]);
        let range = ["192.0.2.7", "192.0.2.8/31"];
        assert_eq!(addresses("192.0.2.7-192.0.2.9").unwrap(), range);
        for word in ["AS64500", "64500", "country:DE", "example.org", "x-y"] {
            assert!(addresses(word).unwrap_err().contains("neither"), "{word}");
        }
        for word in ["64500", "AS64500", "as64500"] {
            assert_eq!(named(word, Holds::Asns).unwrap(), ["AS64500"]);
        }
        for word in ["0", "4294967296", "192.0.2.1", "", "AS"] {
            let error = named(word, Holds::Asns).unwrap_err();
            assert!(error.contains("is no AS number"), "{word}");
        }
        for (word, subject) in [("AS1", "AS1"), ("::1", "::1"), ("country:de", "country:DE")] {
            assert_eq!(named(word, Holds::Any).unwrap(), [subject]);
        }
    }

    #[test]
    fn cidrs_are_what_rules_take_them_for() {
        for word in [
            "192.0.2.0/24",
            "0.0.0.0/0",
            "::/0",
            "::ffff:192.0.2.0/120",
            "192.0.2.0/024",
            "192.0.2.0/+24",
            "192.0.2.0/33",
            "192.0.2.0/",
            "2001:db8::/129",
            "/24",
            "192.0.2.0/24/1",
        ] {
            let ours = named(word, Holds::Addresses);
            let rules = word.parse::<Prefix>();
            let rules = rules.map(|prefix| vec![prefix.to_string()]);
            assert_eq!(ours, rules.map_err(|error| error.to_string()), "{word}");
        }
    }

    #[test]
    fn host_bits_are_bad_as_in_rules() {
        let error = named("192.0.2.1/24", Holds::Addresses).unwrap_err();
        assert!(error.contains("the network would be 192.0.2.0/24"));
    }

    #[test]
    fn confidence_is_linear_up_to_full() {
        let eight = NonZeroU32::new(8).unwrap();
        let of = |number| confidence(number, eight).unwrap();
        assert_eq!(
            ["0", "1", "2", " 4 ", "8", "10", "0.8"].map(of),
            [0, 13, 25, 50, 100, 100, 10]
        );
        for number in ["", "x", "-1", "NaN", "inf", "1e999"] {
            let error = confidence(number, eight).unwrap_err().to_string();
            assert!(error.contains("is no confidence"), "{number}");
        }
    }
}
