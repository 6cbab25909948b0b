//! Receipts that were checked: what they prove.

use serde::Serialize;
use serde_json::json;
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
    let nanos = time.as_unix_nanos();
    let (seconds, rest) = (
        nanos.div_euclid(1_000_000_000),
        nanos.rem_euclid(1_000_000_000),
    );
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{rest:09}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month and day of a day counted from 1970-01-01; years begin in March, so that the leap
/// day is the last of them.
fn civil(days: i64) -> (i64, i64, i64) {
    let since_0000_03_01 = days + 719_468;
    let era = since_0000_03_01.div_euclid(DAYS_IN_400_YEARS);
    let day_of_era = since_0000_03_01.rem_euclid(DAYS_IN_400_YEARS);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_from_march + 2) / 5 + 1;
    let month = if months_from_march < 10 {
        months_from_march + 3
    } else {
        months_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

const DAYS_IN_400_YEARS: i64 = 146_097;
