//! Sources known to be good: a feed's update that would drop them waits, and one that drops them all
//! the same is taken back.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use bot_tests::{
    feeds::{
        PORT, client, drops, enforcing, feeds, file_feed, hosts, lab_with_clients, show, told,
        write,
    },
    lab::{HOST, IFACE, Lab},
    privilege::is_root,
    resident::Resident,
    traffic::{Stream, listen},
};

/// Clients, one more than an update may drop.
const CLIENTS: u8 = 6;

/// A connection from each client to the host, on which data went both ways. They stay open.
struct Customers(#[expect(dead_code, reason = "kept open")] Vec<(TcpStream, TcpStream)>);

impl Customers {
    fn new(lab: &Lab, server: &TcpListener) -> Self {
        let connected = (1..=CLIENTS).map(|last| connection(lab, server, last));
        Self(connected.collect())
    }
}

fn connection(lab: &Lab, server: &TcpListener, last: u8) -> (TcpStream, TcpStream) {
    let near = lab.peer.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((client(last), 0).into()).unwrap();
            let stream = socket.connect(SocketAddr::from((HOST, PORT))).await;
            let stream = stream.unwrap().into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            stream
        })
    });
    let (far, _) = server.accept().unwrap();
    let mut word = [0; 8];
    (&near).write_all(b"question").unwrap();
    (&far).read_exact(&mut word).unwrap();
    (&far).write_all(b"answer!!").unwrap();
    (&near).read_exact(&mut word).unwrap();
    (near, far)
}

/// An agent that knows the clients, with a feed `bad` that does not name them.
fn with_customers<'a>(lab: &'a Lab, server: &TcpListener, rest: &str) -> (Resident<'a>, Customers) {
    let mut agent = Resident::new(&lab.host, "");
    write(&agent, "bad", hosts([11, 0, 1, 0], 20));
    let rest = format!("action = \"block\"\n{rest}");
    agent.configure(&enforcing(&file_feed(&agent, "bad", &rest)));
    agent.start(&["-i", IFACE]);
    told(&agent, "bad", "updated", "20 entries in force");
    let customers = Customers::new(lab, server);
    let known = || agent.json(&["status"])["known_good"].as_u64();
    while known() < Some(CLIENTS.into()) {
        thread::sleep(std::time::Duration::from_millis(100));
    }
    (agent, customers)
}

#[test]
fn an_update_that_would_drop_customers_is_held_and_names_them() {
    if !is_root("an_update_that_would_drop_customers") {
        return;
    }
    let lab = lab_with_clients("customers", CLIENTS);
    let server = listen(&lab.host, PORT);
    let (agent, _customers) = with_customers(&lab, &server, "");

    // As many as are allowed.
    let others = hosts([11, 0, 1, 0], 20);
    write(&agent, "bad", hosts([11, 0, 0, 1], 5) + &others);
    let said = feeds(&agent, "refresh", "bad").ok();
    assert_eq!(said, "bad: 25 entries in force, 5 new, 0 gone\n");
    write(&agent, "bad", &others);
    feeds(&agent, "refresh", "bad").ok();

    write(&agent, "bad", hosts([11, 0, 0, 1], 6) + &others);
    let said = feeds(&agent, "refresh", "bad").fails(2);
    let held = "it would drop 6 sources known to be good, more than 5 \
                (11.0.0.1, 11.0.0.2, 11.0.0.3, 11.0.0.4, 11.0.0.5, 11.0.0.6)";
    assert!(said.contains(held), "{said}");
    told(&agent, "bad", "held", held);
    assert!(!drops(&agent, client(1)));
    assert_eq!(show(&agent, "bad")["state"], "held");
    feeds(&agent, "accept", "bad").ok();
    assert!((1..=CLIENTS).all(|last| drops(&agent, client(last))));
}

#[test]
fn an_update_that_drops_customers_is_taken_back_by_itself() {
    if !is_root("an_update_that_drops_customers") {
        return;
    }
    let lab = lab_with_clients("watchdog", CLIENTS);
    let server = listen(&lab.host, PORT);
    let (agent, _customers) = with_customers(&lab, &server, "loosen = [\"known_good\"]");
    let everybody: Vec<_> = (1..=CLIENTS).map(client).collect();
    let _stream = Stream::new(&lab.peer, &everybody, (HOST, PORT));

    write(
        &agent,
        "bad",
        hosts([11, 0, 0, 1], 6) + &hosts([11, 0, 1, 0], 20),
    );
    told(&agent, "bad", "updated", "26 entries in force");
    let why = "its update drops 6 sources known to be good";
    let event = told(&agent, "bad", "rolled_back", why);
    assert!(
        event["message"].as_str().unwrap().contains("11.0.0.6"),
        "{event}"
    );
    assert!((1..=CLIENTS).all(|last| !drops(&agent, client(last))));
    let feed = show(&agent, "bad");
    assert_eq!(
        (&feed["state"], &feed["entries"]),
        (&"paused".into(), &20.into())
    );
}
