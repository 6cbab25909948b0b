//! Where a time was taken: by the kernel, or by this process.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tsq_proto::time::{HostTime, Monotonic, Offset};

use crate::socket::{Batch, Socket, wait};

/// A time on this host's clock, and who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The instant, on CLOCK_REALTIME as this process sees it.
    pub time: HostTime,
    /// Who read the clock.
    pub source: StampSource,
}

impl Stamp {
    /// A stamp taken by the kernel.
    pub fn kernel(time: HostTime) -> Self {
        Self {
            time,
            source: StampSource::Kernel,
        }
    }

    /// A stamp taken by this process.
    pub fn user(time: HostTime) -> Self {
        Self {
            time,
            source: StampSource::User,
        }
    }

    /// The kernel's stamp if it lies between two reads of this process's own clock around it,
    /// else the later read, marked as such.
    ///
    /// A kernel stamp does not fit after the clock was stepped, or when this process sees another
    /// clock than the kernel's (`faketime`). `slack` is how far before `earliest` a true stamp may
    /// lie: the kernel stamps a packet a little before it can be read.
    pub fn fitting(
        kernel: Option<HostTime>,
        earliest: HostTime,
        latest: HostTime,
        slack: Duration,
    ) -> Self {
        match kernel {
            Some(time) if time <= latest && time >= earliest - offset(slack) => Self::kernel(time),
            _ => Self::user(latest),
        }
    }
}

/// Who read the clock for a [`Stamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampSource {
    /// The kernel, when the packet passed it.
    Kernel,
    /// This process, some microseconds (or, on a busy host, milliseconds) off.
    User,
}

/// The clock of this process: CLOCK_REALTIME in nanoseconds since 1970.
pub fn now() -> HostTime {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => HostTime::from_unix_nanos(nanos(after)),
        Err(before) => HostTime::from_unix_nanos(-nanos(before.duration())),
    }
}

/// CLOCK_MONOTONIC since this process first asked.
pub fn monotonic_now() -> Monotonic {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    Monotonic::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// The settable clock and the one that never steps, read together.
///
/// Two pairs tell whether the clock was stepped in between: slewing moves both alike, a step
/// moves only `real`.
#[derive(Clone, Copy, Debug)]
pub struct ClockPair {
    /// CLOCK_REALTIME.
    pub real: HostTime,
    /// CLOCK_MONOTONIC.
    pub monotonic: Monotonic,
}

impl ClockPair {
    /// Reads both clocks, the settable one between two reads of the other.
    ///
    /// A task switch in between would look like a step: such a reading is taken again.
    pub fn read() -> Self {
        let mut best: Option<(Duration, Self)> = None;
        for _ in 0..READS {
            let before = monotonic_now();
            let real = now();
            let apart = monotonic_now() - before;
            let pair = Self {
                real,
                monotonic: before + apart / 2,
            };
            if best.is_none_or(|(least, _)| apart < least) {
                best = Some((apart, pair));
            }
            if apart < Self::STEP_FLOOR / 10 {
                break;
            }
        }
        best.map_or_else(
            || Self {
                real: now(),
                monotonic: monotonic_now(),
            },
            |(_, pair)| pair,
        )
    }

    /// By how much the clock was stepped between `earlier` and this pair, if by more than
    /// [`Self::STEP_FLOOR`].
    pub fn stepped_since(&self, earlier: &Self) -> Option<Offset> {
        let elapsed = offset(self.monotonic - earlier.monotonic);
        let step = (self.real - earlier.real) - elapsed;
        (step.abs() > Self::STEP_FLOOR).then_some(step)
    }

    /// Smaller differences may be a task switch between the two reads. A clock set by less than
    /// this in the middle of an exchange goes unseen and costs at most this much.
    pub const STEP_FLOOR: Duration = Duration::from_millis(1);
}

const READS: u32 = 5;

/// Whether the kernel's receive stamps can be used by this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelClock {
    /// A packet sent to ourselves was stamped, and the stamp fitted our own clock.
    Agrees,
    /// It was stamped with a time our own clock does not show: another clock is in between.
    Differs,
    /// It was not stamped.
    NoStamps,
    /// It could not be tried (no loopback device, say): single stamps are believed if they fit.
    Untested,
}

