//! Adding lines to a receipt file.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tsq_clock::{StateError, check_owner};
use tsq_proto::{HostTime, Offset, Response, Verifier};

use super::chain::{Hash, START, seal};
use super::line::{BadLine, Line};
use super::verify::proof;

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
    /// Another process has had it for too long.
    Held {
        /// Which.
        path: PathBuf,
    },
    /// It is no file of receipts, and never was one: it is left as it is.
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// The file does not end with a whole receipt, so nothing can be chained to it, and it cannot be moved aside.
    Broken {
        /// Which.
        path: PathBuf,
        /// What is wrong with its end.
        problem: BadLine,
        /// What the system said.
        error: io::Error,
    },
}

impl std::error::Error for WriteError {}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => {
                write!(f, "cannot keep a receipt in {}: {error}", path.display())
            }
            Self::Held { path } => write!(
                f,
                "cannot keep a receipt in {}: another process has locked it",
                path.display()
            ),
            Self::Foreign { path } => write!(
                f,
                "{} is something else than a file of receipts, and is left as it is: name another one",
                path.display()
            ),
            Self::Broken {
                path,
                problem,
                error,
            } => write!(
                f,
                "{} does not end with a whole receipt ({problem}) and cannot be moved aside ({error}): keep it for the auditor and name another file",
                path.display()
            ),
        }
    }
}

/// A file whose end was broken, by a power failure or a hand, and that was moved aside: a new chain has begun.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    to: PathBuf,
    problem: BadLine,
}

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} did not end with a whole receipt ({}): it is {} now, for the auditor, and a new chain of receipts has begun",
            self.path.display(),
            self.problem,
            self.to.display()
        )
    }
}

/// Chains `lines` to the end of the file, making it if need be; `seq` and `prev` are filled in.
///
/// The file is locked meanwhile, and is on the disk when this returns. One whose end is broken is moved aside.
///
/// # Errors
/// See [`WriteError`]; the file is as it was then.
pub fn append(path: &Path, lines: Vec<Line>) -> Result<Option<Aside>, WriteError> {
    let (mut file, aside) = match ready(path)? {
        (file, Ok(next)) => ((file, next), None),
        (mut broken, Err(problem)) => {
            if !was_of_receipts(&mut broken).map_err(|error| failed(path, error))? {
                return Err(WriteError::Foreign { path: path.into() });
            }
            let mode = broken.metadata().map(|metadata| metadata.permissions());
            // Of a link, what it leads to.
            let path = fs::canonicalize(path).map_err(|error| failed(path, error))?;
            let aside = move_aside(&path, problem)?;
            // While the broken one is locked nobody else moves the new one.
            let (file, next) = ready(&path)?;
            mode.and_then(|mode| file.set_permissions(mode))
                .map_err(|error| failed(&path, error))?;
            let next = next.unwrap_or((0, START));
            ((file, next), Some(aside))
        }
    };
    let (file, (mut seq, mut prev)) = (&mut file.0, file.1);
    let mut text = String::new();
    for line in lines {
        let one = seal(&Line { seq, prev, ..line }.object());
        (seq, prev) = (seq + 1, Hash::of(&one));
        text.push_str(&one);
        text.push('\n');
    }
    write_whole(file, text.as_bytes()).map_err(|error| failed(path, error))?;
    Ok(aside)
}

fn failed(path: &Path, error: io::Error) -> WriteError {
    WriteError::File {
        path: path.into(),
        error,
    }
}

/// Whether a file whose end is broken began as one of receipts does; or lost what was in it with the power, and holds
/// zeros.
fn was_of_receipts(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(LONGEST_LINE).read_to_end(&mut start)?;
    Ok(start.starts_with(BEGINNING) || start.iter().all(|byte| *byte == 0))
}

/// Of the first line, and every other.
const BEGINNING: &[u8] = b"{\"seq\":";

/// All of it or nothing: a part, on a full disk, would be the broken end of the next run.
fn write_whole(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let size = file.metadata()?.len();
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    written.inspect_err(|_| {
        // If that fails too, the end is broken, and the next run moves it aside.
        let _ = file.set_len(size).and_then(|()| file.sync_data());
    })
}

/// What the next line is to carry: its number and the hash of the line before.
type Next = (u64, Hash);

