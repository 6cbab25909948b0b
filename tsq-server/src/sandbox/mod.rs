//! What the process gives up once it has started: other files, other system calls, other programs.
//!
//! Whoever finds a way into the serving threads should find nothing there but the sockets and the
//! files that the server reads anyway. What is not allowed fails with an error (EPERM, EACCES), as it
//! does where rights lack: a call that was forgotten here must not end a service.

mod calls;
mod files;

use std::io;
use std::path::PathBuf;

pub use files::Enforced;

use crate::certificate;
use crate::settings::Settings;
use tsq_host::own_clock::USUAL_SOCKET;

/// What a process may still do with files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Files that are read again; others may take their places.
    pub read: Vec<PathBuf>,
    /// Sockets of other programs, which are answered beside them.
    pub sockets: Vec<PathBuf>,
}

/// What is in force.
#[derive(Debug)]
pub struct Report {
    /// For files, by landlock.
    pub files: io::Result<Enforced>,
    /// For system calls, by seccomp.
    pub calls: io::Result<()>,
}

impl Sandbox {
    /// For a server with these settings.
    pub fn of(settings: &Settings) -> Self {
        let pairs = certificate::files(&settings.certificate);
        let mut read: Vec<PathBuf> = pairs.into_iter().flat_map(|p| [p.cert, p.key]).collect();
        read.extend(settings.client_ca.clone());
        read.extend(settings.signing_keys.clone());
        let asking = &settings.asking;
        let usual = || USUAL_SOCKET.into();
        let sockets = match asking.chrony {
            true => vec![asking.chrony_socket.clone().unwrap_or_else(usual)],
            false => Vec::new(),
        };
        Self { read, sockets }
    }

    /// Gives up everything else, for good: in this thread and in those it starts from now on.
    pub fn enter(&self) -> Report {
        // Files first: the calls this takes are none that a server needs.
        Report {
            files: files::confine(self),
            calls: calls::confine(),
        }
    }
}

impl Report {
    /// Tells the operator, in one line.
    pub fn log(&self) {
        let files = match &self.files {
            Ok(enforced) => enforced.to_string(),
            Err(error) => format!("not confined: {error}"),
        };
        let calls = match &self.calls {
            Ok(()) => "confined (seccomp)".into(),
            Err(error) => format!("not confined: {error}"),
        };
        if matches!(self.files, Ok(Enforced::Fully)) && self.calls.is_ok() {
            tracing::info!(files, system_calls = calls, "sandbox");
        } else {
            tracing::warn!(files, system_calls = calls, "sandbox with a gap");
        }
    }
}
