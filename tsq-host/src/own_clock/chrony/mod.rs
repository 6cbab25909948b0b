//! chronyd's own account of the clock it keeps (what chronyc(1) prints for `tracking`).

mod ask;
mod wire;

use std::path::Path;
use std::time::Duration;

use tsq_clock::KernelLeap;

/// What chronyd says of the clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracking {
    /// The source followed: an IPv4 address, a hash of an IPv6 one, or four letters.
    pub reference_id: u32,
    /// Our distance from a reference clock; 0 if there is none.
    pub stratum: u8,
    /// To the reference and back.
    pub root_delay: Duration,
    /// What has gathered beyond that.
    pub root_dispersion: Duration,
    /// How fast the dispersion grows until the next update, in parts per million.
    pub skew_ppm: f64,
    /// The clock's correction, in parts per billion.
    pub frequency_ppb: i64,
    /// The offsets' root mean square.
    pub rms_offset: Duration,
    /// None if chronyd says "not synchronised".
    pub leap: Option<KernelLeap>,
}

impl Tracking {
    /// Asks the chronyd of this host; None if there is none or it does not say.
    ///
    /// `socket` is its command socket where that is not in the usual place. A daemon that does not
    /// answer is waited for, up to a few seconds: this is not for the serving thread.
    pub fn ask(socket: Option<&Path>) -> Option<Self> {
        let asked = match socket {
            Some(path) => ask::by_path(path),
            // Users other than root and chrony cannot use the path.
            None => ask::by_path(ask::USUAL.as_ref()).or_else(|_| ask::by_port()),
        };
        match asked {
            Ok(tracking) => Some(tracking),
            Err(error) => {
                tracing::debug!(%error, "chronyd does not say");
                None
            }
        }
    }

    /// The root dispersion `age` after this was told.
    pub fn dispersion_after(&self, age: Duration) -> Duration {
        self.root_dispersion + age.mul_f64((self.skew_ppm + OSCILLATOR_PPM) * 1e-6)
    }
}

/// chronyd's command socket, where its user did not move it.
pub const USUAL_SOCKET: &str = ask::USUAL;

/// What chronyd adds to the skew for the oscillator itself (`maxclockerror`, its default).
const OSCILLATOR_PPM: f64 = 1.0;
