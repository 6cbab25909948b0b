//! What is committed is what `tsq-bench render` makes of the committed results.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::fs;
use std::path::{Path, PathBuf};

use tsq_benches::render::{documents, in_readme};
use tsq_benches::results::Results;

/// Names the first file that differs and the command that makes it again.
fn assert_made_from_its_results(folder: &Path) {
    let results = Results::read(&folder.join("results.json")).unwrap();
    let documents = documents(&results);
    for (name, text) in &documents {
        let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            committed == *text,
            "{name} is not what the results give; {}",
            again(folder)
        );
    }
    for plot in fs::read_dir(folder.join("plots")).into_iter().flatten() {
        let name = format!("plots/{}", plot.unwrap().file_name().to_string_lossy());
        assert!(
            documents.contains_key(&name),
            "{name} is of no figure; {}",
            again(folder)
        );
    }
}

fn again(folder: &Path) -> String {
    let readme = match folder.ends_with("golden") {
        true => "",
        false => " --readme README.md",
    };
    let folder = folder.strip_prefix(root()).unwrap().display();
    format!("run: cargo run -p tsq-benches -- render {folder}/results.json --out {folder}{readme}")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .into()
}

#[test]
fn small_results_give_the_golden_files() {
    assert_made_from_its_results(&root().join("benches/tests/golden"));
}

#[test]
fn committed_files_are_made_from_the_committed_results() {
    assert_made_from_its_results(&root().join("benches"));
}

#[test]
fn readme_holds_the_table_of_the_committed_results() {
    let folder = root().join("benches");
    let results = Results::read(&folder.join("results.json")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(
        in_readme(&readme, &results).unwrap() == readme,
        "README.md has another table; {}",
        again(&folder)
    );
}

#[test]
fn committed_results_are_small_enough_to_keep() {
    let size = fs::metadata(root().join("benches/results.json"))
        .unwrap()
        .len();
    assert!(size < 1_000_000, "{size} bytes: keep rounds, not samples");
}

#[test]
fn page_needs_nothing_from_elsewhere() {
    let results = Results::read(&root().join("benches/tests/golden/results.json")).unwrap();
    let page = &documents(&results)["results.html"];
    for foreign in ["<script", "<link", "<img", "@import", "url(", "src="] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // A namespace is a name and is not fetched.
    let addresses = page.matches("http").count();
    assert_eq!(addresses, page.matches("xmlns=\"http").count());
}
