//! Child processes: start, wait, and say in one line what went wrong.

use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Why a step failed, in one line for the developer.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    /// With this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// Prints each finding on a line of its own; fails when there was one.
    pub fn unless_empty(what: &str, findings: &[String]) -> Result<(), Self> {
        for finding in findings {
            println!("{finding}");
        }
        match findings.len() {
            0 => Ok(()),
            n => Err(Self(format!("{what}: {n} to mend, listed above"))),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The cargo that started us, working in `root`.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // `cargo run` describes our own package in these. Some build scripts (ring's) watch them, and would run again
    // each time the developer changes between `cargo` and `cargo xtask`.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// Runs to the end with our own output; a non-zero exit is a failure.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| not_started(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(ended_badly(command, &status))
    }
}

/// Runs to the end and returns what it wrote to stdout.
pub fn capture(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        return Err(ended_badly(command, &output.status));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(format!("{} wrote invalid UTF-8", describe(command))))
}

/// Whether the command can be started and succeeds; prints nothing.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs to the end, shows both output streams as they come and gives each line to `see` too.
pub fn watch(command: &mut Command, mut see: impl FnMut(&str)) -> Result<(), Failure> {
    let (reader, mut child) =
        start_with_one_pipe(command).map_err(|error| not_started(command, &error))?;
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(|error| {
            Failure::new(format!("reading from {}: {error}", describe(command)))
        })?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        see(&line);
    }
    let status = child.wait().map_err(|error| not_started(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(ended_badly(command, &status))
    }
}

/// Like [`succeeds`], but gives up and kills the child after `limit`.
pub fn succeeds_within(command: &mut Command, limit: Duration) -> bool {
    tsq_interop::run_at_most(command, limit).is_ok_and(|outcome| outcome.code == Some(0))
}

/// One pipe for stdout and stderr keeps the lines in the order they were written.
fn start_with_one_pipe(command: &mut Command) -> io::Result<(io::PipeReader, Child)> {
    let (reader, writer) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let child = command.spawn()?;
    // The command still holds our write ends; the reader would never see the end of the stream.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok((reader, child))
}

fn not_started(command: &Command, error: &io::Error) -> Failure {
    Failure::new(format!("cannot run {}: {error}", describe(command)))
}

fn ended_badly(command: &Command, status: &std::process::ExitStatus) -> Failure {
    Failure::new(format!("`{}` ended with {status}", describe(command)))
}

/// The command line by base name of the program, as a person would type it.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn watch_sees_both_streams_and_ends() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2"]);
        watch(&mut command, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["out", "err"]);
    }

    #[test]
    fn failure_names_the_command_and_its_status() {
        let failure = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "`sh -c exit 3` ended with exit status: 3"
        );
    }

    #[test]
    fn child_past_its_limit_is_killed() {
        let start = Instant::now();
        assert!(!succeeds_within(
            Command::new("sleep").arg("20"),
            Duration::from_millis(100)
        ));
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
