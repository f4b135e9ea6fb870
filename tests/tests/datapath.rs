//! The kernel side as the agent handles it: pins, adoption, attachment, detachment.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    time::Duration,
};

use aya::{
    maps::{MapInfo, PerCpuArray},
    programs::{XdpMode as AyaMode, links::PinnedLink},
};
use bot_agent::{
    datapath::{
        AttachError, Attached, Datapath, Detached, Drained, EntryPoint, Error, Opened, Options,
        PinFolder, Pinned, XdpRequest, check_host, detach_all, foreign_program,
        generation::Generation,
    },
    host::{
        interface::{self, XdpMode},
        ports::{PortSet, PortSets},
    },
    rules::prefix::Prefix,
    table::{Image, Ranges},
};
use bot_common::{
    abi::{
        counter::{Hits, Outcome},
        names,
        ports::PortWord,
        record::DropReport,
        settings::{FOREVER, Settings},
        verdict::{Action, Verdict, VerdictId},
    },
    address::Address,
};
use bot_tests::{
    bpffs::{BpfFs, SMALL_TABLES},
    flatten::flatten,
    foreign,
    netns::{Ends, Namespace, veth},
    privilege,
};

const IFACE: &str = "bot0";

#[test]
fn opening_pins_everything_under_the_layout_version() {
    if !privilege::is_root("opening_pins_everything_under_the_layout_version") {
        return;
    }
    let bpffs = BpfFs::mount();
    let opened = open(&bpffs);
    assert!(!opened.adopted);
    let layout = bpffs.pin_dir().join(format!("v{}", names::LAYOUT_VERSION));
    for name in names::PINNED_MAPS {
        assert!(layout.join("maps").join(name).exists(), "{name}");
    }
    for entry in EntryPoint::ALL {
        assert!(layout.join("programs").join(entry.program()).exists());
    }
    assert_ne!(opened.datapath.settings().unwrap().seed, 0);
}

#[test]
fn a_second_agent_adopts_the_tables_the_seed_and_what_is_in_them() {
    if !privilege::is_root("a_second_agent_adopts_the_tables") {
        return;
    }
    let bpffs = BpfFs::mount();
    let mut first = open(&bpffs).datapath;
    block(&mut first, "192.0.2.0/24");
    let settings = first.settings().unwrap();
    let ids = map_ids(&bpffs);
    drop(first);

    let second = open(&bpffs);
    assert!(second.adopted);
    assert_eq!(map_ids(&bpffs), ids);
    assert_eq!(second.datapath.settings().unwrap(), settings);
    assert_eq!(second.datapath.ranges(), ranges(&[("192.0.2.0/24", 1)]));
    assert_eq!(second.datapath.usage(), None, "not this agent's to write");
    assert_eq!(second.datapath.verdicts().unwrap(), [(id(1), DROP)]);
}

#[test]
fn the_seed_cannot_be_overwritten() {
    if !privilege::is_root("the_seed_cannot_be_overwritten") {
        return;
    }
    let bpffs = BpfFs::mount();
    let mut datapath = open(&bpffs).datapath;
    let seed = datapath.settings().unwrap().seed;
    let wanted = Settings {
        enforce_until: FOREVER,
        seed: 1,
        ..Settings::default()
    };
    datapath.set_settings(&wanted).unwrap();
    assert_eq!(datapath.settings().unwrap(), Settings { seed, ..wanted });
}

