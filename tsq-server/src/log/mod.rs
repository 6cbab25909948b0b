//! The log on standard error. Nobody waits for it: who reads it may be stopped, full or gone, and the
//! time is served on.
//!
//! Lines go into a queue of limited size, and a thread of its own writes them. What does not fit is counted
//! ([`Log::lost`]), and told in a line when the reader goes on.

mod queue;

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

use crate::args::LogFormat;
use queue::Queue;

/// Where lines go. When it is dropped, those that wait are written, as far as somebody reads them within a second.
#[derive(Debug)]
pub struct Log {
    queue: Arc<Queue>,
    format: LogFormat,
}

/// Lines that nobody could be given.
#[derive(Clone, Debug, Default)]
pub struct Lost(Arc<AtomicU64>);

impl Lost {
    /// So many since the start.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Log {
    /// Lines of this level and above go to standard error from now on.
    ///
    /// What libraries say holds clients' addresses and is told at [`Level::TRACE`] only.
    pub fn start(level: Level, format: LogFormat) -> Self {
        let queue = Arc::new(Queue::default());
        let writer = Arc::clone(&queue);
        let layer = fmt::layer()
            .with_writer(move || queue::Line::of(Arc::clone(&writer)))
            .with_target(false)
            // A log nobody can write must not end the service.
            .log_internal_errors(false)
            .with_ansi(colours(
                io::stderr().is_terminal(),
                std::env::var_os("NO_COLOR").as_deref(),
                std::env::var_os("TERM").as_deref(),
            ));
        let layer = match format {
            LogFormat::Text => layer.boxed(),
            LogFormat::Json => layer.json().boxed(),
        };
        let told = filter_fn(move |line| is_told(line, level)).with_max_level_hint(level);
        // Fails where there is one already: then that one has the lines.
        let _ = registry().with(layer.with_filter(told)).try_init();
        Self { queue, format }
    }

    /// From now on a thread writes. Until then lines are written by those who have them, as far as that goes without
    /// waiting: a thread that is to be confined with all others must not start before them.
    ///
    /// # Errors
    /// The system gives no more threads.
    pub fn write_by_thread(&self) -> io::Result<()> {
        self.queue.write_by_thread()
    }

    /// The last line: why the program ends.
    pub fn fatal(&self, error: &dyn Display) {
        match self.format {
            LogFormat::Text => self.queue.push(format!("tsq-server: {error}\n").into()),
            LogFormat::Json => tracing::error!("{error}"),
        }
    }

    /// What was lost.
    pub fn lost(&self) -> Lost {
        self.queue.lost.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.finish(LINGER);
    }
}

/// For lines that wait at the end.
const LINGER: Duration = Duration::from_secs(1);

fn is_told(line: &Metadata<'_>, level: Level) -> bool {
    *line.level() <= level && (level == Level::TRACE || line.target().starts_with("tsq_"))
}

/// Whether to colour what goes to standard error, by <https://no-color.org> and the terminal's kind.
pub fn colours(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_have_them_and_people_who_want_them() {
        let os = |text: &'static str| Some(OsStr::new(text));
        assert!(colours(true, None, os("xterm-256color")));
        assert!(colours(true, os(""), None));
        assert!(!colours(false, None, os("xterm-256color")));
        assert!(!colours(true, os("1"), os("xterm-256color")));
        assert!(!colours(true, None, os("dumb")));
    }
}
