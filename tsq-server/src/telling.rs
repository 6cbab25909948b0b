//! What there is to tell, followed as it changes.

use std::sync::Arc;

use tsq_keys::SigningKeys;
use tsq_proto::{EncodeError, HostTime};

use crate::teller::Teller;
use tsq_host::newest::Newest;
use tsq_host::own_clock::Shared;

/// Makes a new [`Teller`] whenever there is something new about clock or keys.
#[derive(Clone, Debug)]
pub struct Telling {
    clock: Arc<Shared>,
    keys: Arc<Newest<SigningKeys>>,
    annotations: Arc<[(String, String)]>,
    seen: Seen,
    newest: Teller,
}

/// The versions that the newest teller tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    clock: u64,
    keys: u64,
}

impl Telling {
    /// Tells of `clock`, signs with `keys`, adds `annotations`; it is `now`.
    ///
    /// # Errors
    /// Those of [`Teller::new`].
    pub fn new(
        clock: Arc<Shared>,
        keys: Arc<Newest<SigningKeys>>,
        annotations: Arc<[(String, String)]>,
        now: HostTime,
    ) -> Result<Self, EncodeError> {
        // Versions first: what comes in between is seen as new.
        let seen = Seen::of(&clock, &keys);
        let newest = Teller::new(&clock.newest(), keys.newest(), &annotations, now)?;
        Ok(Self {
            clock,
            keys,
            annotations,
            seen,
            newest,
        })
    }

    /// The newest there is, as far as this one has looked.
    pub fn teller(&self) -> Teller {
        self.newest.clone()
    }

    /// The next one, if anything is new; nothing to do but compare numbers, mostly.
    pub fn refresh(&mut self, now: impl FnOnce() -> HostTime) -> Option<Teller> {
        let seen = Seen::of(&self.clock, &self.keys);
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        let (clock, keys) = (self.clock.newest(), self.keys.newest());
        // The texts fitted at the start, and only numbers have changed since.
        self.newest = Teller::new(&clock, Arc::clone(&keys), &self.annotations, now())
            .unwrap_or_else(|_| self.teller().with_keys(keys));
        Some(self.teller())
    }
}

impl Seen {
    fn of(clock: &Shared, keys: &Newest<SigningKeys>) -> Self {
        Self {
            clock: clock.version(),
            keys: keys.version(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tsq_proto::{Nonce, Request};

    use super::*;
    use tsq_host::own_clock::{Overrides, OwnClock};

    #[test]
    fn change_of_the_clock_is_told_after_a_refresh() {
        let shared = Shared::new(OwnClock::picture(None, None, &Overrides::default()));
        let keys = Newest::new(SigningKeys::default());
        let now = HostTime::from_unix(1_795_000_000, 0);
        let mut telling = Telling::new(Arc::clone(&shared), keys, Arc::default(), now).unwrap();
        let vouched = Overrides {
            vouched: true,
            stratum: Some(4),
            ..Overrides::default()
        };
        shared.publish(OwnClock::picture(None, None, &vouched));
        let plain = Request::new(Nonce::new([0; 16]));
        assert!(!telling.teller().may_answer(&plain));
        let teller = telling.refresh(|| now).unwrap();
        assert!(teller.may_answer(&plain));
        assert_eq!(teller.contents(now).time_source.unwrap().stratum, 4);
        assert!(telling.refresh(|| now).is_none());
    }

    #[test]
    fn new_keys_are_taken_up_after_a_refresh() {
        let shared = Shared::new(OwnClock::picture(None, None, &Overrides::default()));
        let keys = Newest::new(SigningKeys::default());
        let now = HostTime::from_unix(1_795_000_000, 0);
        let mut telling = Telling::new(shared, Arc::clone(&keys), Arc::default(), now).unwrap();
        assert!(telling.refresh(|| now).is_none());
        keys.replace(SigningKeys::default());
        assert!(telling.refresh(|| now).is_some());
    }
}
