//! docs/operate/install.md is true: each of its blocks is run, as the hosts of the page would.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tsq_interop::{bin, run};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// What stands between the fences of shell blocks.
fn blocks(page: &str) -> Vec<String> {
    let fenced = page.split("```sh\n").skip(1);
    fenced
        .filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned() + "\n"))
        .collect()
}

/// A user namespace in which nobody may set the clock, with a network of its own.
fn isolated() -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
    ]);
    command
}

#[test]
fn every_block_of_the_page_on_installing_works() {
    let mut probe = isolated();
    probe.args(["ip", "link", "set", "lo", "up"]);
    if !probe.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: unshare and ip make no network namespace here");
        return;
    }
    let page = fs::read_to_string(project().join("docs/operate/install.md")).unwrap();
    let blocks = blocks(&page);
    // The script names them by number.
    assert_eq!(
        blocks.len(),
        12,
        "a block was added or left out: installation.sh must run it"
    );
    let work = tempfile::tempdir().unwrap();
    let folder = work.path().join("blocks");
    fs::create_dir(&folder).unwrap();
    for (index, block) in blocks.iter().enumerate() {
        fs::write(folder.join(format!("{}.sh", index + 1)), block).unwrap();
    }
    let programs = ["tsq-server", "tsq-adjtime", "tsq-certs"].map(bin);
    let mut command = isolated();
    command
        .args(["sh", "tests/installation.sh"])
        .arg(programs[0].parent().unwrap())
        .arg(project())
        .arg(&folder)
        .arg(work.path().join("hosts"))
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let outcome = run(command, Duration::from_secs(300));
    assert_eq!(
        outcome.code,
        Some(0),
        "{}\n{}",
        outcome.stdout,
        outcome.stderr
    );
    assert!(outcome.stdout.contains("all blocks done"), "{outcome:?}");
}
