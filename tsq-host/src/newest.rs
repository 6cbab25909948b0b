//! A value that one thread replaces and the serving threads look at.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The newest of something, for the serving threads.
///
/// They look at a number with every turn of their loop, and take the lock only when it has
/// changed.
#[derive(Debug)]
pub struct Newest<T> {
    version: AtomicU64,
    value: Mutex<Arc<T>>,
}

impl<T> Newest<T> {
    /// Holds `first` until something newer is known.
    pub fn new(first: T) -> Arc<Self> {
        Self::holding(Arc::new(first))
    }

    /// As [`Self::new`], for a value that is shared already.
    pub fn holding(first: Arc<T>) -> Arc<Self> {
        Arc::new(Self {
            version: AtomicU64::new(1),
            value: Mutex::new(first),
        })
    }

    /// Changes whenever the value does; never 0.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The newest value.
    pub fn newest(&self) -> Arc<T> {
        Arc::clone(&self.value.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the value.
    pub fn replace(&self, value: T) {
        let mut held = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(value);
        self.version.fetch_add(1, Ordering::Release);
    }
}

impl<T: PartialEq> Newest<T> {
    /// Replaces the value if it is another.
    pub fn publish(&self, value: T) {
        if *self.newest() != value {
            self.replace(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_changes_with_the_value_only() {
        let shared = Newest::new(0);
        let first = shared.version();
        shared.publish(0);
        assert_eq!(shared.version(), first);
        shared.publish(3);
        assert_ne!(shared.version(), first);
        assert_eq!(*shared.newest(), 3);
    }
}
