//! The hardware clock behind `/dev/rtc0`.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use libc::c_int;
use tsq_proto::HostTime;

use super::sys;
use crate::rtc::Civil;

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
        let unix = civil(&shown).to_unix().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "it shows a time that does not exist",
            )
        })?;
        Ok(HostTime::from_unix(unix, 0))
    }

    /// Sets it to the whole second of `time`. The common chip begins its next second half a second
    /// later, so call this in the middle of one.
    ///
    /// # Errors
    /// Those of the device; permission denied without CAP_SYS_TIME.
    pub fn set(&self, time: HostTime) -> io::Result<()> {
        let unix = time.as_unix_nanos().div_euclid(1_000_000_000);
        sys::rtc_set(self.file.as_raw_fd(), &shown(Civil::of_unix(unix)))
    }
}

fn civil(shown: &sys::RtcTime) -> Civil {
    Civil {
        year: i64::from(shown.year) + 1900,
        month: i64::from(shown.month) + 1,
        day: shown.day.into(),
        hour: shown.hour.into(),
        minute: shown.minute.into(),
        second: shown.second.into(),
    }
}

fn shown(civil: Civil) -> sys::RtcTime {
    let field = |value: i64| c_int::try_from(value).unwrap_or(0);
    sys::RtcTime {
        year: field(civil.year - 1900),
        month: field(civil.month - 1),
        day: field(civil.day),
        hour: field(civil.hour),
        minute: field(civil.minute),
        second: field(civil.second),
        ..sys::RtcTime::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_kernel() {
        let civil_time = Civil::of_unix(1_795_219_200);
        let fields = shown(civil_time);
        assert_eq!((fields.year, fields.month, fields.day), (126, 10, 21));
        assert_eq!(civil(&fields), civil_time);
        assert_eq!(size_of::<sys::RtcTime>(), 36);
    }

    #[test]
    fn file_that_is_no_clock_is_refused() {
        let clock = HardwareClock::open(Path::new("/dev/null"), false).unwrap();
        assert!(clock.read().is_err());
        assert!(HardwareClock::open(Path::new("/nonexistent"), false).is_err());
    }
}
