//! The thread that keeps the picture of our clock fresh.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tsq_clock::SystemClock;
use tsq_net::ClockPair;

use super::chrony::Tracking;
use super::holdover::{Holdover, Sight};
use super::state::{Overrides, OwnClock};
use crate::newest::Newest;
use crate::signals::Signals;

/// The newest picture, for the serving threads; a new one comes at most once a second.
pub type Shared = Newest<OwnClock>;

/// Asks kernel and chronyd until dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    /// Ends the thread when dropped.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Whom to ask besides the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// Ask chronyd.
    pub chrony: bool,
    /// chronyd's command socket, where not in the usual place.
    pub chrony_socket: Option<PathBuf>,
    /// What the operator knows better.
    pub overrides: Overrides,
    /// How long a clock is served that nobody keeps any more.
    pub holdover: Duration,
}

impl Watch {
    /// Looks once, then goes on looking on a thread of its own. Should that end by itself, which only a
    /// panic makes it do, the wait of `signals` ends with it: what it last saw must not be told for ever.
    ///
    /// After each further look `seen` is shown the picture, and whether its keeper is another: then the operator is to be
    /// told.
    ///
    /// # Errors
    /// No thread could be made, or no file descriptors are left.
    pub fn start(
        asking: Asking,
        signals: &Signals,
        seen: impl FnMut(&OwnClock, bool) + Send + 'static,
    ) -> std::io::Result<Self> {
        let mut look = Look::new(asking);
        let shared = Shared::new(look.now());
        let (end, ended) = channel();
        let theirs = Arc::clone(&shared);
        let awaited = signals.ender()?;
        let thread = std::thread::Builder::new()
            .name("own clock".into())
            .spawn(move || {
                let _awaited = awaited;
                look.until(&ended, &theirs, seen);
            })?;
        Ok(Self {
            shared,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// The picture this keeps fresh.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Ends it.
    ///
    /// # Errors
    /// It had ended by itself, by a panic.
    pub fn stop(mut self) -> std::io::Result<()> {
        drop(self.end.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(std::io::Error::other(
                "the thread that watches this host's clock panicked",
            )),
            _ => Ok(()),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to lose; a panic there has been printed already.
            let _ = thread.join();
        }
    }
}

struct Look {
    asking: Asking,
    tracking: Option<(Tracking, Instant)>,
    holdover: Holdover,
    /// At the last look, to see a step since.
    clocks: ClockPair,
}

/// Looks once, for who only checks.
pub fn look_once(asking: Asking) -> OwnClock {
    Look::new(asking).now()
}

impl Look {
    fn new(asking: Asking) -> Self {
        Self {
            holdover: Holdover::new(asking.holdover),
            asking,
            tracking: None,
            clocks: ClockPair::read(),
        }
    }

    fn until(
        &mut self,
        ended: &Receiver<()>,
        shared: &Shared,
        mut seen: impl FnMut(&OwnClock, bool),
    ) {
        let mut chrony_due = Instant::now() + CHRONY_EVERY;
        while ended.recv_timeout(KERNEL_EVERY) == Err(RecvTimeoutError::Timeout) {
            if Instant::now() >= chrony_due {
                self.ask_chrony();
                chrony_due = Instant::now() + CHRONY_EVERY;
            }
            let (before, picture) = (shared.newest(), self.picture());
            let state = |clock: &OwnClock| {
                (
                    clock.synchronised,
                    clock.vouched,
                    clock.is_held(),
                    clock.lack,
                )
            };
            // Clients first, then the operator.
            shared.publish(picture.clone());
            seen(&picture, state(&before) != state(&picture));
        }
    }

    /// The first look, at everything.
    fn now(&mut self) -> OwnClock {
        self.ask_chrony();
        self.picture()
    }

    fn ask_chrony(&mut self) {
        if self.asking.chrony {
            let told = Tracking::ask(self.asking.chrony_socket.as_deref());
            self.tracking = told.map(|tracking| (tracking, Instant::now()));
        }
    }

    fn picture(&mut self) -> OwnClock {
        // A sandbox that forbids even reading leaves us without a keeper's word.
        let kernel = SystemClock::state().ok();
        let chrony = self
            .tracking
            .as_ref()
            .map(|(tracking, at)| (tracking, at.elapsed()));
        let clocks = ClockPair::read();
        let sight = Sight {
            picture: OwnClock::picture(kernel.as_ref(), chrony, &self.asking.overrides),
            unkept: OwnClock::picture(None, None, &self.asking.overrides),
            chrony: chrony.is_some(),
            kernel_max_error: kernel.map(|state| state.max_error),
            stepped: clocks.stepped_since(&self.clocks).is_some(),
        };
        self.clocks = clocks;
        self.holdover.see(Instant::now(), sight)
    }
}

const KERNEL_EVERY: Duration = Duration::from_secs(1);
/// Costs a process each: some milliseconds.
const CHRONY_EVERY: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watch_ends_when_dropped() {
        let asking = Asking {
            chrony: false,
            chrony_socket: None,
            overrides: Overrides::default(),
            holdover: Duration::ZERO,
        };
        let start = Instant::now();
        drop(Watch::start(asking, &Signals::none().unwrap(), |_, _| {}).unwrap());
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
