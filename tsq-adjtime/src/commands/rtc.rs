//! The hardware clock against trusted time.

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tsq_client::TrustState;
use tsq_client::trust::{Floor, date};
use tsq_clock::{Clock, HardwareClock, Limits, Moment, RtcVerdict, SystemClock};
use tsq_command::json::ascii;
use tsq_proto::{HostTime, Offset};

use tsq_sync::findings::of_rtc;
use tsq_sync::words::{offset_text, seconds};
use tsq_sync::{Reason, Standing};

use super::measure;
use crate::ended::{self, Ended, Unusable};
use crate::exit::Exit;
use crate::reach::Reach;
use crate::shown::OPTIONS;

/// What was found, and done.
#[derive(Clone, Debug, Serialize)]
struct Report {
    rtc_ns: i64,
    trusted_ns: Option<i64>,
    offset_ns: Option<i64>,
    verdict: Option<&'static str>,
    trust: &'static str,
    written: bool,
    exit_code: u8,
    #[serde(skip)]
    words: Vec<String>,
    #[serde(skip)]
    exit: Exit,
    /// Why it is not 0.
    #[serde(skip)]
    why: String,
}

/// What the user asked for.
#[derive(Clone, Debug)]
pub(super) struct Wish<'a> {
    /// The device.
    pub device: &'a Path,
    /// Set it.
    pub write: bool,
    /// Time for asking the servers.
    pub timeout: Duration,
    /// Print one JSON object.
    pub json: bool,
}

/// Reads, compares and maybe sets the hardware clock; returns how that ended.
///
/// # Errors
/// [`Unusable`]: there is no such clock, it may not be read or set, or nobody trusted tells the time.
pub(super) fn run(servers: &[String], reach: &Reach, wish: &Wish<'_>) -> Result<Ended, Unusable> {
    let report = compare(servers, reach, wish)?;
    ended::print(|out| match wish.json {
        true => writeln!(out, "{}", ascii(&serde_json::to_string(&report)?)),
        false => report
            .words
            .iter()
            .try_for_each(|line| writeln!(out, "{line}")),
    })?;
    Ok(Ended::with(report.exit, report.why))
}

fn compare(servers: &[String], reach: &Reach, wish: &Wish<'_>) -> Result<Report, Unusable> {
    let device = HardwareClock::open(wish.device, wish.write)
        .map_err(|error| unusable(wish.device, &error))?;
    let truth = Truth::find(servers, reach, wish.timeout)?;
    let rtc = device
        .read()
        .map_err(|error| unusable(wish.device, &error))?;
    let shows = format!("{} shows {}", wish.device.display(), date(seconds(rtc)));
    let Some(by) = truth.offset else {
        let why = format!("no trusted time to compare it with: {}", truth.problem);
        return Ok(Report {
            rtc_ns: rtc.as_unix_nanos(),
            trusted_ns: None,
            offset_ns: None,
            verdict: None,
            trust: truth.state.name(),
            written: false,
            exit_code: Exit::NoAnswer.code(),
            words: vec![shows, why.clone()],
            exit: Exit::NoAnswer,
            why,
        });
    };
    let trusted = now() + by;
    let verdict = RtcVerdict::of(rtc, trusted, Floor::of_build().at);
    let offset = trusted - rtc;
    let mut words = vec![
        format!(
            "{shows}; the time is {} (trust: {})",
            date(seconds(trusted)),
            truth.state
        ),
        // Whole seconds: what it shows began up to a second ago.
        format!("offset {} ± 1 s: {verdict}", offset_text(offset)),
    ];
    let wrong = verdict != RtcVerdict::Right;
    if wrong && !wish.write {
        words.push(of_rtc(verdict).text(OPTIONS));
    }
    if wish.write {
        set(&device, by, &truth.since).map_err(|error| unusable(wish.device, &error))?;
        words.push("set to UTC".into());
    }
    let (exit, why) = if wrong && !wish.write {
        let why = format!(
            "the hardware clock is off by {}: {}",
            offset_text(offset),
            of_rtc(verdict).text(OPTIONS)
        );
        (Exit::PastLimit, why)
    } else if truth.by_ntp {
        let why = "plain NTP alone told the time, which nothing authenticates (--allow-ntp)";
        (Exit::Unauthenticated, why.into())
    } else {
        (Exit::Done, String::new())
    };
    Ok(Report {
        rtc_ns: rtc.as_unix_nanos(),
        trusted_ns: Some(trusted.as_unix_nanos()),
        offset_ns: Some(offset.as_nanos()),
        verdict: Some(verdict.name()),
        trust: truth.state.name(),
        written: wish.write,
        exit_code: exit.code(),
        words,
        exit,
        why,
    })
}

