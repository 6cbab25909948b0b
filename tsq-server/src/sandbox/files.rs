use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Sandbox;

/// How much of the confinement this kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforced {
    /// All of it.
    Fully,
    /// The kernel is older than Linux 6.12, which lets processes outside be signalled, and, before
    /// 6.7, TCP connections be made.
    Partly,
}

impl fmt::Display for Enforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fully => "confined (landlock)",
            Self::Partly => "confined (landlock), as far as this kernel can",
        })
    }
}

/// Leaves to this thread, and to those it will start, only the files of `sandbox`.
pub(super) fn confine(sandbox: &Sandbox) -> io::Result<Enforced> {
    let enforced = restrict(sandbox).map_err(io::Error::other)?;
    enforced.ok_or_else(|| io::Error::other("this kernel has no landlock, or it is switched off"))
}

fn restrict(sandbox: &Sandbox) -> Result<Option<Enforced>, RulesetError> {
    let answered = sandbox.sockets.iter().filter_map(|path| path.parent());
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::ConnectTcp)?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(
            readable(&sandbox.read),
            AccessFs::ReadFile | AccessFs::ReadDir,
        ))?
        .add_rules(path_beneath_rules(
            answered,
            AccessFs::MakeSock | AccessFs::RemoveFile,
        ))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Some(Enforced::Fully),
        RulesetStatus::PartiallyEnforced => Some(Enforced::Partly),
        RulesetStatus::NotEnforced => None,
    })
}

/// What must be open to reading for `files` to be read again after others have taken their places:
/// the folders they are in, or were linked from. What is above is not opened to reach them.
fn readable(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut readable = BTreeSet::from(ALWAYS.map(PathBuf::from));
    for file in files {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        let folder = file.parent().unwrap_or(&file);
        // Whoever swaps a folder by its link swaps it for one beside it.
        let target = folder.read_link().map(|target| beside(folder, &target));
        let folders = [
            Some(folder.to_owned()),
            file.canonicalize().ok(),
            target.ok(),
        ];
        for path in folders.into_iter().flatten() {
            let folder = if path == folder {
                Some(folder)
            } else {
                path.parent()
            };
            readable.insert(match folder {
                Some(folder) if folder.parent().is_some() => folder.to_owned(),
                // All files of the host are too much.
                _ => file.clone(),
            });
        }
    }
    readable
}

/// Where a link leads that is at `link`.
fn beside(link: &Path, target: &Path) -> PathBuf {
    link.parent().unwrap_or(link).join(target)
}

/// What the process looks like to the system (memory, open files); and random numbers, which a program that
/// is linked statically does not get by a system call.
const ALWAYS: [&str; 3] = ["/proc/self", "/dev/random", "/dev/urandom"];

/// The kernel interface that this was written for and tested with; what is newer is not asked for.
const KNOWN: ABI = ABI::V6;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folders_of_files_and_of_what_their_links_lead_to_are_readable() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["live", "archive", "releases/1", "plain"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("archive/cert1.pem"), "").unwrap();
        symlink("../archive/cert1.pem", root.join("live/cert.pem")).unwrap();
        symlink("releases/1", root.join("current")).unwrap();
        let files = ["live/cert.pem", "current/cert.pem", "plain/missing.pem"];
        let expected = ["live", "archive", "current", "releases", "plain"];
        assert_eq!(
            readable(&files.map(|file| root.join(file))),
            expected
                .map(|folder| root.join(folder))
                .into_iter()
                .chain(ALWAYS.map(PathBuf::from))
                .collect()
        );
    }

    #[test]
    fn file_in_the_root_folder_does_not_open_all_others() {
        let readable = readable(&["/tsq-cert.pem".into()]);
        assert!(readable.contains(Path::new("/tsq-cert.pem")));
        assert!(!readable.contains(Path::new("/")), "{readable:?}");
    }
}
