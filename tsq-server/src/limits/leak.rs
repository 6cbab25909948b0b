//! A hole in every limit but the hard ones, so that nobody can be locked out for good.

/// Lets one in sixteen through, at random: who fills a limit up in somebody's name cannot know which.
#[derive(Debug)]
pub struct Leak {
    state: u64,
}

impl Leak {
    /// A leak that does the same each time for the same seed: one that nobody outside knows.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Whether this one gets through.
    pub fn passes(&mut self) -> bool {
        // SplitMix64: enough for a coin that an attacker sees only in what is let through.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) >> 60 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_in_sixteen_passes() {
        let mut leak = Leak::seeded(1);
        let passed = (0..16_000).filter(|_| leak.passes()).count();
        assert!((900..1100).contains(&passed), "{passed}");
    }
}
