//! Stored values: `state` of one script, and `shared` between scripts.

mod functions;
mod space;

use rhai::Token;

pub use self::space::{State, handle};
use crate::functions::package::Package;

/// Stored values.
pub const STATE: Package = Package {
    name: "State",
    docs: "Values that are stored across runs, reloads and restarts. The changes of a run are committed together when it succeeds, and discarded when it fails.",
    register: functions::register,
};

/// Turns `shared` and `public` into identifiers. Rhai reserves these words without using them; scripts call `shared(…)` and write
/// `#{ public: true }`.
pub fn token(token: Token) -> Token {
    match token {
        Token::Reserved(word) if matches!(word.as_str(), "shared" | "public") => Token::Identifier(word),
        other => other,
    }
}
