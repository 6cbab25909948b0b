//! `schema/result.schema.json` describes what the program prints, and nothing else passes it.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};
use tsq_interop::{Adjtime, Certs, Outcome, Server, closed_port};

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../tsq-view/schema/result.schema.json"))
        .expect("it is JSON")
});

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft202012::new(&SCHEMA).expect("it is a schema"));

/// The object a run printed, ended as expected and as the schema says.
#[track_caller]
fn valid(outcome: &Outcome, code: i32) -> Value {
    let object = outcome.json();
    let problems: Vec<String> = VALIDATOR
        .iter_errors(&object)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{problems:#?} in {object:#}");
    assert_eq!(outcome.code, Some(code), "{object:#}");
    assert_eq!(object["exit_code"], code, "{object:#}");
    object
}

fn self_test() -> Value {
    let words = ["self-test", "--json", "--queries", "5"];
    valid(&Adjtime::run(&words), 0)
}

/// Both servers asked, by pin, with a client whose clock is off by `shift`.
fn ask(servers: &[&Server], shift: &str, options: &[&str]) -> Outcome {
    let addresses: Vec<String> = servers.iter().map(|s| s.address().to_string()).collect();
    let pins = servers.iter().flat_map(|server| ["--pin", server.pin()]);
    let words: Vec<&str> = pins
        .chain(addresses.iter().map(String::as_str))
        .chain(options.iter().copied())
        .collect();
    Adjtime::dry_run_at(shift, &words).outcome
}

/// The first column of the table of rule E4.
// tsq: E4
#[test]
fn every_reason_of_the_protocol_is_described() {
    let schema = SCHEMA.to_string();
    let protocol = include_str!("../../draft/protocol.md");
    let rule = protocol.split("#### ").find(|rule| rule.starts_with("E4"));
    let rows = rule.unwrap().lines().filter(|line| line.starts_with("| `"));
    let names: Vec<&str> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        assert!(schema.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn self_test_is_described() {
    assert!(self_test()["self_test"].is_object());
}

#[test]
fn every_action_of_a_dry_run_is_described() {
    let servers = [&Server::start(&[]), &Server::start(&[])];
    for (shift, options, code, action) in [
        ("-0.05s", &[][..], 0, "slew"),
        ("-0.5s", &[], 0, "step"),
        ("-2s", &[], 5, "refused"),
        // Past the limit for single samples as well, which are then refused themselves.
        ("+3d", &[], 5, "refused"),
    ] {
        let object = valid(&ask(&servers, shift, options), code);
        assert_eq!(object["action"], action, "{object:#}");
    }
    // The true offset is 0, and only a wide tolerance can say so on a busy machine.
    let object = valid(&ask(&servers, "+0s", &[]), 0);
    assert!(["none", "slew"].contains(&object["action"].as_str().unwrap()));
}

#[test]
fn runs_without_an_answer_are_described() {
    let (_socket, address) = closed_port();
    let pin = "00".repeat(32);
    let words = ["--pin", &pin, &address, "nonexistent.invalid"];
    valid(&Adjtime::dry_run(&words).outcome, 3);
}

#[test]
fn runs_without_agreement_are_described() {
    let servers = [&Server::start(&[]), &Server::start_at("+30s", &[])];
    let object = valid(&ask(&servers, "+0s", &[]), 4);
    assert_eq!(object["offset_ns"], Value::Null);
}

#[test]
fn runs_without_trust_are_described() {
    let server = Server::start(&[]);
    let (address, pin) = (server.address().to_string(), "00".repeat(32));
    valid(&Adjtime::dry_run(&["--pin", &pin, &address]).outcome, 7);
}

#[test]
fn runs_with_dates_that_wait_are_described() {
    let certs = Certs::new();
    let files = certs.server("server", "127.0.0.1", &[]);
    let server = Server::start(&["--cert", &files.cert, "--key", &files.key]);
    for (shift, name) in [
        ("-1000d", "certificate_not_yet_valid"),
        ("+1000d", "certificate_expired"),
    ] {
        let options = ["--bootstrap", "always", "--max-offset", "none"];
        let object = valid(&ask(&[&server], shift, &options), 0);
        assert_eq!(object["trust"]["state"], "verified", "{object:#}");
        let certificate = &object["sources"][0]["certificate"];
        assert_eq!(certificate["deferred"], name, "{object:#}");
        for (pointer, wrong) in [
            ("/trust/state", json!("certain")),
            ("/trust/clock", Value::Null),
            ("/trust/floor_ns", json!(0.5)),
            ("/trust/keys", json!(-1)),
            ("/trust/refused", json!("no")),
            ("/sources/0/certificate/key", json!("12ab")),
            ("/sources/0/certificate/not_after_s", json!(-1)),
            (
                "/sources/0/certificate/deferred",
                json!("certificate_wrong_name"),
            ),
        ] {
            assert_refused(&object, pointer, |value| *value = wrong);
        }
    }
}

/// Where a change is made, as a JSON pointer, and what.
#[track_caller]
fn assert_refused(good: &Value, pointer: &str, change: impl FnOnce(&mut Value)) {
    let mut wrong = good.clone();
    change(wrong.pointer_mut(pointer).expect("the pointer is right"));
    assert_ne!(&wrong, good, "nothing was changed at {pointer}");
    assert!(!VALIDATOR.is_valid(&wrong), "{pointer} passed: {wrong:#}");
}

#[test]
fn field_that_is_missing_or_unknown_is_refused() {
    let good = self_test();
    for object in ["", "/sources/0", "/sources/0/samples/0", "/self_test"] {
        let fields = good.pointer(object).unwrap().as_object().unwrap();
        for field in fields.keys() {
            // Only a self-test has this one.
            if field != "self_test" {
                assert_refused(&good, object, |value| {
                    value.as_object_mut().unwrap().remove(field);
                });
            }
        }
        assert_refused(&good, object, |value| value["surprise"] = json!(1));
    }
}

#[test]
fn wrong_value_is_refused() {
    let good = self_test();
    for (pointer, wrong) in [
        ("/offset_ns", json!(0.5)),
        ("/offset_ns", json!("1 ms")),
        ("/bound_ns", json!(-1)),
        ("/duration_ns", Value::Null),
        ("/action", json!("jump")),
        ("/action", json!("step")), // which has no reason
        ("/reason", Value::Null),
        ("/slew_ns", json!(1)), // of no slew
        ("/exit_code", json!(9)),
        ("/dry_run", json!("yes")),
        ("/round_trips", json!(-1)),
        ("/sources", json!([])),
        ("/sources/0/server", json!("")),
        ("/sources/0/transport", json!("tcp")),
        ("/sources/0/trust", Value::Null),
        ("/sources/0/stratum", json!(256)),
        ("/sources/0/answered", json!(1.5)),
        ("/sources/0/offset_ns", Value::Null), // although it was used
        ("/sources/0/delay_ns", json!(-1)),
        ("/sources/0/timestamps", json!("hardware")),
        ("/sources/0/verdict", json!("silent")), // without a reason
        ("/sources/0/verdict", json!("bad")),
        ("/sources/0/samples/0/accepted", json!(1)),
        ("/sources/0/samples/0/reason", json!("no")),
        ("/self_test/kernel_timestamps", json!(true)),
        ("/self_test/worst_error_ns", json!(-1)),
    ] {
        assert_refused(&good, pointer, |value| *value = wrong);
    }
}

#[test]
fn schema_follows_its_draft_and_describes_every_field() {
    jsonschema::draft202012::meta::validate(&SCHEMA).unwrap();
    let defs = SCHEMA["$defs"].as_object().unwrap();
    let objects = defs.values().filter(|def| def["type"] == "object");
    for object in objects.chain([&*SCHEMA]) {
        assert_eq!(object["additionalProperties"], false, "{object:#}");
        for (name, field) in object["properties"].as_object().unwrap() {
            let words = field["description"].as_str().unwrap_or_default();
            assert!(!words.is_empty(), "{name} is not described");
            assert_eq!(
                name.ends_with("_ns"),
                words.contains("nanoseconds") || words.contains("Nanoseconds"),
                "{name} and its unit: {words}"
            );
        }
    }
}
