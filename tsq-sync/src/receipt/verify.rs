//! Checking a receipt file, offline and years later.

use std::fmt;
use std::io::{self, BufRead};
use std::time::Duration;

use tsq_proto::tlv::SignatureAlgorithm;
use tsq_proto::{HostTime, Nonce, Offset, Query, Refusal, Request, Response, Verifier};

use super::chain::{Hash, START};
use super::line::{BadLine, Line, algorithm_name};

/// A file all of whose lines hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// How many there are.
    pub lines: u64,
    /// How many of them are signed by HMAC, so that who can check them could have made them: they prove
    /// nothing to others.
    pub private: u64,
    /// The hash of the last: kept elsewhere, it shows later that none was cut off.
    pub head: Hash,
}

/// What one line proves: when this host's clock showed `local`, the server's showed a time from
/// `earliest` to `latest`, by the word of the key `key_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The line's number in its chain.
    pub seq: u64,
    /// The server as the user named it.
    pub server: String,
    /// The key that signed.
    pub key_id: u32,
    /// Its algorithm, as in key files.
    pub algorithm: &'static str,
    /// T4: when the answer came, by this host's clock.
    pub local: HostTime,
    /// T3: the server cannot have shown less when the answer had come.
    pub earliest: HostTime,
    /// T3 plus the whole delay.
    pub latest: HostTime,
    /// How far this clock was behind, in the middle of that.
    pub offset: Offset,
    /// Half the delay.
    pub bound: Duration,
}

impl Proof {
    /// Whether it proves anything to who does not trust the holder of the key that checks it.
    pub fn proves_to_others(&self) -> bool {
        self.algorithm != algorithm_name(SignatureAlgorithm::HmacSha256)
    }
}

/// The first thing wrong with a file.
#[derive(Debug)]
pub struct Flaw {
    /// Line number in the file, from 1; one past the last line for a head that is not the one expected.
    pub line: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug)]
pub enum Problem {
    /// The file cannot be read.
    File(io::Error),
    /// It has no lines.
    Empty,
    /// The line itself is broken.
    Line(BadLine),
    /// It does not follow the line before: lines were removed, moved or inserted.
    Chain {
        /// The hash of the line before.
        expected: Hash,
        /// What this line says it was.
        found: Hash,
    },
    /// Its number is not the next.
    Sequence {
        /// The next number.
        expected: u64,
        /// What this line says.
        found: u64,
    },
    /// Its request is not one, or asks for no signature.
    Request(String),
    /// It names another key than the one that signed.
    OtherKey {
        /// The key and algorithm it names.
        stated: (u32, String),
    },
    /// Its answer proves nothing: wrong nonce, no valid signature, impossible timestamps.
    Answer(Refusal),
    /// The last line is not the one expected.
    Head {
        /// The hash expected.
        expected: Hash,
        /// The last line's.
        found: Hash,
    },
}

impl std::error::Error for Flaw {}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, problem } = self;
        match problem {
            Problem::File(error) => write!(f, "cannot be read: {error}"),
            Problem::Empty => f.write_str("holds no receipts"),
            Problem::Line(bad) => write!(f, "line {line}: {bad}"),
            Problem::Chain { .. } => {
                write!(
                    f,
                    "line {line}: does not follow the line before it (lines removed, moved or inserted)"
                )
            }
            Problem::Sequence { expected, found } => {
                write!(
                    f,
                    "line {line}: calls itself seq {found}, and seq {expected} is expected"
                )
            }
            Problem::Request(problem) => {
                write!(f, "line {line}: the request is not one: {problem}")
            }
            Problem::OtherKey {
                stated: (id, algorithm),
            } => {
                write!(
                    f,
                    "line {line}: names key {id} ({algorithm}), but another one signed"
                )
            }
            Problem::Answer(refusal) => write!(f, "line {line}: proves nothing: {refusal}"),
            Problem::Head { expected, found } => {
                write!(
                    f,
                    "ends with {found}, expected {expected}: lines were cut off or added"
                )
            }
        }
    }
}