/// The file, locked, and how it goes on.
fn ready(path: &Path) -> Result<(File, Result<Next, BadLine>), WriteError> {
    let mut file = open_locked(path)?;
    let next = match last_line(&mut file).map_err(|error| failed(path, error))? {
        End {
            is_whole: false, ..
        } => Err(BadLine::Unfinished),
        End { line: None, .. } => Ok((0, START)),
        End {
            line: Some(text), ..
        } => Line::parse(&text).map(|line| (line.seq.saturating_add(1), Hash::of(&text))),
    };
    Ok((file, next))
}

fn open_locked(path: &Path) -> Result<File, WriteError> {
    let failed = |error| failed(path, error);
    let end = Instant::now() + PATIENCE;
    loop {
        // A pipe would be waited for, and a device written to.
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(WriteError::Foreign { path: path.into() });
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true);
        let file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            // Another run may have moved it aside meanwhile.
            Ok(()) if is_at(&file, path).map_err(failed)? => return Ok(file),
            Ok(()) => continue,
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {}
            Err(TryLockError::WouldBlock) => return Err(WriteError::Held { path: path.into() }),
        }
        thread::sleep(PAUSE);
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the file another name: what is in it is evidence still.
fn move_aside(path: &Path, problem: BadLine) -> Result<Aside, WriteError> {
    let named = |number: u32| {
        let mut name = OsString::from(path);
        name.push(format!(".broken-{number}"));
        PathBuf::from(name)
    };
    let to = (1..).map(named).find(|name| !name.exists());
    let to = to.unwrap_or_else(|| named(0));
    match fs::rename(path, &to) {
        Ok(()) => Ok(Aside {
            path: path.into(),
            to,
            problem,
        }),
        Err(error) => Err(WriteError::Broken {
            path: path.into(),
            problem,
            error,
        }),
    }
}

/// A time that the last receipt of a file shows to be past: what a server signed in it, and no later
/// than what the servers agreed on, for one of them may have lied. None if that run decided nothing, or none of `keys`
/// signed it.
///
/// # Errors
/// Others than root and this process's user may write to the file, or its folder: it is not looked at then.
pub fn last_signed(path: &Path, keys: &dyn Verifier) -> Result<Option<HostTime>, Unsafe> {
    let Ok(mut file) = File::open(path) else {
        return Ok(None);
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    for (path, metadata) in [(path, file.metadata()), (folder, fs::metadata(folder))] {
        let Ok(metadata) = metadata else {
            return Ok(None);
        };
        check_owner(path, &metadata).map_err(Unsafe)?;
    }
    Ok(signed_in(&mut file, keys))
}

fn signed_in(file: &mut File, keys: &dyn Verifier) -> Option<HostTime> {
    let line = Line::parse(&last_line(file).ok()?.line?).ok()?;
    if line.action == "refused" {
        return None;
    }
    proof(&line, keys).ok()?;
    let response = Response::decode(&line.response.0).ok()?;
    let sent = HostTime::from_unix_nanos(line.t1_ns);
    let bound = i64::try_from(line.bound_ns?).unwrap_or(i64::MAX);
    let agreed = sent + Offset::from_nanos(line.offset_ns?) - Offset::from_nanos(bound);
    Some(agreed.min(response.receive_timestamp().resolve(agreed)))
}

/// A file that others could have written.
#[derive(Debug)]
pub struct Unsafe(StateError);

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "receipts raise no floor: {}", self.0)
    }
}

/// How a file ends.
struct End {
    /// The last whole line.
    line: Option<String>,
    /// Whether nothing follows it.
    is_whole: bool,
}

/// From a file that may be long.
fn last_line(file: &mut File) -> io::Result<End> {
    let size = file.seek(SeekFrom::End(0))?;
    let start = size.saturating_sub(LONGEST_LINE);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(LONGEST_LINE).read_to_end(&mut end)?;
    let whole = end
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let is_whole = whole == end.len();
    let line = end[..whole].strip_suffix(b"\n").map(|body| {
        let from = body.iter().rposition(|byte| *byte == b'\n');
        String::from_utf8_lossy(&body[from.map_or(0, |newline| newline + 1)..]).into_owned()
    });
    Ok(End { line, is_whole })
}

/// Far longer than a line with the longest request and answer.
const LONGEST_LINE: u64 = 64 * 1024;

/// Another run writes within milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);
