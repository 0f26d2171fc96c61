//! One `.rhai` file: compilation, checks, declared triggers, and calls of its handlers.

mod analyse;
mod call;
mod call_positions;
mod captured;
pub mod codes;
mod collector;
mod compile;
pub mod coverage;
mod declare;
mod engine;
mod errors;
mod files;
mod globals;
mod guard;
mod guarded_std;
mod handler;
mod kinds;
pub mod lint;
mod load;
mod migration_hints;
mod model;
mod modules;
pub mod outline;
mod read_fields;
pub mod repl_session;
mod resolver;
mod result;
mod sources;
mod stack;
#[cfg(test)]
mod test_kinds;
pub mod testing;
#[cfg(test)]
mod tests;

pub use self::analyse::standard_functions;
pub use self::model::{Declaration, Purpose, Script};
pub use self::result::{JobResult, RunError};
pub use self::sources::Sources;
pub use self::stack::{MIN_STACK_SIZE, on_script_thread, stack_size};
