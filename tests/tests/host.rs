//! What the agent finds out about a host: a namespace with a network of its own.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    net::{TcpListener, UdpSocket},
    time::Duration,
};

use bot_agent::host::{
    interface,
    protected::Finder,
    served,
    watch::{Change, Watch},
};
use bot_tests::{
    netns::{Ends, Namespace, veth},
    privilege,
};

#[test]
fn own_addresses_and_gateways_of_every_table_are_protected() {
    if !privilege::is_root("own_addresses_and_gateways_of_every_table_are_protected") {
        return;
    }
    let host = Namespace::new("gateways");
    host.ip(&["link", "add", "bot0", "type", "veth"]);
    host.ip(&["link", "set", "bot0", "up"]);
    host.ip(&["addr", "add", "192.0.2.2/24", "dev", "bot0"]);
    let v6 = ["addr", "add", "2001:db8::2/64", "dev", "bot0", "nodad"];
    host.ip(&v6);
    host.ip(&["route", "add", "default", "via", "192.0.2.1"]);
    let other_table = ["default", "via", "192.0.2.9", "table", "100"];
    host.ip(&[&["route", "add"][..], &other_table[..]].concat());
    host.ip(&["-6", "route", "add", "default", "via", "2001:db8::1"]);
    host.ip(&["route", "add", "198.51.100.0/24", "via", "192.0.2.77"]);

    let found = host.run(|| Finder::new().unwrap().find().unwrap());
    let what = |address: &str| {
        let prefix = address.parse().unwrap();
        let entry = found.iter().find(|(found, _)| *found == prefix);
        entry.map(|(_, what)| what.as_str())
    };
    assert_eq!(what("192.0.2.2"), Some("own address"));
    assert_eq!(what("2001:db8::2"), Some("own address"));
    assert_eq!(what("192.0.2.1"), Some("gateway"));
    assert_eq!(what("192.0.2.9"), Some("gateway"));
    assert_eq!(what("2001:db8::1"), Some("gateway"));
    assert_eq!(what("192.0.2.77"), None);
}

#[test]
fn served_ports_are_those_of_this_namespace() {
    if !privilege::is_root("served_ports_are_those_of_this_namespace") {
        return;
    }
    let host = Namespace::new("served");
    host.run(|| {
        let web = TcpListener::bind("[::]:443").unwrap();
        let dns = UdpSocket::bind("0.0.0.0:53").unwrap();
        let served = served::listening().unwrap();
        assert!(served.tcp.iter().eq([443]));
        assert!(served.udp.iter().eq([53]));
        drop((web, dns));
        assert!(served::listening().unwrap().tcp.is_empty());
    });
}

#[test]
fn an_interface_that_goes_and_comes_back_is_reported() {
    if !privilege::is_root("an_interface_that_goes_and_comes_back_is_reported") {
        return;
    }
    let (host, peer) = (Namespace::new("watch-host"), Namespace::new("watch-peer"));
    let join = || {
        veth(Ends {
            left: (&host, "bot0"),
            right: (&peer, "peer0"),
        });
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    host.run(|| {
        runtime.block_on(async {
            let mut watch = Watch::new().unwrap();
            join();
            let up = until(
                &mut watch,
                |change| matches!(change, Change::LinkUp(link) if link.name == "bot0"),
            );
            let Change::LinkUp(first) = up.await else {
                unreachable!()
            };
            let seen = interface::by_name("bot0").unwrap().unwrap();
            assert_eq!(seen.index, first.index);

            host.ip(&["link", "del", "bot0"]);
            let gone = Change::LinkGone(first.clone());
            until(&mut watch, |change| *change == gone).await;
            join();
            until(&mut watch, |change| {
                matches!(change, Change::LinkUp(link) if link.name == "bot0" && *link != first)
            })
            .await;

            host.ip(&["addr", "add", "192.0.2.2/24", "dev", "bot0"]);
            until(&mut watch, |change| *change == Change::Address).await;
            until(&mut watch, |change| *change == Change::Route).await;
        });
    });
}

/// The first change that fits; a test fails after 5 s without one.
async fn until(watch: &mut Watch, fits: impl Fn(&Change) -> bool) -> Change {
    let search = async {
        loop {
            let change = watch.next().await.unwrap();
            if fits(&change) {
                return change;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), search)
        .await
        .expect("a report within 5 s")
}
