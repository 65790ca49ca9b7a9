//! This program again, in a process of its own, with one helper test to run.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The prefix of a helper's own lines; the rest of its output is libtest's.
pub const SAYS: &str = "helper says: ";

/// A helper that runs, and that is ended when dropped.
pub struct Helper {
    child: Child,
    /// The helper's stdin; closing it tells the helper to end.
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    /// Runs the helper test of that name; only the helper gets the value in `variable`.
    pub fn start(test: &str, variable: &str, value: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("path of this program"))
            .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(variable, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, stdin, lines }
    }

    /// The next line of the helper; `None` when the helper has ended.
    pub fn says(&mut self) -> Option<String> {
        let said =
            |line: Result<String, _>| line.ok()?.split_once(SAYS).map(|(_, said)| said.to_owned());
        self.lines.by_ref().find_map(said)
    }

    /// Waits for the helper to end.
    pub fn succeeded(&mut self) -> bool {
        drop(self.stdin.take());
        self.child.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
