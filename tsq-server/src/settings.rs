//! The options, resolved against this host and each other.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use tsq_net::MAX_SHARDS;

use tsq_net::Role;

use crate::args::Args;
use crate::limits::{Limits, MemoryBound};
use crate::rules::Rules;
use crate::teller::Teller;
use tsq_host::own_clock::{Asking, Overrides};

/// What the server is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Addresses to serve.
    pub listen: Vec<SocketAddr>,
    /// Shards of each address, a thread each.
    pub threads: usize,
    /// Whether to take the addresses over from a process that serves them.
    pub take_over: bool,
    /// Where the certificate comes from.
    pub certificate: CertificateSource,
    /// Clients must show a certificate of an authority in this file.
    pub client_ca: Option<PathBuf>,
    /// Which clients may ask, by address.
    pub rules: Rules,
    /// Private key files to sign answers with.
    pub signing_keys: Vec<PathBuf>,
    /// Whom to ask what our clock is worth.
    pub asking: Asking,
    /// What strangers may use.
    pub limits: Limits,
    /// What QUIC lets a connection use.
    pub role: Role,
    /// Where to tell metrics.
    pub metrics: Option<SocketAddr>,
    /// What else is told to clients that ask.
    pub annotations: Vec<(String, String)>,
    /// Whether to give up what a server does not need.
    pub sandbox: bool,
}

/// Where the server's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// PEM files of the operator's, the default certificate first; never empty.
    Files(Vec<PemPair>),
    /// Made on first start and kept in `dir`.
    SelfMade {
        /// The state directory.
        dir: PathBuf,
        /// Names and addresses in the certificate.
        names: Vec<String>,
        /// Whether the operator asked for these names.
        asked: bool,
    },
}

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemPair {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The leaf's key.
    pub key: PathBuf,
}

/// Options that are good one by one but make no sense together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction(String);

impl std::error::Error for Contradiction {}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Settings {
    /// Fills in what the options leave open, and sees whether they fit each other.
    ///
    /// # Errors
    /// See [`Contradiction`].
    pub fn resolve(args: &Args) -> Result<Self, Contradiction> {
        if args.no_chrony && args.chrony_socket.is_some() {
            return contradiction("--chrony-socket says where to ask, --no-chrony not to ask");
        }
        let listen: Vec<SocketAddr> = args.listen.iter().map(plain).collect();
        if let Some(twice) = duplicate(&listen) {
            return contradiction(format!("--listen {twice} is given twice"));
        }
        if let Some((part, whole)) = part_of_another(&listen) {
            return contradiction(format!(
                "--listen {part} is part of --listen {whole}, which serves it already: leave one of them out"
            ));
        }
        fit(args)?;
        Ok(Self {
            listen,
            threads: args.threads.map_or_else(cores, Into::into),
            take_over: args.take_over,
            certificate: certificate(args)?,
            client_ca: args.client_ca.clone(),
            rules: Rules::new(&args.allow, &args.deny)
                .map_err(|error| Contradiction(error.to_string()))?,
            signing_keys: args.signing_key.clone(),
            asking: Asking {
                chrony: !args.no_chrony,
                chrony_socket: args.chrony_socket.clone(),
                overrides: Overrides {
                    stratum: args.stratum,
                    source: args.source.map(Into::into),
                    reference_id: args.refid.clone(),
                    smear: args.smear.clone(),
                    vouched: args.serve_unsynchronised,
                },
                holdover: args.holdover,
            },
            limits: args.limits.limits(),
            role: args.limits.role(),
            metrics: args.metrics,
            annotations: args.annotate.clone(),
            sandbox: !args.no_sandbox,
        })
    }

    /// What a server with these options takes of memory at most.
    pub fn memory_bound(&self) -> MemoryBound {
        self.limits.memory_bound(self.threads * self.listen.len())
    }

    /// What is legal but unwise, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let overrides = &self.asking.overrides;
        if overrides.vouched && overrides.stratum == Some(1) {
            warnings.push(
                "--stratum 1 with --serve-unsynchronised claims a reference clock even when nobody keeps this one"
                    .into(),
            );
        }
        for address in self.listen.iter().filter(|address| address.port() == 0) {
            warnings.push(format!(
                "--listen {address} takes a port of the system's choice, another at each start"
            ));
        }
        if let Some(address) = self
            .metrics
            .filter(|address| !address.ip().to_canonical().is_loopback())
        {
            warnings.push(format!(
                "--metrics {address} tells everybody who reaches it, unencrypted, what this server does"
            ));
        }
        if self.asking.overrides.smear.as_deref() == Some("unknown") {
            warnings.push("--smear unknown is what is told without it".into());
        }
        warnings
    }
}

fn contradiction<T>(text: impl Into<String>) -> Result<T, Contradiction> {
    Err(Contradiction(text.into()))
}

/// An IPv4 address that is written as an IPv6 one is one of IPv4.
fn plain(address: &SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip.is_ipv4() => SocketAddr::new(ip, address.port()),
        // With its zone.
        _ => *address,
    }
}

/// An address that another one covers. The two wildcards of one port do not: `[::]` is then for IPv6 alone.
fn part_of_another(listen: &[SocketAddr]) -> Option<(&SocketAddr, &SocketAddr)> {
    let covers = |whole: &SocketAddr, part: &SocketAddr| {
        whole.ip().is_unspecified()
            && !part.ip().is_unspecified()
            && whole.port() == part.port()
            && part.port() != 0
            && (whole.is_ipv6() || part.is_ipv4())
    };
    listen.iter().find_map(|part| {
        let whole = listen.iter().find(|whole| covers(whole, part))?;
        Some((part, whole))
    })
}

