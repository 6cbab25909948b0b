//! What answers say beyond the time: our clock's worth, the operator's notes, a signature.

use std::sync::Arc;
use std::time::Duration;

use tsq_clock::KernelLeap;
use tsq_keys::SigningKeys;
use tsq_proto::profile::{Leap, Profile};
use tsq_proto::tlv::{ClockQuality, Metadata, TimeSource};
use tsq_proto::{Contents, EncodeError, HostTime, Request, Signer};

use tsq_host::own_clock::{Overrides, OwnClock, Smear};

/// Ready-made contents for answers. A value: who follows a clock and keys makes a new one when they change
/// ([`Telling`](crate::telling::Telling)).
#[derive(Clone, Debug)]
pub struct Teller {
    synchronised: bool,
    time_source: TimeSource<'static>,
    clock_quality: ClockQuality<'static>,
    /// Metadata elements as on the wire.
    metadata: Vec<u8>,
    keys: Arc<SigningKeys>,
}

impl Teller {
    /// Tells of `clock` as it is at `now`, signs with `keys`, adds `annotations`.
    ///
    /// # Errors
    /// An annotation or text that does not fit, or that uses a key of the profile.
    pub fn new(
        clock: &OwnClock,
        keys: Arc<SigningKeys>,
        annotations: &[(String, String)],
        now: HostTime,
    ) -> Result<Self, EncodeError> {
        let smear = match &clock.smear {
            Smear::Unknown => UNTOLD_SMEAR,
            Smear::Named(name) => name,
        };
        let profile = Profile {
            leap: Some(leap(clock.leap)),
            tai_offset: clock.tai_offset.and_then(|tai| i16::try_from(tai).ok()),
            smear: Some(smear),
            root_delay: clock.root_delay,
            root_dispersion: clock.root_dispersion,
            reference_id: clock.reference.id.as_deref(),
            era: Some(era(now)),
            server: Some(SERVER),
        };
        let mut storage = [0; MAX_METADATA];
        let metadata = profile.to_metadata(&pairs(annotations), &mut storage)?;
        Ok(Self {
            synchronised: clock.synchronised,
            time_source: TimeSource {
                stratum: clock.stratum,
                source: clock.reference.source,
                info: "",
            },
            clock_quality: ClockQuality {
                class: clock.class,
                error_us: saturated(clock.estimated_error.as_micros()),
                drift_ppb: saturated(u128::from(clock.frequency_ppb.unsigned_abs())),
                tag: "",
            },
            metadata: metadata.as_elements().to_vec(),
            keys,
        })
    }

    /// Tells nothing and vouches for the clock, which is right about `now`: for servers whose clock is their client's.
    pub fn vouching(now: HostTime) -> Self {
        let overrides = Overrides {
            vouched: true,
            ..Overrides::default()
        };
        let picture = OwnClock::picture(None, None, &overrides);
        Self::new(&picture, Arc::default(), &[], now).expect("a picture without texts fits")
    }

    /// The same, signed with other keys.
    #[must_use]
    pub fn with_keys(mut self, keys: Arc<SigningKeys>) -> Self {
        self.keys = keys;
        self
    }

    /// Whether what the operator wants told fits, whatever else there will be to tell.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn check_room(
        smear: Option<&str>,
        reference_id: Option<&str>,
        annotations: &[(String, String)],
    ) -> Result<(), EncodeError> {
        let longest = Profile {
            leap: Some(Leap::Unknown),
            tai_offset: Some(i16::MIN),
            smear: Some(smear.unwrap_or(UNTOLD_SMEAR)),
            root_delay: Some(Duration::MAX),
            root_dispersion: Some(Duration::MAX),
            reference_id: Some(reference_id.unwrap_or(LONGEST_REFERENCE)),
            era: Some(u8::MAX),
            server: Some(SERVER),
        };
        let mut storage = [0; MAX_METADATA];
        longest
            .to_metadata(&pairs(annotations), &mut storage)
            .map(drop)
    }

    /// What an answer given at `now` may contain.
    pub fn contents(&self, now: HostTime) -> Contents<'_> {
        Contents {
            time_source: Some(self.time_source),
            clock_quality: Some(self.clock_quality),
            metadata: Metadata::from_elements(&self.metadata).unwrap_or(Metadata::EMPTY),
            follow_ups: Metadata::EMPTY,
            signer: self.keys.active(now).map(|key| key as &dyn Signer),
        }
    }

    /// Whether this client can be served: one that did not ask could not be told that our clock is
    /// not synchronised, and would take our time for good.
    pub fn may_answer(&self, request: &Request<'_>) -> bool {
        self.synchronised || request.asks_metadata()
    }
}

