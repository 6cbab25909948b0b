//! The project's own files, without what builds and tools leave behind.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::process::Failure;

/// Every file below `root` with one of `extensions`, sorted. Skips hidden folders and those that mark themselves as a
/// cache (cargo's target folder does).
pub fn with_extension(root: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    collect(root, extensions, &mut found)
        .map_err(|error| Failure::new(format!("listing {}: {error}", root.display())))?;
    found.sort();
    Ok(found)
}

/// The whole file as text.
pub fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))
}

fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !is_foreign(&path) {
                collect(&path, extensions, found)?;
            }
        } else if kind.is_file()
            && path
                .extension()
                .is_some_and(|e| extensions.iter().any(|wanted| e == *wanted))
        {
            found.push(path);
        }
    }
    Ok(())
}

fn is_foreign(folder: &Path) -> bool {
    let hidden = folder
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'));
    hidden || folder.join("CACHEDIR.TAG").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_cache_folders_are_skipped() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["src", ".venv", "target"] {
            fs::create_dir(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("a.rs"), "").unwrap();
        }
        fs::write(root.path().join("target/CACHEDIR.TAG"), "").unwrap();
        fs::write(root.path().join("notes.txt"), "").unwrap();
        assert_eq!(
            with_extension(root.path(), &["rs"]).unwrap(),
            [root.path().join("src/a.rs")]
        );
    }
}
