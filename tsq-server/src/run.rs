//! From start to the last answer.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::PanicHookInfo;
use std::sync::Arc;

use tsq_net::tls;
use tsq_net::{KernelClock, ServerSecret, kernel_clock};
use tsq_proto::EncodeError;

use crate::clock_report;
use crate::config::Loaded;
use crate::counts::Counts;
use crate::limits::{Seed, Shared};
use crate::listen::{self, Listener, Served};
use crate::log::Log;
use crate::metrics::{Memory, Metrics, Responder, Sources, Started};
use crate::reload::{self, LoadError, Reload};
use crate::sandbox::Sandbox;
use crate::service::Service;
use crate::settings::{Contradiction, Settings};
use crate::shards;
use crate::supervise::supervise;
use crate::take_over::{self, HandedOver, Offer};
use crate::telling::Telling;
use tsq_host::activation;
use tsq_host::notify;
use tsq_host::own_clock::{self, Watch};
use tsq_host::signals::Signals;

/// Why the server ended, other than by request.
#[derive(Debug)]
pub enum RunError {
    /// Options contradict each other.
    Settings(Contradiction),
    /// A certificate or key cannot be used.
    Load(LoadError),
    /// Something to be told does not fit.
    Annotation(EncodeError),
    /// TLS cannot work with what it was given.
    Tls(rustls::Error),
    /// An address cannot be served.
    Bind {
        /// Which.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Metrics cannot be told where they are to be.
    Metrics {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The process that serves an address does not hand it over.
    TakeOver {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// A socket that was passed to us cannot be served.
    Passed(io::Error),
    /// The system failed us while running.
    Running(io::Error),
    /// It was to end before it served. No failure.
    Ended,
}

impl RunError {
    /// The documented exit code of this failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Ended => 0,
            Self::Running(_) => 1,
            Self::Settings(_) => 2,
            Self::Load(_) | Self::Tls(_) | Self::Annotation(_) => 3,
            Self::Bind { .. } | Self::Metrics { .. } | Self::TakeOver { .. } | Self::Passed(_) => 4,
        }
    }
}

impl std::error::Error for RunError {}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Load(error) => error.fmt(f),
            Self::Annotation(error) => write!(f, "--annotate, --refid or --smear: {error}"),
            Self::Tls(error) => write!(f, "cannot serve with this certificate: {error}"),
            Self::Bind { address, error } => {
                write!(
                    f,
                    "cannot serve {address} (UDP): {error}{}",
                    bind_hint(*address, error)
                )
            }
            Self::Metrics { address, error } => {
                write!(f, "cannot tell metrics at {address} (TCP): {error}")
            }
            Self::TakeOver { address, error } => {
                write!(f, "cannot take {address} over: {error}")
            }
            Self::Passed(error) => write!(
                f,
                "cannot serve a socket the service manager passed: {error}; it must be a bound UDP socket (ListenDatagram=)"
            ),
            Self::Running(error) => write!(f, "failed while running: {error}"),
            Self::Ended => f.write_str("asked to end before it served"),
        }
    }
}

fn bind_hint(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "; another program has the port (see: ss -ulpn 'sport = :{}')",
                address.port()
            )
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need root or CAP_NET_BIND_SERVICE".to_string()
        }
        _ if error.raw_os_error() == Some(libc::EMFILE) => {
            "; raise the limit of file descriptors (ulimit -n, LimitNOFILE=)".to_string()
        }
        _ if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            "; this host has no IPv6: leave this --listen out, or serve 0.0.0.0".to_string()
        }
        io::ErrorKind::AddrNotAvailable => "; no interface has this address".to_string(),
        _ => String::new(),
    }
}

