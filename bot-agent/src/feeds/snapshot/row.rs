//! Rows: the entries of a snapshot, one kind of subject at a time, sorted, 16 bytes for an IPv4 prefix
//! and 32 for an IPv6 one.

use bot_common::address::MAPPED_BITS;
use jiff::Timestamp;

use super::{Delta, Known};
use crate::{
    feeds::{entry::Entry, span},
    rules::{
        prefix::Prefix,
        subject::{Asn, Country, Subject},
    },
};

/// Whole seconds since 1970, never 0: a publisher has no news from before, and none from after 2106.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Seconds(u32);

/// What is known about a subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Row<K> {
    pub(super) key: K,
    /// When the publisher saw it last; nothing: it did not say.
    pub(super) stamp: Option<Stamp>,
    /// When it was last in the feed; nothing: it is in the last update.
    pub(super) gone: Option<Stamp>,
    pub(super) bits: u8,
    pub(super) confidence: u8,
}

/// Seconds in no more room when there are none.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Stamp(std::num::NonZeroU32);

/// A kind of subject. Prefixes have a length, the others 0.
pub(super) trait Key: Copy + Ord {
    /// What a subject of this kind is kept as.
    fn of(subject: Subject) -> Option<(Self, u8)>;
    /// The subject again.
    fn subject(self, bits: u8) -> Subject;
}

/// The rows of a snapshot. Each column is sorted by key, then length, and has each once.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Columns {
    pub(super) v4: Vec<Row<u32>>,
    pub(super) v6: Vec<Row<u128>>,
    pub(super) asns: Vec<Row<Asn>>,
    pub(super) countries: Vec<Row<Country>>,
}

/// What a merge has to know about time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// When the rows of before were last in the feed, unless they say otherwise.
    pub(super) fetched: Seconds,
    /// What was last in the feed at this time or before has gone for good.
    pub(super) forget: Option<Seconds>,
}

