//! What each program says, read into one form. None for anything that is not a time to use.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::{Answer, Finished};

/// `tsq-adjtime --json`.
pub(super) fn tsq(run: &Finished) -> Option<Answer> {
    let json: Value = serde_json::from_str(&run.stdout).ok()?;
    succeeded(run)?;
    Some(Answer {
        offset_us: Some(json["offset_ns"].as_f64()? / 1e3),
        bound_us: json["bound_ns"].as_f64().map(|bound| bound / 1e3),
    })
}

/// `ntpdig -j`: the last of its lines. What it calls precision is half of the dispersion and delay together.
pub(super) fn ntpdig_json(run: &Finished) -> Option<Answer> {
    succeeded(run)?;
    let json: Value = serde_json::from_str(run.stdout.lines().last()?).ok()?;
    Some(Answer {
        offset_us: Some(json["offset"].as_f64()? * 1e6),
        bound_us: json["precision"].as_f64().map(|bound| bound * 1e6),
    })
}

/// `2026-11-21 19:38:58.774739 (+0000) +0.000035 +/- 0.000134 127.0.0.11 s8 no-leap`.
pub(super) fn ntpdig_line(run: &Finished) -> Option<Answer> {
    succeeded(run)?;
    let words: Vec<&str> = run.stdout.lines().last()?.split_whitespace().collect();
    let sign = words.iter().position(|word| *word == "+/-")?;
    Some(Answer {
        offset_us: Some(seconds(words.get(sign.checked_sub(1)?)?)?),
        bound_us: seconds(words.get(sign + 1)?),
    })
}

/// `System clock wrong by -0.000001 seconds (ignored)`: positive where the clock is behind.
pub(super) fn chronyd(run: &Finished) -> Option<Answer> {
    succeeded(run)?;
    let (_, rest) = run.stderr.split_once("System clock wrong by ")?;
    Some(Answer {
        offset_us: Some(seconds(rest.split_whitespace().next()?)?),
        bound_us: None,
    })
}

/// `ntp-ctl force-sync` names no offset below a second, and one above it to the second.
pub(super) fn ntpd_rs(run: &Finished) -> Option<Answer> {
    if run.stdout.contains("already within 1s") {
        return Some(Answer {
            offset_us: None,
            bound_us: Some(1e6),
        });
    }
    let (sign, rest) = match run.stdout.split_once("clock is behind by ") {
        Some((_, rest)) => (1.0, rest),
        None => (-1.0, run.stdout.split_once("clock is ahead by ")?.1),
    };
    let words: Vec<&str> = rest.lines().next()?.split_whitespace().collect();
    let parts = words.chunks_exact(2).map(|part| {
        let unit = match part[1] {
            "day(s)" => 86_400.0,
            "hour(s)" => 3600.0,
            "minute(s)" => 60.0,
            _ => 1.0,
        };
        Some(part[0].parse::<f64>().ok()? * unit)
    });
    let total: f64 = parts.sum::<Option<f64>>()?;
    Some(Answer {
        offset_us: Some(sign * total * 1e6),
        bound_us: Some(1e6),
    })
}

/// `ntpd: setting time to 2026-11-21 20:28:23 (offset +10.000031s)`. It steps no offset below a second, and names
/// none then: it is the last of those in lines like
/// `ntpd: reply from 127.0.0.11: offset:+0.000012 delay:0.000065 status:0x24 ...`.
pub(super) fn busybox(run: &Finished) -> Option<Answer> {
    succeeded(run)?;
    let stepped = run.stderr.rsplit_once("(offset ");
    let stepped = stepped.and_then(|(_, rest)| seconds(rest.split("s)").next()?));
    let replies = || {
        let offsets = run.stderr.split(" offset:").skip(1);
        let offsets = offsets.filter_map(|rest| seconds(rest.split_whitespace().next()?));
        offsets.filter(|offset| offset.abs() <= 1e6).last()
    };
    Some(Answer {
        offset_us: Some(stepped.or_else(replies)?),
        bound_us: None,
    })
}

/// `{ "midpoint": "1795289956.049912000", "radius": 1000000, "verified": Yes, ... }`, which is no JSON.
///
/// It names a time and leaves the comparison to others: the offset here is from the middle of its run, and that half
/// of the run is in the bound besides the radius.
pub(super) fn roughenough(run: &Finished, begun: SystemTime) -> Option<Answer> {
    succeeded(run)?;
    let field = |name: &str| {
        let (_, rest) = run.stdout.split_once(&format!("\"{name}\": "))?;
        Some(rest.split([',', ' ', '}']).next()?.trim_matches('"'))
    };
    if field("verified")? != "Yes" {
        return None;
    }
    let half = run.wall / 2;
    let middle = (begun + half).duration_since(UNIX_EPOCH).ok()?;
    // Nanoseconds as integers: a float of this size has a resolution of 0.2 us only in microseconds.
    let (whole, part) = field("midpoint")?.split_once('.')?;
    let midpoint = whole.parse::<i128>().ok()? * 1_000_000_000 + part.parse::<i128>().ok()?;
    let offset = midpoint - i128::try_from(middle.as_nanos()).ok()?;
    let radius: f64 = field("radius")?.parse().ok()?;
    Some(Answer {
        offset_us: Some(micros(offset)),
        bound_us: Some(radius + half.as_secs_f64() * 1e6),
    })
}

