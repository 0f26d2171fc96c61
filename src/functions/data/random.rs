//! Chance.

use rhai::plugin::*;

use crate::functions::arguments::invalid_argument;
use crate::functions::{Thrown, thrown};
use crate::random;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "chance", functions);
}

/// Returns random bytes from the system.
pub(super) fn bytes<const N: usize>() -> Result<[u8; N], Thrown> {
    let mut bytes = [0; N];
    random::fill(&mut bytes).map_err(|why| thrown("io", why))?;
    Ok(bytes)
}

#[export_module]
#[expect(unreachable_pub, reason = "the macro wants public functions")]
mod functions {
    /// Returns a random number from 0 up to but not including 1.
    ///
    /// # Example
    /// ```rhai
    /// let r = random();
    /// assert(r >= 0.0 && r < 1.0);
    /// ```
    #[rhai_fn(name = "random", return_raw, volatile)]
    pub fn random() -> Result<f64, Thrown> {
        // 53 bits: as many as a number between 0 and 1 can hold evenly.
        Ok((u64::from_le_bytes(bytes()?) >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// Returns a random whole number between two ends, both included.
    ///
    /// # Example
    /// ```rhai
    /// let dice = random_int(1, 6);
    /// assert(dice >= 1 && dice <= 6);
    /// ```
    #[rhai_fn(name = "random_int", return_raw, volatile)]
    pub fn random_int(from: i64, to: i64) -> Result<i64, Thrown> {
        if from > to {
            return Err(invalid_argument(format!("random_int({from}, {to}): the smaller end comes first")));
        }
        let span = u128::from(to.abs_diff(from)) + 1;
        // The part of 64 random bits that each number gets; the bias is below 2^-64.
        let at = ((u128::from_le_bytes(bytes()?) >> 64) * span) >> 64;
        Ok((i128::from(from) + at as i128) as i64)
    }
}
