//! chronyd's own account of the clock it keeps, through `chronyc -c tracking`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tsq_clock::KernelLeap;

/// What chronyd says of the clock (chronyc(1), command `tracking`).
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
    /// `socket` is its command socket where that is not in the usual place. chronyc waits a few
    /// seconds for a daemon that does not answer, so this is not for the serving thread.
    pub fn ask(socket: Option<&Path>) -> Option<Self> {
        let mut command = Command::new("chronyc");
        if let Some(socket) = socket {
            command.arg("-h").arg(socket);
        }
        let output = command
            .args(["-n", "-c", "tracking"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        if !output.status.success() {
            return None;
        }
        Self::parse(std::str::from_utf8(&output.stdout).ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.trim_end().split(',').collect();
        let seconds = |index: usize| -> Option<Duration> {
            let value: f64 = fields.get(index)?.parse().ok()?;
            Duration::try_from_secs_f64(value.abs()).ok()
        };
        let frequency_ppm: f64 = fields
            .get(7)?
            .parse()
            .ok()
            .filter(|ppm: &f64| ppm.is_finite())?;
        Some(Self {
            reference_id: u32::from_str_radix(fields.first()?, 16).ok()?,
            stratum: fields.get(2)?.parse().ok()?,
            rms_offset: seconds(6)?,
            frequency_ppb: (frequency_ppm * 1000.0).round() as i64,
            skew_ppm: fields
                .get(9)?
                .parse()
                .ok()
                .filter(|ppm: &f64| ppm.is_finite() && *ppm >= 0.0)?,
            root_delay: seconds(10)?,
            root_dispersion: seconds(11)?,
            leap: match *fields.get(13)? {
                "Normal" => Some(KernelLeap::None),
                "Insert second" => Some(KernelLeap::Insert),
                "Delete second" => Some(KernelLeap::Delete),
                _ => None,
            },
        })
    }

    /// The root dispersion `age` after this was told.
    pub fn dispersion_after(&self, age: Duration) -> Duration {
        self.root_dispersion + age.mul_f64((self.skew_ppm + OSCILLATOR_PPM) * 1e-6)
    }
}

/// What chronyd adds to the skew for the oscillator itself (`maxclockerror`, its default).
const OSCILLATOR_PPM: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "C0000201,192.0.2.1,3,1795181515.557264448,0.000001234,-0.000002000,0.000010000,\
                        -12.345,0.001,0.050,0.001500000,0.000600000,64.2,Insert second\n";

    #[test]
    fn line_of_chronyc_is_read() {
        let tracking = Tracking::parse(LINE).unwrap();
        assert_eq!(tracking.reference_id, 0xC000_0201);
        assert_eq!(tracking.stratum, 3);
        assert_eq!(tracking.frequency_ppb, -12_345);
        assert_eq!(tracking.root_delay, Duration::from_micros(1_500));
        assert_eq!(tracking.root_dispersion, Duration::from_micros(600));
        assert_eq!(tracking.leap, Some(KernelLeap::Insert));
        let grown = tracking.dispersion_after(Duration::from_secs(100));
        assert_eq!(grown, Duration::from_micros(600 + 105));
    }

    #[test]
    fn daemon_without_a_source_is_not_synchronised() {
        let line = "00000000,,0,0.0,0,0,0,0.0,0,0,1.0,1.0,0.0,Not synchronised";
        assert_eq!(Tracking::parse(line).unwrap().leap, None);
    }

    #[test]
    fn anything_else_is_no_answer() {
        for line in [
            "",
            "506 Cannot talk to daemon",
            &LINE[..60],
            "x,,,,,,,,,,,,,",
            &LINE.replace("0.050", "NaN"),
        ] {
            assert_eq!(Tracking::parse(line), None, "{line}");
        }
    }
}
