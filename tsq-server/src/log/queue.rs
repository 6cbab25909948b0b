//! Lines between those who have something to say and standard error.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Lost;

/// Takes lines without ever waiting.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is a line.
    filled: Condvar,
    /// A line less is there.
    written: Condvar,
    pub(super) lost: Lost,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Of all lines, with the one that is being written.
    bytes: usize,
    /// Written of the first line.
    begun: usize,
    /// Whether a thread writes.
    thread: bool,
}

impl Queue {
    /// Takes a line, or counts it as lost.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if state.bytes + line.len() > ROOM {
            self.lost.one_more();
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        if state.thread {
            self.filled.notify_one();
        } else {
            state.write_what_is_taken(&io::stderr());
        }
    }

    pub(super) fn write_by_thread(self: &Arc<Self>) -> io::Result<()> {
        // Held until the thread is there: what is pushed meanwhile waits.
        let mut state = self.lock();
        if !state.thread {
            let queue = Arc::clone(self);
            std::thread::Builder::new()
                .name("log".into())
                .spawn(move || queue.write_all(&io::stderr()))?;
            state.thread = true;
        }
        Ok(())
    }

    /// Waits until all is written, at most for `limit`.
    pub(super) fn finish(self: &Arc<Self>, limit: Duration) {
        if self.write_by_thread().is_err() {
            return;
        }
        let deadline = Instant::now() + limit;
        let mut state = self.lock();
        while state.bytes > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes line after line, for as long as the process lives.
    fn write_all(&self, out: &impl AsFd) {
        let mut told = 0;
        loop {
            let (line, begun) = self.next();
            write(out, &line[begun..]);
            let lost = self.lost.count();
            if self.have_written(&line) && lost > told {
                tracing::warn!(
                    lines = lost - told,
                    "log lines were lost here: standard error took none"
                );
                told = lost;
            }
        }
    }

    fn next(&self) -> (Vec<u8>, usize) {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                return (line, std::mem::take(&mut state.begun));
            }
            let waited = self.filled.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether that was all.
    fn have_written(&self, line: &[u8]) -> bool {
        let mut state = self.lock();
        state.bytes -= line.len();
        self.written.notify_all();
        state.lines.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is half done in it by who panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes as much as `out` takes at once.
    fn write_what_is_taken(&mut self, out: &impl AsFd) {
        while let Some(line) = self.lines.front() {
            if !takes_some(out, Some(&Timespec::default())) {
                return;
            }
            let rest = &line[self.begun..];
            match rustix::io::write(out, &rest[..rest.len().min(AT_ONCE)]) {
                Ok(count) if count < rest.len() => self.begun += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Written, or never to be.
                Ok(_) | Err(_) => {
                    self.bytes -= line.len();
                    self.begun = 0;
                    self.lines.pop_front();
                }
            }
        }
    }
}

/// Writes a line, however long that takes; where nobody can read it any more, not at all.
fn write(out: &impl AsFd, mut line: &[u8]) {
    while !line.is_empty() {
        match rustix::io::write(out, line) {
            Ok(count) => line = &line[count..],
            Err(Errno::INTR) => {}
            // Another process that has it too made it so.
            Err(Errno::AGAIN) => {
                takes_some(out, None);
            }
            Err(_) => return,
        }
    }
}

fn takes_some(out: &impl AsFd, limit: Option<&Timespec>) -> bool {
    poll(&mut [PollFd::new(out, PollFlags::OUT)], limit).is_ok_and(|ready| ready > 0)
}

/// A line while it is made; goes into its queue when it is dropped.
pub(super) struct Line {
    queue: Arc<Queue>,
    bytes: Vec<u8>,
}

impl Line {
    pub(super) fn of(queue: Arc<Queue>) -> Self {
        let bytes = Vec::new();
        Self { queue, bytes }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.queue.push(std::mem::take(&mut self.bytes));
    }
}

/// Some thousand lines.
const ROOM: usize = 256 * 1024;

/// What a pipe takes without waiting when it takes anything (PIPE_BUF).
const AT_ONCE: usize = 4096;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;

    /// A pipe that takes nothing more.
    fn full_pipe() -> (io::PipeReader, OwnedFd) {
        let (reader, writer) = io::pipe().unwrap();
        let mut filler = State::default();
        filler.lines.push_back(vec![b'x'; 1 << 20]);
        filler.bytes = 1 << 20;
        filler.write_what_is_taken(&writer);
        assert!(filler.begun >= AT_ONCE);
        (reader, writer.into())
    }

    #[test]
    fn what_is_not_taken_waits_and_then_comes_whole_and_in_order() {
        let (mut reader, writer) = full_pipe();
        let mut state = State::default();
        let long = vec![b'l'; 3 * AT_ONCE + 7];
        for line in [b"first\n".to_vec(), long.clone(), b"last\n".to_vec()] {
            state.bytes += line.len();
            state.lines.push_back(line);
        }
        state.write_what_is_taken(&writer);
        assert_eq!(state.lines.len(), 3, "a full pipe takes nothing");
        let mut text = Vec::new();
        let mut room = vec![0; 1 << 16];
        while !state.lines.is_empty() {
            let count = reader.read(&mut room).unwrap();
            text.extend_from_slice(&room[..count]);
            state.write_what_is_taken(&writer);
        }
        drop(writer);
        reader.read_to_end(&mut text).unwrap();
        assert_eq!((state.bytes, state.begun), (0, 0));
        let ours = text.iter().position(|byte| *byte != b'x').unwrap();
        assert_eq!(text[ours..], [&b"first\n"[..], &long, b"last\n"].concat());
    }

    #[test]
    fn line_for_a_reader_that_is_gone_is_given_up() {
        let (reader, writer) = full_pipe();
        drop(reader);
        let mut state = State {
            lines: [b"line\n".to_vec()].into(),
            bytes: 5,
            ..State::default()
        };
        state.write_what_is_taken(&writer);
        assert_eq!((state.lines.len(), state.bytes), (0, 0));
        write(&writer, b"line\n");
    }

    #[test]
    fn lines_past_the_room_are_counted_and_those_within_it_are_kept() {
        let queue = Queue::default();
        // Nobody writes: no thread was made.
        queue.lock().thread = true;
        queue.push(vec![b'x'; ROOM - 1]);
        queue.push(b"y".to_vec());
        assert_eq!(queue.lost.count(), 0);
        queue.push(b"z".to_vec());
        assert_eq!(queue.lost.count(), 1);
        assert_eq!(queue.lock().lines.len(), 2);
        let (line, _) = queue.next();
        assert!(!queue.have_written(&line));
        queue.push(b"z".to_vec());
        assert_eq!(queue.lost.count(), 1);
    }

    #[test]
    fn end_waits_for_a_reader_no_longer_than_it_may() {
        let queue = Arc::new(Queue::default());
        queue.lock().thread = true;
        queue.push(b"line".to_vec());
        let begun = Instant::now();
        queue.finish(Duration::from_millis(20));
        assert!(begun.elapsed() >= Duration::from_millis(20));
        let (line, _) = queue.next();
        assert!(queue.have_written(&line));
        // Without an end of its own: this returns because nothing is left.
        queue.finish(Duration::from_secs(3600));
    }
}
