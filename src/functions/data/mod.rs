//! Reading, writing, encoding and searching data; chance; promises.

mod encode;
mod formats;
mod parse;
mod pattern;
mod promise;
mod random;
mod table;

use crate::functions::Package;

/// Data.
pub const DATA: Package = Package {
    name: "Data",
    docs: "Reading, writing, encoding and searching data; chance; promises.",
    register: |module| {
        formats::register(module);
        table::register(module);
        encode::register(module);
        pattern::register(module);
        random::register(module);
        promise::register(module);
    },
};

pub(super) use self::parse::json;
