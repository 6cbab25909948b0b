//! Session tickets, which s2n-quic leaves to the callbacks of s2n-tls.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use s2n_tls::callbacks::{ConnectionFuture, SessionTicket, SessionTicketCallback};
use s2n_tls::config::{Builder, ConnectionInitializer};
use s2n_tls::connection::Connection;
use s2n_tls::error::Error;
use tokio::sync::Notify;

/// Keeps the newest ticket and offers it on the next connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<Vec<u8>>,
    /// Any of the connections so far.
    resumed: bool,
}

impl Sessions {
    /// Has a client's connections use these.
    pub(crate) fn install(&self, config: &mut Builder) -> Result<(), Error> {
        config
            .enable_session_tickets(true)?
            .set_session_ticket_callback(self.clone())?
            .set_connection_initializer(self.clone())?;
        Ok(())
    }

    /// Waits for a first ticket; false when none comes.
    pub(crate) async fn has_ticket(&self) -> bool {
        self.until(|state| state.newest.is_some()).await
    }

    /// Whether a connection was resumed: its ticket tells, which comes soon after the handshake.
    pub(crate) async fn have_resumed(&self) -> bool {
        self.until(|state| state.resumed).await
    }

    async fn until(&self, done: impl Fn(&State) -> bool) -> bool {
        let waiting = async {
            while !done(&self.lock()) {
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionTicketCallback for Sessions {
    fn on_session_ticket(&self, connection: &mut Connection, ticket: &SessionTicket) {
        let mut bytes = vec![0; ticket.len().unwrap_or(0)];
        if ticket.data(&mut bytes).is_ok() {
            let mut state = self.lock();
            state.newest = Some(bytes);
            state.resumed |= connection.resumed();
            self.changed.notify_one();
        }
    }
}

impl ConnectionInitializer for Sessions {
    fn initialize_connection(&self, connection: &mut Connection) -> Initialized {
        if let Some(ticket) = self.lock().newest.take() {
            connection.set_session_ticket(&ticket)?;
        }
        Ok(None)
    }
}

/// Nothing is left to wait for.
type Initialized = Result<Option<Pin<Box<dyn ConnectionFuture>>>, Error>;

const PATIENCE: Duration = Duration::from_secs(1);
