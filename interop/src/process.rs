//! Child processes with a time limit and captured output.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// What a program that ran to its end left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    /// From just before the start of the process to its end.
    pub elapsed: Duration,
    /// Whether it was still running at the limit.
    pub killed: bool,
}

impl Outcome {
    /// The standard output as one JSON value.
    ///
    /// # Panics
    /// When it is anything else.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("stdout is not one JSON value: {error}\n{self:#?}"),
        }
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started, or is still running after `limit`; it is killed then.
#[track_caller]
pub fn run(mut command: Command, limit: Duration) -> Outcome {
    let outcome = run_at_most(&mut command, limit)
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        !outcome.killed,
        "{command:?} ran longer than {limit:?}:\n{outcome:#?}"
    );
    outcome
}

/// Runs a command to its end, which is forced at the limit.
///
/// # Errors
/// Those of starting it.
pub fn run_at_most(command: &mut Command, limit: Duration) -> io::Result<Outcome> {
    let begun = Instant::now();
    let mut child = spawn(command)?;
    let (done, finished) = mpsc::channel();
    let stdout = read_all(child.stdout.take(), done.clone());
    let stderr = read_all(child.stderr.take(), done);
    // Both pipes close when the process ends: waiting for them needs no polling, and so the time
    // taken is exact enough for benchmarks.
    let in_time = (0..2).all(|_| {
        let left = limit.saturating_sub(begun.elapsed());
        finished.recv_timeout(left).is_ok()
    });
    if !in_time {
        kill(&mut child);
    }
    let status = child.wait()?;
    Ok(Outcome {
        code: status.code(),
        elapsed: begun.elapsed(),
        stdout: stdout.join().expect("the reader does not panic"),
        stderr: stderr.join().expect("the reader does not panic"),
        killed: !in_time,
    })
}

/// A program running in the background; killed on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Arc<Output>,
}

impl Process {
    /// Starts a command and collects the lines of both its outputs.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let mut child =
            spawn(&mut command).unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let output = Arc::new(Output::default());
        collect(child.stdout.take(), &output);
        collect(child.stderr.take(), &output);
        Self { child, output }
    }

    /// Waits for a line in which `find` finds something, and returns that.
    ///
    /// # Panics
    /// When there is none within `limit`, or the process ends without one.
    #[track_caller]
    pub fn wait_for<T>(&self, limit: Duration, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        let mut state = self.output.lock();
        loop {
            if let Some(found) = state.lines.iter().find_map(|line| find(line)) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "no such line within {limit:?} in:\n{:#?}",
                state.lines
            );
            assert!(
                state.closed < 2,
                "ended without such a line:\n{:#?}",
                state.lines
            );
            state = self
                .output
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// All lines so far, of standard output and standard error together.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.output.lock().lines.clone()
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// When it is still there after 10 s.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        // Fails only if the process is gone already, which the wait below finds out.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.wait_for_end(TERMINATE_LIMIT)
    }

    /// Waits until what a process that has ended wrote last has been read; not for a child of its that keeps the pipes open.
    fn await_last_lines(&self) {
        let deadline = Instant::now() + LAST_LINES_LIMIT;
        let mut state = self.output.lock();
        while state.closed < 2 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self
                .output
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until the process has ended, and its last lines have been read.
    ///
    /// # Panics
    /// When it is still there after `limit`.
    #[track_caller]
    pub fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            match self
                .child
                .try_wait()
                .expect("an own child can be waited for")
            {
                Some(status) => {
                    self.await_last_lines();
                    return status;
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
            assert!(
                Instant::now() < deadline,
                "still running after {limit:?}:\n{:#?}",
                self.lines()
            );
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&mut self.child);
        // Nobody is left to tell of a failure, and the child is dead.
        let _ = self.child.wait();
    }
}

const TERMINATE_LIMIT: Duration = Duration::from_secs(10);
/// Lines in a pipe are there already; only the reader may have to wait for a processor.
const LAST_LINES_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Output {
    state: Mutex<OutputState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct OutputState {
    lines: Vec<String>,
    /// How many of the two pipes have ended.
    closed: u8,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, OutputState> {
        // A panicking test leaves the lines intact.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(command: &mut Command) -> io::Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn kill(child: &mut Child) {
    // Fails only if it has ended already.
    let _ = child.kill();
}

fn read_all(
    pipe: Option<impl Read + Send + 'static>,
    done: mpsc::Sender<()>,
) -> thread::JoinHandle<String> {
    let mut pipe = pipe.expect("both outputs are piped");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is the output.
        let _ = pipe.read_to_end(&mut bytes);
        // The other side may have given up waiting.
        let _ = done.send(());
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn collect(pipe: Option<impl Read + Send + 'static>, output: &Arc<Output>) {
    let pipe = BufReader::new(pipe.expect("both outputs are piped"));
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in pipe.lines().map_while(Result::ok) {
            output.lock().lines.push(line);
            output.changed.notify_all();
        }
        output.lock().closed += 1;
        output.changed.notify_all();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn finished_run_gives_code_and_both_outputs() {
        let outcome = run(shell("echo '{\"a\":1}'; echo oops >&2; exit 3"), 50 * SHORT);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(3), "oops\n"));
        assert_eq!(outcome.json()["a"], 1);
    }

    #[test]
    #[should_panic(expected = "ran longer than")]
    fn endless_run_is_killed_at_the_limit() {
        run(shell("exec sleep 60"), SHORT);
    }

    #[test]
    fn awaited_line_is_found_in_either_output() {
        let process = Process::start(shell("echo one; echo two 2 >&2; exec sleep 60"));
        let found = process.wait_for(50 * SHORT, |line| {
            line.strip_prefix("two ").map(str::to_owned)
        });
        assert_eq!(found, "2");
    }

    #[test]
    #[should_panic(expected = "ended without such a line")]
    fn early_end_is_noticed_before_the_limit() {
        let process = Process::start(shell("echo failed; exit 1"));
        process.wait_for(Duration::from_secs(60), |line| {
            line.strip_prefix("ready").map(drop)
        });
    }

    #[test]
    fn terminated_process_reports_its_own_exit_code() {
        let mut process = Process::start(shell(
            "trap 'kill $!; exit 7' TERM; sleep 60 >/dev/null 2>&1 & echo ready; wait",
        ));
        process.wait_for(50 * SHORT, |line| line.strip_prefix("ready").map(drop));
        assert_eq!(process.terminate().code(), Some(7));
    }
}
