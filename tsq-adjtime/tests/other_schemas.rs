//! What `check`, `explain` and `verify-receipt` print for programs is what their schemas describe.

use std::fs;
use std::process::Command;
use std::time::Duration;

use jsonschema::Validator;
use serde_json::Value;
use tsq_interop::{Adjtime, Server, bin, closed_port, run};

const FINDINGS: &str = include_str!("../../tsq-view/schema/findings.schema.json");
const RECEIPTS: &str = include_str!("../../tsq-view/schema/receipts.schema.json");

fn validator(schema: &str) -> Validator {
    let schema = serde_json::from_str(schema).expect("it is JSON");
    jsonschema::draft202012::new(&schema).expect("it is a schema")
}

#[track_caller]
fn assert_valid(validator: &Validator, object: &Value) {
    let problems: Vec<String> = validator
        .iter_errors(object)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{problems:#?} in {object:#}");
}

#[test]
fn findings_are_described() {
    let validator = validator(FINDINGS);
    let server = Server::start(&[]);
    let (_socket, closed) = closed_port();
    let good = server.address().to_string();
    let (pin, wrong) = (server.pin().to_string(), "00".repeat(32));
    for (pin, address, code) in [(&pin, &good, 0), (&pin, &closed, 3), (&wrong, &good, 7)] {
        for (command, ends) in [("check", code), ("explain", 0)] {
            let outcome = Adjtime::run(&[command, "--json", "--pin", pin, address]);
            let mut object = outcome.json();
            assert_valid(&validator, &object);
            assert_eq!(outcome.code, Some(ends), "{outcome:#?}");
            let told = object.get("exit_code").and_then(Value::as_i64);
            assert_eq!(told, (command == "check").then_some(code.into()));
            object["findings"][0]["level"] = "bad".into();
            assert!(!validator.is_valid(&object));
        }
    }
    assert_valid(&validator, &Adjtime::run(&["explain", "--json"]).json());
}

#[test]
fn verified_receipts_are_described() {
    let validator = validator(RECEIPTS);
    let folder = tempfile::tempdir().expect("the folder for temporary files is writable");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (key, public, receipts) = (path("key"), path("key.pub"), path("receipts.jsonl"));
    let mut make = Command::new(bin("tsq-certs"));
    make.args(["signing-key", "--out", &key, "--id", "7"]);
    assert_eq!(run(make, Duration::from_secs(60)).code, Some(0));
    let server = Server::start(&["--signing-key", &key]);
    let address = server.address().to_string();
    let keep = ["--verify-key", &public, "--receipt", &receipts];
    let report = Adjtime::dry_run(
        &[
            &keep[..],
            &["--pin", server.pin(), "--timeout", "10000", &address],
        ]
        .concat(),
    );
    assert_eq!(report.outcome.code, Some(0), "{report:#?}");

    let verify = || Adjtime::run(&["verify-receipt", &receipts, "--key", &public, "--json"]);
    let lines = |text: &str| -> Vec<Value> {
        let objects = text.lines().map(serde_json::from_str);
        objects.collect::<Result<_, _>>().expect("an object a line")
    };
    let good = verify();
    assert_eq!(good.code, Some(0), "{good:#?}");
    let told = lines(&good.stdout);
    told.iter().for_each(|line| assert_valid(&validator, line));
    let last = told.last().expect("the whole file has a line");
    assert_eq!(last["lines"], told.len() - 1);
    assert!(told.len() > 1, "{good:#?}");

    let text = fs::read_to_string(&receipts).expect("it was read before");
    fs::write(&receipts, text + "{}\n").expect("it was written before");
    let bad = verify();
    assert_eq!(bad.code, Some(1), "{bad:#?}");
    let told = lines(&bad.stdout);
    told.iter().for_each(|line| assert_valid(&validator, line));
    assert_eq!(told.last().expect("why")["valid"], false);
}
