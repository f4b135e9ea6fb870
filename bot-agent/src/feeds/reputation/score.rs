//! Scores: how bad an address is, from all evidence of it.
//!
//! Feeds of one group copy each other, so the heaviest of them speaks for all. Groups are evidence
//! independent of one another: two of weight 50 make 75, since each leaves half of the doubt.

use std::time::Duration;

use jiff::Timestamp;

use super::resolve::resolved;
use crate::{
    asn::Database,
    feeds::{
        entry::SURE,
        snapshot::{Known, Seconds, Snapshot},
        span::{self, Span},
    },
    policy::Score,
    rules::prefix::Prefix,
};

/// A feed whose entries are evidence.
#[derive(Clone, Copy, Debug)]
pub struct Weighing<'a> {
    /// Feeds that copy each other share one.
    pub group: &'a str,
    /// What a fresh entry weighs of which the publisher is sure.
    pub weight: Score,
    /// Time after which an entry that was not seen again weighs half.
    pub half_life: Option<Duration>,
    /// Its entries.
    pub snapshot: &'a Snapshot,
}

impl Weighing<'_> {
    /// What an entry weighs, 0 to 1.
    pub(super) fn weight_of(&self, known: &Known, now: Seconds) -> f64 {
        self.weight_at(known.seen.age(now)) * f64::from(known.confidence.min(SURE))
            / f64::from(SURE)
    }

    /// What an entry of that age weighs of which the publisher is sure.
    fn weight_at(&self, age: u32) -> f64 {
        let fresh = f64::from(self.weight.get()) / f64::from(Score::MAX.get());
        let halved = self.half_life.map_or(0.0, |half_life| {
            f64::from(age) / half_life.as_secs_f64().max(1.0)
        });
        fresh * (-halved).exp2()
    }
}

/// Every prefix that one of `feeds` names or means, with the score of everything that covers it; IPv4
/// before IPv6, each before all that it covers. Those whose score is 0 are left out.
pub fn combine(
    feeds: &[Weighing<'_>],
    database: Option<&Database>,
    now: Timestamp,
) -> Vec<(Prefix, Score)> {
    let now = Seconds::of(now);
    let mut groups: Vec<&str> = feeds.iter().map(|feed| feed.group).collect();
    groups.sort_unstable();
    groups.dedup();
    let most = feeds.iter().map(|feed| feed.snapshot.len()).sum();
    let (mut v4, mut v6) = (Vec::with_capacity(most), Vec::new());
    for feed in feeds {
        let group = groups.partition_point(|group| *group < feed.group);
        // Most entries of a feed were last seen together.
        let mut last: Option<(Seconds, u8, f32)> = None;
        for (prefix, known) in resolved(feed.snapshot, database) {
            let weight = match last {
                Some((seen, confidence, weight))
                    if (seen, confidence) == (known.seen, known.confidence) =>
                {
                    weight
                }
                _ => rounded(feed.weight_of(&known, now)),
            };
            last = Some((known.seen, known.confidence, weight));
            let named = Named {
                first: span::number(prefix.address()),
                bits: prefix.bits(),
                group: u16::try_from(group).unwrap_or(u16::MAX),
                weight,
            };
            if prefix.is_v4() {
                v4.push(named);
            } else {
                v6.push(named);
            }
        }
    }
    let mut scores = Vec::with_capacity(v4.len() + v6.len());
    walk(v4, groups.len(), &mut scores);
    walk(v6, groups.len(), &mut scores);
    scores.shrink_to_fit();
    scores
}

/// The score of the heaviest weight of each group.
pub(super) fn noisy_or(weights: impl Iterator<Item = f64>) -> Score {
    let doubt: f64 = weights.map(|weight| 1.0 - weight.clamp(0.0, 1.0)).product();
    let percent = ((1.0 - doubt) * f64::from(Score::MAX.get())).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "weights are 0 to 1, so is what they leave of the doubt"
    )]
    let score = percent as u8;
    Score::new(score).unwrap_or(Score::MAX)
}

/// Weights are compared and kept in single precision, everywhere, so that every sum is the same.
pub(super) fn rounded(weight: f64) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a weight has no use for more digits"
    )]
    let weight = weight as f32;
    weight
}

/// A prefix that a feed names or means.
#[derive(Clone, Copy, Debug)]
struct Named {
    first: u128,
    bits: u8,
    group: u16,
    weight: f32,
}

impl Named {
    fn place(&self) -> (u128, u8) {
        (self.first, self.bits)
    }
}

/// Once through the prefixes of one family in order, with the heaviest weight of each group around
/// the place, and what each prefix around it will give back at its end.
fn walk(mut named: Vec<Named>, groups: usize, scores: &mut Vec<(Prefix, Score)>) {
    // Sorted runs, one a feed: this merges them.
    named.sort_by_key(Named::place);
    let mut heaviest = vec![0.0f32; groups];
    let mut replaced: Vec<(usize, f32)> = Vec::new();
    let mut around: Vec<(u128, usize)> = Vec::new();
    for same in named.chunk_by(|one, next| one.place() == next.place()) {
        let Some(place) = same.first() else { continue };
        while let Some((_, start)) = around.pop_if(|(last, _)| *last < place.first) {
            for (group, weight) in replaced.drain(start..).rev() {
                if let Some(heaviest) = heaviest.get_mut(group) {
                    *heaviest = weight;
                }
            }
        }
        let prefix = span::prefix(place.first, place.bits);
        around.push((Span::of(prefix).last, replaced.len()));
        for one in same {
            let group = usize::from(one.group);
            if let Some(heaviest) = heaviest.get_mut(group).filter(|w| **w < one.weight) {
                replaced.push((group, *heaviest));
                *heaviest = one.weight;
            }
        }
        let score = noisy_or(heaviest.iter().map(|weight| f64::from(*weight)));
        if score > Score::default() {
            scores.push((prefix, score));
        }
    }
}
