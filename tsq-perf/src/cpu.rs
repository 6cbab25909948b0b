//! Processor time of another process.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The processor time each thread of a process has used, in user and kernel mode together.
///
/// `/proc/PID/schedstat` alone would be that of the main thread, and `/proc/PID/stat` counts in units
/// of 10 ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuTime(BTreeMap<u32, Duration>);

impl CpuTime {
    /// Reads it now.
    ///
    /// # Errors
    /// The process is gone, or the kernel keeps no such account.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let entry = entry?;
            let id = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            let id = id.ok_or_else(not_understood)?;
            match of_thread(&entry.path()) {
                Ok(time) => drop(threads.insert(id, time)),
                // It ended after the folder was read; `since` finds out if that matters.
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(threads))
    }

    /// What was used since `earlier`.
    ///
    /// # Errors
    /// A thread has ended in between and taken its account with it.
    pub fn since(&self, earlier: &Self) -> io::Result<Duration> {
        if let Some(id) = earlier.0.keys().find(|id| !self.0.contains_key(id)) {
            return Err(io::Error::other(format!(
                "thread {id} of the server ended during the measurement: its processor time is lost"
            )));
        }
        let total = |times: &Self| times.0.values().sum::<Duration>();
        Ok(total(self) - total(earlier))
    }
}

fn of_thread(folder: &Path) -> io::Result<Duration> {
    parse(&fs::read_to_string(folder.join("schedstat"))?).ok_or_else(not_understood)
}

/// The first of three fields: nanoseconds on a processor.
fn parse(schedstat: &str) -> Option<Duration> {
    let fields: Vec<&str> = schedstat.split_whitespace().collect();
    let [running, _waiting, _slices] = fields[..] else {
        return None;
    };
    running.parse().ok().map(Duration::from_nanos)
}

fn is_gone(error: &io::Error) -> bool {
    const ESRCH: i32 = 3;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH)
}

fn not_understood() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "/proc/PID/task/TID/schedstat is not as documented",
    )
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn first_field_is_the_time_on_a_processor() {
        assert_eq!(
            parse("635832 47210 1\n"),
            Some(Duration::from_nanos(635_832))
        );
        assert_eq!(parse("1 2"), None);
        assert_eq!(parse("x 2 3"), None);
    }

    #[test]
    fn work_of_a_second_thread_is_counted_and_sleep_is_not() {
        let (send, ready) = mpsc::channel();
        let (leave, left) = mpsc::channel::<()>();
        let worker = thread::spawn(move || {
            let end = Instant::now() + Duration::from_millis(120);
            while Instant::now() < end {
                black_box(0);
            }
            thread::sleep(Duration::from_millis(300));
            let path = fs::read_link("/proc/thread-self").unwrap();
            let id: u32 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            send.send(id).unwrap();
            // Stays until it was counted.
            let _ = left.recv();
        });
        let id = ready.recv().unwrap();
        let used = CpuTime::of(std::process::id()).unwrap().0[&id];
        drop(leave);
        worker.join().unwrap();
        // A loaded machine gives less than the 120 ms, and never more.
        assert!(used > Duration::from_millis(20), "{used:?}");
        assert!(used < Duration::from_millis(200), "{used:?}");
    }

    #[test]
    fn thread_that_ended_is_an_error_and_not_a_saving() {
        let time = |id, ms| (id, Duration::from_millis(ms));
        let earlier = CpuTime(BTreeMap::from([time(1, 10), time(2, 500)]));
        assert!(
            CpuTime(BTreeMap::from([time(1, 20)]))
                .since(&earlier)
                .is_err()
        );
        let later = CpuTime(BTreeMap::from([time(1, 20), time(2, 500), time(3, 7)]));
        assert_eq!(later.since(&earlier).unwrap(), Duration::from_millis(17));
    }

    #[test]
    fn process_that_does_not_exist_is_an_error() {
        assert!(CpuTime::of(u32::MAX).is_err());
    }
}
