//! What a Local API may answer.

use proptest::prelude::*;

use super::*;

/// What Debian's 1.4.6 answers, word for word.
const REAL: &str = r#"{"deleted":[{"duration":"-53.005827905s","id":1,"origin":"cscli","scenario":"manual 'ban' from 'tests'","scope":"Ip","type":"ban","value":"192.0.2.7"}],"new":[{"duration":"59m4.830452545s","id":3,"origin":"cscli","scenario":"manual 'ban' from 'tests'","scope":"AS","type":"ban","value":"64500"},{"duration":"59m4.830450712s","id":4,"origin":"cscli","scenario":"manual 'throttle' from 'tests'","scope":"Country","type":"throttle","value":"DE"},{"duration":"3h59m58.323857136s","id":13,"origin":"cscli","scenario":"manual 'captcha' from 'tests'","scope":"Range","type":"captcha","value":"203.0.113.7/24"},{"duration":"711.292176ms","id":5,"origin":"cscli","scenario":"manual 'ban' from 'tests'","scope":"Ip","type":"ban","value":"2001:db8::1"}]}"#;

fn parse(json: &str) -> Answer {
    Answer::parse(Poll::Changes, json.as_bytes()).unwrap()
}

fn one(scope: &str, value: &str, kind: &str, duration: &str) -> Answer {
    let decision = serde_json::json!({
        "scope": scope, "value": value, "type": kind, "duration": duration,
    });
    parse(&format!(r#"{{"new":[{decision}],"deleted":null}}"#))
}

#[test]
fn a_real_answer_is_read() {
    let answer = parse(REAL);
    let new = answer.new.iter().map(|decision| {
        let Decision {
            id,
            subject,
            kind,
            left,
        } = decision;
        format!("{id} {subject} {kind} {}", left.as_millis())
    });
    assert_eq!(
        new.collect::<Vec<_>>(),
        [
            "3 AS64500 ban 3544830",
            "4 country:DE throttle 3544830",
            "13 203.0.113.0/24 captcha 14398323",
            "5 2001:db8::1 ban 711",
        ]
    );
    assert_eq!(answer.deleted.len(), 1);
    assert_eq!(answer.deleted[0].id, 1);
    assert_eq!(answer.deleted[0].left, Duration::ZERO);
    assert_eq!((answer.total, answer.bad), (4, 0));
}

#[test]
fn lists_may_be_null_but_not_missing() {
    assert_eq!(parse(r#"{"new":null,"deleted":null}"#).total, 0);
    assert_eq!(parse(r#"{"new":[],"deleted":[]}"#).total, 0);
    for json in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"new":null}"#,
        r#"{"deleted":[]}"#,
        r#"{"message":"access forbidden"}"#,
        "<html>",
        r#"{"new":[{}],"deleted":null}"#,
    ] {
        let error = Answer::parse(Poll::Whole, json.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("Local API"), "{error}");
    }
}

#[test]
fn what_no_packet_filter_can_do_is_counted() {
    let answer = parse(
        r#"{"deleted":null,"new":[
            {"scope":"user","value":"joe","type":"ban","duration":"1h"},
            {"scope":"ip","value":"192.0.2.1","type":"mfa","duration":"1h"},
            {"scope":"ip","value":"192.0.2.1","type":"ban","duration":"1h","simulated":true},
            {"scope":"ip","value":"192.0.2.1","type":"ban","duration":"1h","simulated":false}]}"#,
    );
    let Ignored {
        simulated,
        scopes,
        types,
    } = answer.ignored;
    assert_eq!((simulated, scopes, types), (1, 1, 1));
    assert_eq!((answer.total, answer.new.len(), answer.bad), (4, 1, 0));
}

#[test]
fn case_and_the_ways_to_write_an_asn_do_not_matter() {
    for (scope, value, kind, expected) in [
        ("IP", "192.0.2.1", "Ban", "192.0.2.1"),
        ("Range", "2001:db8::/32", "BAN", "2001:db8::/32"),
        ("as", "AS64500", "ban", "AS64500"),
        ("AS", "64500", "ban", "AS64500"),
        ("country", "de", "ban", "country:DE"),
    ] {
        let answer = one(scope, value, kind, "1h");
        assert_eq!(answer.new[0].subject.to_string(), expected);
    }
}

#[test]
fn what_cannot_be_read_is_shown() {
    for (scope, value, duration, why) in [
        (
            "ip",
            "junk",
            "1h",
            "line 1: `junk` is no value of the scope ip",
        ),
        (
            "ip",
            "192.0.2.0/24",
            "1h",
            "line 1: `192.0.2.0/24` is no value of the scope ip",
        ),
        ("as", "0", "1h", "line 1: `0` is no value of the scope as"),
        (
            "ip",
            "192.0.2.1",
            "1d",
            "line 1: `1d` is no duration (like 3h59m57.1s)",
        ),
    ] {
        let answer = one(scope, value, "ban", duration);
        assert_eq!((answer.bad, answer.new.len()), (1, 0));
        assert_eq!(answer.shown[0].to_string(), why);
    }
}

#[test]
fn durations_are_those_of_go() {
    for (text, milliseconds) in [
        ("0", 0),
        ("0s", 0),
        ("1.5s", 1_500),
        ("99999h59m58.5s", 359_999_998_500),
        ("711.292176ms", 711),
        ("15µs", 0),
        ("-13.33684ms", 0),
        ("-1h", 0),
    ] {
        let read = duration(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(read.as_millis(), milliseconds, "{text}");
    }
    for text in [
        "",
        "-",
        "h",
        "1",
        "1d",
        "1h1",
        "1..5s",
        ".s",
        "1h-1m",
        "99999999999999h",
    ] {
        assert_eq!(duration(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_ends_in_an_answer(text: String, bytes: Vec<u8>) {
        drop(Answer::parse(Poll::Whole, &bytes));
        prop_assert!(one(&text, &text, "ban", &text).total == 1);
    }

    #[test]
    fn whole_seconds_are_exact(hours in 0u64..100_000, minutes in 0u64..60, seconds in 0u64..60) {
        let expected = Duration::from_secs(hours * 3600 + minutes * 60 + seconds);
        prop_assert_eq!(duration(&format!("{hours}h{minutes}m{seconds}s")), Some(expected));
    }
}
