//! The stacks, their programs and their versions.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tsq_workbench::process::{Failure, capture};
use tsq_workbench::workspace::Workspace;

/// A QUIC stack that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Stack {
    /// In Python; its programs behave as those of the field (PROTOCOL.md, section 4).
    Aioquic,
    /// Of Cloudflare, with BoringSSL.
    Quiche,
    /// Of Amazon, with s2n-tls.
    S2nQuic,
    /// In C, with GnuTLS.
    Ngtcp2,
}

impl Stack {
    pub(crate) const ALL: [Self; 4] = [Self::Aioquic, Self::Quiche, Self::S2nQuic, Self::Ngtcp2];

    /// As its authors write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aioquic => "aioquic",
            Self::Quiche => "quiche",
            Self::S2nQuic => "s2n-quic",
            Self::Ngtcp2 => "ngtcp2",
        }
    }

    /// The program of interop/stacks, or of interop/stacks-c.
    pub(crate) fn program(self) -> String {
        format!("peer-{}", self.name())
    }
}

/// Where the peers are built.
pub(crate) fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("stacks")
}

/// What of a stack runs here: what its lock file says, or the installed library.
pub(crate) fn version(workspace: &Workspace, stack: Stack) -> Result<String, Failure> {
    let name = stack.name();
    let locked = |file: &str, mark: &str, end: &str| {
        let text = fs::read_to_string(workspace.root.join(file))
            .map_err(|error| Failure::new(format!("reading {file}: {error}")))?;
        after(&text, mark, end)
            .map(str::to_owned)
            .ok_or_else(|| Failure::new(format!("no version of {name} in {file}")))
    };
    match stack {
        Stack::Aioquic => locked("interop/requirements.txt", &format!("\n{name}=="), "\n"),
        Stack::Quiche | Stack::S2nQuic => {
            let mark = format!("name = \"{name}\"\nversion = \"");
            locked("interop/stacks/Cargo.lock", &mark, "\"")
        }
        Stack::Ngtcp2 => {
            let version = capture(Command::new("pkg-config").args(["--modversion", "libngtcp2"]))?;
            Ok(version.trim().to_owned())
        }
    }
}

fn after<'a>(text: &'a str, mark: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(mark)?;
    rest.split(end).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_what_stands_between_mark_and_end() {
        let lock = "name = \"quiche\"\nversion = \"0.30.0\"\n";
        let mark = "name = \"quiche\"\nversion = \"";
        assert_eq!(after(lock, mark, "\""), Some("0.30.0"));
        assert_eq!(after(lock, "name = \"s2n-quic\"", "\""), None);
    }
}
