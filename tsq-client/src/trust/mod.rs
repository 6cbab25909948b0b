//! Whom to believe: system roots, a CA file, pins of public keys, or (for looking only) anyone; and
//! what a certificate's dates are worth while the clock itself is in doubt.

mod floor;
mod identity;
mod presented;
mod refusal;
mod state;
#[cfg(test)]
mod tests;
mod verifier;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::danger::ServerCertVerifier;
use tsq_proto::words::{Count, Foreign};
use tsq_x509::{Pin, pem};

use crate::resumption::{MemoryStore, TicketStore};
use crate::target::Target;
pub use floor::{Floor, FloorSource};
pub use identity::{ClientIdentity, IdentityError};
pub use presented::{Presented, Validity};
pub use refusal::{By, TrustRefusal, date};
pub use state::TrustState;
pub use verifier::FoundSlot;
pub(crate) use verifier::Verifier;

/// A server to ask, and how to know it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it is.
    pub target: Target,
    /// How it is trusted.
    pub trust: Trust,
    /// The name its certificate must carry.
    pub name: String,
    /// When its certificate's dates count.
    pub dates: Dates,
    /// Who we are, for a server that asks.
    pub identity: Option<ClientIdentity>,
    /// What is kept of its connections for later ones; clones share it.
    pub tickets: Arc<dyn TicketStore>,
}

/// When a certificate's dates count. Chain, name, signature and pin always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dates {
    /// At once, by this host's clock.
    Now,
    /// Later, by a time that servers agree on ([`Presented::check_between`]), where this host's
    /// clock would refuse them. Whoever allows it must see to that second check.
    MayWait,
}

impl Server {
    /// A server whose certificate must carry the name or address it is asked by.
    pub fn new(target: Target, trust: Trust) -> Self {
        let name = target.certificate_name();
        Self {
            target,
            trust,
            name,
            dates: Dates::Now,
            identity: None,
            tickets: Arc::new(MemoryStore::default()),
        }
    }

    /// The same with another place for tickets.
    #[must_use]
    pub fn with_tickets(self, tickets: Arc<dyn TicketStore>) -> Self {
        Self { tickets, ..self }
    }
}

/// How a server is known to be the right one.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: Option<Arc<RootCertStore>>,
    pins: Vec<Pin>,
    kind: TrustKind,
}

/// The kind of trust, for output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustKind {
    /// A chain to one of the system's roots.
    System,
    /// A chain to a CA the user named.
    Ca,
    /// A public key the user named.
    Pin,
    /// Both of the latter.
    CaAndPin,
    /// None: the certificate is not checked.
    Insecure,
    /// None: there is no certificate (plain NTP).
    None,
}

impl TrustKind {
    /// A stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Ca => "ca",
            Self::Pin => "pin",
            Self::CaAndPin => "ca+pin",
            Self::Insecure => "insecure",
            Self::None => "none",
        }
    }
}

/// Trust cannot be set up.
#[derive(Debug)]
pub enum TrustError {
    /// The CA file cannot be used.
    CaFile {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The system has no usable roots.
    NoSystemRoots {
        /// What is wrong.
        problem: String,
    },
}

impl std::error::Error for TrustError {}

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaFile { path, problem } => write!(f, "CA file {}: {problem}", path.display()),
            Self::NoSystemRoots { problem } => {
                write!(f, "no usable root certificates on this system ({problem})")
            }
        }
    }
}

/// The TLS library calls whatever it cannot read a peer's.
fn damaged(line: usize, error: &rustls::Error) -> String {
    let why = match error {
        rustls::Error::InvalidCertificate(why) => format!("{why:?}"),
        other => other.to_string(),
    };
    format!(
        "the certificate at line {line} is damaged, or no authority's ({})",
        Foreign(&why)
    )
}

/// Where the roots were looked for, if not in the system's places.
fn named_by_environment() -> String {
    ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .iter()
        .filter_map(|name| Some((name, std::env::var(name).ok()?)))
        .map(|(name, value)| format!(", {name}={}", Foreign(&value)))
        .collect()
}

impl Trust {
    /// The system's roots.
    ///
    /// # Errors
    /// [`TrustError::NoSystemRoots`].
    pub fn system() -> Result<Self, TrustError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (_, damaged) = roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let problem = match found.errors.first() {
                Some(error) => Foreign(&error.to_string()).to_string(),
                None if damaged > 0 => format!(
                    "{} found, damaged{}",
                    Count(damaged, "certificate"),
                    named_by_environment()
                ),
                None => format!("none found{}", named_by_environment()),
            };
            return Err(TrustError::NoSystemRoots { problem });
        }
        Ok(Self {
            roots: Some(Arc::new(roots)),
            pins: Vec::new(),
            kind: TrustKind::System,
        })
    }

    /// The certificates in a PEM file, and no others.
    ///
    /// # Errors
    /// [`TrustError::CaFile`].
    pub fn ca_file(path: &Path) -> Result<Self, TrustError> {
        let bad = |problem: String| TrustError::CaFile {
            path: path.into(),
            problem,
        };
        let text = tsq_x509::read_small_file(path).map_err(|error| bad(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for section in pem::certificates(&text).map_err(|error| bad(error.to_string()))? {
            roots
                .add(section.der.into())
                .map_err(|error| bad(damaged(section.line, &error)))?;
        }
        Ok(Self {
            roots: Some(Arc::new(roots)),
            pins: Vec::new(),
            kind: TrustKind::Ca,
        })
    }

    /// Any of these public keys, whatever name the certificate carries.
    pub fn pins(pins: Vec<Pin>) -> Self {
        Self {
            roots: None,
            pins,
            kind: TrustKind::Pin,
        }
    }

    /// Also demands one of these public keys.
    #[must_use]
    pub fn and_pins(self, pins: Vec<Pin>) -> Self {
        Self {
            pins,
            kind: TrustKind::CaAndPin,
            ..self
        }
    }

    /// As an operator chose: by the authorities in a PEM file, by pins, by both, and by the system's roots where
    /// neither is named.
    ///
    /// # Errors
    /// Those of [`Self::ca_file`] and [`Self::system`].
    pub fn chosen(ca: Option<&Path>, pins: &[Pin]) -> Result<Self, TrustError> {
        match (ca, pins) {
            (Some(path), []) => Self::ca_file(path),
            (Some(path), pins) => Ok(Self::ca_file(path)?.and_pins(pins.to_vec())),
            (None, []) => Self::system(),
            (None, pins) => Ok(Self::pins(pins.to_vec())),
        }
    }

    /// Anyone. Only good for looking: never set a clock by it.
    pub fn insecure() -> Self {
        Self {
            roots: None,
            pins: Vec::new(),
            kind: TrustKind::Insecure,
        }
    }

    /// Whether a public key that the user named is demanded.
    pub fn is_pinned(&self) -> bool {
        !self.pins.is_empty()
    }

    /// The certificate check for a program that drives `tsq-net` itself, and where it leaves what it found; dates count at once.
    ///
    /// # Errors
    /// Those of rustls for roots it cannot use.
    pub fn verifier(&self) -> Result<(Arc<dyn ServerCertVerifier>, FoundSlot), rustls::Error> {
        let slot = FoundSlot::default();
        let verifier = Verifier::new(self, Dates::Now, Arc::clone(&slot))?;
        Ok((Arc::new(verifier), slot))
    }

    /// What kind of trust this is.
    pub fn kind(&self) -> TrustKind {
        self.kind
    }
}
