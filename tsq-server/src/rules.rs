//! Which clients may ask, by address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses that begin alike, such as 192.0.2.0/24; an address alone is a prefix of its whole length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// What stands before the slash.
    Address,
    /// An interface stands behind the address.
    Zone,
    /// What stands behind it.
    Length {
        /// The longest there is for such an address.
        longest: u8,
    },
    /// The address has bits behind its prefix, so one of the two is a slip.
    Beyond {
        /// The prefix without these bits.
        meant: Prefix,
    },
}

impl Prefix {
    /// Whether `address` begins with this prefix.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs) = (bits(self.address), bits(address));
        ours.1 == theirs.1 && masked(theirs.0, self.length) == ours.0
    }
}

/// The address's bits from the left, and how many there are.
fn bits(address: IpAddr) -> (u128, u8) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

fn masked(bits: u128, length: u8) -> u128 {
    let mask = u128::MAX.checked_shl(128 - u32::from(length));
    bits & mask.unwrap_or(0)
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        if text.contains('%') {
            return Err(PrefixError::Zone);
        }
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Address)?;
        let address = address.to_canonical();
        let (bits, longest) = bits(address);
        let length = length.map_or(Ok(longest), |length| {
            length
                .parse()
                .ok()
                .filter(|length| *length <= longest)
                .ok_or(PrefixError::Length { longest })
        })?;
        let kept = masked(bits, length);
        if kept != bits {
            let address = match address {
                IpAddr::V4(_) => IpAddr::V4(u32::try_from(kept >> 96).unwrap_or(0).into()),
                IpAddr::V6(_) => IpAddr::V6(kept.into()),
            };
            let meant = Self { address, length };
            return Err(PrefixError::Beyond { meant });
        }
        Ok(Self { address, length })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl std::error::Error for PrefixError {}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("not an address or prefix such as 192.0.2.0/24"),
            Self::Zone => f.write_str(
                "a prefix has no interface (what follows %): fe80::/10 are the link-local addresses behind all of them",
            ),
            Self::Length { longest } => {
                write!(f, "a prefix's length is a number from 0 to {longest}")
            }
            Self::Beyond { meant } => write!(f, "has bits behind the prefix; is {meant} meant?"),
        }
    }
}

/// The operator's rules; the longest prefix that holds an address decides about it.
///
/// Without a fitting rule an address is served, unless some are allowed: then only those are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Longest first.
    rules: Vec<(Prefix, bool)>,
    only_allowed: bool,
}

/// A prefix that is both allowed and denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Both(pub Prefix);

impl std::error::Error for Both {}

impl fmt::Display for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} stands in --allow and in --deny", self.0)
    }
}

impl Rules {
    /// Allows and denies these.
    ///
    /// # Errors
    /// One prefix is in both lists.
    pub fn new(allow: &[Prefix], deny: &[Prefix]) -> Result<Self, Both> {
        if let Some(both) = allow.iter().find(|prefix| deny.contains(prefix)) {
            return Err(Both(*both));
        }
        let allowed = allow.iter().map(|prefix| (*prefix, true));
        let denied = deny.iter().map(|prefix| (*prefix, false));
        let mut rules: Vec<_> = allowed.chain(denied).collect();
        rules.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.length));
        Ok(Self {
            rules,
            only_allowed: !allow.is_empty(),
        })
    }

    /// Whether a client at `address` may ask.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.rules
            .iter()
            .find(|(prefix, _)| prefix.contains(address))
            .map_or(!self.only_allowed, |(_, allowed)| *allowed)
    }

    /// Whether every address is served, so that nobody needs to look.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn longest_prefix_decides() {
        let allow = prefixes(&["10.0.0.0/8", "10.1.1.1", "2001:db8::/32"]);
        let deny = prefixes(&["10.1.0.0/16", "::/0"]);
        let rules = Rules::new(&allow, &deny).unwrap();
        for (address, allowed) in [
            ("10.2.0.1", true),
            ("10.1.0.1", false),
            ("10.1.1.1", true),
            ("10.1.1.2", false),
            ("::ffff:10.2.0.1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(rules.allows(address.parse().unwrap()), allowed, "{address}");
        }
    }

    #[test]
    fn without_an_allowed_prefix_the_rest_is_served() {
        let rules = Rules::new(&[], &prefixes(&["192.0.2.0/24"])).unwrap();
        assert!(!rules.allows("192.0.2.255".parse().unwrap()));
        assert!(rules.allows("192.0.3.0".parse().unwrap()));
        assert!(Rules::default().allows("::1".parse().unwrap()));
        let everyone = Rules::new(&prefixes(&["0.0.0.0/0"]), &[]).unwrap();
        assert!(everyone.allows("192.0.2.1".parse().unwrap()));
        assert!(!everyone.allows("::1".parse().unwrap()));
    }

    #[test]
    fn prefix_in_both_lists_is_refused() {
        let both = prefixes(&["10.0.0.0/8"]);
        assert_eq!(Rules::new(&both, &both), Err(Both(both[0])));
    }

    #[test]
    fn malformed_prefixes_say_what_is_wrong() {
        for (text, error) in [
            ("", "not an address"),
            ("time.example", "not an address"),
            ("fe80::1%eth0", "a prefix has no interface"),
            ("fe80::%2/10", "a prefix has no interface"),
            ("10.0.0.0/", "0 to 32"),
            ("10.0.0.0/33", "0 to 32"),
            ("::/129", "0 to 128"),
            ("10.0.0.1/8", "is 10.0.0.0/8 meant?"),
            ("2001:db8::1/32", "is 2001:db8::/32 meant?"),
        ] {
            let told = text.parse::<Prefix>().unwrap_err().to_string();
            assert!(told.contains(error), "{text}: {told}");
        }
    }
}
