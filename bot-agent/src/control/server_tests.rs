//! The server against clients that behave badly.

use std::{io::Read as _, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};

use super::{
    client::{Client, ClientError},
    protocol::{FailureCode, MAX_REQUEST, Request, Response},
    server::{Answer, Call, Limits, bind, serve},
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

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let world = start(Limits {
        clients: 1,
        ..Limits::default()
    });
    let mut first = UnixStream::connect(&world.path).await.unwrap();
    assert!(
        say(&mut first, b"{\"command\":\"status\"}\n")
            .await
            .contains("ok")
    );
    let path = world.path.clone();
    let second =
        tokio::task::spawn_blocking(move || Client::connect(&path)?.call(&Request::Status {}));
    let Err(ClientError::Failure(failure)) = second.await.unwrap() else {
        panic!("the second client was served");
    };
    assert_eq!(failure.code, FailureCode::Busy);
    assert!(
        say(&mut first, b"{\"command\":\"status\"}\n")
            .await
            .contains("ok")
    );
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
