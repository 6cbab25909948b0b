//! One line of a receipt file.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tsq_proto::tlv::SignatureAlgorithm;

use super::chain::{Hash, unseal};

/// One signed exchange. Times are nanoseconds since 1970 by this host's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Counts from 0.
    pub seq: u64,
    /// The hash of the line before; zeros for the first.
    pub prev: Hash,
    /// The server as the user named it.
    pub server: String,
    /// Where it was.
    pub address: String,
    /// The request, as sent.
    pub request: Hex,
    /// The answer, as received.
    pub response: Hex,
    /// The signing key's id.
    pub key_id: u32,
    /// `ed25519` or `hmac-sha256`.
    pub algorithm: String,
    /// When the request left.
    pub t1_ns: i64,
    /// When the answer came.
    pub t4_ns: i64,
    /// What the run did: `none`, `slew`, `step` or `refused`.
    #[serde(deserialize_with = "action")]
    pub action: String,
    /// The offset the run acted on; positive: this clock was behind.
    pub offset_ns: Option<i64>,
    /// Its bound.
    pub bound_ns: Option<u64>,
    /// When the line was written.
    pub written_ns: i64,
}

/// Why some bytes are not a receipt's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadLine {
    /// The newline at its end is missing.
    Unfinished,
    /// It is not UTF-8.
    NotText,
    /// Its check does not hold: it was changed, or is something else.
    Changed,
    /// It is not the object specified.
    NotAReceipt {
        /// What is wrong with it.
        problem: String,
    },
    /// It says the same in other bytes than this program writes.
    NotCanonical,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("the line has no end"),
            Self::NotText => f.write_str("the line is not UTF-8 text"),
            Self::Changed => f.write_str("the line was changed: its check does not hold"),
            Self::NotAReceipt { problem } => write!(f, "the line is no receipt: {problem}"),
            Self::NotCanonical => {
                f.write_str("the line is written in another way than receipts are")
            }
        }
    }
}

impl Line {
    /// Reads a line, without its newline.
    ///
    /// # Errors
    /// See [`BadLine`].
    pub fn parse(text: &str) -> Result<Self, BadLine> {
        let object = unseal(text).ok_or(BadLine::Changed)?;
        let line: Self = serde_json::from_str(&object).map_err(|error| BadLine::NotAReceipt {
            problem: error.to_string(),
        })?;
        if line.object() == object {
            Ok(line)
        } else {
            Err(BadLine::NotCanonical)
        }
    }

    /// The line as a JSON object, not sealed yet.
    pub(super) fn object(&self) -> String {
        serde_json::to_string(self).expect("strings and integers can always be written")
    }
}

fn action<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if ACTIONS.contains(&text.as_str()) {
        return Ok(text);
    }
    let known = ACTIONS.join(", ");
    Err(serde::de::Error::custom(format!(
        "the action is \"{}\", which is none of {known}",
        text.escape_debug()
    )))
}

/// What a run can do to a clock.
const ACTIONS: [&str; 4] = ["none", "slew", "step", "refused"];

/// Bytes, in hexadecimal digits where people read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Lower case only: one way to write a thing leaves no room for a change that shows nowhere.
        HEXLOWER
            .decode(text.as_bytes())
            .map(Self)
            .map_err(|_| serde::de::Error::custom("not an even number of hexadecimal digits"))
    }
}

/// The names of the algorithms, as in key files.
pub(super) fn algorithm_name(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        SignatureAlgorithm::Ed25519 => "ed25519",
        SignatureAlgorithm::HmacSha256 => "hmac-sha256",
        // No key verifies such a signature, so none gets here.
        SignatureAlgorithm::Other(_) => "unknown",
    }
}
