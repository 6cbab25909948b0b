//! What one connection to a server leaves for the next: tickets, and what stood behind them.
//!
//! With a ticket the next connection asks in its first flight (0-RTT, C3) and has its answer after one
//! round trip. What is kept lies in a [`TicketStore`]: in memory, so it lives as long as the process. A
//! store on disk has to wait for a TLS library that can write a session down; the seam is here for it.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tsq_net::ClientConfig;
use tsq_net::tls::{self, NoIdentity, Sessions, Tickets};

use crate::means::Means;
use crate::target::Target;
use crate::trust::{ClientIdentity, Dates, FoundSlot, Presented, Server, Verifier};

/// Where tickets are between connections. One store serves one client.
///
/// Nothing a store does is trusted: what it gives back is used only for the address it came from, and only if
/// the certificates behind it still satisfy the server's [`Trust`](crate::Trust) at that moment; and a
/// server may refuse it. A store that fails costs one round trip, never a measurement.
///
/// A store that outlives the process has to keep others from reading it (a ticket lets its holder resume in our
/// name), and has to notice when it was copied to another host ([`StoreProblem::Foreign`]): a ticket
/// used twice links the two hosts for whoever sees both.
pub trait TicketStore: fmt::Debug + Send + Sync {
    /// Takes out what was kept of the server at this host and port, so that nobody else uses it too.
    ///
    /// # Errors
    /// [`StoreProblem`]; the handshake is a full one then, and the report says why.
    fn take(&self, server: &Target) -> Result<Option<Resumable>, StoreProblem>;

    /// Keeps this of `server`, in place of what is there.
    ///
    /// # Errors
    /// [`StoreProblem`]; the next handshake is a full one then.
    fn keep(&self, server: &Target, resumable: Resumable) -> Result<(), StoreProblem>;
}

/// Why a store gave nothing back, or kept nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreProblem {
    /// It cannot be read.
    Unreadable {
        /// The system's words.
        problem: String,
    },
    /// It holds something else than was written.
    Corrupt {
        /// What, and where.
        problem: String,
    },
    /// It was written on another host.
    Foreign,
    /// It cannot be written.
    Unwritable {
        /// The system's words.
        problem: String,
    },
}

impl fmt::Display for StoreProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { problem } => write!(f, "the tickets cannot be read: {problem}"),
            Self::Corrupt { problem } => write!(f, "the tickets are damaged: {problem}"),
            Self::Foreign => f.write_str("the tickets are another host's"),
            Self::Unwritable { problem } => write!(f, "the tickets cannot be kept: {problem}"),
        }
    }
}

impl std::error::Error for StoreProblem {}

/// How the connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// With certificates, and the request in the flight after them: two round trips.
    Full,
    /// With a ticket, but nothing was asked before its end: two round trips.
    Resumed,
    /// With a ticket, and the request in the first flight: one round trip.
    Early,
    /// The request in the first flight was refused, and asked anew after the handshake: two round trips.
    EarlyRefused,
}

impl Handshake {
    /// A stable name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Early => "early",
            Self::EarlyRefused => "early_refused",
        }
    }
}

/// The tickets of one server at one address, and the certificates it has shown.
#[derive(Clone, Debug)]
pub struct Resumable {
    pub(crate) address: SocketAddr,
    pub(crate) setup: Setup,
    pub(crate) presented: Presented,
    /// Whether the server took the draft's protocol name and not the deployed one.
    pub(crate) ours: bool,
    /// QUIC's last estimate.
    pub(crate) round_trip: Duration,
}

/// A TLS configuration with what belongs to it: a ticket is good only with the very verifier that
/// believed the connection it came from.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) config: ClientConfig,
    tls: Arc<rustls::ClientConfig>,
    pub(crate) found: FoundSlot,
    pub(crate) tickets: Tickets,
    dates: Dates,
    identity: Option<ClientIdentity>,
}

impl Setup {
    /// For a first connection with `server`.
    pub(crate) fn new(server: &Server, means: &Means) -> Result<Self, rustls::Error> {
        let (found, tickets) = (FoundSlot::default(), Tickets::new());
        let verifier = Verifier::new(&server.trust, server.dates, Arc::clone(&found))?;
        let identity = match &server.identity {
            None => Arc::new(NoIdentity),
            Some(shown) => shown.resolver(),
        };
        let sessions = Sessions::Early(tickets.clone());
        let tls = tls::client_tls(means.ambient(), identity, Arc::new(verifier), sessions)?;
        Ok(Self {
            config: tls::quic_client(tls.clone())?,
            tls: Arc::new(tls),
            found,
            tickets,
            dates: server.dates,
            identity: server.identity.clone(),
        })
    }

    /// The same told the time by another core: the one that made it may be gone.
    fn under(self, means: &Means) -> Result<Self, rustls::Error> {
        let mut tls = (*self.tls).clone();
        tls.time_provider = means.time();
        Ok(Self {
            config: tls::quic_client(tls)?,
            ..self
        })
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("tickets", &self.tickets.len())
            .field("dates", &self.dates)
            .finish_non_exhaustive()
    }
}

impl Resumable {
    /// Connections that can be made with it.
    pub fn tickets(&self) -> usize {
        self.setup.tickets.len()
    }

    /// Where the server was.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same with its certificates judged anew, as a full handshake of this moment would judge them; None
    /// if such a handshake is due.
    pub(crate) fn renewed(self, server: &Server, means: &Means) -> Option<Self> {
        let fits = self.setup.dates == server.dates
            && self.setup.identity.as_ref().map(ClientIdentity::id)
                == server.identity.as_ref().map(ClientIdentity::id)
            && !self.setup.tickets.is_empty();
        if !fits {
            return None;
        }
        let verifier = Verifier::new(&server.trust, server.dates, FoundSlot::default()).ok()?;
        let presented = verifier
            .judge_again(&self.presented, &server.name, means.unix_time()?)
            .ok()?;
        // What is found there after the handshake is to be of that handshake.
        *self.setup.found.lock().ok()? = None;
        let setup = self.setup.under(means).ok()?;
        Some(Self {
            setup,
            presented,
            ..self
        })
    }
}

/// Tickets in memory: gone with the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<HashMap<Place, Resumable>>);

/// Host and port.
type Place = (String, u16);

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Resumable>> {
        // Every change is one insertion or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TicketStore for MemoryStore {
    fn take(&self, server: &Target) -> Result<Option<Resumable>, StoreProblem> {
        Ok(self.lock().remove(&place(server)))
    }

    fn keep(&self, server: &Target, resumable: Resumable) -> Result<(), StoreProblem> {
        let (mut kept, place) = (self.lock(), place(server));
        if kept.len() >= MOST_SERVERS && !kept.contains_key(&place) {
            let problem = format!("there are those of {MOST_SERVERS} servers already");
            return Err(StoreProblem::Unwritable { problem });
        }
        kept.insert(place, resumable);
        Ok(())
    }
}

fn place(server: &Target) -> Place {
    (server.certificate_name(), server.port)
}

/// More than anybody asks from one process; some 10 KiB each.
const MOST_SERVERS: usize = 1024;
