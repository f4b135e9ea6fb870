//! What the agent's log tells of its changes.

use serde_json::Value;

/// The times of one change, in microseconds.
pub(crate) struct Told {
    pub(crate) waited: f64,
    pub(crate) worked_out: f64,
    pub(crate) stored: f64,
    pub(crate) published: f64,
    pub(crate) in_force: f64,
}

/// Every change that a log tells of, in order.
pub(crate) fn all(log: &str) -> Vec<Told> {
    log.lines().filter_map(of).collect()
}

fn of(line: &str) -> Option<Told> {
    let line: Value = serde_json::from_str(line).ok()?;
    let message = line["message"]
        .as_str()?
        .strip_prefix("a change is in force ")?;
    let time = |name: &str| {
        let mut fields = message.split(' ').filter_map(|field| field.split_once('='));
        let (_, value) = fields.find(|(field, _)| *field == name)?;
        value.parse().ok()
    };
    Some(Told {
        waited: time("waited_us")?,
        worked_out: time("worked_out_us")?,
        stored: time("stored_us")?,
        published: time("published_us")?,
        in_force: time("in_force_us")?,
    })
}