/// Serves until SIGTERM or SIGINT, or does what is asked instead: to check or print the options.
///
/// # Errors
/// See [`RunError`].
pub fn run(loaded: &Loaded, log: &Log) -> Result<(), RunError> {
    let args = &loaded.args;
    let settings = Settings::resolve(args).map_err(RunError::Settings)?;
    if args.print_config {
        return print(&loaded.to_toml());
    }
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    if args.check {
        reload::check(&settings).map_err(RunError::Load)?;
        let memory = settings.memory_bound();
        let holdover = settings.asking.holdover;
        clock_report::report(&own_clock::look_once(settings.asking), holdover);
        return print(&format!(
            "configuration, certificate and keys are good; memory: at most {memory}\n"
        ));
    }
    match run_with(settings, log) {
        Err(ended @ RunError::Ended) => {
            tracing::info!("{ended}");
            Ok(())
        }
        outcome => outcome,
    }
}

fn print(text: &str) -> Result<(), RunError> {
    tsq_command::output::print(|out| out.write_all(text.as_bytes())).map_err(RunError::Running)
}

fn run_with(mut settings: Settings, log: &Log) -> Result<(), RunError> {
    let started = Started::now();
    std::panic::set_hook(Box::new(log_panic));
    // Registered first: a signal during start-up must not kill a half-made certificate.
    let signals = Signals::register().map_err(RunError::Running)?;
    let reload = Reload::first(&settings).map_err(RunError::Load)?;
    let passed = activation::sockets().map_err(RunError::Passed)?;
    if !passed.is_empty() {
        settings.listen.clear();
    }
    settings.listen = listen::on_this_host(&settings.listen);
    let mut offers = offers(&settings, &signals)?;
    let secret = match offers.iter().flatten().next() {
        Some(offer) => offer.secret.clone(),
        None => ServerSecret::random().map_err(RunError::Running)?,
    };
    // Before the first thread: landlock confines only those that start from now on.
    confine(&settings);
    log.write_by_thread().map_err(RunError::Running)?;
    let config = tls::server_issuing(
        reload.identities.clone(),
        reload.client_verifier(),
        settings.role,
        &reload.issued,
    )
    .map_err(RunError::Tls)?;
    let holdover = settings.asking.holdover;
    let waits_for_sync = settings.asking.overrides.tells_of_a_reference();
    let watch = Watch::start(settings.asking, &signals, clock_report::of_looks(holdover))
        .map_err(RunError::Running)?;
    clock_report::report(&watch.shared().newest(), holdover);
    if waits_for_sync && !watch.shared().newest().synchronised {
        tracing::warn!(
            "--stratum, --source and --refid are told only while somebody keeps this host's clock: \
             run chrony, or vouch for the clock with --serve-unsynchronised"
        );
    }
    let telling = Telling::new(
        watch.shared(),
        Arc::clone(&reload.keys),
        settings.annotations.into(),
        tsq_net::now(),
    )
    .map_err(RunError::Annotation)?;
    let served = Served {
        config: Arc::new(config),
        secret,
        telling,
        rules: Arc::new(settings.rules),
        clients: reload.clients(),
        threads: settings.threads,
        limits: settings.limits,
        shared: Arc::new(Shared::new(&settings.limits, Seed::random())),
    };
    let taking_over = offers.iter().any(Option::is_some);
    let (listeners, services) = addresses(&served, &settings.listen, passed, &mut offers)?;
    let metrics = Arc::new(Metrics::new(Sources {
        shards: services.iter().map(Service::counters).collect(),
        shared: Arc::clone(&served.shared),
        issued: reload.issued.clone(),
        clock: watch.shared(),
        memory: Memory::own(),
        log: log.lost(),
        identities: Arc::clone(&reload.identities),
        failures: Arc::clone(&reload.failures),
        started,
    }));
    let responder = respond(settings.metrics, taking_over, &metrics)?;
    report_timestamps();
    let bound = settings.limits.memory_bound(services.len());
    tracing::info!(at_most = %bound, "memory");
    let mut workers = shards::start(services, &signals).map_err(RunError::Running)?;
    let handed_over = HandedOver::default();
    for listener in listeners {
        let address = listener.address();
        listener
            .open(&handed_over, &signals)
            .map_err(|error| match error.kind() {
                io::ErrorKind::Interrupted => RunError::Ended,
                _ => RunError::Bind { address, error },
            })?;
    }
    notify::ready();
    supervise(&signals, reload, &mut workers, &metrics).map_err(RunError::Running)?;
    notify::stopping();
    // Who scrapes is to find the next process, if there is one.
    drop(responder);
    let counts = if handed_over.get() {
        tracing::info!("draining after a take-over");
        workers.leave()
    } else {
        tracing::info!("draining");
        workers.stop()
    };
    report(&counts.map_err(RunError::Running)?);
    watch.stop().map_err(RunError::Running)
}