/// In the middle of a second: the common chip begins its next second half a second after it is set.
fn set(device: &HardwareClock, by: Offset, since: &Moment) -> std::io::Result<()> {
    let into_second = (now() + by).as_unix_nanos().rem_euclid(SECOND);
    let until_middle = (SECOND / 2 - into_second).rem_euclid(SECOND);
    thread::sleep(Duration::from_nanos(until_middle.unsigned_abs()));
    since
        .undisturbed_until(&clock().moment(), SLACK)
        .map_err(|disturbance| std::io::Error::other(disturbance.to_string()))?;
    device.set(now() + by)
}

/// The time, by those who can be trusted with it.
struct Truth {
    /// What to add to this host's clock.
    offset: Option<Offset>,
    /// Before that was measured.
    since: Moment,
    state: TrustState,
    /// Nothing authenticates it, as the user allowed.
    by_ntp: bool,
    problem: String,
}

impl Truth {
    fn find(servers: &[String], reach: &Reach, timeout: Duration) -> Result<Self, Unusable> {
        let since = clock().moment();
        if servers.is_empty() {
            let standing = Standing::of(now(), SystemClock::state(), Floor::of_build());
            let kept = standing == Standing::Synchronised;
            return Ok(Self {
                offset: kept.then_some(Offset::ZERO),
                since,
                state: TrustState::Floor,
                by_ntp: false,
                problem: format!("this host's clock is {standing}; name servers"),
            });
        }
        let outcome = measure(servers, reach, timeout, None)?;
        let trust = outcome.judged.trust;
        let state = trust.map_or(TrustState::Floor, |trust| trust.state);
        let problem = match &outcome.judged.combined {
            Ok(_) => String::new(),
            Err(none) => none.told(OPTIONS),
        };
        Ok(Self {
            offset: outcome.judged.combined.ok().map(|found| found.offset),
            since,
            state,
            by_ntp: outcome.judged.by_ntp,
            problem,
        })
    }
}

fn now() -> HostTime {
    clock().read()
}

fn clock() -> SystemClock {
    SystemClock::open(Limits {
        max_step: Duration::ZERO,
        max_slew: Duration::ZERO,
    })
}

fn unusable(device: &Path, error: &std::io::Error) -> Unusable {
    let (exit, hint) = match error.kind() {
        std::io::ErrorKind::NotFound => (
            Exit::Internal,
            " (this machine or container has no hardware clock; another is named with --device)",
        ),
        std::io::ErrorKind::PermissionDenied => (
            Exit::NoPermission,
            " (reading it needs root or the group of the device, setting it CAP_SYS_TIME as well, which a container must be given)",
        ),
        std::io::ErrorKind::ResourceBusy => (Exit::Internal, " (another program has it open)"),
        _ => (Exit::Internal, ""),
    };
    Unusable {
        exit,
        problem: format!("{}: {error}{hint}", device.display()),
    }
}

const SECOND: i64 = 1_000_000_000;

/// It shows whole seconds: steps of this host's clock below this do not matter to it.
const SLACK: Duration = Duration::from_millis(10);