#[test]
fn a_generation_is_swapped_changed_in_place_and_read_back() {
    if !privilege::is_root("a_generation_is_swapped_changed_in_place_and_read_back") {
        return;
    }
    let bpffs = BpfFs::mount();
    let mut datapath = open(&bpffs).datapath;
    assert_eq!(datapath.ranges(), Ranges::default());
    let one = ranges(&[("10.0.0.0/8", 1)]);
    let nothing_to_write = datapath.update(prefix("10.0.0.0/8"), &one).unwrap();
    assert!(!nothing_to_write, "there is no generation yet");

    let beneath = Verdict {
        expires: 5,
        then: id(1),
        ..DROP
    };
    datapath.write_verdict(id(1), DROP).unwrap();
    datapath.write_verdict(id(2), beneath).unwrap();
    let two = ranges(&[("10.0.0.0/8", 1), ("10.1.0.0/16", 2)]);
    datapath.swap(Image::build(&two).unwrap()).unwrap();
    let look = |datapath: &Datapath, text: &str| {
        let ip: std::net::IpAddr = text.parse().unwrap();
        datapath.lookup(Address::from(ip)).unwrap()
    };
    assert_eq!(
        look(&datapath, "10.1.2.3"),
        [(id(2), beneath), (id(1), DROP)]
    );
    assert_eq!(look(&datapath, "10.2.0.0"), [(id(1), DROP)]);
    assert_eq!(look(&datapath, "2001:db8::1"), []);

    for round in 0..3000u32 {
        let host = prefix(&format!("10.2.{}.{}", round / 256, round % 256));
        let said = ranges(&[(&host.to_string(), 2)]);
        assert!(datapath.update(host, &said).unwrap(), "{host}");
    }
    let net = prefix("2001:db8::/32");
    let said = ranges(&[("2001:db8::/32", 2)]);
    assert!(datapath.update(net, &said).unwrap());
    assert_eq!(look(&datapath, "10.2.11.183")[0].0, id(2));
    assert_eq!(look(&datapath, "10.2.11.184")[0].0, id(1));
    assert_eq!(datapath.ranges_within(net), said);
    assert!(datapath.update(net, &Ranges::default()).unwrap());
    assert_eq!(datapath.ranges_within(net), Ranges::default());

    let before = datapath.ranges();
    drop(datapath);
    assert_eq!(open(&bpffs).datapath.ranges(), before);
    let pinned = Pinned::open(&bpffs.pin_dir()).unwrap();
    assert_eq!(
        pinned.lookup(Address::from_v4([10, 2, 0, 9])).unwrap()[0].0,
        id(2)
    );
}

#[test]
fn a_generation_that_was_being_put_in_force_is_the_one_that_is_found() {
    if !privilege::is_root("a_generation_that_was_being_put_in_force") {
        return;
    }
    let bpffs = BpfFs::mount();
    let mut datapath = open(&bpffs).datapath;
    let (old, new) = (
        ranges(&[("192.0.2.1/32", 1)]),
        ranges(&[("192.0.2.2/32", 1)]),
    );
    let maps = layout(&bpffs).join("maps");
    let (done, unfinished) = (
        maps.join(names::MAP_GENERATION),
        maps.join("GENERATION_NEW"),
    );
    datapath.swap(Image::build(&new).unwrap()).unwrap();
    // As it was a moment before the last swap's end.
    fs::rename(&done, &unfinished).unwrap();
    let other = Generation::make(Image::build(&old).unwrap().lines()).unwrap();
    other.map().pin(&done).unwrap();
    drop(datapath);
    let mut again = open(&bpffs).datapath;
    assert_eq!(again.ranges(), new);
    again.swap(Image::build(&old).unwrap()).unwrap();
    assert!(!unfinished.exists());
    assert_eq!(open(&bpffs).datapath.ranges(), old);
}

#[test]
fn ports_are_written_where_they_changed() {
    if !privilege::is_root("ports_are_written_where_they_changed") {
        return;
    }
    let bpffs = BpfFs::mount();
    let mut datapath = open(&bpffs).datapath;
    let mut sets = PortSets {
        served_tcp: PortSet::from_iter([80, 443]),
        hello: PortSet::all(),
        ..PortSets::default()
    };
    datapath.set_ports(&sets).unwrap();
    let word = |datapath: &Datapath, port| datapath.port_word(PortWord::index(port)).unwrap();
    assert_eq!(word(&datapath, 443).served_tcp, PortWord::mask(443));
    assert_eq!(word(&datapath, 9).hello, u64::MAX);

    sets.served_tcp = PortSet::from_iter([80]);
    sets.failsafe.insert(22);
    datapath.set_ports(&sets).unwrap();
    assert_eq!(word(&datapath, 443).served_tcp, 0);
    assert_eq!(word(&datapath, 80).served_tcp, PortWord::mask(80));
    assert_eq!(word(&datapath, 22).failsafe, PortWord::mask(22));
}

