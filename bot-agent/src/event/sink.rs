//! Where every event goes: standard error, the log file, the latest events in memory, and
//! whoever follows over the control socket.
//!
//! One budget stands before all of them, so that all show the same lines.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::{
    Body, Event, Kind, Suppressed,
    budget::Budget,
    console::Console,
    file::{LogFile, Trouble},
    recent::Recent,
};
use crate::rules::time::Now;

/// Events that a slow follower may lag behind before it loses some.
const FOLLOWER_LAG: usize = 1024;

/// The outlets.
#[derive(Debug)]
pub struct Sink {
    console: Console,
    budget: Budget,
    file: Option<LogFile>,
    recent: Recent,
    live: broadcast::Sender<Arc<Event>>,
}

impl Sink {
    /// A sink that writes at most `per_second` lines of a kind in a second (0: no limit).
    pub fn new(console: Console, per_second: u32, file: Option<LogFile>, recent: usize) -> Self {
        Self {
            console,
            budget: Budget::new(per_second),
            file,
            recent: Recent::new(recent),
            live: broadcast::channel(FOLLOWER_LAG).0,
        }
    }

    /// Puts changed configuration into force.
    pub fn reconfigure(&mut self, per_second: u32, file: Option<LogFile>) {
        self.budget.set(per_second);
        self.file = file;
    }

    /// The open log file.
    pub fn file(&self) -> Option<&LogFile> {
        self.file.as_ref()
    }

    /// Tells of something, if the budget of its kind allows.
    pub fn emit(&mut self, now: Now, body: Body) {
        if self.budget.admit(body.kind(), now.boot_ns) {
            self.write(Event::at(now.wall, body));
        }
    }

    /// The same for what is made only if the budget allows.
    pub fn emit_with(&mut self, now: Now, kind: Kind, body: impl FnOnce() -> Body) {
        if self.budget.admit(kind, now.boot_ns) {
            self.write(Event::at(now.wall, body()));
        }
    }

    /// Once a second: what went over the budget, and whether the file is still where it was.
    pub fn tick(&mut self, now: Now) {
        for (kind, count) in self.budget.take_suppressed() {
            let body = Body::Suppressed(Suppressed { kind, count });
            self.write(Event::at(now.wall, body));
        }
        if let Some(file) = &mut self.file {
            file.reopen_if_moved();
        }
    }

    /// The latest events.
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Events from now on. A follower that lags loses the oldest and is told how many.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Event>> {
        self.live.subscribe()
    }

    fn write(&mut self, event: Event) {
        let trouble = self
            .file
            .as_mut()
            .and_then(|file| file.write_line(&event.to_json()));
        let ts = event.ts;
        self.hand_out(event);
        if let Some(trouble) = trouble {
            self.report(ts, &trouble);
        }
    }

    /// To everything but the file.
    fn hand_out(&mut self, event: Event) {
        self.console.show(&event);
        if self.live.receiver_count() > 0 {
            // Fails only if the last follower has just gone.
            drop(self.live.send(Arc::new(event.clone())));
        }
        self.recent.push(event);
    }

    fn report(&mut self, ts: jiff::Timestamp, trouble: &Trouble) {
        let path = self
            .file
            .as_ref()
            .map(|file| file.options().path.display().to_string())
            .unwrap_or_default();
        let message = match trouble {
            Trouble::Began(error) => {
                format!("cannot write {path}: {error}; lines are lost until that works again")
            }
            Trouble::Over { lost } => format!("{path} can be written again; {lost} lines are lost"),
        };
        let event = Event::at(ts, Body::error(message));
        if matches!(trouble, Trouble::Over { .. })
            && let Some(file) = &mut self.file
        {
            drop(file.write_line(&event.to_json()));
        }
        self.hand_out(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{console::Format, file::FileOptions, filter::Filter},
        rules::time::BootId,
    };

    fn now(boot_ns: u64) -> Now {
        Now {
            wall: "2026-11-22T18:00:00Z".parse().unwrap(),
            boot_ns,
            boot: BootId(1),
        }
    }

    #[test]
    fn every_outlet_gets_the_same_budgeted_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = LogFile::open(FileOptions {
            path: path.clone(),
            max_bytes: 0,
            keep: 0,
        })
        .unwrap();
        let mut sink = Sink::new(Console::new(Format::Json), 2, Some(file), 100);
        let mut follower = sink.follow();
        for _ in 0..5 {
            sink.emit(now(1), Body::error("x"));
        }
        sink.tick(now(2));

        let kinds = [Kind::Error, Kind::Error, Kind::Suppressed];
        let in_file: Vec<Kind> = std::fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Event>(line).unwrap().kind())
            .collect();
        assert_eq!(in_file, kinds);
        let recent = sink.recent().select(&Filter::default(), None, 10);
        assert!(recent.iter().map(Event::kind).eq(kinds));
        assert!(
            kinds
                .iter()
                .all(|kind| follower.try_recv().unwrap().kind() == *kind)
        );
        assert_eq!(
            recent.last().unwrap().body,
            Body::Suppressed(Suppressed {
                kind: Kind::Error,
                count: 3
            })
        );
    }
}