fn succeeded(run: &Finished) -> Option<()> {
    (run.code == Some(0)).then_some(())
}

/// Microseconds of a number of seconds.
fn seconds(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number * 1e6)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an offset is far below 2^53 ns, or its last digits do not matter"
)]
fn micros(nanos: i128) -> f64 {
    nanos as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn run(stdout: &str, stderr: &str) -> Finished {
        Finished {
            wall: Duration::from_millis(4),
            cpu: Duration::ZERO,
            code: Some(0),
            stdout: stdout.into(),
            stderr: stderr.into(),
        }
    }

    fn answer(offset_us: f64, bound_us: Option<f64>) -> Option<Answer> {
        Some(Answer {
            offset_us: Some(offset_us),
            bound_us,
        })
    }

    #[test]
    fn offsets_and_bounds_are_read_from_what_programs_print() {
        let text = r#"{"offset_ns":-1500,"bound_ns":2500,"sources":[]}"#;
        assert_eq!(tsq(&run(text, "")), answer(-1.5, Some(2.5)));
        let text = r#"{"offset":-0.5,"precision":0.25,"host":"127.0.0.11"}"#;
        assert_eq!(ntpdig_json(&run(text, "")), answer(-5e5, Some(2.5e5)));
        let text = "2026-11-21 19:38:58.774739 (+0000) +0.5 +/- 0.25 127.0.0.11 s8 no-leap\n";
        assert_eq!(ntpdig_line(&run(text, "")), answer(5e5, Some(2.5e5)));
        let text = "2026-11-21T19:38:59Z System clock wrong by -0.5 seconds (ignored)\n";
        assert_eq!(chronyd(&run("", text)), answer(-5e5, None));
        let replies = "ntpd: reply from 127.0.0.11: offset:+0.5 delay:0.1 status:0x24 strat:8\n\
                       ntpd: reply from 127.0.0.12: offset:+10.0 delay:0.1 status:0x24 strat:8\n";
        assert_eq!(busybox(&run("", replies)), answer(5e5, None));
        let stepped = "ntpd: setting time to 2026-11-21 20:28:23.834180 (offset +10.25s)\n";
        let text = [replies, stepped].concat();
        assert_eq!(busybox(&run("", &text)), answer(10.25e6, None));
    }

    #[test]
    fn no_time_is_no_answer() {
        for text in ["", "{}", "null", "{\"offset_ns\":null}"] {
            assert_eq!(tsq(&run(text, "")), None);
            assert_eq!(ntpdig_json(&run(text, "")), None);
            assert_eq!(ntpdig_line(&run(text, "")), None);
            assert_eq!(chronyd(&run("", text)), None);
            assert_eq!(ntpd_rs(&run(text, "")), None);
            assert_eq!(busybox(&run("", text)), None);
            assert_eq!(roughenough(&run(text, ""), UNIX_EPOCH), None);
        }
        let failed = Finished {
            code: Some(1),
            ..run("", "System clock wrong by 1 seconds")
        };
        assert_eq!(chronyd(&failed), None);
    }

    #[test]
    fn words_of_ntpd_rs_are_added_up() {
        let text = "It looks like your clock is ahead by 1 day(s) 2 minute(s) 3 second(s)\r\n";
        assert_eq!(ntpd_rs(&run(text, "")), answer(-86_523e6, Some(1e6)));
        let text = "Your clock is already within 1s of the correct time\r\n";
        let within = ntpd_rs(&run(text, "")).unwrap();
        assert_eq!((within.offset_us, within.bound_us), (None, Some(1e6)));
    }

    #[test]
    fn time_that_is_not_verified_is_no_answer() {
        let text = |verified: &str| {
            format!(
                r#"{{ "midpoint": "10.500000000", "radius": 1000000, "verified": {verified}, "merkle_index": 0 }}"#
            )
        };
        let begun = UNIX_EPOCH + Duration::from_secs(10);
        let found = roughenough(&run(&text("Yes"), ""), begun);
        assert_eq!(found, answer(498_000.0, Some(1_002_000.0)));
        assert_eq!(roughenough(&run(&text("No"), ""), begun), None);
    }
}