#[test]
fn pins_of_another_shape_are_refused_by_name() {
    if !privilege::is_root("pins_of_another_shape_are_refused_by_name") {
        return;
    }
    let bpffs = BpfFs::mount();
    let maps = layout(&bpffs).join("maps");
    fs::create_dir_all(&maps).unwrap();
    let strange = PerCpuArray::<_, u64>::create(3, 0).unwrap();
    strange.pin(maps.join(names::MAP_COUNTERS)).unwrap();
    let error = open_with(&bpffs, &SMALL_TABLES).err().unwrap();
    assert!(matches!(
        error,
        Error::Shape {
            name: names::MAP_COUNTERS,
            ..
        }
    ));
    let text = error.to_string();
    let path = maps.join(names::MAP_COUNTERS);
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert!(text.contains("bot-agent detach"), "{text}");
}

#[test]
fn a_changed_number_of_verdicts_is_refused_not_ignored() {
    if !privilege::is_root("a_changed_number_of_verdicts_is_refused_not_ignored") {
        return;
    }
    let bpffs = BpfFs::mount();
    drop(open(&bpffs));
    let larger = Options {
        verdicts: 512,
        ..SMALL_TABLES
    };
    let error = open_with(&bpffs, &larger).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("entries 256 instead of 512"), "{text}");
    detach_all(&bpffs.pin_dir()).unwrap();
    assert!(open_with(&bpffs, &larger).is_ok());
}

#[test]
fn without_a_program_the_agent_says_how_to_build_it() {
    if !privilege::is_root("without_a_program_the_agent_says_how_to_build_it") {
        return;
    }
    let bpffs = BpfFs::mount();
    let without = Options {
        object: None,
        ..SMALL_TABLES
    };
    let error = open_with(&bpffs, &without).err().unwrap();
    assert!(error.to_string().contains("cargo xtask build"), "{error}");
}

#[test]
fn missing_capabilities_are_named_before_anything_is_touched() {
    if !privilege::is_root("missing_capabilities_are_named_before_anything_is_touched") {
        return;
    }
    // Capabilities belong to a thread.
    let check = std::thread::spawn(|| {
        caps::clear(None, caps::CapSet::Effective).unwrap();
        check_host()
    });
    let error = check.join().unwrap().unwrap_err();
    assert!(matches!(error, Error::MissingPrivilege { .. }));
    let text = error.to_string();
    assert!(
        text.contains("CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"),
        "{text}"
    );
    check_host().unwrap();
}

#[test]
fn the_debug_channel_opens_when_asked_for() {
    if !privilege::is_root("the_debug_channel_opens_when_asked_for") {
        return;
    }
    let bpffs = BpfFs::mount();
    let debug = Options {
        debug: true,
        ..SMALL_TABLES
    };
    let runtime = current_thread();
    let _entered = runtime.enter();
    let mut off = open(&bpffs).datapath;
    assert!(off.take_debug_log().unwrap().is_none());
    let mut on = open_with(&bpffs, &debug).unwrap().datapath;
    assert!(on.take_debug_log().unwrap().is_some());
}

#[test]
fn a_bpffs_that_only_this_mount_namespace_sees_is_refused() {
    if !privilege::is_root("a_bpffs_that_only_this_mount_namespace_sees_is_refused") {
        return;
    }
    let refused = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        make_mounts_private();
        let bpffs = BpfFs::mount();
        PinFolder::open(&bpffs.pin_dir()).unwrap_err()
    });
    let error = refused.join().unwrap();
    assert!(matches!(error, Error::PrivateBpffs { .. }), "{error}");
    assert!(error.to_string().contains("nsenter --net"), "{error}");
}

