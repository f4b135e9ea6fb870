//! A connection to the control socket that changes one rule at a time.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("an agent");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Makes a change, and returns how long its answer took.
    pub(crate) fn change(&mut self, command: &str, targets: &[String]) -> Duration {
        let mut request = json!({ "command": command, "targets": targets });
        if command == "block" {
            request["permanent"] = true.into();
        }
        let line = format!("{request}\n");
        let begin = Instant::now();
        self.stream
            .get_mut()
            .write_all(line.as_bytes())
            .expect("the agent reads");
        let mut answer = String::new();
        self.stream
            .read_line(&mut answer)
            .expect("the agent answers");
        let time = begin.elapsed();
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert!(answer["error"].is_null(), "{request}: {answer}");
        time
    }
}
