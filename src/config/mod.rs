//! `rhaid.yaml`: every value with a default, a unit and a location.

mod binding;
mod difference;
mod document;
mod history;
mod interpolate;
mod limits;
mod load;
mod log;
mod mqtt;
mod node;
mod overrides;
mod permissions;
mod report;
mod schema;
mod section;
mod source;
mod triggers;
mod value_type;
mod web;
mod yaml;

#[cfg(test)]
mod tests;

pub use self::binding::Binding;
pub use self::difference::Difference;
pub use self::document::Config;
pub use self::history::{History, KeptSuccesses};
pub use self::limits::Limits;
pub use self::load::{Loaded, parse, template};
pub use self::log::{Level, Log, LogFormat};
pub use self::mqtt::{
    Backoff, Broker, Certificate, DEFAULT_BROKER, EmbeddedBroker, Mqtt, OutboxFull, Protocol, SessionOptions, Tls, Will,
};
pub use self::permissions::{Denied, Glob, Need, Permissions};
pub use self::schema::{schema, variables};
pub use self::source::{Override, Source};
pub use self::triggers::KindInfo;
pub use self::web::Web;
