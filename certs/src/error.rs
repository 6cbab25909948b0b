use std::fmt;
use std::io;
use std::path::PathBuf;

use tsq_keys::NoRandomness;

/// Why a certificate or key was not made, read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A certificate must name at least one server.
    NoNames,
    /// Neither a DNS name nor an IP address that a certificate can carry.
    BadName {
        /// The name as it was given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A validity that ends before it begins, or lies outside the years 1970 to 9999; a signing key's may begin
    /// until 2262.
    BadLifetime(&'static str),
    /// Not a usable certificate.
    BadCertificate(String),
    /// Not a usable private key.
    BadKey(String),
    /// The CA's certificate and the CA's key do not belong together.
    KeyMismatch,
    /// The certificate may not sign others.
    NotACa,
    /// A file that must not be overwritten is there already.
    Exists(PathBuf),
    /// The operating system refused a file operation.
    Io {
        /// What was being done: `read`, `write` or `create`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The result could not be written to standard output, as the system's reason says.
    Output(io::Error),
    /// The certificate could not be generated.
    Generate(rcgen::Error),
    /// The signing key could not be generated.
    NoRandomness(NoRandomness),
}

impl Error {
    /// Whether the arguments were at fault, rather than files or the system.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NoNames | Self::BadName { .. } | Self::BadLifetime(_)
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNames => f.write_str("a certificate needs at least one name or address"),
            Self::BadName { name, reason } => write!(f, "bad name {name:?}: {reason}"),
            Self::BadLifetime(reason) => write!(f, "bad lifetime: {reason}"),
            Self::BadCertificate(reason) => write!(f, "not a usable certificate: {reason}"),
            Self::BadKey(reason) => write!(f, "not a usable private key: {reason}"),
            Self::KeyMismatch => f.write_str("the CA's certificate and key do not belong together"),
            Self::NotACa => f.write_str("the certificate is not a CA's: it may not sign others"),
            Self::Exists(path) => write!(
                f,
                "{} exists and is not overwritten; remove it or choose another place",
                path.display()
            ),
            Self::Io {
                action,
                path,
                source,
            } => write!(f, "cannot {action} {}: {source}", path.display()),
            Self::Output(reason) => write!(f, "{reason}"),
            Self::Generate(reason) => write!(f, "cannot make the certificate: {reason}"),
            Self::NoRandomness(reason) => write!(f, "cannot make the signing key: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::Output(source) => Some(source),
            Self::Generate(source) => Some(source),
            Self::NoRandomness(source) => Some(source),
            _ => None,
        }
    }
}

impl From<tsq_x509::BadCertificate> for Error {
    fn from(tsq_x509::BadCertificate(reason): tsq_x509::BadCertificate) -> Self {
        Self::BadCertificate(reason)
    }
}

impl From<rcgen::Error> for Error {
    fn from(reason: rcgen::Error) -> Self {
        Self::Generate(reason)
    }
}

impl From<NoRandomness> for Error {
    fn from(reason: NoRandomness) -> Self {
        Self::NoRandomness(reason)
    }
}
