use std::io;
use std::mem;

use libc::timex;

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
