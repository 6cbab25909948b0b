use std::fmt;
use std::io;
use std::net::SocketAddr;

use tsq_net::Trouble;
use tsq_proto::words::Foreign;

use crate::Refusal;
use crate::nts::record::BadRecords;

/// Why a server gave no sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The name has no address.
    Unresolved {
        /// In words.
        problem: String,
    },
    /// Nothing came back.
    Silent {
        /// The address.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        over: &'static str,
        /// What this host did not send, in words, if anything.
        unsent: Option<String>,
    },
    /// Nothing listens there.
    PortClosed {
        /// The address.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        over: &'static str,
    },
    /// The network or system refused.
    Io {
        /// In words.
        problem: String,
    },
    /// TLS failed: no TLS spoken there, or the certificate was refused.
    Tls {
        /// In words.
        problem: String,
    },
    /// It speaks TLS but not NTS.
    NotNts {
        /// The address.
        address: SocketAddr,
    },
    /// The key exchange granted nothing.
    KeyExchange(BadRecords),
    /// Answers came, and none was usable.
    Refused {
        /// How many.
        answers: usize,
        /// The last one's reason.
        why: Refusal,
    },
}

impl Failure {
    /// A stable name for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unresolved { .. } => "name_unresolved",
            Self::Silent { .. } => "silent",
            Self::PortClosed { .. } => "port_closed",
            Self::Io { .. } => "unreachable",
            Self::Tls { .. } => "tls",
            Self::NotNts { .. } => "not_nts",
            Self::KeyExchange(_) => "key_exchange",
            Self::Refused { .. } => "unanswered",
        }
    }

    pub(crate) fn of_tcp(address: SocketAddr, error: &io::Error) -> Self {
        Self::of_io(address, error, "TCP")
    }

    pub(crate) fn of_udp(address: SocketAddr, error: &io::Error) -> Self {
        Self::of_io(address, error, "UDP")
    }

    fn of_io(address: SocketAddr, error: &io::Error, over: &'static str) -> Self {
        match (Trouble::of(error), error.kind()) {
            (Trouble::Refused, _) => Self::PortClosed { address, over },
            // A socket's time limit is told as either.
            (_, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => Self::Silent {
                address,
                over,
                unsent: None,
            },
            _ => Self::Io {
                problem: error
                    .raw_os_error()
                    .map_or_else(|| error.to_string(), Trouble::explain),
            },
        }
    }

    /// rustls hands its own errors over inside those of input and output.
    pub(crate) fn of_tls(address: SocketAddr, error: &io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            Some(rustls::Error::NoApplicationProtocol) => Self::NotNts { address },
            Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => {
                Self::NotNts { address }
            }
            Some(error) => Self::Tls {
                problem: error.to_string(),
            },
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Tls {
                problem: "the server closed the connection".into(),
            },
            None => Self::of_tcp(address, error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved { problem } => write!(f, "the name cannot be resolved: {problem}"),
            Self::Silent {
                address,
                over,
                unsent,
            } => {
                let (ip, port) = (address.ip(), address.port());
                write!(f, "no answer from {ip} on {over} port {port}")?;
                unsent.iter().try_for_each(|unsent| write!(f, "; {unsent}"))
            }
            Self::PortClosed { address, over } => write!(
                f,
                "nothing listens on {over} port {} of {}",
                address.port(),
                address.ip()
            ),
            Self::Io { problem } => f.write_str(problem),
            Self::Tls { problem } => write!(f, "TLS failed: {}", Foreign(problem)),
            Self::NotNts { address } => write!(f, "{address} speaks TLS but not NTS"),
            Self::KeyExchange(bad) => write!(f, "NTS key exchange: {bad}"),
            Self::Refused { answers, why } => {
                write!(f, "no usable answer, {answers} refused: {why}")
            }
        }
    }
}

impl std::error::Error for Failure {}