/// Checks every line, in order; `each` is handed what it proves.
///
/// # Errors
/// The first [`Flaw`]. Nothing after it was looked at.
pub fn verify(
    file: &mut dyn BufRead,
    keys: &dyn Verifier,
    expected_head: Option<Hash>,
    each: &mut dyn FnMut(&Proof),
) -> Result<Checked, Flaw> {
    let (mut lines, mut private, mut head) = (0, 0, START);
    while let Some(text) = next_line(file).map_err(|problem| Flaw {
        line: lines + 1,
        problem,
    })? {
        let flaw = |problem| Flaw {
            line: lines + 1,
            problem,
        };
        let line = Line::parse(&text).map_err(|bad| flaw(Problem::Line(bad)))?;
        if line.prev != head {
            return Err(flaw(Problem::Chain {
                expected: head,
                found: line.prev,
            }));
        }
        if line.seq != lines {
            return Err(flaw(Problem::Sequence {
                expected: lines,
                found: line.seq,
            }));
        }
        let proof = proof(&line, keys).map_err(flaw)?;
        private += u64::from(!proof.proves_to_others());
        each(&proof);
        (lines, head) = (lines + 1, Hash::of(&text));
    }
    let flaw = |problem| Flaw {
        line: lines + 1,
        problem,
    };
    match expected_head {
        _ if lines == 0 => Err(flaw(Problem::Empty)),
        Some(expected) if expected != head => Err(flaw(Problem::Head {
            expected,
            found: head,
        })),
        _ => Ok(Checked {
            lines,
            private,
            head,
        }),
    }
}

/// The next line without its newline; None at the end.
fn next_line(file: &mut dyn BufRead) -> Result<Option<String>, Problem> {
    let mut bytes = Vec::new();
    let size = io::Read::take(&mut *file, LONGEST_LINE)
        .read_until(b'\n', &mut bytes)
        .map_err(Problem::File)?;
    if size == 0 {
        return Ok(None);
    }
    if bytes.pop() != Some(b'\n') {
        return Err(Problem::Line(BadLine::Unfinished));
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| Problem::Line(BadLine::NotText))
}

pub(super) fn proof(line: &Line, keys: &dyn Verifier) -> Result<Proof, Problem> {
    let nonce = nonce_of(&line.request.0)?;
    let (t1, t4) = (
        HostTime::from_unix_nanos(line.t1_ns),
        HostTime::from_unix_nanos(line.t4_ns),
    );
    let sample = Query::new(nonce, t1)
        .with_request_len(line.request.0.len())
        .requiring_signature(keys)
        .finish(&line.response.0, t4, Duration::MAX)
        .map_err(Problem::Answer)?;
    let algorithm = check_key(line)?;
    Ok(Proof {
        seq: line.seq,
        server: line.server.clone(),
        key_id: line.key_id,
        algorithm,
        local: t4,
        earliest: sample.t3,
        latest: later(sample.t3, sample.delay).ok_or(Problem::Answer(Refusal::TimeOutOfRange))?,
        offset: sample.offset,
        bound: sample.delay / 2,
    })
}

/// None past the end of the range, for less than the truth would be claimed there. `delay` may be longer than an
/// [`Offset`] where T1 was forged.
fn later(time: HostTime, delay: Duration) -> Option<HostTime> {
    let delay = i128::try_from(delay.as_nanos()).ok()?;
    let nanos = i128::from(time.as_unix_nanos()).checked_add(delay)?;
    i64::try_from(nanos).ok().map(HostTime::from_unix_nanos)
}

fn nonce_of(request: &[u8]) -> Result<Nonce, Problem> {
    let request = Request::decode(request).map_err(|bad| Problem::Request(bad.to_string()))?;
    if request.asks_signature() {
        Ok(request.nonce())
    } else {
        Err(Problem::Request("it asks for no signature".into()))
    }
}

/// The key named beside the answer must be the one in it: people read the former.
fn check_key(line: &Line) -> Result<&'static str, Problem> {
    let signature = Response::decode(&line.response.0)
        .ok()
        .and_then(|response| response.signature());
    signature
        .filter(|signature| signature.key_id == line.key_id)
        .map(|signature| algorithm_name(signature.algorithm))
        .filter(|name| *name == line.algorithm)
        .ok_or_else(|| Problem::OtherKey {
            stated: (line.key_id, line.algorithm.clone()),
        })
}

const LONGEST_LINE: u64 = 64 * 1024;
