//! The latest events in memory, for `logs` without a log file.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::{Event, filter::Filter};

/// Events kept.
pub const RECENT_EVENTS: usize = 10_000;

/// A bounded queue: the oldest event makes room.
#[derive(Debug)]
pub struct Recent {
    capacity: usize,
    events: VecDeque<Event>,
}

impl Recent {
    /// Room for `capacity` events.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            events: VecDeque::new(),
        }
    }

    /// Adds an event.
    pub fn push(&mut self, event: Event) {
        if self.capacity == 0 {
            return;
        }
        if self.events.len() >= self.capacity {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// The last `limit` events that match and are not older than `since`, oldest first.
    pub fn select(&self, filter: &Filter, since: Option<Timestamp>, limit: usize) -> Vec<Event> {
        let mut found: Vec<Event> = self
            .events
            .iter()
            .rev()
            .take_while(|event| since.is_none_or(|since| event.ts >= since))
            .filter(|event| filter.matches(event))
            .take(limit)
            .cloned()
            .collect();
        found.reverse();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Body, tests::at};

    fn recent(seconds: std::ops::Range<u32>) -> Recent {
        let mut recent = Recent::new(3);
        for second in seconds {
            recent.push(at(
                &format!("2026-11-22T18:00:{second:02}Z"),
                Body::error(second.to_string()),
            ));
        }
        recent
    }

    fn messages(events: &[Event]) -> Vec<&str> {
        events
            .iter()
            .map(|event| {
                let Body::Error(note) = &event.body else {
                    panic!("{event}");
                };
                note.message.as_str()
            })
            .collect()
    }

    #[test]
    fn the_oldest_make_room() {
        let kept = recent(0..5).select(&Filter::default(), None, 100);
        assert_eq!(messages(&kept), ["2", "3", "4"]);
    }

    #[test]
    fn since_and_limit_cut_at_the_old_end() {
        let recent = recent(0..3);
        let since = "2026-11-22T18:00:01Z".parse().unwrap();
        assert_eq!(
            messages(&recent.select(&Filter::default(), Some(since), 100)),
            ["1", "2"]
        );
        assert_eq!(messages(&recent.select(&Filter::default(), None, 1)), ["2"]);
    }
}
