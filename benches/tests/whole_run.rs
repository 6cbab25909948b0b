//! `tsq-bench all`, as it is run: its files are there, and a section that fails is said and not fatal.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tsq_benches::render::documents;
use tsq_benches::results::Results;
use tsq_interop::bin;

fn run(out: &Path, programs: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tsq-bench"))
        .args(["all", "--quick", "--only", "start", "--out"])
        .arg(out)
        .env("TSQ_BIN_DIR", programs)
        .output()
        .unwrap()
}

#[test]
fn section_that_is_measured_is_in_every_file() {
    let server = bin("tsq-server");
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), server.parent().unwrap());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let results = Results::read(&folder.path().join("results.json")).unwrap();
    let [start] = results.sections.as_slice() else {
        panic!("{results:?}");
    };
    assert!(start.quick);
    assert_eq!(start.failure, None);
    assert_eq!(start.section.rows.len(), 2);
    for (name, text) in documents(&results) {
        assert_eq!(
            fs::read_to_string(folder.path().join(&name)).unwrap(),
            text,
            "{name}"
        );
    }
}

#[test]
fn section_that_fails_is_said_and_ends_with_1() {
    let (folder, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let output = run(folder.path(), empty.path());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let page = fs::read_to_string(folder.path().join("results.html")).unwrap();
    assert!(page.contains("Not measured: no program tsq-"), "{page}");
}