/// Tells metrics to those who may ask, if that is wanted.
fn respond(
    address: Option<SocketAddr>,
    take_over: bool,
    metrics: &Arc<Metrics>,
) -> Result<Option<Responder>, RunError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let responder = Responder::start(address, take_over, Arc::clone(metrics))
        .map_err(|error| RunError::Metrics { address, error })?;
    tracing::info!(address = %responder.address(), "metrics");
    Ok(Some(responder))
}

/// A panic is a bug: where it is belongs in the log, in one line as everything there.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    tracing::error!(
        thread = thread.name(),
        location = panic.location().map(tracing::field::display),
        reason = panic.payload_as_str(),
        "panic"
    );
}

/// What the processes that serve our addresses offer, if we are to take them over.
fn offers(settings: &Settings, signals: &Signals) -> Result<Vec<Option<Offer>>, RunError> {
    let ask = |&address| match settings.take_over {
        true => take_over::ask(address, signals).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => RunError::Ended,
            _ => RunError::TakeOver { address, error },
        }),
        false => Ok(None),
    };
    settings.listen.iter().map(ask).collect()
}

/// The sockets that were passed to us; else the addresses to `listen` on, offered or not.
fn addresses(
    served: &Served,
    listen: &[SocketAddr],
    passed: Vec<UdpSocket>,
    offers: &mut [Option<Offer>],
) -> Result<(Vec<Listener>, Vec<Service>), RunError> {
    let (mut listeners, mut services) = (Vec::new(), Vec::new());
    for (&address, offer) in listen.iter().zip(offers) {
        let (listener, shards) = match offer.take() {
            Some(offer) => served.take_over(offer),
            None => served.bind(address, listen),
        }
        .map_err(|error| RunError::Bind { address, error })?;
        listeners.push(listener);
        services.extend(shards);
    }
    for socket in passed {
        let service = served.adopt(socket).map_err(RunError::Passed)?;
        tracing::info!(address = %service.address(), threads = 1, passed = true, "listening");
        services.push(service);
    }
    Ok((listeners, services))
}

fn confine(settings: &Settings) {
    if settings.sandbox {
        Sandbox::of(settings).enter().log();
    } else {
        tracing::warn!("no sandbox, as --no-sandbox says");
    }
}

fn report_timestamps() {
    match kernel_clock() {
        KernelClock::Agrees => tracing::info!("receive timestamps: kernel"),
        KernelClock::Untested => {
            tracing::info!("receive timestamps: kernel, untested (no loopback)");
        }
        KernelClock::NoStamps => {
            tracing::warn!("receive timestamps: user space; this kernel stamps no packets");
        }
        KernelClock::Differs => {
            tracing::warn!(
                "receive timestamps: user space; the kernel's clock is not this process's"
            );
        }
    }
}

fn report(counts: &Counts) {
    tracing::info!(
        datagrams = counts.datagrams,
        streams = counts.streams,
        refused = counts.refused(),
        handshakes = counts.handshakes,
        follow_ups = counts.follow_ups,
        denied = counts.denied,
        user_stamps = counts.user_stamps,
        unsent = counts.unsent,
        retried = counts.retried,
        over_limits = counts.over_limits(),
        "served"
    );
}
