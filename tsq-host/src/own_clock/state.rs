//! One picture of the clock from three sources: kernel, chronyd, operator.

use std::fmt;
use std::time::Duration;

use tsq_clock::{KernelLeap, KernelState};
use tsq_proto::tlv::{ClockClass, SourceType};

use super::chrony::Tracking;

/// What clients are told of this host's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnClock {
    /// Whether anybody keeps it, or the operator vouches for it.
    pub synchronised: bool,
    /// Whether only the operator's word makes it so.
    pub vouched: bool,
    /// 0 if not synchronised, 1 with a reference of its own, else as in NTP.
    pub stratum: u8,
    /// What it follows.
    pub reference: Reference,
    /// The quality class (T6).
    pub class: ClockClass,
    /// To the reference and back; None if nobody knows.
    pub root_delay: Option<Duration>,
    /// The error that has gathered on the way; None if nobody knows.
    pub root_dispersion: Option<Duration>,
    /// The error its keeper expects.
    pub estimated_error: Duration,
    /// The oscillator's correction.
    pub frequency_ppb: i64,
    /// A coming leap second; None if nobody knows.
    pub leap: Option<KernelLeap>,
    /// TAI minus UTC in seconds, if known.
    pub tai_offset: Option<i32>,
    /// How leap seconds are treated.
    pub smear: Smear,
    /// Why it is not synchronised; None if it is.
    pub lack: Option<Lack>,
}

/// What it lacks that a clock is not synchronised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Nobody keeps it.
    Keeper,
    /// chronyd does, but has nothing to follow.
    Source,
    /// chronyd says that it is synchronised, but has not told the kernel.
    Word,
    /// The kernel cannot be asked.
    Reading,
}

impl fmt::Display for Lack {
    /// What it is and what to do, for the operator.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keeper => "nobody keeps it: run chronyd, or see why it does not answer (chronyc tracking)",
            Self::Source => "chronyd runs but follows no source yet (chronyc sources)",
            Self::Word => {
                "chronyd says that it is, but has told the kernel nothing: does it run with -x? Otherwise put rtcsync \
                 into chrony.conf"
            }
            Self::Reading => "the kernel does not say what it is worth: let adjtimex(2) pass",
        })
    }
}

/// What a clock follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The source type (T9).
    pub source: SourceType,
    /// The reference id in words, as chronyd prints it.
    pub id: Option<String>,
}

/// How leap seconds are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Smear {
    /// Nobody has said.
    Unknown,
    /// The operator's word: `none`, or the name of a smear.
    Named(String),
}

/// What the operator knows better.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Stratum of a synchronised clock.
    pub stratum: Option<u8>,
    /// What the clock follows.
    pub source: Option<SourceType>,
    /// The reference id.
    pub reference_id: Option<String>,
    /// How leap seconds are treated.
    pub smear: Option<String>,
    /// Serve the clock as good even when nobody keeps it: the operator vouches for it.
    pub vouched: bool,
}

impl Overrides {
    /// Whether something is to be told that only a synchronised clock has.
    pub fn tells_of_a_reference(&self) -> bool {
        self.stratum.is_some() || self.source.is_some() || self.reference_id.is_some()
    }
}

impl OwnClock {
    /// The picture now; `age` is how long ago chronyd told.
    ///
    /// A clock is synchronised only if the kernel says so ([`KernelState::synchronised`]): whoever keeps it tells the
    /// kernel, and a chronyd that only watches (`-x`) does not. A chronyd that runs but has no source makes it
    /// unsynchronised whatever the kernel still says.
    pub fn picture(
        kernel: Option<&KernelState>,
        chrony: Option<(&Tracking, Duration)>,
        overrides: &Overrides,
    ) -> Self {
        let follows = chrony.map(|(tracking, _)| tracking.leap.is_some());
        if let Some(lack) = Lack::of(kernel, follows) {
            return if overrides.vouched {
                Self::vouched(kernel, overrides)
            } else {
                Self::unsynchronised(kernel, overrides, lack)
            };
        }
        let source = overrides
            .source
            .or(chrony.map(|(tracking, _)| source_of(tracking)));
        let source = source.unwrap_or(SourceType::Unknown);
        Self {
            synchronised: true,
            vouched: false,
            stratum: overrides
                .stratum
                .or(chrony.map(|(t, _)| t.stratum))
                .unwrap_or(STRATUM_UNTOLD),
            reference: Reference {
                source,
                id: overrides
                    .reference_id
                    .clone()
                    .or(chrony.map(|(t, _)| reference_words(t))),
            },
            class: class_of(source),
            // The kernel's largest error holds the whole distance to the reference.
            root_delay: Some(chrony.map_or(Duration::ZERO, |(tracking, _)| tracking.root_delay)),
            root_dispersion: chrony
                .map(|(tracking, age)| tracking.dispersion_after(age))
                .or(kernel.map(|state| state.max_error)),
            estimated_error: kernel.map_or(Duration::ZERO, |state| state.estimated_error),
            frequency_ppb: kernel.map_or(0, |state| state.frequency_ppb),
            leap: chrony
                .and_then(|(tracking, _)| tracking.leap)
                .or(kernel.map(|state| state.leap)),
            tai_offset: kernel.and_then(|state| state.tai_offset),
            smear: smear(overrides),
            lack: None,
        }
    }

