//! Receipts that were checked: what they prove.

use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use tsq_command::json::ascii;
use tsq_proto::HostTime;
use tsq_proto::words::{Count, Foreign};
use tsq_sync::receipt::{Checked, Flaw, Proof};
use tsq_sync::words::{bound_text, offset_text};

use crate::View;

/// What one line proves, in a sentence.
pub fn words(proof: &Proof) -> String {
    format!(
        "line {}: when this clock showed {}, the server's showed a time within [{}, {}]: offset {} ± {}, by key {} ({}; recorded as {})",
        // As in what is said of a line that does not hold.
        proof.seq + 1,
        utc(proof.local),
        utc(proof.earliest),
        utc(proof.latest),
        offset_text(proof.offset),
        bound_text(proof.bound),
        proof.key_id,
        proof.algorithm,
        Foreign(&proof.server)
    )
}

#[derive(Serialize)]
struct Object<'a> {
    seq: u64,
    server: &'a str,
    key_id: u32,
    algorithm: &'static str,
    proves_to_others: bool,
    local_ns: i64,
    earliest_ns: i64,
    latest_ns: i64,
}

/// The same as one object; `schema/receipts.schema.json` describes it.
pub fn object(proof: &Proof) -> String {
    let object = Object {
        seq: proof.seq,
        server: &proof.server,
        key_id: proof.key_id,
        algorithm: proof.algorithm,
        proves_to_others: proof.proves_to_others(),
        local_ns: proof.local.as_unix_nanos(),
        earliest_ns: proof.earliest.as_unix_nanos(),
        latest_ns: proof.latest.as_unix_nanos(),
    };
    ascii(&serde_json::to_string(&object).expect("strings and integers can always be written"))
}

/// A file that holds, as one object.
pub fn valid(checked: &Checked) -> String {
    let Checked {
        lines,
        private,
        head,
    } = checked;
    let head = head.to_string();
    json!({ "valid": true, "lines": lines, "private": private, "head": head }).to_string()
}

/// A file that holds, in sentences.
pub fn summary(checked: &Checked, view: View) -> String {
    let Checked {
        lines,
        private,
        head,
    } = checked;
    let whom = match private {
        0 => String::new(),
        some => format!(
            "{some} of them are signed by hmac-sha256: who can check those can also make them, so they\n\
             prove nothing to anybody but the holder of the key.\n"
        ),
    };
    let expect = view.spelling.fill("{expect-head}");
    format!(
        "{} {}. Proven is what the keys signed, not that this host honestly\n\
         recorded its own part: T1, T4, the server's name and address, and what was done.\n{whom}\
         Keep this hash elsewhere, to see later whether lines were cut off: {expect} {head}",
        Count(*lines, "receipt"),
        if *lines == 1 { "holds" } else { "hold" }
    )
}

/// A file that does not hold, as one object.
pub fn refusal(flaw: &Flaw) -> String {
    json!({ "valid": false, "line": flaw.line, "problem": flaw.to_string() }).to_string()
}

/// `2026-11-20T13:21:42.123456789Z`, by the proleptic Gregorian calendar.
fn utc(time: HostTime) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(time.as_unix_nanos().into())
        .expect("host time lies in the years 1677 to 2262");
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
        moment.year(),
        u8::from(moment.month()),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second(),
        moment.nanosecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc_from_the_first_to_the_last() {
        for (nanos, expected) in [
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        ] {
            assert_eq!(utc(HostTime::from_unix_nanos(nanos)), expected);
        }
    }
}