impl Seconds {
    /// The second of a time; what is out of range is the nearest there is.
    pub fn of(time: Timestamp) -> Self {
        let seconds = time.as_second().clamp(1, u32::MAX.into());
        Self(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The time.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_second(self.0.into()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Seconds from then to `now`; none for what is yet to come.
    pub const fn age(self, now: Self) -> u32 {
        now.0.saturating_sub(self.0)
    }
}

impl Stamp {
    pub(super) fn new(seconds: u32) -> Option<Self> {
        std::num::NonZeroU32::new(seconds).map(Self)
    }

    pub(super) fn seconds(self) -> Seconds {
        Seconds(self.0.get())
    }
}

impl From<Seconds> for Option<Stamp> {
    fn from(seconds: Seconds) -> Self {
        Stamp::new(seconds.0)
    }
}

impl<K: Key> Row<K> {
    pub(super) fn known(&self, fetched: Seconds) -> Known {
        let last_listed = self.gone.map_or(fetched, Stamp::seconds);
        Known {
            subject: self.key.subject(self.bits),
            confidence: self.confidence,
            seen: self.stamp.map_or(last_listed, Stamp::seconds),
            listed: self.gone.is_none(),
        }
    }

    fn place(&self) -> (K, u8) {
        (self.key, self.bits)
    }
}

impl Columns {
    /// The rows of an update. Of a subject that is there twice the higher confidence and the later
    /// time count; nobody has seen anything after `now`.
    pub(super) fn of(entries: &[Entry], now: Seconds) -> Self {
        let mut columns = Self::default();
        for entry in entries {
            let stamp = entry.seen.map(|seen| Seconds::of(seen).min(now));
            columns.add(
                entry.subject,
                entry.confidence,
                stamp.and_then(Into::into),
                None,
            );
        }
        columns.sort();
        columns
    }

    /// Adds a row at the end; the columns need sorting then.
    pub(super) fn add(
        &mut self,
        subject: Subject,
        confidence: u8,
        stamp: Option<Stamp>,
        gone: Option<Stamp>,
    ) {
        add(&mut self.v4, subject, confidence, stamp, gone);
        add(&mut self.v6, subject, confidence, stamp, gone);
        add(&mut self.asns, subject, confidence, stamp, gone);
        add(&mut self.countries, subject, confidence, stamp, gone);
    }

    pub(super) fn sort(&mut self) {
        sort(&mut self.v4);
        sort(&mut self.v6);
        sort(&mut self.asns);
        sort(&mut self.countries);
    }

    /// These rows, and those of `before` that linger.
    pub(super) fn after(self, before: &Self, times: Times, delta: &mut Delta) -> Self {
        Self {
            v4: merge(&before.v4, self.v4, times, delta),
            v6: merge(&before.v6, self.v6, times, delta),
            asns: merge(&before.asns, self.asns, times, delta),
            countries: merge(&before.countries, self.countries, times, delta),
        }
    }

    /// Drops rows that were last in the feed at `forget` or before; how many.
    pub(super) fn forget(&mut self, forget: Seconds) -> usize {
        self.retain(|gone| gone.is_none_or(|gone| gone.seconds() > forget))
    }

    /// How many of them are in the last update.
    pub(super) fn listed(&self) -> usize {
        listed(&self.v4) + listed(&self.v6) + listed(&self.asns) + listed(&self.countries)
    }

    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len() + self.asns.len() + self.countries.len()
    }

    pub(super) fn known(&self, fetched: Seconds) -> impl Iterator<Item = Known> {
        let v4 = self.v4.iter().map(move |row| row.known(fetched));
        let v6 = self.v6.iter().map(move |row| row.known(fetched));
        let asns = self.asns.iter().map(move |row| row.known(fetched));
        let countries = self.countries.iter().map(move |row| row.known(fetched));
        v4.chain(v6).chain(asns).chain(countries)
    }

    /// What is known about exactly this subject.
    pub(super) fn find(&self, subject: Subject, fetched: Seconds) -> Option<Known> {
        find(&self.v4, subject, fetched)
            .or_else(|| find(&self.v6, subject, fetched))
            .or_else(|| find(&self.asns, subject, fetched))
            .or_else(|| find(&self.countries, subject, fetched))
    }

    fn retain(&mut self, stays: impl Fn(Option<Stamp>) -> bool) -> usize {
        let before = self.len();
        self.v4.retain(|row| stays(row.gone));
        self.v6.retain(|row| stays(row.gone));
        self.asns.retain(|row| stays(row.gone));
        self.countries.retain(|row| stays(row.gone));
        before - self.len()
    }
}

fn add<K: Key>(
    rows: &mut Vec<Row<K>>,
    subject: Subject,
    confidence: u8,
    stamp: Option<Stamp>,
    gone: Option<Stamp>,
) {
    let row = K::of(subject).map(|(key, bits)| Row {
        key,
        stamp,
        gone,
        bits,
        confidence,
    });
    rows.extend(row);
}

/// Most content is sorted already, and then this is one look at it.
fn sort<K: Key>(rows: &mut Vec<Row<K>>) {
    rows.sort_by_key(Row::place);
    rows.dedup_by(|next, row| {
        let same = next.place() == row.place();
        if same {
            row.confidence = row.confidence.max(next.confidence);
            row.stamp = row.stamp.max(next.stamp);
            // In the update if either of them is.
            row.gone = row.gone.and_then(|gone| Some(gone.max(next.gone?)));
        }
        same
    });
    rows.shrink_to_fit();
}

fn merge<K: Key>(
    before: &[Row<K>],
    update: Vec<Row<K>>,
    times: Times,
    delta: &mut Delta,
) -> Vec<Row<K>> {
    let mut merged = Vec::with_capacity(update.len());
    let mut before = before.iter().peekable();
    let leave = |row: &Row<K>, merged: &mut Vec<Row<K>>, delta: &mut Delta| {
        delta.removed += usize::from(row.gone.is_none());
        let last = row.gone.map_or(times.fetched, Stamp::seconds);
        if times.forget.is_none_or(|forget| last > forget) {
            delta.kept += 1;
            let gone = last.into();
            merged.push(Row { gone, ..*row });
        }
    };
    for row in update {
        while let Some(left) = before.next_if(|old| old.place() < row.place()) {
            leave(left, &mut merged, delta);
        }
        let old = before.next_if(|old| old.place() == row.place());
        delta.added += usize::from(old.is_none_or(|old| old.gone.is_some()));
        merged.push(row);
    }
    for left in before {
        leave(left, &mut merged, delta);
    }
    merged
}

fn listed<K>(rows: &[Row<K>]) -> usize {
    rows.iter().filter(|row| row.gone.is_none()).count()
}

fn find<K: Key>(rows: &[Row<K>], subject: Subject, fetched: Seconds) -> Option<Known> {
    let place = K::of(subject)?;
    let index = rows.binary_search_by_key(&place, Row::place).ok()?;
    rows.get(index).map(|row| row.known(fetched))
}

impl Key for u32 {
    fn of(subject: Subject) -> Option<(Self, u8)> {
        let prefix = subject.prefix().filter(|prefix| prefix.is_v4())?;
        let [.., a, b, c, d] = prefix.address().octets();
        Some((Self::from_be_bytes([a, b, c, d]), prefix.bits()))
    }

    fn subject(self, bits: u8) -> Subject {
        let host = Prefix::host(std::net::Ipv4Addr::from(self).into());
        host.shortened(bits.max(MAPPED_BITS)).into()
    }
}

impl Key for u128 {
    fn of(subject: Subject) -> Option<(Self, u8)> {
        let prefix = subject.prefix().filter(|prefix| !prefix.is_v4())?;
        Some((span::number(prefix.address()), prefix.bits()))
    }

    fn subject(self, bits: u8) -> Subject {
        span::prefix(self, bits).into()
    }
}

impl Key for Asn {
    fn of(subject: Subject) -> Option<(Self, u8)> {
        match subject {
            Subject::Asn(asn) => Some((asn, 0)),
            Subject::Prefix(_) | Subject::Country(_) => None,
        }
    }

    fn subject(self, _: u8) -> Subject {
        self.into()
    }
}

impl Key for Country {
    fn of(subject: Subject) -> Option<(Self, u8)> {
        match subject {
            Subject::Country(country) => Some((country, 0)),
            Subject::Prefix(_) | Subject::Asn(_) => None,
        }
    }

    fn subject(self, _: u8) -> Subject {
        self.into()
    }
}
