//! The hardware clock behind `/dev/rtc0`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use libc::c_int;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};
use tsq_proto::HostTime;

use super::sys;

/// This machine's hardware clock. It counts whole seconds, taken for UTC.
#[derive(Debug)]
pub struct HardwareClock {
    file: File,
}

impl HardwareClock {
    /// Opens the device, commonly `/dev/rtc0`, to read or also to set it.
    ///
    /// # Errors
    /// Those of opening it: not found where there is none, busy while another program has it.
    pub fn open(path: &Path, write: bool) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(write).open(path)?;
        Ok(Self { file })
    }

    /// What it shows: the time is up to a second later.
    ///
    /// # Errors
    /// Those of the device, also where it shows a time that does not exist.
    pub fn read(&self) -> io::Result<HostTime> {
        let mut shown = sys::RtcTime::default();
        sys::rtc_read(self.file.as_raw_fd(), &mut shown)?;
        let moment = moment(&shown).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "it shows a time that does not exist",
            )
        })?;
        Ok(HostTime::from_unix(moment.unix_timestamp(), 0))
    }

    /// Sets it to the whole second of `time`. The common chip begins its next second half a second
    /// later, so call this in the middle of one.
    ///
    /// # Errors
    /// Those of the device; permission denied without CAP_SYS_TIME.
    pub fn set(&self, time: HostTime) -> io::Result<()> {
        let unix = time.as_unix_nanos().div_euclid(1_000_000_000);
        let moment =
            OffsetDateTime::from_unix_timestamp(unix).expect("host time ends in the year 2262");
        sys::rtc_set(self.file.as_raw_fd(), &shown(moment))
    }
}

/// None if there is no such time, as a clock without power may show.
fn moment(shown: &sys::RtcTime) -> Option<OffsetDateTime> {
    let field = |value: c_int| u8::try_from(value).ok();
    let month = Month::try_from(field(shown.month.checked_add(1)?)?).ok()?;
    let year = shown.year.checked_add(1900)?;
    let date = Date::from_calendar_date(year, month, field(shown.day)?).ok()?;
    let time = Time::from_hms(
        field(shown.hour)?,
        field(shown.minute)?,
        field(shown.second)?,
    );
    Some(PrimitiveDateTime::new(date, time.ok()?).assume_utc())
}

fn shown(moment: OffsetDateTime) -> sys::RtcTime {
    sys::RtcTime {
        year: moment.year() - 1900,
        month: c_int::from(u8::from(moment.month())) - 1,
        day: moment.day().into(),
        hour: moment.hour().into(),
        minute: moment.minute().into(),
        second: moment.second().into(),
        ..sys::RtcTime::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_kernel() {
        for (unix, expected) in [
            (0, (70, 0, 1, 0, 0, 0)),
            (951_782_399, (100, 1, 28, 23, 59, 59)),
            (951_782_400, (100, 1, 29, 0, 0, 0)),
            (1_795_219_200, (126, 10, 21, 0, 0, 0)),
            (2_085_978_496, (136, 1, 7, 6, 28, 16)),
            (4_107_542_400, (200, 2, 1, 0, 0, 0)),
        ] {
            let at = OffsetDateTime::from_unix_timestamp(unix).unwrap();
            let of = shown(at);
            let found = (of.year, of.month, of.day, of.hour, of.minute, of.second);
            assert_eq!(found, expected);
            assert_eq!(moment(&of), Some(at));
        }
        assert_eq!(size_of::<sys::RtcTime>(), 36);
    }

    #[test]
    fn time_that_does_not_exist_is_none() {
        let set = |change: fn(&mut sys::RtcTime)| {
            let mut fields = shown(OffsetDateTime::UNIX_EPOCH);
            change(&mut fields);
            moment(&fields)
        };
        assert!(set(|_| {}).is_some());
        assert_eq!(set(|fields| fields.month = 12), None);
        assert_eq!(set(|fields| fields.day = 0), None);
        assert_eq!(set(|fields| (fields.month, fields.day) = (1, 29)), None);
        assert_eq!(set(|fields| fields.hour = 45), None);
        assert_eq!(set(|fields| fields.year = c_int::MAX), None);
    }

    #[test]
    fn file_that_is_no_clock_is_refused() {
        let clock = HardwareClock::open(Path::new("/dev/null"), false).unwrap();
        assert!(clock.read().is_err());
        assert!(HardwareClock::open(Path::new("/nonexistent"), false).is_err());
    }
}
