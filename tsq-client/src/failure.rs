//! Why a server gave no usable time.

use std::fmt;
use std::net::SocketAddr;

use tsq_net::CloseReason;
use tsq_proto::words::Count;

use crate::trust::TrustRefusal;

/// Why a server gave no usable time; the more telling reasons compare greater.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The name has no address, or the resolver did not answer in time.
    Unresolved {
        /// The resolver's words.
        problem: String,
    },
    /// Nothing came back at all.
    Silent {
        /// The address tried last.
        address: SocketAddr,
        /// Milliseconds waited.
        waited_ms: u64,
        /// What this host did not send, in words, if anything.
        unsent: Option<String>,
    },
    /// A packet of 1200 bytes does not get through, and QUIC has no smaller ones (RFC 9000, section 14).
    PathTooNarrow {
        /// The address.
        address: SocketAddr,
    },
    /// The network said that the host cannot be reached.
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// What the network or system said.
        problem: String,
    },
    /// The host is there and nothing listens on this port.
    PortClosed {
        /// The address.
        address: SocketAddr,
    },
    /// The peer speaks QUIC but not TSQ (C2).
    NotTsq {
        /// The address.
        address: SocketAddr,
    },
    /// The server does not accept the certificate that we showed it.
    ClientCertificateRefused {
        /// The address tried.
        address: SocketAddr,
        /// The TLS alert that says why: 42 to 48, or 51 (RFC 8446, section 6).
        alert: u8,
    },
    /// The server serves only clients with a certificate, and was shown none.
    NoClientCertificate {
        /// The address.
        address: SocketAddr,
    },
    /// The connection failed or was ended by the server.
    Connection {
        /// The address.
        address: SocketAddr,
        /// In words.
        problem: String,
    },
    /// The server's certificate was not accepted.
    Trust {
        /// The address.
        address: SocketAddr,
        /// Why.
        refusal: TrustRefusal,
    },
    /// Datagrams were demanded and the server takes none.
    NoDatagrams,
    /// Streams were needed and the server allows none.
    NoStreams,
    /// It answered, but nothing of that is usable.
    NoSamples,
    /// Connected, but no query was answered usably.
    Unanswered {
        /// Queries sent, repeated ones included.
        sent: u32,
        /// Answers that were refused, for the reasons among the samples.
        refused: u32,
        /// The commonest of those reasons.
        why: Option<String>,
        /// What this host did not send, in words, if anything.
        unsent: Option<String>,
    },
}

