//! This host: its clock, who else steers it, and its hardware clock.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tsq_client::trust::{Floor, date};
use tsq_clock::{Clock, ClockError, HardwareClock, Limits, RtcVerdict, SystemClock};
use tsq_host::daemons;
use tsq_net::{KernelClock, kernel_clock};
use tsq_proto::Offset;

use super::Finding;
use super::advice::of_rtc;
use crate::outcome::Outcome;
use crate::standing::Standing;
use crate::words::{length, seconds};

pub(super) fn findings(outcome: Option<&Outcome>) -> Vec<Finding> {
    let clock = SystemClock::open(Limits {
        max_step: Duration::ZERO,
        max_slew: Duration::ZERO,
    });
    let offset = outcome
        .and_then(|outcome| outcome.judged.combined.as_ref().ok())
        .map(|combined| combined.offset);
    let proc = Path::new("/proc");
    let mut found = vec![
        standing(&clock, &daemons::running(proc)),
        permission(clock.may_set()),
    ];
    found.extend(steering(&daemons::steering(proc)));
    found.extend(offset.and_then(far_off));
    found.extend(offset.and_then(|offset| paused(is_virtual(), offset)));
    found.extend(stamps());
    found.extend(hardware(&clock, offset));
    found
}

const HOST: &str = "host";

fn standing(clock: &SystemClock, daemons: &[&str]) -> Finding {
    let floor = Floor::of_build();
    let now = clock.read();
    let shows = format!("the clock shows {}", date(seconds(now)));
    match Standing::of(now, SystemClock::state(), floor) {
        Standing::Synchronised => Finding::ok(
            HOST,
            "clock_synchronised",
            format!("{shows}, and the kernel says that somebody keeps it"),
        ),
        Standing::Unsynchronised => Finding::note(
            HOST,
            "clock_unsynchronised",
            format!("{shows}, and the kernel says that nobody keeps it"),
            keeping(daemons),
        ),
        Standing::BelowFloor => Finding::problem(
            HOST,
            "clock_below_floor",
            format!(
                "{shows}, which is certainly too early: {} is past ({})",
                date(seconds(floor.at)),
                floor.source
            ),
            "tsq-adjtime {max-start-offset} none with three servers, or one and its {pin}",
        ),
        Standing::Unreadable => Finding::note(
            HOST,
            "clock_unreadable",
            format!("{shows}, and a sandbox keeps the kernel's word about it away"),
            "let the sandbox pass adjtimex(2), which reads as well; until then the clock counts as kept by nobody",
        ),
    }
}

/// What to do about a clock that nobody keeps.
fn keeping(daemons: &[&str]) -> &'static str {
    if daemons.contains(&"chronyd") {
        "chronyd runs here but has told the kernel nothing good: it has no source yet (chronyc sources), only watches (-x), \
         or lacks rtcsync in chrony.conf"
    } else {
        "run a daemon such as chronyd, or tsq-adjtime from a timer: one run sets a clock and does not keep it"
    }
}

fn permission(may_set: Result<(), ClockError>) -> Finding {
    match may_set {
        Ok(()) => Finding::ok(HOST, "clock_settable", "this process may set the clock"),
        Err(ClockError::NoPermission) => Finding::note(
            HOST,
            "clock_read_only",
            "this process lacks CAP_SYS_TIME and may not set the clock (a container, or not root); all else works",
            "be root, and in a container be given CAP_SYS_TIME too; to look only: {dry-run}, wait, check",
        ),
        Err(error) => Finding::problem(
            HOST,
            "clock_unusable",
            error.to_string(),
            "run where the kernel lets its clock be set; to look only: {dry-run}, wait, check",
        ),
    }
}

fn steering(daemons: &[&str]) -> Option<Finding> {
    if daemons.is_empty() {
        return None;
    }
    let names = daemons.join(" and ");
    Some(Finding::note(
        HOST,
        "steered_by_another",
        format!(
            "{names} runs here and steers the clock: two programs would undo each other's work"
        ),
        format!(
            "use {{dry-run}}, wait and check beside it, or stop it first (systemctl stop {}): a run sets no clock that it keeps",
            daemons[0]
        ),
    ))
}

/// Past the limit that a run has unless told otherwise.
fn far_off(offset: Offset) -> Option<Finding> {
    (offset.abs() > SECOND.abs()).then(|| {
        let way = if offset > Offset::ZERO {
            "behind"
        } else {
            "ahead"
        };
        Finding::problem(
            HOST,
            "clock_far_off",
            format!(
                "the clock is {way} by {}, more than a run corrects unless told to (1000 ms)",
                length(offset.abs())
            ),
            "once, by hand: {max-offset} none; at every boot: {max-start-offset} none",
        )
    })
}

fn is_virtual() -> bool {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with("flags"))
        .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor"))
}

