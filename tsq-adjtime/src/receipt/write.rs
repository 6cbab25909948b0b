//! Adding lines to a receipt file.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tsq_proto::{HostTime, Offset, Response};

use super::chain::{Hash, START, seal};
use super::line::{BadLine, Line};

/// A receipt could not be kept.
#[derive(Debug)]
pub enum WriteError {
    /// The file cannot be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file does not end with a whole receipt, so nothing can be chained to it.
    Broken {
        /// Which.
        path: PathBuf,
        /// What is wrong with its end.
        problem: BadLine,
    },
}

impl std::error::Error for WriteError {}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => {
                write!(f, "cannot keep a receipt in {}: {error}", path.display())
            }
            Self::Broken { path, problem } => write!(
                f,
                "{} does not end with a whole receipt ({problem}): keep it for the auditor and name another file",
                path.display()
            ),
        }
    }
}

/// Chains `lines` to the end of the file, making it if need be; `seq` and `prev` are filled in.
///
/// The file is locked meanwhile, and is on the disk when this returns.
///
/// # Errors
/// See [`WriteError`]; nothing has been written then, or the disk is full.
pub fn append(path: &Path, lines: Vec<Line>) -> Result<(), WriteError> {
    let failed = |error| WriteError::File {
        path: path.into(),
        error,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .map_err(failed)?;
    file.lock().map_err(failed)?;
    let (mut seq, mut prev) = match last_line(&mut file).map_err(failed)? {
        Tail::Empty => (0, START),
        Tail::Line(text) => match Line::parse(&text) {
            Ok(line) => (line.seq.saturating_add(1), Hash::of(&text)),
            Err(problem) => {
                return Err(WriteError::Broken {
                    path: path.into(),
                    problem,
                });
            }
        },
        Tail::Unfinished => {
            return Err(WriteError::Broken {
                path: path.into(),
                problem: BadLine::Unfinished,
            });
        }
    };
    let mut text = String::new();
    for line in lines {
        let one = seal(&Line { seq, prev, ..line }.object());
        (seq, prev) = (seq + 1, Hash::of(&one));
        text.push_str(&one);
        text.push('\n');
    }
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_data())
        .map_err(failed)
}

/// A time that the last receipt of a file shows to be past: what a server signed in it, and no later
/// than what the servers agreed on, for one of them may have lied. None if that run decided nothing.
pub fn last_signed(path: &Path) -> Option<HostTime> {
    let mut file = File::open(path).ok()?;
    let Ok(Tail::Line(text)) = last_line(&mut file) else {
        return None;
    };
    let line = Line::parse(&text).ok()?;
    if line.action == "refused" {
        return None;
    }
    let response = Response::decode(&line.response.0).ok()?;
    let sent = HostTime::from_unix_nanos(line.t1_ns);
    let bound = i64::try_from(line.bound_ns?).unwrap_or(i64::MAX);
    let agreed = sent + Offset::from_nanos(line.offset_ns?) - Offset::from_nanos(bound);
    Some(agreed.min(response.receive_timestamp().resolve(agreed)))
}

enum Tail {
    Empty,
    Line(String),
    Unfinished,
}

/// The last line, from a file that may be long.
fn last_line(file: &mut File) -> io::Result<Tail> {
    let size = file.seek(SeekFrom::End(0))?;
    if size == 0 {
        return Ok(Tail::Empty);
    }
    let start = size.saturating_sub(LONGEST_LINE);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let Some(body) = end.strip_suffix(b"\n") else {
        return Ok(Tail::Unfinished);
    };
    let from = body
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    Ok(Tail::Line(
        String::from_utf8_lossy(&body[from..]).into_owned(),
    ))
}

/// Far longer than a line with the longest request and answer.
const LONGEST_LINE: u64 = 64 * 1024;
