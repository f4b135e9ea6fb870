//! Events for people: one line, no control characters, whatever a client put into its hello.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, SocketAddr},
};

use super::{Action, Body, Cause, Dropped, Event, Hello, RuleChange};
use crate::{rules::rule::RuleAction, wording::many};

/// The line without its time, for streams that carry one already (the journal).
pub struct Brief<'a>(pub &'a Event);

/// Text from outside: control characters are shown escaped.
pub struct Safe<'a>(pub &'a str);

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} {}", self.ts, Brief(self))
    }
}

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12} ", self.0.kind().name())?;
        match &self.0.body {
            Body::Attach(attach) => {
                write!(
                    f,
                    "{} (index {}), {} XDP, {} program{}",
                    Safe(&attach.iface),
                    attach.ifindex,
                    attach.mode,
                    attach.program,
                    if attach.adopted {
                        ", link taken over"
                    } else {
                        ""
                    }
                )
            }
            Body::Bypass(bypass) => {
                let state = if bypass.active {
                    "everything passes"
                } else {
                    "over, filtering again"
                };
                f.write_str(state)?;
                if let Some(until) = bypass.until {
                    write!(f, " until {until:.0}")?;
                }
                write_reason(f, &bypass.reason)
            }
            Body::Detach(detach) => {
                f.write_str(&detach.iface)?;
                write_reason(f, &detach.reason)
            }
            Body::Drop(dropped) | Body::WouldDrop(dropped) => write_dropped(f, dropped),
            Body::Error(note) | Body::Reload(note) | Body::Start(note) | Body::Stop(note) => {
                Safe(&note.message).fmt(f)
            }
            Body::Feed(feed) => write!(
                f,
                "{} {}: {}",
                feed.feed,
                feed.change.name(),
                Safe(&feed.message)
            ),
            Body::Hello(hello) => write_hello(f, hello),
            Body::Mode(change) => {
                f.write_str(&change.mode)?;
                if let Some(until) = change.until {
                    write!(f, " until {until:.0} unless confirmed")?;
                }
                write_reason(f, &change.reason)
            }
            Body::RuleAdded(change) | Body::RuleExpired(change) | Body::RuleRemoved(change) => {
                write_rule(f, change)
            }
            Body::Suppressed(suppressed) => write!(
                f,
                "{} more events of kind {} in the last second",
                suppressed.count,
                suppressed.kind.name()
            ),
        }
    }
}

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                character.escape_default().fmt(f)?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

fn write_dropped(f: &mut fmt::Formatter<'_>, dropped: &Dropped) -> fmt::Result {
    write_ends(f, dropped.src, dropped.sport, dropped.dst, dropped.dport)?;
    write!(
        f,
        " {} on {}, {}",
        dropped.protocol,
        Safe(&dropped.iface),
        many(dropped.count.into(), "packet")
    )?;
    if dropped.outcome != "dropped" {
        write!(f, " ({})", dropped.outcome)?;
    }
    write_cause(f, &dropped.cause)
}

fn write_hello(f: &mut fmt::Formatter<'_>, hello: &Hello) -> fmt::Result {
    write_ends(f, hello.src, hello.sport, hello.dst, hello.dport)?;
    write!(f, " {}", hello.ja4)?;
    match &hello.sni {
        Some(sni) => write!(f, " sni={}", Safe(sni))?,
        None => f.write_str(" no sni")?,
    }
    if !hello.alpn.is_empty() {
        write!(f, " alpn={}", Safe(&hello.alpn.join(",")))?;
    }
    if hello.pq {
        f.write_str(" pq")?;
    }
    match hello.action {
        Action::Drop => f.write_str(" drop")?,
        Action::Pass => {}
        Action::WouldDrop => f.write_str(" would drop")?,
    }
    write_cause(f, &hello.cause)
}

fn write_rule(f: &mut fmt::Formatter<'_>, change: &RuleChange) -> fmt::Result {
    let action = match change.action {
        RuleAction::Allow => "allow",
        RuleAction::Block => "block",
    };
    write!(f, "{} {action} {}", change.rule, change.subject)?;
    if change.monitor {
        f.write_str(" (monitor only)")?;
    }
    if let Some(until) = change.until {
        write!(f, " until {until:.0}")?;
    }
    write!(f, " by {}", Safe(&change.origin))?;
    write_reason(f, &change.reason)
}

fn write_ends(
    f: &mut fmt::Formatter<'_>,
    src: IpAddr,
    sport: u16,
    dst: IpAddr,
    dport: u16,
) -> fmt::Result {
    if sport == 0 && dport == 0 {
        return write!(f, "{src} -> {dst}");
    }
    let (src, dst) = (SocketAddr::new(src, sport), SocketAddr::new(dst, dport));
    write!(f, "{src} -> {dst}")
}

fn write_cause(f: &mut fmt::Formatter<'_>, cause: &Cause) -> fmt::Result {
    if let Some(rule) = cause.rule {
        write!(f, ", rule {rule}")?;
    }
    if let Some(origin) = &cause.origin {
        write!(f, " by {}", Safe(origin))?;
    }
    write_reason(f, cause.reason.as_deref().unwrap_or_default())
}

fn write_reason(f: &mut fmt::Formatter<'_>, reason: &str) -> fmt::Result {
    if reason.is_empty() {
        return Ok(());
    }
    write!(f, ": {}", Safe(reason))
}

#[cfg(test)]
mod tests {
    use crate::event::{
        Body, Kind, Suppressed,
        tests::{at, dropped, hello},
    };

    #[test]
    fn lines_read_like_sentences() {
        assert_eq!(
            dropped("198.51.100.7").to_string(),
            "2026-11-22T18:00:00.123Z drop         198.51.100.7:40000 -> 192.0.2.1:443 tcp on eth0, 3 packets, rule #7 by operator: scraper"
        );
        assert_eq!(
            hello("2001:db8::7", "t13d", "a.example").to_string(),
            "2026-11-22T18:00:01.000Z hello        [2001:db8::7]:40000 -> 192.0.2.1:443 t13d sni=a.example alpn=h2,http/1.1 pq"
        );
        let suppressed = Suppressed {
            kind: Kind::Hello,
            count: 12,
        };
        assert_eq!(
            at("2026-11-22T18:00:00Z", Body::Suppressed(suppressed)).to_string(),
            "2026-11-22T18:00:00.000Z suppressed   12 more events of kind hello in the last second"
        );
    }

    #[test]
    fn a_hello_cannot_write_to_the_terminal() {
        let line = hello("::1", "t", "x\u{1b}[2J\n\u{9b}y").to_string();
        assert!(line.contains(r"sni=x\u{1b}[2J\n\u{9b}y"), "{line}");
        assert!(!line.chars().any(char::is_control));
    }
}
