//! Secret values, and the mask that removes them from logs, faults and the run history.

mod mask;
mod redact;

pub use self::mask::{Mask, Secret};
pub use self::redact::is_secret_name;
