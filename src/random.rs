//! Random bytes from the system, or from a seed in simulations.

use parking_lot::Mutex;

/// The state of the seeded generator. `None`: bytes come from the system.
static SEEDED: Mutex<Option<u64>> = Mutex::new(None);

/// Fills a buffer with random bytes.
///
/// # Errors
/// A message if the random source of the system fails.
pub fn fill(bytes: &mut [u8]) -> Result<(), String> {
    let mut seeded = SEEDED.lock();
    match &mut *seeded {
        None => {
            drop(seeded);
            getrandom::fill(bytes).map_err(|error| format!("the random source of the system failed: {error}"))
        }
        Some(state) => {
            for piece in bytes.chunks_mut(8) {
                piece.copy_from_slice(&next(state).to_le_bytes()[..piece.len()]);
            }
            Ok(())
        }
    }
}

/// Makes all further bytes of this process reproducible from a seed.
pub fn seed(seed: u64) {
    *SEEDED.lock() = Some(seed);
}

/// Returns the next 64 bits.
///
/// Source: SplitMix64, from Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 17.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_returns_the_published_numbers() {
        let mut state = 1_234_567;
        let numbers: Vec<u64> = (0..3).map(|_| next(&mut state)).collect();
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
