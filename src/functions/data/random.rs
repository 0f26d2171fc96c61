//! Random values.

use rhai::plugin::*;

use crate::functions::thrown::{Thrown, invalid_argument, thrown};
use crate::random;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "random", functions);
}

/// Returns random bytes from the operating system.
pub(super) fn bytes<const N: usize>() -> Result<[u8; N], Thrown> {
    let mut bytes = [0; N];
    random::fill(&mut bytes).map_err(|why| thrown("io", why))?;
    Ok(bytes)
}

#[export_module]
#[expect(unreachable_pub, reason = "`export_module` requires public functions")]
mod functions {
    /// Returns a random float from 0 (inclusive) to 1 (exclusive).
    ///
    /// # Example
    /// ```rhai
    /// let r = random();
    /// assert(r >= 0.0 && r < 1.0);
    /// ```
    #[rhai_fn(name = "random", return_raw, volatile)]
    pub fn random() -> Result<f64, Thrown> {
        // 53 bits, the precision of a float.
        Ok((u64::from_le_bytes(bytes()?) >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// Returns a random integer between two bounds, both inclusive.
    ///
    /// # Example
    /// ```rhai
    /// let dice = random_int(1, 6);
    /// assert(dice >= 1 && dice <= 6);
    /// ```
    #[rhai_fn(name = "random_int", return_raw, volatile)]
    pub fn random_int(from: i64, to: i64) -> Result<i64, Thrown> {
        if from > to {
            return Err(invalid_argument(format!(
                "random_int({from}, {to}): the first bound must not exceed the second"
            )));
        }
        let span = u128::from(to.abs_diff(from)) + 1;
        // Scales 64 random bits to the range; the bias is below 2^-64.
        let at = ((u128::from_le_bytes(bytes()?) >> 64) * span) >> 64;
        Ok((i128::from(from) + at as i128) as i64)
    }
}
