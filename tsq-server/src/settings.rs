//! The command line, resolved against this host.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::args::Args;
use crate::own_clock::{Asking, Overrides};

/// What the server is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Addresses to serve.
    pub listen: Vec<SocketAddr>,
    /// Where the certificate comes from.
    pub certificate: CertificateSource,
    /// Private key files to sign answers with.
    pub signing_keys: Vec<PathBuf>,
    /// Whom to ask what our clock is worth.
    pub asking: Asking,
    /// What else is told to clients that ask.
    pub annotations: Vec<(String, String)>,
}

/// Where the server's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// PEM files of the operator's.
    Files {
        /// The chain, leaf first.
        cert: PathBuf,
        /// The leaf's key.
        key: PathBuf,
    },
    /// Made on first start and kept in `dir`.
    SelfMade {
        /// The state directory.
        dir: PathBuf,
        /// Names and addresses in the certificate.
        names: Vec<String>,
    },
}

impl Settings {
    /// Fills in what the command line leaves open.
    pub fn resolve(args: &Args) -> Self {
        let certificate = match (&args.cert, &args.key) {
            (Some(cert), Some(key)) => CertificateSource::Files {
                cert: cert.clone(),
                key: key.clone(),
            },
            _ => CertificateSource::SelfMade {
                dir: args.state_dir.clone().unwrap_or_else(state_directory),
                names: if args.name.is_empty() {
                    own_names()
                } else {
                    args.name.clone()
                },
            },
        };
        Self {
            listen: args.listen.clone(),
            certificate,
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
            },
            annotations: args.annotate.clone(),
        }
    }
}

/// systemd names the unit's state directory, or several with colons between them.
fn state_directory() -> PathBuf {
    std::env::var("STATE_DIRECTORY")
        .ok()
        .and_then(|dirs| {
            dirs.split(':')
                .next()
                .filter(|dir| !dir.is_empty())
                .map(PathBuf::from)
        })
        .unwrap_or_else(|| PathBuf::from("/var/lib/tsq"))
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

    #[test]
    fn operators_files_win_over_a_made_certificate() {
        let args = Args::parse_from(["tsq-server", "--cert", "c", "--key", "k"]);
        let expected = CertificateSource::Files {
            cert: "c".into(),
            key: "k".into(),
        };
        assert_eq!(Settings::resolve(&args).certificate, expected);
    }

    #[test]
    fn a_made_certificate_has_a_name() {
        let args = Args::parse_from(["tsq-server", "--state-dir", "d"]);
        let CertificateSource::SelfMade { names, .. } = Settings::resolve(&args).certificate else {
            panic!("no files were given");
        };
        assert!(names.contains(&"localhost".to_string()));
    }
}
