//! The serving threads: started together, ended together, none left half dead.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use crate::counts::Counts;
use crate::service::{Service, Stopper};
use tsq_host::signals::Signals;

/// Serving threads at work.
#[derive(Debug)]
pub struct Workers {
    stoppers: Vec<Stopper>,
    /// Of the last look.
    beats: Vec<u64>,
    results: mpsc::Receiver<io::Result<Counts>>,
}

/// Gives each service a thread of its own. One that ends by itself, also by a panic, ends the wait
/// of `signals`.
///
/// # Errors
/// The system gives no more threads or file descriptors.
pub fn start(services: Vec<Service>, signals: &Signals) -> io::Result<Workers> {
    let stoppers: Vec<Stopper> = services.iter().map(Service::stopper).collect();
    let (done, results) = mpsc::channel();
    for (index, service) in services.into_iter().enumerate() {
        let name = format!("tsq-{index}");
        let work = move || service.run();
        supervise(name, work, done.clone(), signals)?;
    }
    let beats = stoppers.iter().map(Stopper::beats).collect();
    let workers = Workers {
        stoppers,
        beats,
        results,
    };
    // For the first look.
    workers.nudge();
    Ok(workers)
}

impl Workers {
    /// Whether every service has gone on since the last look, and a nudge for the next.
    pub fn have_gone_on(&mut self) -> bool {
        let beats: Vec<u64> = self.stoppers.iter().map(Stopper::beats).collect();
        let gone_on = beats.iter().zip(&self.beats).all(|(now, then)| now != then);
        self.beats = beats;
        self.nudge();
        gone_on
    }

    /// Has every service look at what is new.
    pub fn nudge(&self) {
        self.stoppers.iter().for_each(Stopper::nudge);
    }

    /// Lets every service answer what is on its way, and sums up what all have done.
    ///
    /// # Errors
    /// The first of those by which a service ended.
    pub fn stop(self) -> io::Result<Counts> {
        self.stoppers.iter().for_each(Stopper::stop);
        sum(self.results)
    }

    /// As [`Self::stop`], but lets clients finish: another process serves new ones.
    ///
    /// # Errors
    /// As for [`Self::stop`].
    pub fn leave(self) -> io::Result<Counts> {
        self.stoppers.iter().for_each(Stopper::leave);
        sum(self.results)
    }
}

/// Waits for all threads, the good ones also after a bad one.
fn sum(results: impl IntoIterator<Item = io::Result<Counts>>) -> io::Result<Counts> {
    let mut outcome = Ok(Counts::default());
    for result in results {
        match (&mut outcome, result) {
            (Ok(total), Ok(counts)) => total.add(&counts),
            (Ok(_), Err(error)) => outcome = Err(error),
            (Err(_), _) => {}
        }
    }
    outcome
}

/// Runs `work` on a thread whose end, however it comes, is told to both `done` and `signals`.
fn supervise<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
    done: mpsc::Sender<io::Result<T>>,
    signals: &Signals,
) -> io::Result<()> {
    let ended = signals.ender()?;
    std::thread::Builder::new()
        .name(name.clone())
        .spawn(move || {
            // Dropped last: whoever it wakes finds the result.
            let _ended = ended;
            // What the panic left half done is dropped with the closure.
            let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
                let reason = reason(&*panic);
                Err(io::Error::other(format!(
                    "thread {name} panicked: {reason}"
                )))
            });
            // Nobody listens any more only when the process is ending.
            let _ = done.send(result);
        })?;
    Ok(())
}

fn reason(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;
    use crate::teller::Teller;

    #[test]
    fn panicking_thread_ends_the_wait_and_is_the_outcome() {
        let signals = Signals::none().unwrap();
        let (done, results) = mpsc::channel();
        let (hold, held) = mpsc::channel::<()>();
        let well = move || {
            // Ends as a service does, when it is told to.
            let _ = held.recv();
            Ok(Counts {
                datagrams: 7,
                ..Counts::default()
            })
        };
        supervise("well".into(), well, done.clone(), &signals).unwrap();
        let ill = || panic!("at packet {}", 5);
        supervise("ill".into(), ill, done, &signals).unwrap();
        signals.wait(None).unwrap();
        drop(hold);
        let error = sum(results).unwrap_err();
        assert_eq!(error.to_string(), "thread ill panicked: at packet 5");
    }

    #[test]
    fn service_that_hangs_is_noticed_and_one_that_serves_is_not() {
        let service = || {
            let key = tsq_certs::make_self_signed(
                &["localhost".into()],
                tsq_certs::Lifetime::days(1).unwrap(),
            )
            .unwrap();
            let chain = vec![CertificateDer::from_pem_slice(key.cert_pem.as_bytes()).unwrap()];
            let private = PrivateKeyDer::from_pem_slice(key.key_pem.as_bytes()).unwrap();
            let role = tsq_net::Role::Server {
                streams: 1,
                idle: Duration::from_secs(1),
                buffer: 4096,
            };
            let certified = tsq_net::tls::certified_key(chain, private).unwrap();
            let config = tsq_net::tls::server(certified, role).unwrap();
            Service::bind(
                "127.0.0.1:0".parse().unwrap(),
                config,
                Teller::vouching(tsq_net::now()),
            )
            .unwrap()
        };
        let signals = Signals::none().unwrap();
        let mut serving = start(vec![service()], &signals).unwrap();
        let begun = Instant::now();
        while !serving.have_gone_on() {
            assert!(begun.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(1));
        }
        let hanging = service();
        serving.stoppers.push(hanging.stopper());
        // The new one had no last look yet.
        serving.have_gone_on();
        for _ in 0..20 {
            assert!(!serving.have_gone_on(), "one of two hangs");
            std::thread::sleep(Duration::from_millis(1));
        }
        serving.stop().unwrap();
    }

    #[test]
    fn counts_of_all_threads_are_summed() {
        let signals = Signals::none().unwrap();
        let (done, results) = mpsc::channel();
        for index in 1..=3 {
            let work = move || {
                Ok(Counts {
                    datagrams: index,
                    streams: 10 * index,
                    refused_streams: 100 * index,
                    user_stamps: 1000 * index,
                    unsent: 10_000 * index,
                    handshakes: 100_000 * index,
                    follow_ups: 1_000_000 * index,
                    denied: 1_000_000 * index,
                    ..Counts::default()
                })
            };
            supervise(index.to_string(), work, done.clone(), &signals).unwrap();
        }
        drop(done);
        let expected = Counts {
            datagrams: 6,
            streams: 60,
            refused_streams: 600,
            user_stamps: 6000,
            unsent: 60_000,
            handshakes: 600_000,
            follow_ups: 6_000_000,
            denied: 6_000_000,
            ..Counts::default()
        };
        assert_eq!(sum(results).unwrap(), expected);
    }
}
