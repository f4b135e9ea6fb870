//! Real VLAN devices over the filtered interface: a tag does not hide a source, and what passes
//! arrives at the device. Host kernels without the 8021q module skip it and rely on the raw tagged
//! frames of the verdict tables; the emulated kernels have the module and must run it.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a broken assumption ends the test"
)]

use std::{net::UdpSocket, process::Command, time::Duration};

use bot_agent::{
    datapath::{Datapath, PinFolder, XdpRequest},
    table::Image,
};
use bot_common::abi::{
    counter::{Counter, Outcome},
    settings::FOREVER,
    verdict::{Action, Verdict, VerdictId},
};
use bot_tests::{
    bpffs::{BpfFs, SMALL_TABLES},
    flatten::flatten,
    kernel,
    netns::{Ends, Namespace, veth},
    privilege,
};

/// The filtered interface.
const IFACE: &str = "bot0";
/// Its VLAN devices: one tag, and one inside a service tag.
const VLAN: &str = "bot0.10";
const SERVICE: &str = "bot0.20";
const INNER: &str = "bot0.20.30";

#[test]
fn a_vlan_device_receives_what_passes_and_nothing_that_is_blocked() {
    if !privilege::is_root("a_vlan_device_receives_what_passes") || !has_vlan_devices() {
        return;
    }
    let (server, client) = (Namespace::new("vlan-server"), Namespace::new("vlan-client"));
    veth(Ends {
        left: (&server, IFACE),
        right: (&client, IFACE),
    });
    for (namespace, last) in [(&server, "1"), (&client, "7")] {
        tagged(namespace, IFACE, VLAN, "802.1Q", "10");
        tagged(namespace, IFACE, SERVICE, "802.1ad", "20");
        tagged(namespace, SERVICE, INNER, "802.1Q", "30");
        namespace.ip(&["addr", "add", &format!("192.0.2.{last}/24"), "dev", VLAN]);
        namespace.ip(&[
            "addr",
            "add",
            &format!("198.51.100.{last}/24"),
            "dev",
            INNER,
        ]);
    }
    // A second address on each device, which will be blocked.
    client.ip(&["addr", "add", "192.0.2.77/24", "dev", VLAN]);
    client.ip(&["addr", "add", "198.51.100.77/24", "dev", INNER]);

    let bpffs = BpfFs::mount();
    let folder = PinFolder::open(&bpffs.pin_dir()).unwrap();
    let mut datapath = Datapath::open(&SMALL_TABLES, folder).unwrap().datapath;
    let mut settings = datapath.settings().unwrap();
    settings.enforce_until = FOREVER;
    datapath.set_settings(&settings).unwrap();
    let id = VerdictId::new(1).unwrap();
    let block = Verdict {
        action: Action::Drop as u8,
        ..Verdict::PASS
    };
    let blocked = ["192.0.2.77", "198.51.100.77"].map(|text| (text.parse().unwrap(), id));
    let ranges = flatten(&blocked.into_iter().collect());
    datapath.write_verdict(id, block).unwrap();
    datapath.swap(Image::build(&ranges).unwrap()).unwrap();
    server
        .run(|| datapath.attach(IFACE, XdpRequest::Native, false))
        .unwrap();

    for (to, good, bad) in [
        ("192.0.2.1", "192.0.2.7", "192.0.2.77"),
        ("198.51.100.1", "198.51.100.7", "198.51.100.77"),
    ] {
        let sink = server.run(|| UdpSocket::bind((to, 9)).unwrap());
        sink.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.run(|| {
            let blocked = UdpSocket::bind((bad, 0)).unwrap();
            let passed = UdpSocket::bind((good, 0)).unwrap();
            for _ in 0..20 {
                blocked.send_to(b"blocked", (to, 9)).unwrap();
                passed.send_to(b"passed", (to, 9)).unwrap();
            }
        });
        let mut received = [0; 16];
        for _ in 0..20 {
            let (len, from) = sink.recv_from(&mut received).expect("what passes arrives");
            assert_eq!(
                (&received[..len], from.ip().to_string().as_str()),
                (&b"passed"[..], good)
            );
        }
    }
    let dropped = datapath.counters().unwrap();
    let dropped = dropped
        .iter()
        .find(|(counter, _)| *counter == Counter::Outcome(Outcome::Dropped));
    assert!(
        dropped.is_some_and(|(_, hits)| hits.packets >= 40),
        "{dropped:?}"
    );
}

fn tagged(namespace: &Namespace, parent: &str, name: &str, protocol: &str, id: &str) {
    let kind = ["type", "vlan", "protocol", protocol, "id", id];
    namespace.ip(&[&["link", "add", "link", parent, "name", name][..], &kind].concat());
    namespace.ip(&["link", "set", name, "up"]);
}

/// Whether this kernel can make VLAN devices; emulated machines must.
fn has_vlan_devices() -> bool {
    let probe = Namespace::new("vlan-probe");
    probe.ip(&[
        "link", "add", "probe0", "type", "veth", "peer", "name", "probe1",
    ]);
    let add = [
        "link", "add", "link", "probe0", "name", "probe0.1", "type", "vlan", "id", "1",
    ];
    let made = Command::new("ip")
        .args(["-n", probe.name()])
        .args(add)
        .output();
    let made = made.is_ok_and(|output| output.status.success());
    assert!(
        made || !kernel::is_emulated(),
        "the emulated kernel has no VLAN devices"
    );
    if !made {
        eprintln!("SKIPPED VLAN devices: this kernel has none; the emulated kernels run this test");
    }
    made
}
