//! Date and time, and `sleep`.

mod arithmetic;
mod moments;
pub(super) mod parse;
mod parts;

use jiff::Zoned;

use crate::functions::package::Package;

/// Date and time.
pub const TIME: Package = Package {
    name: "Time",
    docs: "Datetimes with a time zone: the current time, parsing, arithmetic and formatting; sunrise and sunset; `sleep`.",
    register: |module| {
        module.set_custom_type::<Zoned>("datetime");
        moments::register(module);
        parts::register(module);
        arithmetic::register(module);
    },
};
