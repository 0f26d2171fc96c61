//! Secrets, environment variables, files and programs, as far as the script's permissions allow.

mod exec;
pub(super) mod files;
mod list_files;
mod paths;
mod permissions;
mod secrets;

use crate::functions::package::Package;

/// Secrets, environment variables, files and programs.
pub const OUTSIDE: Package = Package {
    name: "Outside",
    docs: "Secrets, environment variables, files and programs. A script can use only those that `permissions:` in rhaid.yaml allows.",
    register: |module| {
        secrets::register(module);
        files::register(module);
        list_files::register(module);
        exec::register(module);
    },
};