#[test]
fn veth_takes_the_program_in_its_driver() {
    if !privilege::is_root("veth_takes_the_program_in_its_driver") {
        return;
    }
    let world = World::new("native");
    let mut datapath = open(&world.bpffs).datapath;
    let attached = world.attach(&mut datapath).unwrap();
    assert!(!attached.adopted);
    assert_eq!(attached.native_refused, None);
    assert_eq!(attached.attachment.mode, Some(XdpMode::Native));
    assert_eq!(attached.attachment.program, Some(EntryPoint::Frags));
    assert!(world.links().join(world.index().to_string()).exists());
    let listed = world.host.run(|| datapath.attachments().unwrap());
    assert_eq!(listed, [attached.attachment]);
}

#[test]
fn generic_mode_is_taken_when_asked_for() {
    if !privilege::is_root("generic_mode_is_taken_when_asked_for") {
        return;
    }
    let world = World::new("generic");
    let mut datapath = open(&world.bpffs).datapath;
    let attach = || datapath.attach(IFACE, XdpRequest::Generic, false).unwrap();
    let attached = world.host.run(attach);
    assert_eq!(attached.attachment.mode, Some(XdpMode::Generic));
}

#[test]
fn where_the_driver_refuses_generic_mode_says_why() {
    if !privilege::is_root("where_the_driver_refuses_generic_mode_says_why") {
        return;
    }
    let world = World::new("fallback");
    let mut datapath = open(&world.bpffs).datapath;
    let native = world.host.run(|| {
        datapath
            .attach("lo", XdpRequest::Native, false)
            .unwrap_err()
    });
    assert!(matches!(&native, AttachError::Refused { attempts, .. } if attempts.len() == 2));
    let attached = world
        .host
        .run(|| datapath.attach("lo", XdpRequest::Auto, false).unwrap());
    assert_eq!(attached.attachment.mode, Some(XdpMode::Generic));
    let why = attached.native_refused.unwrap();
    assert!(why.contains(names::PROGRAM_FRAGS), "{why}");
}

#[test]
fn an_unknown_interface_is_named() {
    if !privilege::is_root("an_unknown_interface_is_named") {
        return;
    }
    let bpffs = BpfFs::mount();
    let mut datapath = open(&bpffs).datapath;
    let error = datapath.attach("none0", XdpRequest::Auto, false);
    assert!(error.unwrap_err().to_string().contains("`none0`"));
}

#[test]
fn the_next_agent_takes_the_link_over_and_swaps_its_program() {
    if !privilege::is_root("the_next_agent_takes_the_link_over") {
        return;
    }
    let world = World::new("adopt");
    let mut first = open(&world.bpffs).datapath;
    world.attach(&mut first).unwrap();
    drop(first);
    let (link, program) = (world.link_id(), world.program().unwrap());

    let mut second = open(&world.bpffs).datapath;
    let attached = world.attach(&mut second).unwrap();
    assert!(attached.adopted);
    assert_eq!(attached.attachment.program, Some(EntryPoint::Frags));
    assert_eq!(world.link_id(), link);
    assert_ne!(world.program().unwrap(), program);
}

#[test]
fn an_older_layouts_link_is_taken_over_and_its_tables_removed() {
    if !privilege::is_root("an_older_layouts_link_is_taken_over") {
        return;
    }
    let world = World::new("upgrade");
    let mut old = open(&world.bpffs).datapath;
    world.attach(&mut old).unwrap();
    drop(old);
    let (link, program) = (world.link_id(), world.program().unwrap());
    let old = world.bpffs.pin_dir().join("v0");
    fs::rename(layout(&world.bpffs), &old).unwrap();

    let mut new = open(&world.bpffs);
    assert!(!new.adopted);
    assert!(world.attach(&mut new.datapath).unwrap().adopted);
    assert_eq!(world.link_id(), link);
    assert_ne!(world.program().unwrap(), program);
    assert!(!old.exists());
}

