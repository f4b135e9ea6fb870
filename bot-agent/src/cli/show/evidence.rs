//! What feeds say about an address, and the sum that this makes.

use super::seconds;
use crate::{
    event::render::Safe,
    feeds::reputation::{Evidence, Part},
    policy::Score,
};

/// A line for each entry, and one for the score.
pub(super) fn evidence(evidence: &Evidence) -> Vec<String> {
    let mut lines: Vec<String> = evidence.parts.iter().map(part).collect();
    if evidence.parts.iter().any(|part| part.weighs.is_some()) {
        let tier = evidence.tier.as_deref().unwrap_or("pass");
        lines.push(format!("  score    {}: {tier}", evidence.score.get()));
    }
    lines
}

fn part(part: &Part) -> String {
    let mut text = format!("  feed     {}: {}", Safe(&part.feed), part.entry);
    let category = part.category.map(|category| format!(", {category}"));
    text.push_str(&category.unwrap_or_default());
    if part.confidence < Score::MAX.get() {
        text.push_str(&format!(", confidence {}", part.confidence));
    }
    if part.age > 0 {
        text.push_str(&format!(", seen {} ago", seconds(part.age.into())));
    }
    if part.lingers {
        text.push_str(", gone from the feed");
    }
    if let Some(weight) = &part.weighs {
        let now = weight.now * 100.0;
        text.push_str(&format!(", weighs {now:.0} of {}", weight.fresh.get()));
        if !weight.counts {
            text.push_str(&format!(
                " (another one of group {} counts)",
                Safe(&weight.group)
            ));
        }
    }
    text
}
