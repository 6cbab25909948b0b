//! What the guest told about one scenario.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// A line of the guest's console and when it came, by the host's clock.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) time: SystemTime,
    pub(super) instant: Instant,
}

/// One scenario's numbers; offsets as the servers see them, positive when the guest is behind.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) before: Look,
    pub(super) exit: u8,
    /// UDP packets the command sent.
    pub(super) sent: u64,
    /// What it printed to stdout, if that was JSON.
    pub(super) json: Option<Value>,
    pub(super) stderr: String,
    /// From the command's end to the look after it.
    pub(super) elapsed: Duration,
    pub(super) after: Look,
    /// The host's clock less the guest's, seen from the host: late by what the console takes.
    pub(super) console_ms: f64,
    /// The battery-backed clock less the host's, in seconds; it shows whole ones.
    pub(super) hardware_s: f64,
}

/// A dry run: the offset at that moment and how wrong it can be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) offset_ms: f64,
    pub(super) bound_ms: f64,
}

impl Line {
    pub(super) fn now(text: String) -> Self {
        Self {
            text,
            time: SystemTime::now(),
            instant: Instant::now(),
        }
    }

    /// The rest of the line, if it is for the host and begins with `key`.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let rest = self.text.strip_prefix("@ ")?.strip_prefix(key)?;
        rest.strip_prefix(' ')
            .or_else(|| rest.is_empty().then_some(rest))
    }
}

impl Record {
    /// Reads the lines of one scenario.
    pub(super) fn of(lines: &[Line]) -> Result<Self, String> {
        if let Some(error) = lines.iter().find_map(|line| line.value("error")) {
            return Err(error.to_owned());
        }
        let find = |key: &str| {
            let found = lines
                .iter()
                .find_map(|line| line.value(key).map(|value| (line, value)));
            found.ok_or_else(|| format!("the guest did not say {key:?}"))
        };
        let look = |key: &str| find(key).and_then(|(_, text)| Look::of(text));
        let (exit, code) = find("exit")?;
        let (after, _) = find("after")?;
        let (hardware, shows) = find("hardware")?;
        Ok(Self {
            before: look("before")?,
            exit: number(code)?,
            sent: number(find("sent")?.1)?,
            json: serde_json::from_str(find("out")?.1).ok(),
            stderr: find("err")?.1.to_owned(),
            elapsed: after.instant - exit.instant,
            after: look("after")?,
            console_ms: console_ms(lines)?,
            hardware_s: number::<f64>(shows)? - unix_seconds(hardware.time),
        })
    }

    /// A number of nanoseconds in the command's JSON, in milliseconds.
    pub(super) fn json_ms(&self, key: &str) -> Option<f64> {
        nanos_as_ms(self.json.as_ref()?, key)
    }
}

impl Look {
    fn of(text: &str) -> Result<Self, String> {
        let failed = || format!("a dry run gave no offset: {text}");
        let json: Value = serde_json::from_str(text).map_err(|_| failed())?;
        Ok(Self {
            offset_ms: nanos_as_ms(&json, "offset_ns").ok_or_else(failed)?,
            bound_ms: nanos_as_ms(&json, "bound_ns").ok_or_else(failed)?,
        })
    }
}

fn nanos_as_ms(json: &Value, key: &str) -> Option<f64> {
    json[key].as_f64().map(|nanos| nanos / 1e6)
}

/// By the line that was the least late.
fn console_ms(lines: &[Line]) -> Result<f64, String> {
    let mut least: Option<f64> = None;
    for line in lines {
        if let Some(reading) = line.value("clock") {
            let ms = (unix_seconds(line.time) - seconds(reading)?) * 1e3;
            least = Some(least.map_or(ms, |least| least.min(ms)));
        }
    }
    least.ok_or_else(|| "the guest did not say \"clock\"".to_owned())
}

/// `SECONDS MICROSECONDS`.
fn seconds(reading: &str) -> Result<f64, String> {
    let (seconds, micros) = reading.split_once(' ').unwrap_or((reading, ""));
    Ok(number::<f64>(seconds)? + number::<f64>(micros)? / 1e6)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("the guest said {text:?} for a number"))
}

fn unix_seconds(time: SystemTime) -> f64 {
    // Before 1970 no comparison of clocks makes sense; zero fails it.
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Lines that came `(seconds after the first, text)`.
    pub(in super::super) fn lines(texts: &[(f64, &str)]) -> Vec<Line> {
        let (time, instant) = (UNIX_EPOCH + Duration::from_secs(1000), Instant::now());
        let line = |(after, text): &(f64, &str)| Line {
            text: (*text).to_owned(),
            time: time + Duration::from_secs_f64(*after),
            instant: instant + Duration::from_secs_f64(*after),
        };
        texts.iter().map(line).collect()
    }

    const WHOLE: [(f64, &str); 9] = [
        (0.0, "a module grumbles"),
        (
            0.0,
            r#"@ before {"offset_ns":300000000,"bound_ns":2000000}"#,
        ),
        (1.0, "@ exit 0"),
        (1.0, "@ sent 12"),
        (1.0, r#"@ out {"action":"step","remaining_ns":-500000}"#),
        (1.0, "@ err"),
        (3.0, r#"@ after {"offset_ns":-100000,"bound_ns":1000000}"#),
        (3.5, "@ clock 1003 250000"),
        (3.5, "@ hardware 4602"),
    ];

    #[test]
    fn whole_scenario_gives_every_number() {
        let record = Record::of(&lines(&WHOLE)).unwrap();
        assert_eq!(
            (record.before.offset_ms, record.before.bound_ms),
            (300.0, 2.0)
        );
        assert_eq!((record.after.offset_ms, record.after.bound_ms), (-0.1, 1.0));
        assert_eq!((record.exit, record.sent), (0, 12));
        assert_eq!(record.json_ms("remaining_ns"), Some(-0.5));
        assert_eq!(record.json_ms("slew_ns"), None);
        assert_eq!(record.stderr, "");
        assert_eq!(record.elapsed.as_secs(), 2);
        assert!((record.console_ms - 250.0).abs() < 0.01);
        assert!((record.hardware_s - 3598.5).abs() < 0.01);
    }

    #[test]
    fn line_that_is_the_least_late_counts() {
        let mut late = WHOLE.to_vec();
        late.insert(7, (3.1, "@ clock 1002 600000"));
        let record = Record::of(&lines(&late)).unwrap();
        assert!((record.console_ms - 250.0).abs() < 0.01);
    }

    #[test]
    fn missing_line_is_named() {
        for (index, (_, text)) in WHOLE.iter().enumerate().skip(1) {
            let mut short = WHOLE.to_vec();
            short.remove(index);
            let key = text.split(' ').nth(1).unwrap();
            let error = Record::of(&lines(&short)).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn failed_dry_run_and_failed_preparation_are_errors() {
        let mut blind = WHOLE;
        blind[6].1 = r#"@ after {"offset_ns":null,"bound_ns":null}"#;
        assert!(Record::of(&lines(&blind)).is_err());
        let mut unprepared = WHOLE;
        unprepared[0].1 = "@ error cannot set the clock";
        let error = Record::of(&lines(&unprepared)).unwrap_err();
        assert_eq!(error, "cannot set the clock");
    }
}