#[test]
fn a_recreated_interface_gets_a_link_of_its_own() {
    if !privilege::is_root("a_recreated_interface_gets_a_link_of_its_own") {
        return;
    }
    let world = World::new("recreate");
    let mut datapath = open(&world.bpffs).datapath;
    world.attach(&mut datapath).unwrap();
    let (link, index) = (world.link_id(), world.index());
    world.host.ip(&["link", "del", IFACE]);
    assert!(world.links().join(index.to_string()).exists());
    world.join(IFACE, "peer0");

    let attached = world.attach(&mut datapath).unwrap();
    assert!(!attached.adopted);
    assert_ne!(world.index(), index);
    assert_ne!(world.link_id(), link);
    assert_eq!(fs::read_dir(world.links()).unwrap().count(), 1);
}

#[test]
fn two_interfaces_have_two_links() {
    if !privilege::is_root("two_interfaces_have_two_links") {
        return;
    }
    let world = World::new("two");
    world.join("bot1", "peer1");
    let mut datapath = open(&world.bpffs).datapath;
    world.attach(&mut datapath).unwrap();
    let second = world
        .host
        .run(|| datapath.attach("bot1", XdpRequest::Native, false).unwrap());
    assert!(!second.adopted);
    let mut names: Vec<String> = world
        .host
        .run(|| datapath.attachments().unwrap())
        .into_iter()
        .map(|attachment| attachment.iface)
        .collect();
    names.sort();
    assert_eq!(names, [IFACE, "bot1"]);

    assert!(world.host.run(|| datapath.detach("bot1").unwrap()));
    assert!(!world.host.run(|| datapath.detach("bot1").unwrap()));
    assert!(world.program().is_some());
}

#[test]
fn the_same_index_in_another_namespace_is_another_interface() {
    if !privilege::is_root("the_same_index_in_another_namespace") {
        return;
    }
    let world = World::new("same");
    let other = Namespace::new("same-other");
    let index = world.index().to_string();
    let peer = ["peer", "name", "peer0", "index", "99"];
    let add = ["link", "add", IFACE, "index", &index, "type", "veth"];
    other.ip(&[&add[..], &peer[..]].concat());
    let mut datapath = open(&world.bpffs).datapath;
    world.attach(&mut datapath).unwrap();
    let attached = other.run(|| datapath.attach(IFACE, XdpRequest::Native, false).unwrap());
    assert!(!attached.adopted);
    assert_eq!(attached.attachment.ifindex, world.index());
    assert_eq!(fs::read_dir(world.links()).unwrap().count(), 2);
}

