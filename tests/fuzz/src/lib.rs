//! What must hold of any content, whatever it is read as.

use bot_agent::feeds::{
    entry::{Parsed, SURE},
    format::{Format, Tolerance, parse},
};

/// Reads `content` as each of the formats of these names.
pub fn read_as(content: &[u8], names: &[&str]) {
    for name in names {
        let format = name.parse().expect("a format");
        check(content, Some(&format));
    }
}

/// Reads `content` as `format`; nothing: as what it is found to be.
pub fn check(content: &[u8], format: Option<&Format>) {
    let anything = Tolerance::new(100).expect("a share");
    let Ok(parsed) = parse(content, format, anything) else {
        assert!(parse(content, format, Tolerance::DEFAULT).is_err());
        return;
    };
    let Parsed {
        entries,
        lines,
        bad,
        shown,
        ..
    } = &parsed;
    assert!(bad <= lines);
    assert_eq!(shown.len(), (*bad).min(5));
    assert!(entries.is_empty() || bad < lines);
    assert!(entries.iter().all(|entry| entry.confidence <= SURE));
    assert!(format.is_none_or(|format| format.name() == parsed.format));
    match parse(content, format, Tolerance::DEFAULT) {
        Ok(strict) => assert!(strict == parsed && bad * 20 <= *lines),
        Err(_) => assert!(bad * 20 > *lines),
    }
}
