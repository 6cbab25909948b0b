//! What answers say beyond the time: our clock's worth, the operator's notes, a signature.

use std::sync::Arc;
use std::time::Duration;

use tsq_clock::KernelLeap;
use tsq_keys::SigningKeys;
use tsq_proto::profile::{Leap, Profile};
use tsq_proto::tlv::{ClockQuality, Metadata, TimeSource};
use tsq_proto::{Contents, EncodeError, HostTime, Request, Signer};

use crate::newest::Newest;
use crate::own_clock::{Overrides, OwnClock, Shared, Smear};

/// Ready-made contents for answers, made anew only when something changed.
#[derive(Clone, Debug)]
pub struct Teller {
    clock: Arc<Shared>,
    seen: u64,
    told: Told,
    keys: KeysSeen,
    annotations: Arc<[(String, String)]>,
}

/// The keys to sign with, and where newer ones will be.
#[derive(Clone, Debug)]
struct KeysSeen {
    newest: Arc<Newest<SigningKeys>>,
    seen: u64,
    keys: Arc<SigningKeys>,
}

impl KeysSeen {
    fn new(newest: Arc<Newest<SigningKeys>>) -> Self {
        // In this order: keys that come in between are seen as new.
        let (seen, keys) = (newest.version(), newest.newest());
        Self { newest, seen, keys }
    }
}

#[derive(Clone, Debug)]
struct Told {
    synchronised: bool,
    time_source: TimeSource<'static>,
    clock_quality: ClockQuality<'static>,
    /// Metadata elements as on the wire.
    metadata: Vec<u8>,
}

impl Teller {
    /// Tells of `clock`, signs with `keys`, adds `annotations`.
    ///
    /// # Errors
    /// An annotation or text that does not fit, or that uses a key of the profile.
    pub fn new(
        clock: Arc<Shared>,
        keys: Arc<Newest<SigningKeys>>,
        annotations: Arc<[(String, String)]>,
    ) -> Result<Self, EncodeError> {
        let (seen, picture) = (clock.version(), clock.newest());
        let told = Told::of(&picture, &annotations)?;
        Ok(Self {
            clock,
            seen,
            told,
            keys: KeysSeen::new(keys),
            annotations,
        })
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

    /// Tells nothing and vouches for the clock: for servers whose clock is their client's.
    pub fn vouching() -> Self {
        let overrides = Overrides {
            vouched: true,
            ..Overrides::default()
        };
        let picture = OwnClock::picture(None, None, &overrides);
        let told = Told::of(&picture, &[]).expect("a picture without texts fits");
        let clock = Shared::new(picture);
        let seen = clock.version();
        Self {
            clock,
            seen,
            told,
            keys: KeysSeen::new(Newest::new(SigningKeys::default())),
            annotations: Arc::default(),
        }
    }

    /// Takes over what is new about clock and keys; nothing to do but compare numbers, mostly.
    pub fn refresh(&mut self) {
        if self.keys.newest.version() != self.keys.seen {
            self.keys = KeysSeen::new(Arc::clone(&self.keys.newest));
        }
        let version = self.clock.version();
        if version != self.seen {
            self.seen = version;
            // The texts fitted at the start, and only numbers have changed since.
            if let Ok(told) = Told::of(&self.clock.newest(), &self.annotations) {
                self.told = told;
            }
        }
    }

    /// What an answer given at `now` may contain.
    pub fn contents(&self, now: HostTime) -> Contents<'_> {
        Contents {
            time_source: Some(self.told.time_source),
            clock_quality: Some(self.told.clock_quality),
            metadata: Metadata::from_elements(&self.told.metadata).unwrap_or(Metadata::EMPTY),
            follow_ups: Metadata::EMPTY,
            signer: self.keys.keys.active(now).map(|key| key as &dyn Signer),
        }
    }

    /// Whether this client can be served: one that did not ask could not be told that our clock is
    /// not synchronised, and would take our time for good.
    pub fn may_answer(&self, request: &Request<'_>) -> bool {
        self.told.synchronised || request.asks_metadata()
    }
}

impl Told {
    fn of(clock: &OwnClock, annotations: &[(String, String)]) -> Result<Self, EncodeError> {
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
            era: Some(era(tsq_net::now())),
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
        })
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

    fn no_keys() -> Arc<Newest<SigningKeys>> {
        Newest::new(SigningKeys::default())
    }

    fn teller(picture: OwnClock) -> Teller {
        Teller::new(
            Shared::new(picture),
            no_keys(),
            Arc::from([("site".into(), "x".into())]),
        )
        .unwrap()
    }

    #[test]
    fn unsynchronised_clock_is_served_only_to_those_who_are_told() {
        let teller = teller(OwnClock::picture(None, None, &Overrides::default()));
        let plain = Request::new(Nonce::new([0; 16]));
        assert!(!teller.may_answer(&plain));
        assert!(teller.may_answer(&plain.with_metadata_query()));
        let contents = teller.contents(tsq_net::now());
        assert_eq!(contents.time_source.unwrap().stratum, 0);
        assert_eq!(contents.clock_quality.unwrap().class, ClockClass::Holdover);
        assert_eq!(contents.metadata.get("leap"), Some("3"));
        assert_eq!(contents.metadata.get("site"), Some("x"));
        assert_eq!(contents.metadata.get("root_delay_ns"), None);
    }

    #[test]
    fn change_of_the_clock_is_told_after_a_refresh() {
        let shared = Shared::new(OwnClock::picture(None, None, &Overrides::default()));
        let mut teller = Teller::new(Arc::clone(&shared), no_keys(), Arc::default()).unwrap();
        let vouched = Overrides {
            vouched: true,
            stratum: Some(4),
            ..Overrides::default()
        };
        shared.publish(OwnClock::picture(None, None, &vouched));
        assert!(!teller.may_answer(&Request::new(Nonce::new([0; 16]))));
        teller.refresh();
        assert!(teller.may_answer(&Request::new(Nonce::new([0; 16]))));
        assert_eq!(
            teller.contents(tsq_net::now()).time_source.unwrap().stratum,
            4
        );
    }

    #[test]
    fn annotation_under_a_key_of_the_profile_is_refused() {
        let picture = OwnClock::picture(None, None, &Overrides::default());
        let annotations: Arc<[(String, String)]> = Arc::from([("leap".into(), "0".into())]);
        assert!(Teller::new(Shared::new(picture), no_keys(), annotations).is_err());
    }

    #[test]
    fn era_turns_over_in_2036() {
        assert_eq!(era(HostTime::from_unix(2_085_978_495, 0)), 0);
        assert_eq!(era(HostTime::from_unix(2_085_978_496, 0)), 1);
    }
}
