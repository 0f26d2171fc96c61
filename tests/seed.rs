//! Seeded random numbers for tests: fixed in the default suite, random in the long runs, printed for repetition.

/// The seed of the default suite, so that every run of it does the same.
const DEFAULT: u64 = 1;

/// A SplitMix64 generator that prints its seed when the test that owns it fails.
///
/// Source: <https://prng.di.unimi.it/splitmix64.c>.
pub(crate) struct SeededRandom {
    seed: u64,
    drawn: u64,
}

impl SeededRandom {
    /// Returns a generator with the seed in `RHAID_TEST_SEED`, else with the fixed seed of the default suite.
    pub(crate) fn fixed() -> Self {
        Self::new(from_environment().unwrap_or(DEFAULT))
    }

    /// Returns a generator with the seed in `RHAID_TEST_SEED`, else with a new one each time: for the long runs.
    pub(crate) fn varied() -> Self {
        Self::new(from_environment().unwrap_or_else(|| {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        }))
    }

    #[expect(clippy::print_stderr, reason = "the test harness shows it when the test fails")]
    fn new(seed: u64) -> Self {
        eprintln!("random seed: RHAID_TEST_SEED={seed}");
        Self { seed, drawn: 0 }
    }

    /// Returns the next number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.drawn += 1;
        let mut mixed = self.seed.wrapping_add(self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

fn from_environment() -> Option<u64> {
    std::env::var("RHAID_TEST_SEED").ok().map(|seed| seed.parse().expect("RHAID_TEST_SEED is a number"))
}
