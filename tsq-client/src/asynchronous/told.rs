//! One value from a thread to a task, whatever runs the task.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Where the value comes from, and where it goes.
pub(super) fn pair<T>() -> (Teller<T>, Told<T>) {
    let shared = Arc::new(Mutex::new(State::Awaited(None)));
    (Teller(Arc::clone(&shared)), Told(shared))
}

#[derive(Debug)]
enum State<T> {
    Awaited(Option<Waker>),
    Said(T),
    /// Nobody will say anything any more.
    Over,
}

type Shared<T> = Arc<Mutex<State<T>>>;

#[derive(Debug)]
pub(super) struct Teller<T>(Shared<T>);

/// Gives the value once it is there; None if the thread has ended without.
#[derive(Debug)]
pub(super) struct Told<T>(Shared<T>);

impl<T> Teller<T> {
    pub(super) fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub(super) fn say(self, value: T) {
        settle(&self.0, State::Said(value));
    }
}

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        settle(&self.0, State::Over);
    }
}

impl<T> Future for Told<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        match std::mem::replace(&mut *state, State::Over) {
            State::Said(value) => Poll::Ready(Some(value)),
            State::Over => Poll::Ready(None),
            State::Awaited(_) => {
                *state = State::Awaited(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

/// The first word counts.
fn settle<T>(shared: &Shared<T>, word: State<T>) {
    let mut state = lock(shared);
    if let State::Awaited(waker) = &mut *state {
        let waker = waker.take();
        *state = word;
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, State<T>> {
    // Every change is one assignment.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
