//! Data formats, encodings, regular expressions, random values and assertions.

mod assertions;
mod csv;
mod encode;
mod formats;
mod parse;
mod random;
mod regex;

pub(super) use self::parse::json;
use crate::functions::package::Package;

/// Data.
pub const DATA: Package = Package {
    name: "Data",
    docs: "Parse, format, encode and search data; random values; assertions.",
    register: |module| {
        formats::register(module);
        csv::register(module);
        encode::register(module);
        regex::register(module);
        random::register(module);
        assertions::register(module);
    },
};
