//! Where the binaries under test are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of one of our programs.
///
/// Looked for where [`use_programs_in`] said, else in `TSQ_BIN_DIR`; without either, in the cargo target
/// directory that the running test was built in, where the programs are built first, once per test process.
///
/// # Panics
/// When the programs do not build or the one asked for is not among them.
#[must_use]
pub fn bin(name: &str) -> PathBuf {
    let folder =
        FOLDER.get_or_init(|| env::var_os("TSQ_BIN_DIR").map_or_else(build, PathBuf::from));
    let path = folder.join(name);
    assert!(path.is_file(), "no program {name} in {}", folder.display());
    path
}

/// Takes the programs from this folder, where the caller has built them; without effect after the first [`bin`].
pub fn use_programs_in(folder: &Path) {
    FOLDER.get_or_init(|| folder.to_owned());
}

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Builds the programs beside the running test and returns their folder.
fn build() -> PathBuf {
    let folder = own_profile_folder();
    let target = folder
        .parent()
        .expect("a profile folder is in a target folder");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--bins", "--profile", profile])
        .args(PACKAGES.iter().flat_map(|package| ["-p", package]))
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo can be started: it started this test");
    assert!(
        status.success(),
        "cargo build of {PACKAGES:?} failed: {status}"
    );
    folder
}

const PACKAGES: [&str; 3] = ["tsq-server", "tsq-adjtime", "tsq-certs"];

/// `target/debug` of `target/debug/deps/test-0123`, and of `target/debug/program`.
fn own_profile_folder() -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    let folder = program.parent().expect("a program is in a folder");
    match folder.parent() {
        Some(profile) if folder.ends_with("deps") => profile,
        _ => folder,
    }
    .to_path_buf()
}

/// The folder of this crate's sources, where the peers are.
pub(crate) fn interop_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
