//! From start to the last answer.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use signal_hook::consts::{SIGINT, SIGTERM};
use tsq_keys::SigningKeys;
use tsq_net::tls;
use tsq_net::{KernelClock, Role, kernel_clock};
use tsq_proto::{EncodeError, Signer};

use crate::args::{Args, LogFormat};
use crate::certificate::{self, CertificateError};
use crate::config::Loaded;
use crate::own_clock::{Watch, report as report_clock};
use crate::service::{Counts, Service};
use crate::settings::{Contradiction, Settings};
use crate::teller::Teller;

/// Why the server ended, other than by request.
#[derive(Debug)]
pub enum RunError {
    /// Options contradict each other.
    Settings(Contradiction),
    /// No usable certificate.
    Certificate(CertificateError),
    /// A signing key file cannot be used.
    SigningKey(tsq_keys::Error),
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
    /// The system failed us while running.
    Running(io::Error),
}

impl RunError {
    /// The documented exit code of this failure.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Running(_) => 1,
            Self::Settings(_) => 2,
            Self::Certificate(_) | Self::Tls(_) | Self::SigningKey(_) | Self::Annotation(_) => 3,
            Self::Bind { .. } => 4,
        }
    }
}

impl std::error::Error for RunError {}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Certificate(error) => error.fmt(f),
            Self::SigningKey(error) => error.fmt(f),
            Self::Annotation(error) => write!(f, "--annotate, --refid or --smear: {error}"),
            Self::Tls(error) => write!(f, "cannot serve with this certificate: {error}"),
            Self::Bind { address, error } => {
                write!(
                    f,
                    "cannot serve {address} (UDP): {error}{}",
                    bind_hint(*address, error)
                )
            }
            Self::Running(error) => write!(f, "failed while running: {error}"),
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
        io::ErrorKind::AddrNotAvailable => "; no interface has this address".to_string(),
        _ => String::new(),
    }
}

/// Serves until SIGTERM or SIGINT, or does what is asked instead: to check or print the options.
///
/// # Errors
/// See [`RunError`].
pub fn run(loaded: &Loaded) -> Result<(), RunError> {
    let args = &loaded.args;
    let settings = Settings::resolve(args).map_err(RunError::Settings)?;
    if args.print_config {
        return print(&loaded.to_toml());
    }
    init_log(args);
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    if args.check {
        check(&settings)?;
        return print("configuration, certificate and keys are good\n");
    }
    run_with(settings)
}

/// Reads what a start would read, makes nothing and binds nothing.
fn check(settings: &Settings) -> Result<(), RunError> {
    certificate::check(&settings.certificate, SystemTime::now()).map_err(RunError::Certificate)?;
    SigningKeys::load(&settings.signing_keys)
        .map(drop)
        .map_err(RunError::SigningKey)
}

fn print(text: &str) -> Result<(), RunError> {
    use io::Write;
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(RunError::Running)
}

fn run_with(settings: Settings) -> Result<(), RunError> {
    // Registered first: a signal during start-up must not kill a half-made certificate.
    let signals = Signals::register().map_err(RunError::Running)?;
    let certificate = certificate::obtain(&settings.certificate, SystemTime::now())
        .map_err(RunError::Certificate)?;
    tracing::info!(
        pin = %certificate.pin,
        not_after = %certificate.not_after,
        self_made = certificate.self_made,
        "certificate"
    );
    let config = tls::server(certificate.key, ROLE).map_err(RunError::Tls)?;
    let keys = SigningKeys::load(&settings.signing_keys).map_err(RunError::SigningKey)?;
    for key in keys.iter() {
        tracing::info!(id = key.key_id(), algorithm = ?Signer::algorithm(key), "signing key");
    }
    let watch = Watch::start(settings.asking).map_err(RunError::Running)?;
    report_clock(&watch.shared().newest());
    let teller = Teller::new(watch.shared(), Arc::new(keys), settings.annotations.into())
        .map_err(RunError::Annotation)?;
    let mut services = Vec::new();
    for &address in &settings.listen {
        let service = Service::bind(address, config.clone(), teller.clone())
            .map_err(|error| RunError::Bind { address, error })?;
        services.push(service);
    }
    report_timestamps();
    serve(services, &signals)
}

fn serve(services: Vec<Service>, signals: &Signals) -> Result<(), RunError> {
    let (done, results) = mpsc::channel();
    let mut stoppers = Vec::new();
    for service in services {
        tracing::info!(address = %service.address(), "listening");
        stoppers.push(service.stopper());
        let (done, ended) = (done.clone(), signals.ender().map_err(RunError::Running)?);
        std::thread::Builder::new()
            .name(format!("tsq {}", service.address()))
            .spawn(move || {
                let _end_main = ended;
                // A panic drops `done` without a word; the main thread then ends the process.
                let _ = done.send(service.run());
            })
            .map_err(RunError::Running)?;
    }
    drop(done);
    signals.wait().map_err(RunError::Running)?;
    tracing::info!("draining");
    for stopper in &stoppers {
        stopper.stop();
    }
    for _ in &stoppers {
        let counts = results
            .recv()
            .map_err(|_| RunError::Running(io::Error::other("a serving thread panicked")))?
            .map_err(RunError::Running)?;
        report(&counts);
    }
    Ok(())
}

fn init_log(args: &Args) {
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(args.log_level)
        .with_target(false)
        // A log nobody can write must not end the service.
        .log_internal_errors(false)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
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
        refused = counts.refused,
        handshakes = counts.handshakes,
        user_stamps = counts.user_stamps,
        unsent = counts.unsent,
        "served"
    );
}

/// Waits for a signal to end, or for a serving thread that ended by itself.
struct Signals {
    receiver: UnixStream,
    sender: UnixStream,
}

impl Signals {
    fn register() -> io::Result<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
        }
        Ok(Self { receiver, sender })
    }

    /// Ends the wait when dropped.
    fn ender(&self) -> io::Result<Ender> {
        self.sender.try_clone().map(Ender)
    }

    fn wait(&self) -> io::Result<()> {
        io::Read::read(&mut &self.receiver, &mut [0]).map(drop)
    }
}

struct Ender(UnixStream);

impl Drop for Ender {
    fn drop(&mut self) {
        // If the main thread no longer listens, it is ending already.
        let _ = io::Write::write(&mut self.0, &[1]);
    }
}

const ROLE: Role = Role::Server {
    streams: 16,
    idle: Duration::from_secs(30),
};