#[test]
fn another_ones_program_is_left_alone_unless_replaced() {
    if !privilege::is_root("another_ones_program_is_left_alone") {
        return;
    }
    let world = World::new("foreign");
    let mut foreign = foreign::load();
    let pin = world.bpffs.path().join("foreign");
    foreign::xdp(&mut foreign).pin(&pin).unwrap();
    let pinned = pin.to_str().unwrap();
    world
        .host
        .ip(&["link", "set", "dev", IFACE, "xdpdrv", "pinned", pinned]);
    let theirs = world.program().unwrap();

    let mut datapath = open(&world.bpffs).datapath;
    let error = world.attach(&mut datapath).unwrap_err();
    let AttachError::Foreign {
        program,
        ref name,
        mode,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((program, mode), (theirs, XdpMode::Native));
    // The kernel keeps 15 bytes of a name.
    assert!(names::PROGRAM_PLAIN.starts_with(name.as_deref().unwrap()));
    assert!(error.to_string().contains("--replace"), "{error}");
    assert_eq!(world.program(), Some(theirs));
    let folder = PinFolder::open(&world.bpffs.pin_dir()).unwrap();
    let seen = world
        .host
        .run(|| foreign_program(IFACE, Some(&folder)).unwrap());
    assert_eq!(seen.unwrap().to_string(), error.to_string());

    let attached = world
        .host
        .run(|| datapath.attach(IFACE, XdpRequest::Native, true).unwrap());
    assert!(!attached.adopted);
    assert_ne!(world.program(), Some(theirs));
    assert!(
        world
            .host
            .run(|| foreign_program(IFACE, Some(&folder)).unwrap().is_none())
    );
}

#[test]
fn a_program_that_a_link_holds_cannot_be_replaced() {
    if !privilege::is_root("a_program_that_a_link_holds_cannot_be_replaced") {
        return;
    }
    let world = World::new("held");
    let mut foreign = foreign::load();
    let index = world.index();
    world.host.run(|| {
        foreign::xdp(&mut foreign)
            .attach_to_if_index(index, AyaMode::Driver)
            .unwrap()
    });
    let theirs = world.program().unwrap();
    let mut datapath = open(&world.bpffs).datapath;
    let error = world.host.run(|| {
        datapath
            .attach(IFACE, XdpRequest::Native, true)
            .unwrap_err()
    });
    assert!(
        matches!(error, AttachError::ForeignLink { program, .. } if program == theirs),
        "{error}"
    );
    assert_eq!(world.program(), Some(theirs));
}

#[test]
fn detaching_removes_everything_that_was_made() {
    if !privilege::is_root("detaching_removes_everything_that_was_made") {
        return;
    }
    let world = World::new("detach");
    let mut datapath = open(&world.bpffs).datapath;
    world.attach(&mut datapath).unwrap();
    drop(datapath);
    // A layout of an earlier version that was left behind.
    let pin_dir = world.bpffs.pin_dir();
    fs::rename(layout(&world.bpffs), pin_dir.join("v0")).unwrap();
    drop(open(&world.bpffs));

    let detached = world.host.run(|| detach_all(&pin_dir).unwrap());
    assert_eq!(detached.interfaces, [IFACE]);
    assert_eq!(detached.pins, 2 * (names::PINNED_MAPS.len() + 2));
    assert_eq!(detached.left, [""; 0].map(PathBuf::from));
    assert_eq!(world.program(), None);
    assert!(!pin_dir.exists());
    assert_eq!(detach_all(&pin_dir).unwrap(), Detached::default());
}

#[test]
fn commands_read_and_write_the_tables_without_an_agent() {
    if !privilege::is_root("commands_read_and_write_the_tables_without_an_agent") {
        return;
    }
    let world = World::new("pinned");
    let nothing = Pinned::open(&world.bpffs.pin_dir()).err().unwrap();
    assert!(matches!(nothing, Error::NothingPinned { .. }));
    let mut datapath = open(&world.bpffs).datapath;
    block(&mut datapath, "192.0.2.7");
    let attached = world.attach(&mut datapath).unwrap();
    drop(datapath);

    let mut pinned = Pinned::open(&world.bpffs.pin_dir()).unwrap();
    let blocked = Address::from(Ipv4Addr::new(192, 0, 2, 7));
    assert_eq!(pinned.lookup(blocked).unwrap(), [(id(1), DROP)]);
    let settings = pinned.settings().unwrap();
    let bypass = Settings {
        bypass_until: FOREVER,
        ..settings
    };
    pinned.set_settings(&bypass).unwrap();
    assert_eq!(pinned.settings().unwrap(), bypass);
    let listed = world.host.run(|| pinned.attachments().unwrap());
    assert_eq!(listed, [attached.attachment]);
}

#[test]
fn drops_are_counted_and_reported() {
    if !privilege::is_root("drops_are_counted_and_reported") {
        return;
    }
    let world = World::new("drops");
    world
        .host
        .ip(&["addr", "add", "192.0.2.1/24", "dev", IFACE]);
    world
        .peer
        .ip(&["addr", "add", "192.0.2.2/24", "dev", "peer0"]);
    let mut datapath = open(&world.bpffs).datapath;
    block(&mut datapath, "192.0.2.2");
    let enforcing = Settings {
        enforce_until: FOREVER,
        reports_per_second: 100,
        ..Settings::default()
    };
    datapath.set_settings(&enforcing).unwrap();
    world.attach(&mut datapath).unwrap();

    let send = || {
        let socket = UdpSocket::bind("192.0.2.2:0").unwrap();
        socket.send_to(b"x", "192.0.2.1:4433").unwrap();
    };
    let report = current_thread().block_on(async {
        let mut reports = datapath.take_reports().unwrap();
        assert!(matches!(datapath.take_reports(), Err(Error::RingTaken(_))));
        world.peer.run(send);
        let mut seen: Option<DropReport> = None;
        while seen.is_none() {
            let ready = tokio::time::timeout(Duration::from_secs(5), reports.ready());
            ready.await.expect("a report within 5 s").unwrap();
            let drained = reports.drain(16, |report| {
                seen = Some(*report);
            });
            assert_eq!(drained, Drained::Empty);
        }
        let idle = tokio::time::timeout(Duration::from_millis(1), reports.ready());
        assert!(idle.await.is_err(), "an empty ring is not ready");
        seen.unwrap()
    });
    assert_eq!(report.src, Address::from(Ipv4Addr::new(192, 0, 2, 2)));
    assert_eq!((report.dport, report.verdict), (4433, id(1)));
    assert_eq!(Outcome::from_code(report.outcome), Some(Outcome::Dropped));
    assert_eq!(report.ifindex, world.index());

    let hits = datapath.hits(&[id(1), id(2)]).unwrap();
    assert_eq!((hits[0].packets, hits[1]), (1, Hits::default()));
    let dropped = bot_common::abi::counter::Counter::Outcome(Outcome::Dropped);
    let counters = datapath.counters().unwrap();
    let (_, total) = counters
        .iter()
        .find(|(counter, _)| *counter == dropped)
        .unwrap();
    assert_eq!(*total, hits[0]);
    datapath.reset_hits(id(1)).unwrap();
    assert_eq!(datapath.hits(&[id(1)]).unwrap(), [Hits::default()]);
}

#[test]
fn a_turn_at_a_ring_is_bounded() {
    if !privilege::is_root("a_turn_at_a_ring_is_bounded") {
        return;
    }
    let world = World::new("turn");
    world
        .host
        .ip(&["addr", "add", "192.0.2.1/24", "dev", IFACE]);
    let mut datapath = open(&world.bpffs).datapath;
    block(&mut datapath, "192.0.2.0/24");
    let settings = Settings {
        enforce_until: FOREVER,
        reports_per_second: 100,
        ..Settings::default()
    };
    datapath.set_settings(&settings).unwrap();
    world.attach(&mut datapath).unwrap();
    for host in 2..5 {
        let address = format!("192.0.2.{host}");
        let cidr = format!("{address}/24");
        world.peer.ip(&["addr", "add", &cidr, "dev", "peer0"]);
        world.peer.run(|| {
            let socket = UdpSocket::bind((address.as_str(), 0)).unwrap();
            socket.send_to(b"x", "192.0.2.1:4433").unwrap();
        });
    }
    current_thread().block_on(async {
        // What was sent before anyone listened is there.
        let mut reports = datapath.take_reports().unwrap();
        let mut turns = Vec::new();
        let mut seen = 0;
        while seen < 3 {
            let ready = tokio::time::timeout(Duration::from_secs(5), reports.ready());
            ready.await.expect("a report within 5 s").unwrap();
            turns.push(reports.drain(1, |_| seen += 1));
        }
        assert_eq!(turns, [Drained::More; 3]);
        assert_eq!(reports.malformed(), 0);
    });
}

#[test]
fn all_of_it_works_after_the_privileges_are_dropped() {
    if !privilege::is_root("all_of_it_works_after_the_privileges_are_dropped") {
        return;
    }
    let world = World::new("dropped");
    let start = || {
        let output = world
            .host
            .command(env!("CARGO_BIN_EXE_unprivileged-agent"))
            .arg(world.bpffs.pin_dir())
            .args([IFACE, "nobody"])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}{error}");
        text
    };
    let first = start();
    let has = |text: &str, line: &str| text.lines().any(|it| it == line);
    // CAP_NET_ADMIN is bit 12, CAP_PERFMON 38, CAP_BPF 39.
    for line in [
        "CapPrm=000000c000001000",
        "CapEff=000000c000001000",
        "CapBnd=000000c000001000",
        "CapInh=0000000000000000",
        "CapAmb=0000000000000000",
        "NoNewPrivs=1",
        "tables_adopted=false",
        "link_adopted=false",
    ] {
        assert!(has(&first, line), "{line}: {first}");
    }
    let (link, program) = (world.link_id(), world.program());
    // The next one finds pins that the user owns, and the one after a root agent's likewise.
    let second = start();
    assert!(has(&second, "tables_adopted=true"), "{second}");
    assert!(has(&second, "link_adopted=true"), "{second}");
    assert_eq!(world.link_id(), link);
    assert_ne!(world.program(), program);
    let mut root = open(&world.bpffs).datapath;
    assert!(world.attach(&mut root).unwrap().adopted);
    drop(root);
    assert!(has(&start(), "link_adopted=true"));
}