fn pairs(annotations: &[(String, String)]) -> Vec<(&str, &str)> {
    annotations
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// The 16-bit fields of Clock Quality end at 65.5 ms and 65.5 ppm; more is told as that.
fn saturated(value: u128) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn leap(leap: Option<KernelLeap>) -> Leap {
    match leap {
        None => Leap::Unknown,
        Some(KernelLeap::None) => Leap::NoWarning,
        Some(KernelLeap::Insert) => Leap::Insert,
        Some(KernelLeap::Delete) => Leap::Delete,
    }
}

/// The NTP era of `now`: 1 from 2036-02-07 on (E3).
fn era(now: HostTime) -> u8 {
    let since_1900 = now.as_unix_nanos().div_euclid(1_000_000_000) + NTP_TO_UNIX_SECONDS;
    u8::try_from(since_1900 >> 32).unwrap_or(0)
}

const SERVER: &str = concat!("tsq-server/", env!("CARGO_PKG_VERSION"));
const UNTOLD_SMEAR: &str = "unknown";
/// An address; chronyd's names are shorter.
const LONGEST_REFERENCE: &str = "255.255.255.255";

const NTP_TO_UNIX_SECONDS: i64 = 2_208_988_800;

/// So that an answer with everything still fits one packet.
const MAX_METADATA: usize = 700;

#[cfg(test)]
mod tests {
    use tsq_proto::{ClockClass, Nonce};

    use super::*;

    const NOW: HostTime = HostTime::from_unix_nanos(1_795_000_000_000_000_000);

    #[test]
    fn unsynchronised_clock_is_served_only_to_those_who_are_told() {
        let clock = OwnClock::picture(None, None, &Overrides::default());
        let annotations = [("site".into(), "x".into())];
        let teller = Teller::new(&clock, Arc::default(), &annotations, NOW).unwrap();
        let plain = Request::new(Nonce::new([0; 16]));
        assert!(!teller.may_answer(&plain));
        assert!(teller.may_answer(&plain.with_metadata_query()));
        let contents = teller.contents(NOW);
        assert_eq!(contents.time_source.unwrap().stratum, 0);
        assert_eq!(contents.clock_quality.unwrap().class, ClockClass::Holdover);
        assert_eq!(contents.metadata.get("leap"), Some("3"));
        assert_eq!(contents.metadata.get("site"), Some("x"));
        assert_eq!(contents.metadata.get("root_delay_ns"), None);
    }

    #[test]
    fn annotation_under_a_key_of_the_profile_is_refused() {
        let clock = OwnClock::picture(None, None, &Overrides::default());
        let annotations = [("leap".into(), "0".into())];
        assert!(Teller::new(&clock, Arc::default(), &annotations, NOW).is_err());
    }

    #[test]
    fn era_turns_over_in_2036() {
        assert_eq!(era(HostTime::from_unix(2_085_978_495, 0)), 0);
        assert_eq!(era(HostTime::from_unix(2_085_978_496, 0)), 1);
        let told = |seconds| {
            let teller = Teller::vouching(HostTime::from_unix(seconds, 0));
            teller.contents(NOW).metadata.get("era").map(str::to_owned)
        };
        assert_eq!(told(2_085_978_496).as_deref(), Some("1"));
    }
}
