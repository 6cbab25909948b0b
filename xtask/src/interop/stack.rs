//! The stacks, their programs and their versions.

use std::fs;
use std::path::PathBuf;

use crate::process::Failure;
use crate::workspace::Workspace;

/// A QUIC stack that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    /// In Python; its programs behave as those of the field (PROTOCOL.md, section 4).
    Aioquic,
    /// Of Cloudflare, with BoringSSL.
    Quiche,
    /// Of Amazon, with s2n-tls.
    S2nQuic,
}

impl Stack {
    pub(crate) const ALL: [Self; 3] = [Self::Aioquic, Self::Quiche, Self::S2nQuic];

    /// As its authors write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aioquic => "aioquic",
            Self::Quiche => "quiche",
            Self::S2nQuic => "s2n-quic",
        }
    }

    /// The program of interop/stacks.
    pub(crate) fn program(self) -> String {
        format!("peer-{}", self.name())
    }
}

/// Where the peers are built.
pub(crate) fn target(workspace: &Workspace) -> PathBuf {
    workspace.target.join("stacks")
}

/// What the lock files say runs here, in the order of [`Stack::ALL`].
pub(crate) fn versions(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let read = |name: &str| {
        fs::read_to_string(workspace.root.join(name))
            .map_err(|error| Failure::new(format!("reading {name}: {error}")))
    };
    let python = read("interop/requirements.txt")?;
    let rust = read("interop/stacks/Cargo.lock")?;
    Stack::ALL
        .iter()
        .map(|stack| {
            let name = stack.name();
            let version = match stack {
                Stack::Aioquic => after(&python, &format!("\n{name}=="), "\n"),
                _ => after(&rust, &format!("name = \"{name}\"\nversion = \""), "\""),
            };
            version
                .map(|version| format!("{name} {version}"))
                .ok_or_else(|| Failure::new(format!("no version of {name} in its lock file")))
        })
        .collect()
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
