//! Reading the serial console of a test machine.

use crate::tally::Tally;

/// What has been read so far.
#[derive(Default)]
pub(super) struct Console {
    kernel: Option<String>,
    running: Option<Running>,
    finished: Vec<String>,
    tally: Tally,
    done: bool,
}

/// A test binary between its begin and its end.
struct Running {
    name: String,
    tally: Option<Tally>,
}

/// How a machine's life went.
pub(super) struct Outcome {
    pub(super) kernel: String,
    pub(super) tally: Tally,
    finished: Vec<String>,
}

impl Outcome {
    pub(super) fn summary(&self) -> String {
        match self.finished.as_slice() {
            [] => "no test ended".to_owned(),
            names => names.join(", "),
        }
    }
}

impl Console {
    /// Takes one line; true when it is worth showing.
    pub(super) fn read(&mut self, line: &str) -> bool {
        let Some((_, mark)) = line.split_once("@@ ") else {
            if let Some(running) = &mut self.running
                && let Some(tally) = Tally::parse(line)
            {
                running.tally = Some(tally);
            }
            return self.running.is_some() && !line.trim().is_empty();
        };
        let mut words = mark.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("kernel"), Some(version), None) => self.kernel = Some(version.to_owned()),
            (Some("begin"), Some(name), None) => {
                self.abandon();
                self.running = Some(Running {
                    name: name.to_owned(),
                    tally: None,
                });
            }
            (Some("end"), Some(name), Some(code)) => self.end(name, code),
            (Some("done"), None, None) => self.done = true,
            (Some("trouble"), ..) => return true,
            _ => {}
        }
        false
    }

    /// A machine that stopped early has failed, whatever it said before.
    pub(super) fn finish(mut self) -> Outcome {
        self.abandon();
        if !self.done {
            self.tally.failed += 1;
        }
        Outcome {
            kernel: self.kernel.unwrap_or_else(|| "no kernel".to_owned()),
            tally: self.tally,
            finished: self.finished,
        }
    }

    fn end(&mut self, name: &str, code: &str) {
        let Some(running) = self.running.take().filter(|running| running.name == name) else {
            self.tally.failed += 1;
            return;
        };
        match running.tally {
            Some(tally) => {
                self.tally += tally;
                // Died after its summary.
                if code != "0" && tally.failed == 0 {
                    self.tally.failed += 1;
                }
            }
            None => self.tally.failed += 1,
        }
        self.finished.push(running.name);
    }

    /// A test that began and never ended.
    fn abandon(&mut self) {
        if self.running.take().is_some() {
            self.tally.failed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Outcome {
        let mut console = Console::default();
        for line in text.lines() {
            console.read(line);
        }
        console.finish()
    }

    #[test]
    fn a_good_run() {
        let outcome = read(
            "SeaBIOS\n@@ kernel 6.1.0-56-cloud-amd64\n@@ begin verdicts\ntest a ... ok\r\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\r\n\
             @@ end verdicts 0\n@@ done\n",
        );
        assert_eq!(outcome.kernel, "6.1.0-56-cloud-amd64");
        assert_eq!(outcome.tally.to_string(), "2 passed, 0 failed, 1 skipped");
        assert_eq!(outcome.summary(), "verdicts");
    }

    #[test]
    fn a_failing_test_counts_once() {
        let outcome = read(
            "@@ begin a\ntest result: FAILED. 2 passed; 1 failed; 0 ignored\n@@ end a 101\n@@ done\n",
        );
        assert_eq!(outcome.tally.to_string(), "2 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_crash_before_the_summary_is_a_failure() {
        let outcome = read("@@ begin a\ntest x ... \n@@ end a 139\n@@ done\n");
        assert_eq!(outcome.tally.failed, 1);
    }

    #[test]
    fn a_crash_after_the_summary_is_a_failure() {
        let outcome =
            read("@@ begin a\ntest result: ok. 2 passed; 0 failed\n@@ end a 139\n@@ done\n");
        assert_eq!(outcome.tally.to_string(), "2 passed, 1 failed, 0 skipped");
    }

    #[test]
    fn a_kernel_panic_is_a_failure() {
        let outcome = read("@@ begin a\nKernel panic - not syncing\n");
        assert_eq!(outcome.tally.failed, 2);
        assert_eq!(read("").tally.failed, 1);
    }

    #[test]
    fn only_test_output_is_shown() {
        let mut console = Console::default();
        assert!(!console.read("Booting"));
        assert!(!console.read("@@ begin a"));
        assert!(console.read("test x ... ok"));
        assert!(console.read("@@ trouble module veth does not load"));
    }
}