fn duplicate<T: PartialEq>(items: &[T]) -> Option<&T> {
    items
        .iter()
        .enumerate()
        .find(|(index, item)| items[..*index].contains(item))
        .map(|(_, item)| item)
}

fn certificate(args: &Args) -> Result<CertificateSource, Contradiction> {
    let (certs, keys) = (args.cert.len(), args.key.len());
    if certs != keys {
        return contradiction(format!(
            "--cert is given {certs} times and --key {keys} times: each certificate needs its key, in the same order"
        ));
    }
    if certs == 0 {
        let asked = !args.name.is_empty();
        return Ok(CertificateSource::SelfMade {
            dir: args.state_dir.clone(),
            names: if asked {
                args.name.clone()
            } else {
                own_names()
            },
            asked,
        });
    }
    if !args.name.is_empty() {
        return contradiction("--name is for the self-made certificate, and --cert names another");
    }
    let pairs = args.cert.iter().zip(&args.key);
    Ok(CertificateSource::Files(
        pairs
            .map(|(cert, key)| PemPair {
                cert: cert.clone(),
                key: key.clone(),
            })
            .collect(),
    ))
}

/// Whether all that is told fits an answer, however long the numbers become.
fn fit(args: &Args) -> Result<(), Contradiction> {
    Teller::check_room(args.smear.as_deref(), args.refid.as_deref(), &args.annotate)
        .or_else(|error| contradiction(format!("--annotate, --refid and --smear: {error}")))
}

/// One thread for each core this process may use, as far as that many help.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_SHARDS))
}

fn own_names() -> Vec<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let mut names = vec!["localhost".to_string()];
    if !host.is_empty() && host != "localhost" && host != "(none)" {
        names.insert(0, host.to_string());
    }
    names
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn resolve(words: &str) -> Result<Settings, Contradiction> {
        let words = words.split(' ').filter(|word| !word.is_empty());
        Settings::resolve(&Args::parse_from(["tsq-server"].into_iter().chain(words)))
    }

    #[test]
    fn operators_files_win_over_a_made_certificate() {
        let expected = CertificateSource::Files(vec![PemPair {
            cert: "c".into(),
            key: "k".into(),
        }]);
        assert_eq!(resolve("--cert c --key k").unwrap().certificate, expected);
    }

    #[test]
    fn a_made_certificate_has_a_name() {
        let CertificateSource::SelfMade { names, .. } = resolve("").unwrap().certificate else {
            panic!("no files were given");
        };
        assert!(names.contains(&"localhost".to_string()));
    }

    #[test]
    fn contradictions_name_the_options() {
        for (words, named) in [
            ("--cert c", "--key"),
            ("--key k", "--cert"),
            ("--cert c --key k --cert d", "2 times"),
            ("--allow 10.0.0.0/8 --deny 10.0.0.0/8", "10.0.0.0/8"),
            ("--cert c --key k --name n", "--name"),
            ("--no-chrony --chrony-socket s", "--chrony-socket"),
            ("--listen [::]:1 --listen [::]:1", "--listen [::]:1"),
            (
                "--listen 10.0.0.1:1 --listen [::ffff:10.0.0.1]:1",
                "10.0.0.1:1 is given twice",
            ),
            (
                "--listen 10.0.0.1:1 --listen 0.0.0.0:1",
                "10.0.0.1:1 is part of --listen 0.0.0.0:1",
            ),
            (
                "--listen [::]:1 --listen 10.0.0.1:1",
                "10.0.0.1:1 is part of --listen [::]:1",
            ),
            (
                "--listen [::]:1 --listen [::1]:1",
                "[::1]:1 is part of --listen [::]:1",
            ),
        ] {
            let error = resolve(words).unwrap_err().to_string();
            assert!(error.contains(named), "{words}: {error}");
        }
    }

    #[test]
    fn addresses_beside_each_other_are_served_together() {
        for words in [
            "--listen 0.0.0.0:1 --listen [::]:1",
            "--listen 0.0.0.0:1 --listen [::1]:1",
            "--listen 0.0.0.0:1 --listen 10.0.0.1:2",
            "--listen 0.0.0.0:0 --listen 10.0.0.1:0",
            "--listen 10.0.0.1:1 --listen 10.0.0.2:1",
        ] {
            assert_eq!(resolve(words).unwrap().listen.len(), 2, "{words}");
        }
    }

    #[test]
    fn annotations_that_do_not_fit_together_are_refused() {
        let one = format!("--annotate a={} ", "x".repeat(200));
        assert!(resolve(&one).is_ok());
        let error = resolve(&one.repeat(4)).unwrap_err().to_string();
        assert!(error.contains("--annotate"), "{error}");
    }

    #[test]
    fn unwise_settings_are_warned_of_and_wise_ones_are_not() {
        for wise in ["", "--metrics 127.0.0.1:9443", "--metrics [::1]:9443"] {
            assert_eq!(resolve(wise).unwrap().warnings(), [""; 0]);
        }
        for unwise in [
            "--stratum 1 --serve-unsynchronised",
            "--listen 127.0.0.1:0",
            "--smear unknown",
            "--metrics 192.0.2.1:9443",
            "--metrics [::]:9443",
        ] {
            assert_eq!(resolve(unwise).unwrap().warnings().len(), 1, "{unwise}");
        }
    }
}
