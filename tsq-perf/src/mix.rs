//! Full, resumed and early handshakes in a fixed proportion.

use std::fmt;
use std::str::FromStr;

/// A kind of handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// With the server's certificate.
    Full,
    /// With a ticket instead.
    Resumed,
    /// With a ticket, and the request in the first flight.
    Early,
}

/// How many of each kind, spread evenly; reads `full:resumed:0rtt`, as in `1:2:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    parts: [u32; 3],
    /// What each kind is owed so far.
    owed: [i64; 3],
}

impl Mix {
    /// The kind of the next handshake. It becomes a full one when there is no ticket yet.
    pub fn draw(&mut self) -> Kind {
        for (owed, part) in self.owed.iter_mut().zip(self.parts) {
            *owed += i64::from(part);
        }
        let index = (0..3).rev().max_by_key(|i| self.owed[*i]).unwrap_or(0);
        self.owed[index] -= self.parts.iter().copied().map(i64::from).sum::<i64>();
        [Kind::Full, Kind::Resumed, Kind::Early][index]
    }
}

impl Default for Mix {
    /// Full ones only.
    fn default() -> Self {
        Self {
            parts: [1, 0, 0],
            owed: [0; 3],
        }
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "not full:resumed:0rtt, three numbers from 0 to 1000 and not all 0".to_string();
        let parts: Vec<u32> = text
            .split(':')
            .map(|part| part.parse().ok().filter(|part| *part <= 1000))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        match <[u32; 3]>::try_from(parts) {
            Ok(parts) if parts != [0; 3] => Ok(Self {
                parts,
                owed: [0; 3],
            }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [full, resumed, early] = self.parts;
        write!(f, "{full}:{resumed}:{early}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_comes_in_its_proportion_and_spread_out() {
        let mut mix: Mix = "1:2:1".parse().unwrap();
        let kinds: Vec<_> = (0..8).map(|_| mix.draw()).collect();
        for four in kinds.chunks(4) {
            let count = |kind| four.iter().filter(|it| **it == kind).count();
            assert_eq!(
                (count(Kind::Full), count(Kind::Resumed), count(Kind::Early)),
                (1, 2, 1)
            );
        }
        let mut only: Mix = "0:0:5".parse().unwrap();
        assert!((0..9).all(|_| only.draw() == Kind::Early));
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        for wrong in [
            "", "1", "1:1", "1:1:1:1", "0:0:0", "a:b:c", "-1:0:0", "1001:0:0",
        ] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }
}