impl Failure {
    /// A stable name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unresolved { .. } => "name_unresolved",
            Self::Silent { .. } => "silent",
            Self::Unreachable { .. } => "unreachable",
            Self::PortClosed { .. } => "port_closed",
            Self::PathTooNarrow { .. } => "path_too_narrow",
            Self::NotTsq { .. } => "not_tsq",
            Self::ClientCertificateRefused { .. } => "client_certificate_refused",
            Self::NoClientCertificate { .. } => "no_client_certificate",
            Self::Connection { .. } => "connection",
            Self::Trust { refusal, .. } => refusal.name(),
            Self::NoDatagrams => "no_datagrams",
            Self::NoStreams => "no_streams",
            Self::NoSamples => "no_samples",
            Self::Unanswered { .. } => "unanswered",
        }
    }

    /// What ended a connection to `address`, if it was not us.
    pub(crate) fn of_close(address: SocketAddr, reason: &CloseReason) -> Self {
        let connection = |problem: String| Self::Connection { address, problem };
        match reason {
            CloseReason::Tls {
                alert: CloseReason::NO_APPLICATION_PROTOCOL,
                ..
            } => Self::NotTsq { address },
            CloseReason::Tls {
                alert: CERTIFICATE_REQUIRED,
                local: false,
                ..
            } => Self::NoClientCertificate { address },
            CloseReason::Tls {
                alert,
                local: false,
                reason,
            } if is_of_certificate(*alert, reason) => Self::ClientCertificateRefused {
                address,
                alert: *alert,
            },
            CloseReason::Tls {
                alert,
                local,
                reason,
            } => {
                let whose = if *local { "we" } else { "the server" };
                connection(
                    format!("{whose} ended the TLS handshake (alert {alert}) {reason}")
                        .trim_end()
                        .into(),
                )
            }
            CloseReason::ByPeer { code, reason } if reason.is_empty() => {
                connection(format!("the server closed the connection (code {code})"))
            }
            CloseReason::ByPeer { code, reason } => connection(format!(
                "the server closed the connection: {reason} (code {code})"
            )),
            CloseReason::Transport { reason } => connection(format!("QUIC error: {reason}")),
            CloseReason::TimedOut => connection("the connection timed out".into()),
            CloseReason::Reset => {
                connection("the server has lost the connection (restarted?)".into())
            }
            CloseReason::Version => connection("the server speaks no QUIC version 1".into()),
            CloseReason::Local | CloseReason::Memory => connection("closed by us".into()),
        }
    }

    /// Of several addresses' failures the one to report: the one nearest to success.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Unresolved { .. } => 0,
            Self::Unreachable { .. } => 1,
            Self::PortClosed { .. } => 2,
            Self::Silent { .. } => 3,
            Self::PathTooNarrow { .. } => 4,
            Self::Connection { .. } => 5,
            Self::NotTsq { .. }
            | Self::ClientCertificateRefused { .. }
            | Self::NoClientCertificate { .. } => 6,
            Self::NoDatagrams | Self::NoStreams | Self::NoSamples | Self::Unanswered { .. } => 7,
            Self::Trust { .. } => 8,
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved { problem } => write!(f, "the name cannot be resolved: {problem}"),
            Self::Silent {
                address,
                waited_ms,
                unsent: Some(unsent),
            } => write!(f, "no answer from {address} in {waited_ms} ms; {unsent}"),
            Self::Silent {
                address, waited_ms, ..
            } => write!(
                f,
                "no answer from {address} in {waited_ms} ms (host down, UDP {} filtered, or no QUIC server there?)",
                address.port()
            ),
            Self::Unreachable { address, problem } => {
                write!(f, "{address} cannot be reached: {problem}")
            }
            Self::PortClosed { address } => write!(
                f,
                "nothing listens on UDP port {} of {}",
                address.port(),
                address.ip()
            ),
            Self::PathTooNarrow { address } => write!(
                f,
                "the path to {address} carries no packets of 1200 bytes: QUIC cannot work here, NTS can"
            ),
            Self::NotTsq { address } => write!(f, "{address} speaks QUIC but not TSQ"),
            Self::ClientCertificateRefused { alert, .. } => write!(
                f,
                "the server refused the certificate that we showed it: {} (alert {alert})",
                of_certificate(*alert)
            ),
            Self::NoClientCertificate { .. } => {
                f.write_str("the server serves only clients with a certificate, and we showed none")
            }
            Self::Connection { problem, .. } => f.write_str(problem),
            Self::Trust { refusal, .. } => refusal.fmt(f),
            Self::NoDatagrams => f.write_str("the server takes no datagrams"),
            Self::NoStreams => f.write_str("the server allows no streams"),
            Self::NoSamples => f.write_str("it gave no usable sample"),
            Self::Unanswered {
                sent,
                why: None,
                unsent,
                ..
            } => {
                write!(
                    f,
                    "connected, but of {} none was answered",
                    Count(*sent, "query")
                )?;
                unsent.iter().try_for_each(|unsent| write!(f, "; {unsent}"))
            }
            Self::Unanswered {
                sent,
                refused,
                why: Some(why),
                ..
            } => {
                write!(
                    f,
                    "no usable answer to {}, {refused} refused: {why}",
                    Count(*sent, "query")
                )
            }
        }
    }
}
/// Whether a server's alert is about the client's certificate.
fn is_of_certificate(alert: u8, reason: &str) -> bool {
    match alert {
        BAD_CERTIFICATE..=UNKNOWN_CA => true,
        // Of a signature; its own words say of which.
        DECRYPT_ERROR => reason.contains("certificate"),
        _ => false,
    }
}

/// What a server says of a client's certificate.
fn of_certificate(alert: u8) -> &'static str {
    match alert {
        43 => "it is of a kind that the server does not take",
        44 => "it was revoked",
        45 => "it has expired, or is not valid yet, by the server's clock",
        46 => "the server does not accept it",
        UNKNOWN_CA => "the server does not know its authority",
        DECRYPT_ERROR => "it is not signed by the authority that the server knows by that name",
        // bad_certificate, and 47, illegal_parameter.
        _ => "it is not one for a client, or is broken",
    }
}

/// TLS alerts (RFC 8446, section 6).
const BAD_CERTIFICATE: u8 = 42;
const UNKNOWN_CA: u8 = 48;
const DECRYPT_ERROR: u8 = 51;
const CERTIFICATE_REQUIRED: u8 = 116;
