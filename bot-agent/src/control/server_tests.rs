//! The server against clients that behave badly.

use std::{io::Read as _, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};

use super::{
    client::{Client, ClientError},
    protocol::{List, MAX_REQUEST, Request, Response},
    server::{Answer, Call, Limits, bind, serve, session_of},
    view::RuleView,
};
use crate::rules::{
    prefix::Prefix,
    rule::{Origin, Rule, RuleAction, RuleId, Scope},
    set::RuleSet,
    time::{BootId, Now},
};

struct World {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

/// A server that answers every request with `ok` and the connection's number.
fn start(limits: Limits) -> World {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let listener = UnixListener::from_std(bind(&path, None, None).unwrap()).unwrap();
    let (calls, mut received) = mpsc::channel::<Call>(8);
    tokio::spawn(serve(listener, calls, limits));
    tokio::spawn(async move {
        while let Some(call) = received.recv().await {
            let message = call.peer.connection.to_string();
            drop(
                call.reply
                    .send(Answer::Lines(vec![Response::Ok { message }])),
            );
        }
    });
    World { _dir: dir, path }
}

async fn say(stream: &mut UnixStream, text: &[u8]) -> String {
    stream.write_all(text).await.unwrap();
    let mut buffer = vec![0; 4096];
    let count = stream.read(&mut buffer).await.unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

async fn works(world: &World) {
    let path = world.path.clone();
    let answer =
        tokio::task::spawn_blocking(move || Client::connect(&path)?.call(&Request::Status {}));
    assert!(matches!(answer.await.unwrap(), Ok(Response::Ok { .. })));
}

#[tokio::test]
async fn requests_are_answered_one_after_the_other() {
    let world = start(Limits::default());
    let mut stream = UnixStream::connect(&world.path).await.unwrap();
    for _ in 0..3 {
        let answer = say(&mut stream, b"{\"command\":\"status\"}\n").await;
        assert_eq!(answer, "{\"ok\":{\"message\":\"1\"}}\n");
    }
}

#[tokio::test]
async fn the_socket_is_for_owner_and_group_only_and_replaces_a_stale_one() {
    let world = start(Limits::default());
    let mode = std::fs::metadata(&world.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    bind(&world.path, None, None).unwrap();
    let left: Vec<_> = std::fs::read_dir(world.path.parent().unwrap())
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn garbage_gets_an_error_and_the_connection_goes_on() {
    let world = start(Limits::default());
    let mut stream = UnixStream::connect(&world.path).await.unwrap();
    for garbage in [
        "hello\n",
        "\u{0}\u{1}\n",
        "[]\n",
        "{\"command\":\"bloc\"}\n",
    ] {
        let answer = say(&mut stream, garbage.as_bytes()).await;
        assert!(
            answer.starts_with("{\"error\":{\"code\":\"invalid\""),
            "{answer}"
        );
    }
    assert!(
        say(&mut stream, b"{\"command\":\"status\"}\n")
            .await
            .contains("ok")
    );
}

#[tokio::test]
async fn half_a_line_or_nothing_disturbs_nobody() {
    let world = start(Limits::default());
    let mut half = UnixStream::connect(&world.path).await.unwrap();
    half.write_all(b"{\"command\":").await.unwrap();
    let _nothing = UnixStream::connect(&world.path).await.unwrap();
    works(&world).await;
    drop(half);
    works(&world).await;
}

#[tokio::test]
async fn more_than_a_line_may_have_ends_the_connection() {
    let world = start(Limits::default());
    let path = world.path.clone();
    let answer = tokio::task::spawn_blocking(move || {
        use std::io::Write as _;

        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        // The server stops reading at the limit, so the rest may not go through.
        drop(stream.write_all(&vec![b'x'; MAX_REQUEST + 1]));
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap();
    assert!(
        answer.starts_with("{\"error\":{\"code\":\"too_large\""),
        "{answer}"
    );
    works(&world).await;
}

#[tokio::test]
async fn an_idle_client_is_disconnected() {
    let world = start(Limits {
        idle: Duration::from_millis(20),
        ..Limits::default()
    });
    let mut stream = UnixStream::connect(&world.path).await.unwrap();
    let mut buffer = [0; 16];
    assert_eq!(stream.read(&mut buffer).await.unwrap(), 0);
}

/// A server that never answers.
fn start_silent(limits: Limits) -> (World, mpsc::Receiver<Call>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let listener = UnixListener::from_std(bind(&path, None, None).unwrap()).unwrap();
    let (calls, received) = mpsc::channel::<Call>(8);
    tokio::spawn(serve(listener, calls, limits));
    (World { _dir: dir, path }, received)
}

#[tokio::test]
async fn idle_clients_make_room_for_new_ones() {
    let world = start(Limits {
        clients: 4,
        ..Limits::default()
    });
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut stream = UnixStream::connect(&world.path).await.unwrap();
        say(&mut stream, b"{\"command\":\"status\"}\n").await;
        idle.push(stream);
    }
    works(&world).await;
    let mut told = String::new();
    idle[0].read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("{\"error\":{\"code\":\"busy\""), "{told}");
    assert!(
        say(&mut idle[3], b"{\"command\":\"status\"}\n")
            .await
            .contains("ok"),
        "the youngest stays"
    );
}

#[tokio::test]
async fn who_is_being_served_keeps_its_place_and_the_next_is_told() {
    let (world, mut calls) = start_silent(Limits {
        clients: 1,
        ..Limits::default()
    });
    let mut first = UnixStream::connect(&world.path).await.unwrap();
    first
        .write_all(b"{\"command\":\"status\"}\n")
        .await
        .unwrap();
    let call = calls.recv().await.unwrap();
    let mut second = UnixStream::connect(&world.path).await.unwrap();
    let mut told = String::new();
    second.read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("{\"error\":{\"code\":\"busy\""), "{told}");
    let message = "served".into();
    drop(
        call.reply
            .send(Answer::Lines(vec![Response::Ok { message }])),
    );
    let mut buffer = [0; 64];
    let count = first.read(&mut buffer).await.unwrap();
    assert!(buffer[..count].starts_with(b"{\"ok\""));
}

#[tokio::test]
async fn a_command_waits_for_a_place() {
    let (world, mut calls) = start_silent(Limits {
        clients: 1,
        ..Limits::default()
    });
    let mut first = UnixStream::connect(&world.path).await.unwrap();
    first
        .write_all(b"{\"command\":\"status\"}\n")
        .await
        .unwrap();
    let call = calls.recv().await.unwrap();
    let path = world.path.clone();
    let second =
        tokio::task::spawn_blocking(move || Client::connect(&path)?.call(&Request::Status {}));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!second.is_finished(), "it must not give up at once");
    drop((first, call));
    let call = calls.recv().await.unwrap();
    let message = "served".into();
    drop(
        call.reply
            .send(Answer::Lines(vec![Response::Ok { message }])),
    );
    assert!(matches!(second.await.unwrap(), Ok(Response::Ok { .. })));
}

/// A server of `rules`; before each page one rule goes and one comes.
fn start_with_rules(mut rules: RuleSet) -> (World, mpsc::UnboundedReceiver<List>) {
    let (world, mut calls) = start_silent(Limits::default());
    let (asked, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut goes = 1..;
        while let Some(call) = calls.recv().await {
            let Request::List(list) = call.request else {
                panic!("not asked for: {:?}", call.request);
            };
            let page = list.page(&rules);
            let shown = page.rules.iter().map(|rule| RuleView::of(rule, now()));
            let mut lines: Vec<Response> =
                shown.map(|view| Response::Rule(Box::new(view))).collect();
            lines.push(Response::End {
                count: lines.len(),
                next: page.next,
                next_entry: None,
                differs: Some("it was refused".into()),
            });
            drop(call.reply.send(Answer::Lines(lines)));
            asked.send(list).unwrap();
            rules.remove(RuleId(goes.next().unwrap()));
            let next = rules.next_id();
            rules.insert(block(next), now());
        }
    });
    (world, received)
}

fn now() -> Now {
    Now {
        wall: jiff::Timestamp::UNIX_EPOCH,
        boot_ns: 1,
        boot: BootId(1),
    }
}

fn block(id: RuleId) -> Rule {
    let address = std::net::Ipv4Addr::from(0x0a00_0000 + u32::try_from(id.0).unwrap());
    Rule {
        id,
        subject: Prefix::host(address.into()).into(),
        action: RuleAction::Block,
        scope: Scope::All,
        monitor: false,
        forced: false,
        deadline: None,
        reason: String::new(),
        origin: Origin::Operator,
        created: now().wall,
    }
}

#[tokio::test]
async fn a_long_list_is_asked_for_in_pages_and_comes_as_one() {
    let mut rules = RuleSet::default();
    for id in 1..=3_500 {
        rules.insert(block(RuleId(id)), now());
    }
    let (world, mut asked) = start_with_rules(rules);
    let path = world.path.clone();
    let shown = tokio::task::spawn_blocking(move || {
        let mut ids = Vec::new();
        let request = Request::List(List::default());
        let end = Client::connect(&path)?.ask(&request, |item| {
            let Response::Rule(rule) = item else {
                panic!("{item:?} is no rule");
            };
            ids.push(rule.rule.0);
            Ok(())
        })?;
        Ok::<_, ClientError>((ids, end))
    });
    let (ids, end) = shown.await.unwrap().unwrap();
    // Rules 1, 2 and 3 went when they had been shown; what came meanwhile stands at the end.
    assert_eq!(ids, (1..=3_503).collect::<Vec<_>>());
    let all = Response::End {
        count: 3_503,
        next: None,
        next_entry: None,
        differs: Some("it was refused".into()),
    };
    assert_eq!(end, all);
    let mut pages = Vec::new();
    while let Ok(list) = asked.try_recv() {
        assert_eq!(list.limit, Some(1_000));
        pages.push(list.after.map(|id| id.0));
    }
    assert_eq!(pages, [None, Some(1_000), Some(2_000), Some(3_000)]);
}

#[tokio::test]
async fn a_client_may_ask_for_the_pages_itself() {
    let mut rules = RuleSet::default();
    for id in 1..=5 {
        rules.insert(block(RuleId(id)), now());
    }
    let (world, _asked) = start_with_rules(rules);
    let mut stream = UnixStream::connect(&world.path).await.unwrap();
    let request = b"{\"command\":\"list\",\"after\":2,\"limit\":2}\n";
    let answer = say(&mut stream, request).await;
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("{\"rule\":{\"rule\":3,"));
    assert_eq!(
        lines[2],
        "{\"end\":{\"count\":2,\"next\":4,\"differs\":\"it was refused\"}}"
    );
}