    /// As chronyd's `local`: a stratum far from any reference, and nothing known of the error.
    fn vouched(kernel: Option<&KernelState>, overrides: &Overrides) -> Self {
        let source = overrides.source.unwrap_or(SourceType::Manual);
        Self {
            synchronised: true,
            vouched: true,
            stratum: overrides.stratum.unwrap_or(STRATUM_VOUCHED),
            reference: Reference {
                source,
                id: overrides.reference_id.clone(),
            },
            class: class_of(source),
            leap: Some(KernelLeap::None),
            lack: None,
            ..Self::unsynchronised(kernel, overrides, Lack::Keeper)
        }
    }

    /// Whether it is served on the strength of what was last known of it.
    pub fn is_held(&self) -> bool {
        self.synchronised && !self.vouched && self.class == ClockClass::Holdover
    }

    fn unsynchronised(kernel: Option<&KernelState>, overrides: &Overrides, lack: Lack) -> Self {
        Self {
            synchronised: false,
            vouched: false,
            stratum: 0,
            reference: Reference {
                source: SourceType::Unknown,
                id: None,
            },
            class: ClockClass::Holdover,
            root_delay: None,
            root_dispersion: None,
            estimated_error: Duration::MAX,
            frequency_ppb: kernel.map_or(0, |state| state.frequency_ppb),
            leap: None,
            tai_offset: None,
            smear: smear(overrides),
            lack: Some(lack),
        }
    }
}

impl Lack {
    /// `follows`: whether chronyd, where it answers, has something to follow.
    fn of(kernel: Option<&KernelState>, follows: Option<bool>) -> Option<Self> {
        match (kernel, follows) {
            (_, Some(false)) => Some(Self::Source),
            (None, _) => Some(Self::Reading),
            (Some(kernel), _) if kernel.synchronised => None,
            (Some(_), Some(true)) => Some(Self::Word),
            (Some(_), None) => Some(Self::Keeper),
        }
    }
}

fn smear(overrides: &Overrides) -> Smear {
    overrides.smear.clone().map_or(Smear::Unknown, Smear::Named)
}

/// chronyd names reference clocks by four letters and servers by their address.
fn source_of(tracking: &Tracking) -> SourceType {
    let name = letters(tracking.reference_id);
    match (tracking.stratum, name.as_deref()) {
        (1, Some("GPS" | "PPS" | "GNSS" | "NMEA")) => SourceType::Gps,
        (1, Some("PTP" | "PHC" | "PHC0")) => SourceType::Ptp,
        (1, _) => SourceType::Unknown,
        _ if tracking.reference_id == LOCAL => SourceType::Manual,
        _ => SourceType::Ntp,
    }
}

fn class_of(source: SourceType) -> ClockClass {
    match source {
        SourceType::Gps => ClockClass::Gnss,
        SourceType::Ptp => ClockClass::Ptp,
        SourceType::Ntp => ClockClass::Ntp,
        _ => ClockClass::Unknown,
    }
}

fn reference_words(tracking: &Tracking) -> String {
    letters(tracking.reference_id)
        .filter(|_| tracking.stratum == 1)
        .unwrap_or_else(|| format!("{:08X}", tracking.reference_id))
}

fn letters(id: u32) -> Option<String> {
    let bytes = id.to_be_bytes();
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    let (name, rest) = bytes.split_at(end);
    let plain = !name.is_empty()
        && name.iter().all(u8::is_ascii_alphanumeric)
        && rest.iter().all(|b| *b == 0);
    plain.then(|| String::from_utf8_lossy(name).into_owned())
}

/// Kept, but nobody says how far from a reference: the last stratum that counts as synchronised.
const STRATUM_UNTOLD: u8 = 15;

/// What chronyd's `local` takes when told nothing else.
const STRATUM_VOUCHED: u8 = 10;

