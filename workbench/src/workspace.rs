//! What `cargo metadata` says about this workspace.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{Failure, capture, cargo};

/// The workspace and every package its lock file names.
pub struct Workspace {
    /// Where its manifest is.
    pub root: PathBuf,
    /// Where cargo builds; not always `target/` below the root.
    pub target: PathBuf,
    /// Ours and those of others.
    pub packages: Vec<Package>,
}

/// A package of the lock file.
pub struct Package {
    /// As its manifest has it.
    pub name: String,
    /// As its manifest has it.
    pub version: String,
    /// The compiler version the package says it needs.
    pub rust_version: Option<String>,
    /// Part of this workspace, not from a registry.
    pub is_ours: bool,
    /// Names of what it needs to build and run; what only its tests need is left out.
    pub dependencies: Vec<String>,
    /// Its crates.
    pub targets: Vec<Target>,
}

/// One crate of a package.
pub struct Target {
    /// `lib`, `bin`, `test`, `bench`, `example`, `custom-build`, ...
    pub kind: String,
    /// Its `lib.rs`, `main.rs`, ...
    pub root_file: PathBuf,
}

impl Workspace {
    /// The one that cargo started us for, or that we stand in.
    pub fn load() -> Result<Self, Failure> {
        let here = std::env::current_dir()
            .map_err(|error| Failure::new(format!("current directory: {error}")))?;
        // Set by `cargo run`; it finds the right checkout wherever the developer stands.
        let start = std::env::var_os("CARGO_MANIFEST_DIR").map_or(here, PathBuf::from);
        let text = capture(cargo(&start).args(["metadata", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("cargo metadata: {error}")))?;
        Ok(Self {
            root: path(&metadata["workspace_root"]),
            target: path(&metadata["target_directory"]),
            packages: list(&metadata["packages"]).map(package).collect(),
        })
    }

    /// The packages of this project.
    pub fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_ours)
    }

    /// `file` as seen from the root, for messages.
    pub fn relative<'a>(&self, file: &'a Path) -> &'a Path {
        file.strip_prefix(&self.root).unwrap_or(file)
    }
}

fn package(value: &Value) -> Package {
    Package {
        name: text(&value["name"]),
        version: text(&value["version"]),
        rust_version: value["rust_version"].as_str().map(str::to_owned),
        is_ours: value["source"].is_null(),
        dependencies: list(&value["dependencies"])
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| text(&dependency["name"]))
            .collect(),
        targets: list(&value["targets"]).map(target).collect(),
    }
}

fn target(value: &Value) -> Target {
    Target {
        kind: text(&value["kind"][0]),
        root_file: path(&value["src_path"]),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn path(value: &Value) -> PathBuf {
    PathBuf::from(text(value))
}