#[tokio::test]
async fn a_silent_agent_is_given_up_soon() {
    let (world, _calls) = start_silent(Limits::default());
    let path = world.path.clone();
    let begun = std::time::Instant::now();
    let answer = tokio::task::spawn_blocking(move || Client::connect_to_live(&path).map(drop));
    let error = answer.await.unwrap().unwrap_err();
    assert!(error.is_silent(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_full_queue_is_given_up_soon_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // Nobody accepts, as when the agent is stopped.
    rustix::net::listen(&listener, 0).unwrap();
    let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let begun = std::time::Instant::now();
    let error = Client::connect_to_live(&path).unwrap_err();
    assert!(error.is_silent(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn nobody_there_is_said_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.sock");
    let missing = Client::connect(&path).unwrap_err();
    assert!(matches!(missing, ClientError::NotRunning { .. }));
    assert!(missing.to_string().contains(&path.display().to_string()));
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let stale = Client::connect(&path).unwrap_err();
    assert!(matches!(stale, ClientError::NotRunning { .. }));
}

/// A service manager's children inherit a session that lies outside of a container's processes.
#[test]
fn a_session_outside_of_the_pid_namespace_is_nobody_s() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: a PID namespace takes root");
        return;
    }
    let ran = std::process::Command::new("unshare")
        .args(["--pid", "--fork"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact"])
        .arg("control::server_tests::inside_a_pid_namespace")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by the test above, in a PID namespace of its own"]
fn inside_a_pid_namespace() {
    let own = i32::try_from(std::process::id()).unwrap();
    let session = nix::unistd::getsid(None).unwrap();
    assert_eq!((own, session.as_raw()), (1, 0), "not the world this is for");
    assert_eq!(session_of(Some(own)), None);
    assert_eq!(session_of(Some(0)), None);
}
