//! JA4: what changes it and what does not.

use bot_agent::tls::{Fingerprint, Transport, is_grease};
use proptest::prelude::*;

use crate::build::{self, Hello};

fn fingerprint(hello: &Hello) -> Fingerprint {
    Fingerprint::new(&build::read(&hello.message()), Transport::Tcp)
}

/// The example of the specification, extensions in the order of its `JA4_o`.
fn specification_example() -> Hello {
    let extensions = [
        0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
        0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
    ];
    let algorithms = [
        0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
    ];
    let body = |kind| match kind {
        0x0000 => build::sni("example.com"),
        0x000d => build::list16(&algorithms),
        0x0010 => build::alpn(&[b"h2"]),
        0x002b => build::versions(&[0x0304, 0x0303]),
        _ => Vec::new(),
    };
    Hello {
        version: 0x0303,
        session_id: Vec::new(),
        ciphers: vec![
            0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
            0x009c, 0x009d, 0x002f, 0x0035,
        ],
        extensions: extensions.map(|kind| (kind, body(kind))).to_vec(),
    }
}

#[test]
fn the_specification_s_example() {
    let fingerprint = fingerprint(&specification_example());
    assert_eq!(
        fingerprint.ja4().as_str(),
        "t13d1516h2_8daaf6152771_e5627efa2ab1"
    );
    assert_eq!(
        fingerprint.ja4_o().as_str(),
        "t13d1516h2_acb858a92679_18f69afefd3d"
    );
    assert_eq!(
        fingerprint.ja4_r(),
        "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_\
         0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_\
         0403,0804,0401,0503,0805,0501,0806,0601"
    );
    assert_eq!(
        fingerprint.ja4_ro(),
        "t13d1516h2_1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035_\
         001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015_\
         0403,0804,0401,0503,0805,0501,0806,0601"
    );
}

#[test]
fn the_transport_is_the_first_letter() {
    let hello = build::read(&Hello::sample().message());
    for (transport, letter) in [
        (Transport::Tcp, 't'),
        (Transport::Quic, 'q'),
        (Transport::Dtls, 'd'),
    ] {
        let ja4 = Fingerprint::new(&hello, transport).ja4();
        assert!(ja4.as_str().starts_with(letter));
    }
}

fn grease() -> impl Strategy<Value = u16> {
    (0_u16..16).prop_map(|high| (high << 4 | 0x0a) * 0x0101)
}

/// Inserts a value somewhere.
fn insert<T: Clone>(list: &[T], at: prop::sample::Index, value: T) -> Vec<T> {
    let mut list = list.to_vec();
    list.insert(at.index(list.len() + 1), value);
    list
}

proptest! {
    #[test]
    fn order_of_ciphers_and_extensions_does_not_matter(
        shuffled in Just(specification_example().ciphers).prop_shuffle(),
        extensions in Just(specification_example().extensions).prop_shuffle(),
    ) {
        let original = specification_example();
        let moved = Hello { ciphers: shuffled, extensions, ..original.clone() };
        let (before, after) = (fingerprint(&original), fingerprint(&moved));
        prop_assert_eq!(before.ja4(), after.ja4());
        prop_assert_eq!(before.ja4_r(), after.ja4_r());
        let same_order = original.ciphers == moved.ciphers && original.extensions == moved.extensions;
        prop_assert_eq!(before.ja4_o() == after.ja4_o(), same_order);
        prop_assert_eq!(before.ja4_ro() == after.ja4_ro(), same_order);
    }

    #[test]
    fn grease_changes_nothing_wherever_it_stands(
        values in prop::array::uniform4(grease()),
        at in prop::array::uniform4(any::<prop::sample::Index>()),
    ) {
        prop_assert!(values.iter().all(|value| is_grease(*value)));
        let original = specification_example();
        let mut greased = original.clone();
        greased.ciphers = insert(&greased.ciphers, at[0], values[0]);
        for (kind, body) in &mut greased.extensions {
            match *kind {
                0x000d => {
                    let algorithms = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];
                    *body = build::list16(&insert(&algorithms, at[1], values[1]));
                }
                0x002b => *body = build::versions(&insert(&[0x0304, 0x0303], at[2], values[2])),
                _ => {}
            }
        }
        greased.extensions = insert(&greased.extensions, at[3], (values[3], Vec::new()));
        prop_assert_eq!(fingerprint(&greased), fingerprint(&original));
    }

    #[test]
    fn the_order_of_signature_algorithms_matters(
        algorithms in Just(vec![0x0403_u16, 0x0804, 0x0401]).prop_shuffle(),
    ) {
        let with = |algorithms: &[u16]| {
            let mut hello = Hello::sample();
            hello.extensions[2].1 = build::list16(algorithms);
            fingerprint(&hello).ja4()
        };
        let original = [0x0403, 0x0804, 0x0401];
        prop_assert_eq!(with(&algorithms) == with(&original), algorithms == original);
    }
}