/// chronyd's reference id for its `local` mode: 127.127.1.1.
const LOCAL: u32 = 0x7F7F_0101;

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(synchronised: bool) -> KernelState {
        KernelState {
            synchronised,
            estimated_error: Duration::from_micros(20),
            max_error: Duration::from_micros(900),
            frequency_ppb: -1500,
            tai_offset: Some(37),
            leap: KernelLeap::None,
        }
    }

    fn tracking(reference_id: u32, stratum: u8) -> Tracking {
        Tracking {
            reference_id,
            stratum,
            root_delay: Duration::from_micros(1000),
            root_dispersion: Duration::from_micros(300),
            skew_ppm: 0.0,
            frequency_ppb: 0,
            rms_offset: Duration::ZERO,
            leap: Some(KernelLeap::None),
        }
    }

    #[test]
    fn nobody_keeping_the_clock_is_stratum_0_and_class_5() {
        for state in [None, Some(kernel(false))] {
            let picture = OwnClock::picture(state.as_ref(), None, &Overrides::default());
            assert_eq!((picture.synchronised, picture.stratum), (false, 0));
            assert_eq!(picture.class, ClockClass::Holdover);
            assert_eq!(picture.root_dispersion, None);
        }
    }

    #[test]
    fn operator_cannot_make_an_unkept_clock_look_kept() {
        let overrides = Overrides {
            stratum: Some(1),
            source: Some(SourceType::Gps),
            ..Overrides::default()
        };
        let picture = OwnClock::picture(Some(&kernel(false)), None, &overrides);
        assert_eq!((picture.stratum, picture.class), (0, ClockClass::Holdover));
    }

    #[test]
    fn vouching_serves_an_unkept_clock_far_from_any_reference() {
        let overrides = Overrides {
            vouched: true,
            ..Overrides::default()
        };
        let picture = OwnClock::picture(Some(&kernel(false)), None, &overrides);
        assert_eq!(
            (picture.synchronised, picture.stratum),
            (true, STRATUM_VOUCHED)
        );
        assert_eq!((picture.root_delay, picture.root_dispersion), (None, None));
        assert_eq!(picture.reference.source, SourceType::Manual);
    }

    #[test]
    fn kernel_alone_gives_its_largest_error() {
        let picture = OwnClock::picture(Some(&kernel(true)), None, &Overrides::default());
        assert_eq!(
            (picture.synchronised, picture.stratum),
            (true, STRATUM_UNTOLD)
        );
        assert_eq!(picture.root_dispersion, Some(Duration::from_micros(900)));
        assert_eq!(picture.tai_offset, Some(37));
    }

    #[test]
    fn chronyd_gives_stratum_distance_and_reference() {
        let told = tracking(0xC000_0201, 3);
        let age = Duration::from_secs(10);
        let picture = OwnClock::picture(
            Some(&kernel(true)),
            Some((&told, age)),
            &Overrides::default(),
        );
        assert_eq!((picture.stratum, picture.class), (3, ClockClass::Ntp));
        assert_eq!(picture.reference.id.as_deref(), Some("C0000201"));
        assert_eq!(picture.root_delay, Some(Duration::from_micros(1000)));
        assert_eq!(picture.root_dispersion, Some(Duration::from_micros(310)));
    }

    #[test]
    fn reference_clocks_are_known_by_their_letters() {
        for (name, source) in [(*b"GPS\0", SourceType::Gps), (*b"PHC0", SourceType::Ptp)] {
            let told = tracking(u32::from_be_bytes(name), 1);
            let picture = OwnClock::picture(
                Some(&kernel(true)),
                Some((&told, Duration::ZERO)),
                &Overrides::default(),
            );
            assert_eq!(picture.reference.source, source);
        }
    }

    #[test]
    fn chronyd_without_a_source_overrules_the_kernels_memory() {
        let told = Tracking {
            leap: None,
            ..tracking(0, 0)
        };
        let picture = OwnClock::picture(
            Some(&kernel(true)),
            Some((&told, Duration::ZERO)),
            &Overrides::default(),
        );
        assert!(!picture.synchronised);
    }

    #[test]
    fn clock_that_is_not_synchronised_says_what_it_lacks() {
        let (good, lost) = (
            tracking(0xC000_0201, 3),
            Tracking {
                leap: None,
                ..tracking(0, 0)
            },
        );
        for (kernel, told, lack) in [
            (Some(kernel(true)), None, None),
            (Some(kernel(true)), Some(&good), None),
            (Some(kernel(false)), None, Some(Lack::Keeper)),
            (Some(kernel(true)), Some(&lost), Some(Lack::Source)),
            (Some(kernel(false)), Some(&lost), Some(Lack::Source)),
            // It only watches the clock, perhaps: its word alone keeps none.
            (Some(kernel(false)), Some(&good), Some(Lack::Word)),
            (None, Some(&good), Some(Lack::Reading)),
        ] {
            let told = told.map(|tracking| (tracking, Duration::ZERO));
            let picture = OwnClock::picture(kernel.as_ref(), told, &Overrides::default());
            assert_eq!(picture.lack, lack);
            assert_eq!(picture.synchronised, lack.is_none());
        }
        assert!(Lack::Word.to_string().contains("rtcsync"));
    }

    #[test]
    fn operators_word_wins() {
        let overrides = Overrides {
            stratum: Some(2),
            source: Some(SourceType::Ptp),
            reference_id: Some("LAB".into()),
            smear: Some("none".into()),
            vouched: false,
        };
        let told = tracking(0xC000_0201, 3);
        let picture = OwnClock::picture(
            Some(&kernel(true)),
            Some((&told, Duration::ZERO)),
            &overrides,
        );
        assert_eq!((picture.stratum, picture.class), (2, ClockClass::Ptp));
        assert_eq!(picture.reference.id.as_deref(), Some("LAB"));
        assert_eq!(picture.smear, Smear::Named("none".into()));
    }
}
