use std::io;
use std::mem;
use std::time::Duration;

use libc::{c_int, c_ulong, timex};

/// `adjtimex(2)`; `Err` carries its `errno`. The clock's state (`TIME_OK` and so on) is of no use
/// to us.
pub(super) fn adjtimex(request: &mut timex) -> Result<(), i32> {
    // SAFETY: the pointer is to a whole, initialised `timex` that nobody else uses during the call.
    let state = unsafe { libc::adjtimex(request) };
    if state < 0 {
        Err(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        Ok(())
    }
}

/// A request that asks for nothing. (`timex` has private padding, so it cannot be written out.)
pub(super) fn empty_timex() -> timex {
    // SAFETY: `timex` is made of integers only, for which zero bytes are a value.
    unsafe { mem::zeroed() }
}

/// `clock_gettime(2)` of a clock that every Linux has.
pub(super) fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a whole `timespec` that nobody else uses during the call. It fails only for clocks
    // that do not exist, and leaves zeros then.
    unsafe { libc::clock_gettime(id, &raw mut time) };
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// `struct rtc_time` of `linux/rtc.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RtcTime {
    pub(super) second: c_int,
    pub(super) minute: c_int,
    pub(super) hour: c_int,
    pub(super) day: c_int,
    /// From 0.
    pub(super) month: c_int,
    /// From 1900.
    pub(super) year: c_int,
    // Neither read nor filled in by the kernel's drivers.
    pub(super) _week_day: c_int,
    pub(super) _year_day: c_int,
    pub(super) _daylight_saving: c_int,
}

/// `RTC_RD_TIME` on an open device.
pub(super) fn rtc_read(device: c_int, time: &mut RtcTime) -> io::Result<()> {
    // SAFETY: the call fills in the 36 bytes that its number names, and `time` has them.
    let result = unsafe { libc::ioctl(device, RTC_RD_TIME, std::ptr::from_mut(time)) };
    ok(result)
}

/// `RTC_SET_TIME` on an open device.
pub(super) fn rtc_set(device: c_int, time: &RtcTime) -> io::Result<()> {
    // SAFETY: the call reads the 36 bytes that its number names, and `time` has them.
    let result = unsafe { libc::ioctl(device, RTC_SET_TIME, std::ptr::from_ref(time)) };
    ok(result)
}

fn ok(result: c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// `_IOR('p', 9, struct rtc_time)`, the encoding of x86, Arm and RISC-V.
const RTC_RD_TIME: c_ulong = 0x8024_7009;

/// `_IOW('p', 10, struct rtc_time)`.
const RTC_SET_TIME: c_ulong = 0x4024_700a;
