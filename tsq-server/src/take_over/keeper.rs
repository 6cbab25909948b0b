//! The side that serves: keeps an address's sockets, and hands them to who asks for them.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Uid;
use tsq_net::{Group, ServerSecret};

use super::offer::{misunderstood, send};
use super::rarely::Rarely;
use super::{DRAINING, PATIENCE, SERVING, SERVING_ON, name, stranger};
use tsq_host::signals::{Ender, Signals};

/// Keeps the sockets of one address in their places, on a thread of its own for as long as the process
/// lives, and hands them over once.
#[derive(Debug)]
pub struct Keeper {
    group: Group,
    secret: ServerSecret,
    /// Ends when the process that we took over from does.
    before: Option<UnixStream>,
    /// Whose processes may take over.
    pub(super) user: Uid,
}

/// Whether another process serves our addresses now.
#[derive(Clone, Debug, Default)]
pub struct HandedOver(Arc<AtomicBool>);

impl HandedOver {
    /// Whether it does.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Keeper {
    /// For a process that took nothing over.
    pub fn first(group: Group, secret: ServerSecret) -> Self {
        Self {
            group,
            secret,
            before: None,
            user: rustix::process::geteuid(),
        }
    }

    /// For a process that takes over from another, which the stream is connected to.
    pub fn next(group: Group, secret: ServerSecret, before: UnixStream) -> Self {
        Self {
            group,
            secret,
            before: Some(before),
            user: rustix::process::geteuid(),
        }
    }

    /// The address kept.
    pub fn address(&self) -> SocketAddr {
        self.group.local_addr()
    }

    /// Shards of it.
    pub fn threads(&self) -> usize {
        self.group.shards().count()
    }

    /// Begins. When the address is handed over, `handed_over` is set and `signals` end their wait.
    ///
    /// # Errors
    /// The system gives no more threads or file descriptors. A name that is taken is a warning
    /// only: the address is served, but cannot be taken over before the name is free.
    pub fn start(self, handed_over: HandedOver, signals: &Signals) -> io::Result<()> {
        let address = self.address();
        if !self.group.is_steered() {
            tracing::info!(%address, "cannot be taken over: this system steers no packets");
            return Ok(());
        }
        let listener = UnixListener::bind_addr(&name(address)?);
        if let Err(error) = &listener {
            tracing::warn!(%address, %error, "cannot be taken over: another process has the name for it");
        }
        let ender = signals.ender()?;
        std::thread::Builder::new()
            .name("tsq-keeper".into())
            .spawn(move || self.run(listener.ok(), &handed_over, ender))?;
        Ok(())
    }

    fn run(mut self, listener: Option<UnixListener>, handed_over: &HandedOver, ender: Ender) {
        let address = self.address();
        if let Some(mut before) = self.before.take() {
            // Nothing comes but the end, which a connection that breaks is too.
            let _ = before.read(&mut [0]);
            self.settle();
            tracing::info!(%address, "the process before has ended");
        }
        let listener = listener.unwrap_or_else(|| self.claim_name());
        // Kept for as long as the process lives: its end tells the next one.
        let _next = self.hand_over(listener, handed_over);
        if handed_over.get() {
            tracing::info!(%address, "another process has taken over");
            drop(ender);
        }
        loop {
            std::thread::park();
        }
    }

    /// Waits for the name of our address, which another process has.
    fn claim_name(&self) -> UnixListener {
        let address = self.address();
        loop {
            std::thread::sleep(AGAIN);
            if let Ok(listener) = name(address).and_then(|name| UnixListener::bind_addr(&name)) {
                tracing::info!(%address, "can be taken over now");
                return listener;
            }
        }
    }

    /// Hands over to the first process that gets as far as serving.
    fn hand_over(&self, listener: UnixListener, handed_over: &HandedOver) -> UnixStream {
        let address = self.address();
        let (mut strangers, mut failures) = (Rarely::default(), Rarely::default());
        let mut next = loop {
            let outcome = match listener.accept() {
                Ok((peer, _)) => match stranger(&peer, self.user) {
                    Ok(None) => self.offer(peer),
                    Ok(Some(user)) => {
                        if let Some(times) = strangers.again(Instant::now()) {
                            let user = user.as_raw();
                            tracing::warn!(%address, user, times, "another user's process asked to take over");
                        }
                        // At once to the next, who may be ours.
                        continue;
                    }
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            match outcome {
                Ok(next) => break next,
                Err(error) => {
                    if let Some(times) = failures.again(Instant::now()) {
                        tracing::warn!(%address, %error, times, "a take-over failed; serving on");
                    }
                    self.settle();
                    // What failed without a client would fail at once again.
                    std::thread::sleep(PAUSE);
                }
            }
        };
        // Before the other is told so: it may claim the name, and send us a signal to end.
        drop(listener);
        handed_over.set();
        // Should it have died now, then nobody serves, as after any such death.
        let _ = next.write_all(&[DRAINING]);
        next
    }

    /// Offers all, and returns when the other serves.
    fn offer(&self, mut next: UnixStream) -> io::Result<UnixStream> {
        next.set_read_timeout(Some(PATIENCE))?;
        next.set_write_timeout(Some(PATIENCE))?;
        send(&next, &self.group, &self.secret)?;
        let mut answer = [0];
        match next.read_exact(&mut answer) {
            Ok(()) if answer == [SERVING] => Ok(next),
            outcome => {
                // We live on; silence would mean that we do not.
                let _ = next.write_all(&[SERVING_ON]);
                outcome.and_then(|()| Err(misunderstood()))
            }
        }
    }

    fn settle(&self) {
        if let Err(error) = self.group.settle() {
            tracing::warn!(address = %self.address(), %error, "cannot steer packets");
        }
    }
}

/// How often to look whether the name is free.
const AGAIN: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(100);
