//! The chain: each line carries the hash of the one before.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// SHA-256 of a line's bytes, without its newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hash([u8; 32]);

/// What the first line carries: there is none before it.
pub const START: Hash = Hash([0; 32]);

impl Hash {
    /// The hash of a line.
    pub fn of(line: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, line.as_bytes()).as_ref());
        Self(bytes)
    }
}

/// Closes a line's object with a check of all before it, so that no byte of the last line can change
/// unseen either; the lines before it are covered by their successors too.
pub(super) fn seal(object: &str) -> String {
    let open = object.trim_end_matches('}');
    format!("{open}{CHECK}{}\"}}", Hash::of(open))
}

/// The object of a sealed line; None if its check does not hold.
pub(super) fn unseal(line: &str) -> Option<String> {
    let (open, check) = line.rsplit_once(CHECK)?;
    let check: Hash = check.strip_suffix("\"}")?.parse().ok()?;
    (check == Hash::of(open)).then(|| format!("{open}}}"))
}

const CHECK: &str = ",\"check\":\"";

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| "a hash has 64 hexadecimal digits".to_string())
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