/// Sends a packet to ourselves over loopback, once per process, and looks at its stamp.
///
/// Only a bracket of microseconds can tell a clock that is shifted by a little: a server waits
/// hours between packets, and any stamp of those hours would seem to fit.
pub fn kernel_clock() -> KernelClock {
    TRIAL
        .get_or_init(|| {
            Trial::run().unwrap_or(Trial {
                outcome: KernelClock::Untested,
                _receiver: None,
            })
        })
        .outcome
}

/// The kernel turns stamping on with the first socket that wants it, a little later, and off with
/// the last: the trial's socket stays open so that it stays on.
struct Trial {
    outcome: KernelClock,
    _receiver: Option<Socket>,
}

static TRIAL: OnceLock<Trial> = OnceLock::new();

impl Trial {
    fn run() -> std::io::Result<Self> {
        let mut receiver = Socket::bind_unchecked((Ipv4Addr::LOCALHOST, 0).into())?;
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut batch = Batch::new();
        let mut outcome = KernelClock::Untested;
        for _ in 0..TRIES {
            outcome = try_one(&mut receiver, &sender, &mut batch)?;
            if outcome != KernelClock::NoStamps {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Self {
            outcome,
            _receiver: Some(receiver),
        })
    }
}

/// Some 50 ms where nothing is ever stamped. The kernel turns stamping on in a worker thread, behind the other
/// work of a busy machine: with a load of 8 on two cores, 20 tries were too few, and a process that gives up here
/// does without kernel stamps for as long as it lives.
const TRIES: u32 = 300;
const PAUSE: Duration = Duration::from_micros(100);

fn try_one(
    receiver: &mut Socket,
    sender: &UdpSocket,
    batch: &mut Batch,
) -> std::io::Result<KernelClock> {
    let before = now();
    sender.send_to(b"?", receiver.local_addr())?;
    wait(&[&*receiver], None, Some(Duration::from_millis(50)))?;
    let count = receiver.receive(batch)?;
    let after = now();
    if count == 0 {
        return Ok(KernelClock::Untested);
    }
    Ok(match batch.kernel_time(0) {
        None => KernelClock::NoStamps,
        Some(time) if time >= before && time <= after => KernelClock::Agrees,
        Some(_) => KernelClock::Differs,
    })
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn offset(duration: Duration) -> Offset {
    Offset::from_nanos(nanos(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: Duration = Duration::from_nanos(10);

    fn at(nanos: i64) -> HostTime {
        HostTime::from_unix_nanos(nanos)
    }

    #[test]
    fn kernel_stamp_between_the_reads_is_believed() {
        for time in [90, 100, 150, 200] {
            let stamp = Stamp::fitting(Some(at(time)), at(100), at(200), SLACK);
            assert_eq!(stamp, Stamp::kernel(at(time)));
        }
    }

    #[test]
    fn kernel_stamp_outside_the_reads_is_replaced_and_marked() {
        for time in [89, 201, -5] {
            let stamp = Stamp::fitting(Some(at(time)), at(100), at(200), SLACK);
            assert_eq!(stamp, Stamp::user(at(200)));
        }
        assert_eq!(
            Stamp::fitting(None, at(100), at(200), SLACK),
            Stamp::user(at(200))
        );
    }

    #[test]
    fn a_step_is_seen_and_a_slew_is_not() {
        let pair = |real, monotonic| ClockPair {
            real: at(real),
            monotonic: Monotonic::from_nanos(monotonic),
        };
        let start = pair(1_000_000_000, 5);
        assert_eq!(
            pair(3_000_000_000, 2_000_000_005).stepped_since(&start),
            None
        );
        assert_eq!(
            pair(3_005_000_000, 2_000_000_005).stepped_since(&start),
            Some(Offset::from_nanos(5_000_000))
        );
        assert_eq!(
            pair(0, 2_000_000_005).stepped_since(&start),
            Some(Offset::from_nanos(-3_000_000_000))
        );
    }

    #[test]
    fn this_host_stamps_loopback_packets_with_the_clock_we_read() {
        // Under faketime the same call must say Differs; interop/tests proves that.
        assert_eq!(kernel_clock(), KernelClock::Agrees);
    }
}
