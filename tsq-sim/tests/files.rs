//! Scenario files: every fault with its line and its reason, and none that is let through.

use tsq_sim::Scenario;

const GOOD: &str = r#"title = "t"
duration_s = 100
measure_from_s = 10
delay = "(+ 1e-2 (exponential))"
server = [{}, { offset_s = 1 }]

[client]
freq = 1e-5
"#;

#[test]
fn defaults_are_those_of_the_language() {
    let scenario = Scenario::read("name", GOOD).expect("a good file");
    assert_eq!(
        (scenario.seeds, scenario.poll, scenario.mark),
        (5, None, None)
    );
    let client = &scenario.client;
    assert_eq!(client.uses, [0, 1]);
    assert_eq!((client.step_above, client.step_updates), (1.0, Some(3)));
    assert_eq!((client.max_slew_ppm, client.clock.offset), (83_333, 0.0));
    assert!(scenario.servers[0].falseticker_from.is_none());
    assert!((scenario.servers[1].clock.offset - 1.0).abs() < 1e-12);
}

#[test]
fn every_fault_names_its_line_and_what_is_wrong() {
    for (from, to, line, reason) in [
        (
            "title = \"t\"",
            "title = \"\"",
            1,
            "`title` must be one line",
        ),
        ("duration_s = 100", "duration_s = 1.5", 2, "expected i64"),
        ("duration_s = 100", "duration_s = 0", 2, "must be 1 to"),
        (
            "measure_from_s = 10",
            "measure_from_s = 100",
            3,
            "must be 0 to 99",
        ),
        (
            "measure_from_s = 10",
            "seeds = 0\nmeasure_from_s = 1",
            3,
            "must be 1 to",
        ),
        ("delay = ", "dely = ", 4, "unknown field `dely`"),
        (
            "(+ 1e-2 (exponential))",
            "(+ 1e-2 (exponentiol))",
            4,
            "there is no function `exponentiol`",
        ),
        ("(+ 1e-2 (exponential))", "(+ 1e-2", 4, "ends too early"),
        ("(+ 1e-2 (exponential))", "1 2", 4, "`2` after the end"),
        (
            "(+ 1e-2 (exponential))",
            "(poisson 30)",
            4,
            "is not between 1 and 20",
        ),
        (
            "(+ 1e-2 (exponential))",
            "(sine (uniform))",
            4,
            "no literal number",
        ),
        ("(+ 1e-2 (exponential))", "(+)", 4, "at least 1"),
        ("(+ 1e-2 (exponential))", "(exponential 1)", 4, "takes none"),
        (
            "delay = \"(+ 1e-2 (exponential))\"",
            "",
            5,
            "no `delay` for this server",
        ),
        (
            "server = [{}, { offset_s = 1 }]",
            "server = []",
            5,
            "1 to 64 are possible",
        ),
        ("offset_s = 1", "offset_s = nan", 5, "must be"),
        ("freq = 1e-5", "freq = \"time\"", 8, "exists in delays only"),
        ("freq = 1e-5", "use = [3]", 8, "there is no server 3"),
        ("freq = 1e-5", "use = [1, 1]", 8, "server 1 twice"),
        (
            "freq = 1e-5",
            "may_step = { updates = -2 }",
            8,
            "`updates` is -2",
        ),
        ("freq = 1e-5", "max_slew_ppm = 0", 8, "`max_slew_ppm` is 0"),
        (
            "[client]",
            "poll = { min = 7, max = 6 }\n[client]",
            7,
            "min 7 above max 6",
        ),
        (
            "[client]",
            "event = [{ at_s = 1, what = \"stop\" }]\n[client]",
            7,
            "there is no event `stop`",
        ),
        (
            "[client]",
            "event = [{ at_s = 1, what = \"step\" }]\n[client]",
            7,
            "`step` needs `by_s`",
        ),
        (
            "[client]",
            "event = [{ at_s = 1, what = \"step\", by_s = 1, until_s = 4 }]\n[client]",
            7,
            "`step` has no key `until_s`",
        ),
        (
            "[client]",
            "event = [{ at_s = 5, what = \"outage\", until_s = 5 }]\n[client]",
            7,
            "must be 6 to",
        ),
        (
            "freq = 1e-5",
            "[limits]\nrms = 1",
            9,
            "there is no metric `rms`",
        ),
        ("freq = 1e-5", "[limits]\nrms_s = \"x\"", 9, "is no number"),
    ] {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "{from} is not in the file");
        let error = Scenario::read("name", &text).expect_err(to);
        assert_eq!(error.line, Some(line), "{to}: {error}");
        assert!(error.reason.contains(reason), "{to}: {error}");
    }
}

#[test]
fn deep_and_long_expressions_are_refused() {
    let deep = format!("{}1{}", "(+ ".repeat(10_000), ")".repeat(10_000));
    let text = GOOD.replace("(+ 1e-2 (exponential))", &deep);
    let error = Scenario::read("name", &text).expect_err("a deep one");
    assert!(error.reason.contains("bytes"), "{error}");
    let deep = format!("{}1{}", "(+ ".repeat(60), ")".repeat(60));
    let text = GOOD.replace("(+ 1e-2 (exponential))", &deep);
    let error = Scenario::read("name", &text).expect_err("a deep one");
    assert!(error.reason.contains("parentheses"), "{error}");
}
