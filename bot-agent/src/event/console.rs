//! Standard error: events and diagnostics, for people on a terminal, as JSON lines elsewhere.
//!
//! Under systemd each line carries its priority (`<6>`, sd-daemon(3)) and human lines leave their
//! time to the journal.

use std::{
    fmt,
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::fs::MetadataExt},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::{Level, Subscriber, field::Visit};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::{
    Body, Event, FeedChange, FeedWhat,
    render::{Brief, Safe},
};

/// Target of the trace events that carry a rendered [`Event`] as their message.
const EVENTS: &str = "bot_agent::events";

/// The form of lines, as configured.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Human on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Sentences.
    Human,
    /// JSON lines.
    Json,
}

/// How lines are written: [`Format`] after a look at what standard error is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Console {
    json: bool,
    journal: bool,
}

impl Console {
    /// Decides for this process' standard error.
    pub fn new(format: Format) -> Self {
        let json = match format {
            Format::Auto => !io::stderr().is_terminal(),
            Format::Human => false,
            Format::Json => true,
        };
        Self {
            json,
            journal: is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref()),
        }
    }

    /// Sends everything traced in this process to standard error. `filter` is an `EnvFilter`
    /// directive like `info`; a second call changes nothing.
    pub fn install(self, filter: &str) {
        let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
        let installed = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(io::stderr)
            .event_format(self)
            .try_init();
        if let Err(error) = installed {
            tracing::debug!("tracing is installed already: {error}");
        }
    }

    /// Writes one event.
    pub fn show(self, event: &Event) {
        let line = self.line(event);
        match event.body {
            Body::Error(_) => tracing::error!(target: EVENTS, "{line}"),
            Body::Feed(FeedChange {
                change: FeedWhat::Held | FeedWhat::RolledBack | FeedWhat::Stale,
                ..
            })
            | Body::Suppressed(_) => tracing::warn!(target: EVENTS, "{line}"),
            Body::Attach(_)
            | Body::Bypass(_)
            | Body::Detach(_)
            | Body::Drop(_)
            | Body::Feed(_)
            | Body::Hello(_)
            | Body::Mode(_)
            | Body::Reload(_)
            | Body::RuleAdded(_)
            | Body::RuleExpired(_)
            | Body::RuleRemoved(_)
            | Body::Start(_)
            | Body::Stop(_)
            | Body::WouldDrop(_) => tracing::info!(target: EVENTS, "{line}"),
        }
    }

    fn line(self, event: &Event) -> String {
        if self.json {
            event.to_json()
        } else if self.journal {
            Brief(event).to_string()
        } else {
            event.to_string()
        }
    }

    fn diagnostic(self, ts: Timestamp, level: Level, target: &str, message: &str) -> String {
        let level = level.as_str().to_ascii_lowercase();
        if self.json {
            serde_json::json!({
                "ts": ts, "event": "log", "level": level, "target": target, "message": message,
            })
            .to_string()
        } else if self.journal {
            Safe(message).to_string()
        } else {
            format!("{ts:.3} {level:<12} {}", Safe(message))
        }
    }
}

impl<S, N> FormatEvent<S, N> for Console
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut message = Message::default();
        event.record(&mut message);
        if self.journal {
            write!(writer, "<{}>", priority(*metadata.level()))?;
        }
        if metadata.target() == EVENTS {
            return writeln!(writer, "{}", message.0);
        }
        let (level, target) = (*metadata.level(), metadata.target());
        let line = self.diagnostic(Timestamp::now(), level, target, &message.0);
        writeln!(writer, "{line}")
    }
}

/// The message of a trace event, its other fields behind it as `name=value`.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!("{value:?}"));
        } else {
            self.0 = format!("{} {}={value:?}", self.0, field.name());
        }
    }
}

/// Priority of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// Whether standard error is the journal's socket: `JOURNAL_STREAM` holds its device and inode
/// (systemd.exec(5)).
fn is_journal(stream: Option<&str>) -> bool {
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let Ok(metadata) = stderr.and_then(|fd| std::fs::File::from(fd).metadata()) else {
        return false;
    };
    stream == Some(&format!("{}:{}", metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::at;

    const HUMAN: Console = Console {
        json: false,
        journal: false,
    };

    #[test]
    fn events_keep_their_form_and_the_journal_its_time() {
        let event = at("2026-11-22T18:00:00Z", Body::error("disk full"));
        assert_eq!(
            HUMAN.line(&event),
            "2026-11-22T18:00:00.000Z error        disk full"
        );
        let journal = Console {
            journal: true,
            ..HUMAN
        };
        assert_eq!(journal.line(&event), "error        disk full");
        let json = Console {
            json: true,
            ..HUMAN
        };
        assert_eq!(
            json.line(&event),
            r#"{"ts":"2026-11-22T18:00:00Z","event":"error","message":"disk full"}"#
        );
    }

    #[test]
    fn diagnostics_have_the_same_two_forms() {
        let ts: Timestamp = "2026-11-22T18:00:00Z".parse().unwrap();
        assert_eq!(
            HUMAN.diagnostic(ts, Level::WARN, "t", "slow\x1b"),
            r"2026-11-22T18:00:00.000Z warn         slow\u{1b}"
        );
        let json = Console {
            json: true,
            ..HUMAN
        };
        let line = json.diagnostic(ts, Level::WARN, "t", "slow");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "warn");
        assert_eq!(value["event"], "log");
    }
}
