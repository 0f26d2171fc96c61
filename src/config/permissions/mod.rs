//! `permissions:`: resources that each script may access.

mod addresses;
mod check;
mod patterns;
mod read;
mod rule;

pub use self::check::{Denied, Need, Permissions};
pub use self::patterns::Glob;
pub(super) use self::read::read;
