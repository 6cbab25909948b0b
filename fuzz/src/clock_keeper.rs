//! Whatever servers say and whenever they say it, a keeper's corrections are numbers within their limits.

use std::time::Duration;

use tsq_algo::discipline::{
    Action, Keeper, Now, PollRange, Rate, ServerClock, Settings, SourceSettings, Stamps,
};
use tsq_proto::{HostTime, Monotonic};

/// The keeper may correct so much: parts per million of frequency and of slew, and steps in all.
const FREQUENCY: u32 = 100;
const SLEW: u32 = 1000;
const STEPS: usize = 3;

/// One exchange in the input: what passed before it in ms, what it took in us, two stamps of the server, a byte of flags.
const LENGTH: usize = 4 + 4 + 8 + 8 + 1;

/// Reads `input` as what happens to a keeper of three sources.
///
/// # Panics
///
/// When the property does not hold.
pub fn check(input: &[u8]) {
    let settings = Settings {
        max_slew_ppm: SLEW,
        max_frequency_ppm: FREQUENCY,
        ..Settings::default()
    };
    let source = SourceSettings {
        poll: PollRange { min: 0, max: 4 },
        authenticated: true,
        ..SourceSettings::default()
    };
    let mut host = Host::default();
    let mut keeper = Keeper::new(settings, vec![source; 3], 0.0, None, &host.now());
    let mut steps = 0;
    for exchange in input.chunks_exact(LENGTH).take(200) {
        let (gap, rest) = exchange.split_at(4);
        let (took, rest) = rest.split_at(4);
        let (received, rest) = rest.split_at(8);
        let (sent, flags) = rest.split_at(8);
        let flags = flags[0];
        host.passes(u64::from(number(gap)) * 1_000_000, flags & 0x80 != 0);
        keeper.handle_timeout(&host.now());
        let left = host.now().raw;
        host.passes(u64::from(number(took)) * 1_000, false);
        let index = usize::from(flags & 3);
        if flags & 0x40 != 0 {
            keeper.lost(index, &host.now());
        } else {
            let now = host.now();
            // Near the truth, or anything.
            let stamp = |bytes: &[u8]| match flags & 0x20 {
                0 => now.wall.as_unix_nanos() + i64::from(number(&bytes[..4])) - (1 << 31),
                _ => i64::from_le_bytes(bytes.try_into().expect("eight bytes")),
            };
            let stamps = Stamps {
                left,
                received: HostTime::from_unix_nanos(stamp(received)),
                sent: HostTime::from_unix_nanos(stamp(sent)),
                came: now.raw,
            };
            let clock = ServerClock {
                synchronised: flags & 0x10 == 0,
                error: (flags & 8 == 0).then_some(Duration::ZERO),
                smear: None,
            };
            keeper.answered(index, &stamps, clock, &now);
        }
        while let Some(action) = keeper.poll_action() {
            match action {
                Action::Run { rate, .. } => within_limits(rate),
                Action::Step { .. } => steps += 1,
                _ => {}
            }
        }
        let _ = (keeper.poll_timeout(&host.now()), keeper.bound(&host.now()));
    }
    assert!(steps <= STEPS, "{steps} steps");
}

fn within_limits(rate: Rate) {
    let Rate { frequency, slew } = rate;
    assert!(frequency.abs() <= f64::from(FREQUENCY) * 1e-6, "{rate:?}");
    assert!(slew.abs() <= f64::from(SLEW) * 1.000_001e-6, "{rate:?}");
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

/// A host whose clocks run exactly.
#[derive(Default)]
struct Host {
    passed: u64,
    slept: u64,
}

impl Host {
    fn passes(&mut self, nanos: u64, asleep: bool) {
        match asleep {
            true => self.slept += nanos,
            false => self.passed += nanos,
        }
    }

    fn now(&self) -> Now {
        let wall = 1_700_000_000_000_000_000 + (self.passed + self.slept).cast_signed();
        Now {
            raw: Monotonic::from_nanos(1_000_000_000_000 + self.passed),
            slept: Duration::from_nanos(self.slept),
            wall: HostTime::from_unix_nanos(wall),
        }
    }
}
