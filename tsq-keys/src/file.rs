use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _};
use toml::Value;

use crate::{Algorithm, Error, PrivateKey, Problem, PublicKey, hex, valid_from};

/// A key file of either kind, read and checked.
#[derive(Debug)]
pub(crate) enum KeyFile {
    Private(PrivateKey),
    Public(PublicKey),
}

impl KeyFile {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        read(path).map_err(|problem| Error {
            path: path.into(),
            problem,
        })
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let fields: Fields = toml::from_str(text).map_err(|error| malformed(text, &error))?;
        fields.try_into()
    }
}

fn read(path: &Path) -> Result<KeyFile, Problem> {
    // The mode is that of the file that was opened, whatever the path may name by then.
    // A pipe could keep us waiting for ever.
    if !path.metadata().map_err(Problem::Unreadable)?.is_file() {
        return Err(Problem::Unreadable(io::Error::other(
            "it is not a regular file",
        )));
    }
    let file = File::open(path).map_err(Problem::Unreadable)?;
    let mode = file
        .metadata()
        .map_err(Problem::Unreadable)?
        .permissions()
        .mode()
        & 0o7777;
    let key = KeyFile::parse(&text(file)?)?;
    match key {
        KeyFile::Private(_) if mode & GROUP_AND_OTHERS != 0 => Err(Problem::Permissions { mode }),
        _ => Ok(key),
    }
}

fn text(file: File) -> Result<String, Problem> {
    let mut text = String::new();
    let len = file
        .take(LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(Problem::Unreadable)?;
    if len as u64 > LIMIT {
        return Err(Problem::TooLong { limit: LIMIT });
    }
    Ok(text)
}

/// Any key file and a long comment; a device or a log named by mistake ends here.
const LIMIT: u64 = 16 * 1024;

const GROUP_AND_OTHERS: u32 = 0o077;

/// The fields of both kinds of file; which kind it is shows only then.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    id: u32,
    algorithm: String,
    secret: Option<Digits>,
    public: Option<Digits>,
    valid_from: Option<Moment>,
}

impl TryFrom<Fields> for KeyFile {
    type Error = Problem;

    fn try_from(fields: Fields) -> Result<Self, Problem> {
        let id = fields.id;
        let algorithm =
            Algorithm::from_name(&fields.algorithm).ok_or(Problem::UnknownAlgorithm {
                name: fields.algorithm,
            })?;
        match (fields.secret, fields.public) {
            (Some(Digits(secret)), None) => Ok(Self::Private(PrivateKey {
                id,
                algorithm,
                valid_from: fields
                    .valid_from
                    .map(|Moment(text)| valid_from::parse(&text))
                    .transpose()?,
                secret: hex::decode("secret", &secret)?,
            })),
            (None, Some(_)) if algorithm == Algorithm::HmacSha256 => {
                Err(Problem::Contradictory("an HMAC key has no public half"))
            }
            (None, Some(_)) if fields.valid_from.is_some() => Err(Problem::Contradictory(
                "valid_from belongs into the private file: a public key verifies at any time",
            )),
            (None, Some(Digits(public))) => Ok(Self::Public(PublicKey {
                id,
                public: hex::decode("public", &public)?,
            })),
            (Some(_), Some(_)) => Err(Problem::Contradictory(
                "secret and public stand in one file: each belongs into its own",
            )),
            (None, None) => Err(Problem::Contradictory("neither secret nor public is there")),
        }
    }
}

/// The digits of a key. The parser's own error for a wrong type would show the value, which may be a secret.
struct Digits(String);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(digits) => Ok(Self(digits)),
            _ => Err(D::Error::custom(
                "a key is a string of 64 hexadecimal digits",
            )),
        }
    }
}

/// The text of a moment; TOML has a type of its own for it, which may be used as well.
struct Moment(String);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Datetime(moment) => Ok(Self(moment.to_string())),
            _ => Err(D::Error::custom("valid_from is a moment in RFC 3339")),
        }
    }
}

/// The reason alone: the error's full text quotes the line, which may hold a secret.
fn malformed(text: &str, error: &toml::de::Error) -> Problem {
    let start = error.span().map_or(0, |span| span.start);
    let line = 1 + text
        .bytes()
        .take(start)
        .filter(|&byte| byte == b'\n')
        .count();
    Problem::Malformed {
        line,
        reason: error.message().into(),
    }
}