/// A host with one interface on a bpffs of its own, and its peer.
struct World {
    bpffs: BpfFs,
    host: Namespace,
    peer: Namespace,
}

impl World {
    fn new(test: &str) -> Self {
        let world = Self {
            bpffs: BpfFs::mount(),
            host: Namespace::new(&format!("{test}-host")),
            peer: Namespace::new(&format!("{test}-peer")),
        };
        world.join(IFACE, "peer0");
        world
    }

    fn join(&self, host: &str, peer: &str) {
        veth(Ends {
            left: (&self.host, host),
            right: (&self.peer, peer),
        });
    }

    fn attach(&self, datapath: &mut Datapath) -> Result<Attached, AttachError> {
        self.host
            .run(|| datapath.attach(IFACE, XdpRequest::Native, false))
    }

    fn index(&self) -> u32 {
        self.host
            .run(|| interface::by_name(IFACE).unwrap().unwrap().index)
    }

    fn program(&self) -> Option<u32> {
        let interface = self
            .host
            .run(|| interface::by_name(IFACE).unwrap().unwrap());
        interface.xdp.map(|xdp| xdp.program)
    }

    fn links(&self) -> PathBuf {
        layout(&self.bpffs).join("links")
    }

    fn link_id(&self) -> u32 {
        let pin = self.links().join(self.index().to_string());
        let link = PinnedLink::from_pin(pin).unwrap();
        aya::programs::links::FdLink::from(link)
            .info()
            .unwrap()
            .id()
    }
}

