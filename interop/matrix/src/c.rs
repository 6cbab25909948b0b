//! The peer in C: interop/stacks-c, built by the machine's compiler with the libraries of its distribution.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::stack::{self, Stack};
use tsq_workbench::debian::Package;
use tsq_workbench::files;
use tsq_workbench::process::{Failure, capture, run};
use tsq_workbench::workspace::Workspace;

/// Cargo itself needs a C compiler to link with, so it is not among these.
/// What the peers in C are built with.
pub const PACKAGES: [Package; 4] = [
    Package {
        name: "pkg-config",
        why: "finds the libraries below",
        probe: &["pkg-config", "--version"],
    },
    Package {
        name: "libngtcp2-dev",
        why: "the peer in C: QUIC",
        probe: &["pkg-config", "--exists", "libngtcp2"],
    },
    Package {
        name: "libngtcp2-crypto-gnutls-dev",
        why: "the peer in C: QUIC with GnuTLS",
        probe: &["pkg-config", "--exists", "libngtcp2_crypto_gnutls"],
    },
    Package {
        name: "libgnutls28-dev",
        why: "the peer in C: TLS",
        probe: &["pkg-config", "--exists", "gnutls"],
    },
];

/// Compiles it anew each time, which takes a second or two; its own tests first.
pub(crate) fn build(workspace: &Workspace) -> Result<(), Failure> {
    build_and_test(workspace).map_err(|failure| {
        Failure::new(format!(
            "the peer of {SOURCES} cannot be built or tested: {failure}"
        ))
    })
}

fn build_and_test(workspace: &Workspace) -> Result<(), Failure> {
    let folder = stack::target(workspace).join("debug");
    fs::create_dir_all(&folder)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))?;
    let libraries = capture(
        Command::new("pkg-config")
            .args(["--cflags", "--libs"])
            .args(LIBRARIES),
    )?;
    let sources = files::with_extension(&workspace.root.join(SOURCES), &["c"])?;
    let program = folder.join(Stack::Ngtcp2.program());
    let tests = folder.join(format!("{}-test", Stack::Ngtcp2.program()));
    // Each has a main of its own.
    compile(&tests, &sources, MAIN, &libraries)?;
    // What fails is on stderr.
    capture(&mut Command::new(tests))?;
    compile(&program, &sources, TESTS, &libraries)
}

fn compile(
    program: &Path,
    sources: &[PathBuf],
    without: &str,
    libraries: &str,
) -> Result<(), Failure> {
    run(Command::new("cc")
        .args(FLAGS)
        .arg("-o")
        .arg(program)
        .args(sources.iter().filter(|source| !source.ends_with(without)))
        .args(libraries.split_whitespace()))
}

const MAIN: &str = "main.c";
const TESTS: &str = "test.c";

const SOURCES: &str = "interop/stacks-c";
const LIBRARIES: [&str; 3] = ["libngtcp2", "libngtcp2_crypto_gnutls", "gnutls"];

/// Warnings are errors, and what the network sends meets the usual hardening.
const FLAGS: [&str; 18] = [
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wshadow",
    "-Wconversion",
    "-Wformat=2",
    "-Wstrict-prototypes",
    "-Werror",
    "-D_FORTIFY_SOURCE=2",
    "-fstack-protector-strong",
    "-fstack-clash-protection",
    "-fPIE",
    "-pie",
    "-Wl,-z,relro,-z,now",
];
