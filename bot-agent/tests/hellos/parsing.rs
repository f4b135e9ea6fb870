//! The parser: what it reads, and that nothing makes it panic.

use bot_agent::{
    stream::record,
    tls::{ClientHello, Fingerprint, NotHello, Parsed, Transport},
};
use proptest::prelude::*;

use crate::build::{self, Hello};

#[test]
fn a_hello_is_read() {
    let hello = build::read(&Hello::sample().message());
    assert_eq!(hello.sni().as_deref(), Some("example.com"));
    assert_eq!(hello.alpn_names().collect::<Vec<_>>(), ["h2", "http/1.1"]);
    assert_eq!(hello.versions(), [0x0304, 0x0303]);
    assert!(hello.offers_post_quantum());
    assert_eq!(hello.length(), Hello::sample().message().len());
}

#[test]
fn post_quantum_is_what_a_key_share_is_offered_for() {
    for (group, expected) in [
        (0x001d, false),
        (0x0017, false),
        (0x0200, true),
        (0x0201, true),
        (0x0202, true),
        (0x11eb, true),
        (0x11ec, true),
        (0x11ed, true),
        (0x6399, true),
    ] {
        let mut hello = Hello::sample();
        hello.extensions.retain(|(kind, _)| *kind != 0x0033);
        hello.extensions.push((0x0033, build::key_share(group, 32)));
        let hello = build::read(&hello.message());
        assert_eq!(hello.offers_post_quantum(), expected, "{group:04x}");
    }
}

#[test]
fn of_duplicate_extensions_the_first_counts() {
    let mut hello = Hello::sample();
    hello.extensions.push((0x0000, build::sni("other.example")));
    hello.extensions.push((0x000d, build::list16(&[0x0101])));
    let hello = build::read(&hello.message());
    assert_eq!(hello.sni().as_deref(), Some("example.com"));
    assert_eq!(hello.signature_algorithms, [0x0403, 0x0804]);
    assert_eq!(hello.extensions.len(), 8);
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let message = Hello::sample().message();
    let with = |at: usize, byte: u8| {
        let mut message = message.clone();
        message[at] = byte;
        ClientHello::parse(&message)
    };
    let malformed = Parsed::Never(NotHello::Malformed);
    assert_eq!(with(0, 2), Parsed::Never(NotHello::NotClientHello));
    assert_eq!(with(1, 1), Parsed::Never(NotHello::TooLarge));
    assert_eq!(with(38, 33), malformed, "session id of 33 bytes");
    assert_eq!(with(72, 5), malformed, "odd number of cipher bytes");
    assert_eq!(with(79, 0), malformed, "no compression method");
    assert_eq!(
        with(82, message[82] + 1),
        malformed,
        "extensions beyond the end"
    );
    assert_eq!(
        with(82, message[82] - 1),
        malformed,
        "bytes behind the extensions"
    );
    assert_eq!(with(86, 0xff), malformed, "extension beyond the list");
}

#[test]
fn every_prefix_needs_more() {
    let message = Hello::sample().message();
    for end in 0..message.len() {
        assert_eq!(
            ClientHello::parse(&message[..end]),
            Parsed::NeedMore,
            "{end} bytes"
        );
    }
    let stream = build::records(&message, &[1, 100, 101]);
    for end in 0..stream.len() {
        let prefix = record::client_hello(&stream[..end], 0);
        assert_eq!(prefix, Parsed::NeedMore, "{end} bytes");
    }
}

#[test]
fn another_record_between_the_parts_of_a_hello_ends_it() {
    let message = Hello::sample().message();
    let mut stream = build::records(&message[..50], &[]);
    stream.extend([21, 3, 1, 0, 2, 1, 0]);
    stream.extend(build::records(&message[50..], &[]));
    assert_eq!(
        record::client_hello(&stream, 0),
        Parsed::Never(NotHello::Interrupted)
    );
}

#[test]
fn what_is_no_hello_is_told_at_once() {
    let never = |bytes: &[u8]| match record::client_hello(bytes, 0) {
        Parsed::Never(reason) => reason,
        other @ (Parsed::NeedMore | Parsed::Complete(_)) => panic!("{other:?}"),
    };
    assert_eq!(never(b"GET / HTTP/1.1"), NotHello::NotTls);
    assert_eq!(never(b"\x17\x03\x03\x00\x10"), NotHello::NotTls);
    assert_eq!(never(b"\x16\x02"), NotHello::NotTls);
    assert_eq!(never(b"\x16\x03\x01\x00\x40\x02"), NotHello::NotClientHello);
    assert_eq!(never(b"\x16\x03\x01\x00\x00"), NotHello::Malformed);
    assert_eq!(never(b"\x16\x03\x01\x40\x01"), NotHello::Malformed);
    assert_eq!(
        never(b"\x16\x03\x01\x40\x00\x01\x01\x00\x00"),
        NotHello::TooLarge
    );
}

proptest! {
    #[test]
    fn what_was_built_is_read(hello in build::hello()) {
        let read = build::read(&hello.message());
        prop_assert_eq!(read.legacy_version, hello.version);
        prop_assert_eq!(&read.ciphers, &hello.ciphers);
        let kinds: Vec<u16> = hello.extensions.iter().map(|(kind, _)| *kind).collect();
        prop_assert_eq!(&read.extensions, &kinds);
    }

    #[test]
    fn records_may_be_cut_anywhere(
        hello in build::hello(),
        mut cuts in prop::collection::vec(0_usize..2000, 0..12),
    ) {
        let message = hello.message();
        for cut in &mut cuts {
            *cut %= message.len();
        }
        cuts.sort_unstable();
        let stream = build::records(&message, &cuts);
        let Parsed::Complete(found) = record::client_hello(&stream, 0) else {
            panic!("not found");
        };
        prop_assert_eq!(found.hello, build::read(&message));
        prop_assert_eq!((found.length, found.open), (stream.len(), 0));
    }

    #[test]
    fn nothing_panics_on_changed_bytes(
        hello in build::hello(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        end in any::<prop::sample::Index>(),
    ) {
        let mut stream = build::records(&hello.message(), &[]);
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream.truncate(end.index(stream.len()) + 1);
        for bytes in [&stream[..], stream.get(5..).unwrap_or_default()] {
            if let Parsed::Complete(found) = record::client_hello(bytes, 0) {
                let fingerprint = Fingerprint::new(&found.hello, Transport::Tcp);
                prop_assert_eq!(fingerprint.ja4().as_str().len(), 36);
                prop_assert_eq!(fingerprint.ja4().to_string().parse(), Ok(fingerprint.ja4()));
            }
            drop(ClientHello::parse(bytes));
        }
    }

    #[test]
    fn nothing_panics_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), open in 0_usize..50) {
        drop(ClientHello::parse(&bytes));
        drop(record::client_hello(&bytes, open));
    }
}