const DROP: Verdict = Verdict {
    action: Action::Drop as u8,
    ..Verdict::PASS
};

fn open(bpffs: &BpfFs) -> Opened {
    open_with(bpffs, &SMALL_TABLES).unwrap_or_else(|error| panic!("{error}"))
}

fn open_with(bpffs: &BpfFs, options: &Options<'_>) -> Result<Opened, Error> {
    Datapath::open(options, PinFolder::open(&bpffs.pin_dir())?)
}

fn layout(bpffs: &BpfFs) -> PathBuf {
    bpffs.pin_dir().join(format!("v{}", names::LAYOUT_VERSION))
}

fn map_ids(bpffs: &BpfFs) -> Vec<u32> {
    let maps = layout(bpffs).join("maps");
    names::PINNED_MAPS
        .iter()
        .map(|name| MapInfo::from_pin(maps.join(name)).unwrap().id())
        .collect()
}

fn id(number: u32) -> VerdictId {
    VerdictId::new(number).unwrap()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// What a table says that has just these prefixes, each with its verdict's number.
fn ranges(prefixes: &[(&str, u32)]) -> Ranges {
    let prefixes = prefixes
        .iter()
        .map(|(text, verdict)| (prefix(text), id(*verdict)));
    flatten(&prefixes.collect())
}

/// A table that drops `text` and nothing else.
fn block(datapath: &mut Datapath, text: &str) {
    datapath.write_verdict(id(1), DROP).unwrap();
    let image = Image::build(&ranges(&[(text, 1)])).unwrap();
    datapath.swap(image).unwrap();
}

fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn make_mounts_private() {
    use rustix::mount::{MountPropagationFlags, mount_change};
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change(Path::new("/"), flags).unwrap();
}
