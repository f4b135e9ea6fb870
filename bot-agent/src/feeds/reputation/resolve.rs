//! Which prefixes entries mean: their own, or those that the database has of an ASN or a country.

use crate::{
    asn::{Database, Extent},
    feeds::{
        snapshot::{Known, Snapshot},
        span::Span,
    },
    rules::prefix::Prefix,
};

/// Every prefix that a snapshot means. Without a database ASNs and countries mean nothing.
pub fn prefixes<'a>(
    snapshot: &'a Snapshot,
    database: Option<&'a Database>,
) -> impl Iterator<Item = Prefix> + 'a {
    resolved(snapshot, database).map(|(prefix, _)| prefix)
}

/// Every prefix that a snapshot means, with the entry that means it. Without a database ASNs and
/// countries mean nothing.
pub(super) fn resolved<'a>(
    snapshot: &'a Snapshot,
    database: Option<&'a Database>,
) -> impl Iterator<Item = (Prefix, Known)> + 'a {
    snapshot.entries().flat_map(move |known| {
        let own = known.subject.prefix();
        let extent = database.and_then(|database| database.of(known.subject));
        let v4 = extent.into_iter().flat_map(Extent::v4);
        let v6 = extent.into_iter().flat_map(Extent::v6);
        let v4 = v4.map(|(first, last)| Span::of_v4(first, last));
        let v6 = v6.map(|(first, last)| Span { first, last });
        let announced = v4.chain(v6).flat_map(Span::prefixes);
        let prefixes = own.into_iter().chain(announced);
        prefixes.map(move |prefix| (prefix, known))
    })
}
