//! Evidence: why an address has its score, in parts.

use bot_common::{abi::verdict::Action, address::Address};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Told,
    score::{Weighing, noisy_or, rounded},
};
use crate::{
    asn::{AsInfo, Database},
    feeds::{
        category::Category,
        snapshot::{Known, Seconds},
    },
    policy::{Score, Tiers},
    rules::subject::Subject,
};

/// Everything that feeds say about an address.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Evidence {
    /// What they say, in the order of the feeds, narrowest first.
    pub parts: Vec<Part>,
    /// What the weighing ones among them make together.
    pub score: Score,
    /// What that leads to; nothing: no tier is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
}

/// An entry that covers the address.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Part {
    /// Whose entry.
    pub feed: String,
    /// The entry.
    pub entry: Subject,
    /// What kind of sources the feed names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// How sure the publisher is, 0 to 100.
    pub confidence: u8,
    /// Seconds since it was seen.
    pub age: u32,
    /// No longer in the feed, and in force until its grace is over.
    pub lingers: bool,
    /// What it adds to the score; nothing: the feed does not weigh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighs: Option<Weight>,
}

/// What an entry adds to a score.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Weight {
    /// Of feeds that share one only the heaviest entry counts.
    pub group: String,
    /// What a fresh entry weighs of which the publisher is sure, 0 to 100.
    pub fresh: Score,
    /// What this one weighs at its age and confidence, 0 to 1.
    pub now: f32,
    /// Whether it is the heaviest of its group.
    pub counts: bool,
}

/// Everything that feeds say about `address`.
pub fn evidence(
    told: &[Told<'_>],
    address: Address,
    database: Option<&Database>,
    tiers: Tiers,
    now: Timestamp,
) -> Evidence {
    let now = Seconds::of(now);
    let network = database.and_then(|database| database.lookup(address));
    let mut parts = Vec::new();
    for one in told {
        let covering = one.snapshot.covering(address);
        let covering = covering.chain(of_network(one, network.as_ref()));
        parts.extend(covering.map(|known| part(one, &known, now)));
    }
    let score = noisy_or(count(&mut parts));
    let tier = match tiers.action(score) {
        Action::Pass => None,
        Action::Monitor => Some("monitor"),
        Action::Throttle => Some("throttle"),
        Action::Challenge => Some("challenge"),
        Action::Reject | Action::Drop => Some("block"),
    };
    let tier = tier.map(str::to_owned);
    Evidence { parts, score, tier }
}

/// What a feed says about the ASN and the country of an address.
fn of_network(told: &Told<'_>, network: Option<&AsInfo<'_>>) -> impl Iterator<Item = Known> {
    let asn = network.and_then(|network| network.asn).map(Subject::Asn);
    let country = network.and_then(|network| network.country);
    let subjects = asn.into_iter().chain(country.map(Subject::Country));
    subjects.filter_map(|subject| told.snapshot.find(subject))
}

fn part(told: &Told<'_>, known: &Known, now: Seconds) -> Part {
    let weighing = Weighing::of(told);
    Part {
        feed: told.feed.name.clone(),
        entry: known.subject,
        category: told.feed.category,
        confidence: known.confidence,
        age: known.seen.age(now),
        lingers: !known.listed,
        weighs: weighing.map(|weighing| Weight {
            group: weighing.group.to_owned(),
            fresh: weighing.weight,
            now: rounded(weighing.weight_of(known, now)),
            counts: false,
        }),
    }
}

/// Marks the heaviest part of each group; their weights, 0 to 1.
fn count(parts: &mut [Part]) -> impl Iterator<Item = f64> {
    let mut weights: Vec<&mut Weight> = parts
        .iter_mut()
        .filter_map(|part| part.weighs.as_mut())
        .collect();
    weights.sort_by(|one, other| {
        let group = one.group.cmp(&other.group);
        group.then(other.now.total_cmp(&one.now))
    });
    let mut heaviest = Vec::new();
    for same in weights.chunk_by_mut(|one, other| one.group == other.group) {
        if let Some(first) = same.first_mut() {
            first.counts = true;
            heaviest.push(f64::from(first.now));
        }
    }
    heaviest.into_iter()
}