/// A virtual machine's clock stands still while the machine does.
fn paused(virtual_machine: bool, offset: Offset) -> Option<Finding> {
    (virtual_machine && offset > SECOND).then(|| {
        Finding::note(
            HOST,
            "perhaps_paused",
            format!(
                "this is a virtual machine and its clock is behind by {}: paused or restored machines fall behind so",
                length(offset.abs())
            ),
            "run tsq-adjtime after each resume",
        )
    })
}

fn stamps() -> Option<Finding> {
    match kernel_clock() {
        KernelClock::Agrees | KernelClock::Untested => None,
        KernelClock::Differs => Some(Finding::note(
            HOST,
            "other_clock",
            "this process sees another clock than the kernel (faketime, or a time namespace)",
            "leave faketime away; if it is meant, samples are stamped by this process and less exact",
        )),
        KernelClock::NoStamps => Some(Finding::note(
            HOST,
            "no_kernel_stamps",
            "the kernel stamps no packets here: offsets are less exact",
            "run on Linux itself: some sandboxes and emulated kernels have no SO_TIMESTAMPING",
        )),
    }
}

fn hardware(clock: &SystemClock, offset: Option<Offset>) -> Option<Finding> {
    let device = HardwareClock::open(Path::new("/dev/rtc0"), false).ok()?;
    let rtc = match device.read() {
        Ok(rtc) => rtc,
        Err(error) => {
            let text = format!("the hardware clock cannot be read: {error}");
            let fix =
                "be root or of the group of /dev/rtc0, and see that no other program has it open";
            return Some(Finding::note(HOST, "rtc_unreadable", text, fix));
        }
    };
    let shows = format!("the hardware clock shows {}", date(seconds(rtc)));
    let Some(offset) = offset else {
        return Some(Finding::ok(HOST, "rtc", shows));
    };
    Some(judged(
        &shows,
        RtcVerdict::of(rtc, clock.read() + offset, Floor::of_build().at),
    ))
}

fn judged(shows: &str, verdict: RtcVerdict) -> Finding {
    let (text, fix) = (format!("{shows}: {verdict}"), of_rtc(verdict));
    match verdict {
        RtcVerdict::Right => Finding::ok(HOST, "rtc_right", text),
        RtcVerdict::LocalTime { .. } => Finding::problem(HOST, "rtc_local_time", text, fix),
        RtcVerdict::Reset => Finding::problem(HOST, "rtc_reset", text, fix),
        RtcVerdict::Wrong => Finding::note(HOST, "rtc_wrong", text, fix),
    }
}

const SECOND: Offset = Offset::from_nanos(1_000_000_000);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::Spelling;

    fn plain(finding: &Finding) -> String {
        finding.fix.as_ref().unwrap().text(Spelling::PLAIN)
    }

    #[test]
    fn daemon_that_steers_the_clock_is_named_with_what_stops_it() {
        let found = ["chronyd", "systemd-timesyncd"];
        let finding = steering(&found).unwrap();
        assert!(plain(&finding).contains("systemctl stop chronyd"));
        assert_eq!(steering(&[]), None);
        assert!(keeping(&found).contains("rtcsync"));
        assert!(keeping(&[]).contains("run a daemon"));
    }

    #[test]
    fn every_state_of_the_hardware_clock_says_what_to_do() {
        let verdicts = [
            (RtcVerdict::LocalTime { ahead_minutes: 60 }, "UTC+01:00"),
            (RtcVerdict::Reset, "battery"),
            (RtcVerdict::Wrong, "wrong"),
        ];
        for (verdict, word) in verdicts {
            let finding = judged("it", verdict);
            assert!(finding.text.contains(word), "{finding:?}");
            assert!(plain(&finding).contains("rtc write"));
        }
    }

    #[test]
    fn offset_past_the_usual_limit_is_told_with_its_direction() {
        assert_eq!(far_off(SECOND), None);
        let behind = far_off(SECOND + Offset::from_nanos(1)).unwrap();
        assert!(behind.text.contains("behind by"), "{behind:?}");
        let ahead = far_off(Offset::from_nanos(-94_608_000_000_000_000)).unwrap();
        assert!(ahead.text.contains("ahead by"), "{ahead:?}");
    }

    /// A paused machine falls behind and never runs ahead.
    #[test]
    fn only_a_virtual_machine_that_is_behind_may_have_been_paused() {
        let hour = Offset::from_nanos(3_600_000_000_000);
        let finding = paused(true, hour).unwrap();
        assert!(finding.text.contains("behind by 1 h 0 min"), "{finding:?}");
        assert!(plain(&finding).contains("after each resume"));
        assert_eq!(paused(false, hour), None);
        assert_eq!(paused(true, Offset::ZERO - hour), None);
    }

    #[test]
    fn clock_that_may_not_be_set_is_no_obstacle_to_looking() {
        let finding = permission(Err(ClockError::NoPermission));
        assert_eq!(finding.name, "clock_read_only");
        assert!(plain(&finding).contains("dry-run"));
    }
}
