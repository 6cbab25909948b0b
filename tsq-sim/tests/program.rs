//! The program as its users see it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn sim(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tsq-sim"))
        .args(words)
        .output()
        .expect("the program starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn scenario(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(name);
    path.display().to_string()
}

fn values(expression: &str, count: &str) -> Vec<f64> {
    let output = sim(&["eval", expression, count]);
    assert!(output.status.success(), "{output:?}");
    stdout(&output)
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect()
}

#[test]
fn functions_have_the_values_of_the_language() {
    for (expression, expected) in [
        ("(+ 1 2 3)", vec![6.0, 6.0]),
        ("(* 2 -3)", vec![-6.0, -6.0]),
        ("(% -7 4 2)", vec![-1.0, -1.0]),
        ("(min 3 1 2)", vec![1.0, 1.0]),
        ("(max 3 1 2)", vec![3.0, 3.0]),
        ("(equal 1 5 6)", vec![1.0, 1.0]),
        ("(equal 0.5 5 6)", vec![0.0, 0.0]),
        ("(sum 1 2)", vec![3.0, 6.0]),
        ("(pulse 1 2)", vec![1.0, -1.0, -1.0, 1.0]),
        ("(triangle 4)", vec![-1.0, 0.0, 1.0, 0.0, -1.0]),
        ("time", vec![0.0, 1.0, 2.0]),
        ("(+ from to port length subnet)", vec![547.0, 547.0]),
        ("(* 0 (sum 1) (sum 1))", vec![0.0, 0.0]),
    ] {
        assert_eq!(
            values(expression, &expected.len().to_string()),
            expected,
            "{expression}"
        );
    }
    let waves = values("(+ (sine 8) (* 10 (cosine 8)))", "3");
    let half = std::f64::consts::FRAC_1_SQRT_2;
    for (wave, expected) in waves.iter().zip([10.0, 11.0 * half, 1.0]) {
        assert!((wave - expected).abs() < 1e-12, "{waves:?}");
    }
}

#[test]
fn same_file_and_seed_give_the_same_bytes() {
    let file = scenario("events/reload.toml");
    let words = ["run", &file, "--seeds", "3", "--json"];
    let (first, second) = (sim(&words), sim(&words));
    assert!(first.status.success(), "{first:?}");
    assert_eq!(first.stdout, second.stdout);
    let object: serde_json::Value = serde_json::from_slice(&first.stdout).expect("JSON");
    assert_eq!(object["scenario"], "reload");
    assert_eq!(object["seeds"].as_array().map(Vec::len), Some(3));
    assert!(
        object["median"]["rms_s"]
            .as_f64()
            .is_some_and(|rms| rms < 1e-4)
    );
    assert!(
        object["limits"]
            .as_array()
            .is_some_and(|limits| limits.iter().all(|l| l["holds"] == true))
    );
}

/// One seed of every kind of trouble: limits hold. All of them are run by `cargo xtask sim`.
#[test]
fn limits_hold_in_some_of_the_scenarios() {
    for name in [
        "gates/lan-6",
        "gates/internet-6",
        "gates/noisy-6",
        "gates/adaptive",
        "waits/heavy-tail",
        "waits/one-way",
        "events/suspend",
        "events/vm-restore",
        "events/step-hour",
        "events/outage",
        "sources/two-of-five",
        "chrony/S5q",
    ] {
        let output = sim(&["run", &scenario(&format!("{name}.toml")), "--seeds", "1"]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stdout(&output));
    }
}

#[test]
fn trace_has_a_line_for_every_second_and_a_limit_that_does_not_hold_ends_with_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("short.toml");
    let text = "title = \"t\"\nduration_s = 50\nmeasure_from_s = 0\ndelay = \"0.01\"\nserver = [{}]\n\
                [client]\noffset_s = 0.5\n[limits]\nmax_s = 0.1\n";
    std::fs::write(&file, text).expect("written");
    let output = sim(&[
        "run",
        &file.display().to_string(),
        "--seeds",
        "1",
        "--trace",
        &folder.path().display().to_string(),
    ]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let trace: PathBuf = folder.path().join("short.1.tsv");
    let trace = std::fs::read_to_string(trace).expect("a trace");
    assert_eq!(trace.lines().count(), 51);
    assert_eq!(
        trace.lines().next(),
        Some("0\t5.000000000000e-1\t0.000000000000e0")
    );
}

#[test]
fn traces_that_cannot_be_written_or_would_replace_each_other_are_refused_before_anything_is_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = scenario("events/reload.toml");
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "").expect("written");
    let output = sim(&["run", &file, "--trace", &taken.display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");

    let traces = folder.path().join("traces");
    let output = sim(&[
        "run",
        &file,
        &file,
        "--trace",
        &traces.display().to_string(),
    ]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("two files are called reload.toml"),
        "{error}"
    );
    assert!(!traces.exists());
}

#[test]
fn unusable_file_ends_with_2_and_one_line_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "title = \"t\"\nduration = 3\n").expect("written");
    let output = sim(&["run", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("bad.toml:2: unknown field `duration`"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1);

    let absent = sim(&[
        "run",
        &folder.path().join("none.toml").display().to_string(),
    ]);
    assert_eq!(absent.status.code(), Some(2));
    let infinite = folder.path().join("fast.toml");
    let text = "title = \"t\"\nduration_s = 9\nmeasure_from_s = 0\ndelay = \"0.01\"\nserver = [{}]\n[client]\nfreq = \"(sum 0.2)\"\n";
    std::fs::write(&infinite, text).expect("written");
    let output = sim(&["run", &infinite.display().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
